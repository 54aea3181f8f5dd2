"""Network address translation on the way to Azure, as the operator describes it."""

from bisect import bisect_right
from collections.abc import Sequence

from illumio_azsql_enforcer.addresses import LAST_ADDRESS, Range, RangeSet
from illumio_azsql_enforcer.model.settings import NatEntry


class Nat:
    """Where addresses arrive from. Of entries whose private blocks nest, the smallest block decides."""

    def __init__(self, entries: Sequence[NatEntry]) -> None:
        publics: dict[Range, list[Range]] = {}
        for entry in entries:
            publics.setdefault(entry.private, []).extend(entry.public)
        claimed = RangeSet()
        segments: list[tuple[int, int, list[int]]] = []
        for private in sorted(publics, key=lambda block: block.size):
            public = [each.first << 32 | each.last for each in publics[private]]
            segments += [(each.first, each.last, public) for each in RangeSet([private]) - claimed]
            claimed |= RangeSet([private])
        self._segments = sorted(segments)
        self._firsts = [segment[0] for segment in self._segments]

    def __bool__(self) -> bool:
        return bool(self._segments)

    def translated(self, packed: int) -> list[int]:
        """Where the addresses of a range (`first << 32 | last`) arrive from: translated ones replaced, others kept."""
        first, last = packed >> 32, packed & LAST_ADDRESS
        arriving: list[int] = []
        for start, end, public in self._segments[max(0, bisect_right(self._firsts, first) - 1) :]:
            if start > last:
                break
            if end < first:
                continue
            if start > first:
                arriving.append(first << 32 | start - 1)
            arriving += public
            first = end + 1
        if first <= last:
            arriving.append(first << 32 | last)
        return arriving
