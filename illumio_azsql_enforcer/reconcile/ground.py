"""The wanted addresses that only rules to go admit today, cut into pieces, and who holds each piece.

Everything that an order can get wrong happens on this ground: an address outside of it is either not wanted, or is
admitted all the time by a rule that stays.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from illumio_azsql_enforcer.addresses import Range, RangeSet
from illumio_azsql_enforcer.model.firewall import ALL_AZURE_SERVICES


@dataclass(frozen=True)
class Ground:
    """Pieces in order, each within one wanted range and within or outside each rule to go. All by index."""

    pieces: tuple[Range, ...]
    wanted_of: tuple[int, ...]  # piece -> the wanted range that holds it
    held_by: tuple[range, ...]  # rule to go -> its pieces

    def cover(self) -> list[int]:
        """For each piece how many rules to go hold it."""
        holders = [0] * len(self.pieces)
        for held in self.held_by:
            for piece in held:
                holders[piece] += 1
        return holders


def survey(base: RangeSet, wanted: Sequence[Range], going: Sequence[Range]) -> Ground:
    """The ground between `wanted` (sorted, disjoint) and `going`; `base` is what the rules that stay admit."""
    real = [one for one in going if one != ALL_AZURE_SERVICES]
    contested = (RangeSet(wanted) - base) & RangeSet(real)
    cuts = sorted({edge for one in (*wanted, *real) for edge in (one.first, one.last + 1)})
    pieces = tuple(piece for one in contested for piece in _cut(one, cuts))
    starts = [one.first for one in wanted]
    firsts = [piece.first for piece in pieces]

    def held(rule: Range) -> range:
        if rule == ALL_AZURE_SERVICES:
            return range(0)
        return range(bisect_left(firsts, rule.first), bisect_right(firsts, rule.last))

    wanted_of = tuple(bisect_right(starts, first) - 1 for first in firsts)
    return Ground(pieces, wanted_of, tuple(held(rule) for rule in going))


def _cut(whole: Range, cuts: Sequence[int]) -> Iterable[Range]:
    inner = cuts[bisect_right(cuts, whole.first) : bisect_right(cuts, whole.last)]
    edges = [whole.first, *inner, whole.last + 1]
    return (Range(first, after - 1) for first, after in pairwise(edges))
