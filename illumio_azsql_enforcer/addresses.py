"""Exact algebra on sets of IPv4 addresses.

A Range is inclusive at both ends. A RangeSet keeps its ranges minimal, disjoint and sorted, as machine integers
(`start << 32 | end`), so that sorting and merging run at the speed of `list.sort` and one linear pass.
"""

import socket
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

LAST_ADDRESS = 0xFFFF_FFFF


def parse_address(text: str) -> int:
    """The integer of a dotted quad. Raises ValueError for anything else (leading zeros, short forms, IPv6)."""
    try:
        raw = socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError) as error:
        raise ValueError(f"{text!r} is not an IPv4 address") from error
    return int.from_bytes(raw)


def format_address(address: int) -> str:
    """The dotted quad of an integer."""
    return socket.inet_ntop(socket.AF_INET, address.to_bytes(4))


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """The addresses from `first` to `last`, both included. Raises ValueError when `first` is after `last`."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last <= LAST_ADDRESS:
            raise ValueError(f"not a range of IPv4 addresses: {self.first} to {self.last}")

    @classmethod
    def parse(cls, start: str, end: str) -> Self:
        """A range of two dotted quads. Raises ValueError."""
        return cls(parse_address(start), parse_address(end))

    @property
    def start(self) -> str:
        return format_address(self.first)

    @property
    def end(self) -> str:
        return format_address(self.last)

    @property
    def size(self) -> int:
        return self.last - self.first + 1

    def __contains__(self, address: int) -> bool:
        return self.first <= address <= self.last

    def __str__(self) -> str:
        return self.start if self.first == self.last else f"{self.start}-{self.end}"


def cidr(address: int, prefix: int) -> Range:
    """The block of `prefix` bits (0 to 32) that holds `address`; host bits are allowed. Raises ValueError."""
    if not 0 <= prefix <= 32:
        raise ValueError(f"/{prefix} is not a prefix length of IPv4")
    hosts = LAST_ADDRESS >> prefix
    return Range(address & ~hosts, address | hosts)


class RangeSet:
    """An immutable set of addresses: `|`, `-`, `&`, `~`, `in` (an address), `<=` (subset), iteration in order."""

    __slots__ = ("_packed",)

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._packed = _merged([r.first << 32 | r.last for r in ranges])

    @classmethod
    def of_packed(cls, packed: list[int]) -> Self:
        """The set of ranges given as `first << 32 | last`, in any order; the list is taken over."""
        made = cls()
        made._packed = _merged(packed)
        return made

    @property
    def packed(self) -> Sequence[int]:
        """The ranges as `first << 32 | last`, sorted; shared, not to be changed."""
        return self._packed

    def overlaps(self, span: Range) -> bool:
        """Whether at least one address of `span` is in the set."""
        at = bisect_right(self._packed, span.last << 32 | LAST_ADDRESS) - 1
        return at >= 0 and span.first <= self._packed[at] & LAST_ADDRESS

    def __iter__(self) -> Iterator[Range]:
        return (Range(p >> 32, p & LAST_ADDRESS) for p in self._packed)

    def __len__(self) -> int:
        """The number of ranges, not of addresses; see `size`."""
        return len(self._packed)

    @property
    def size(self) -> int:
        """The number of addresses."""
        return sum((p & LAST_ADDRESS) - (p >> 32) + 1 for p in self._packed)

    def __contains__(self, address: int) -> bool:
        at = bisect_right(self._packed, address << 32 | LAST_ADDRESS) - 1
        return at >= 0 and address <= self._packed[at] & LAST_ADDRESS

    def __or__(self, other: "RangeSet") -> "RangeSet":
        return RangeSet.of_packed(self._packed + other._packed)

    def __sub__(self, other: "RangeSet") -> "RangeSet":
        made = RangeSet()
        made._packed = _difference(self._packed, other._packed)
        return made

    def __and__(self, other: "RangeSet") -> "RangeSet":
        return self - ~other

    def __invert__(self) -> "RangeSet":
        return EVERY_ADDRESS - self

    def __le__(self, other: "RangeSet") -> bool:
        return not self - other

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and self._packed == other._packed

    def __hash__(self) -> int:
        return hash(tuple(self._packed))

    def __repr__(self) -> str:
        return f"RangeSet({', '.join(map(str, self))})"


def _merged(packed: list[int]) -> list[int]:
    """Sorted, with overlapping and adjacent ranges united. Two sorted runs one after the other sort in linear time."""
    if not packed:
        return packed
    packed.sort()
    merged: list[int] = []
    first, last = packed[0] >> 32, packed[0] & LAST_ADDRESS
    for item in packed:
        if item >> 32 > last + 1:
            merged.append(first << 32 | last)
            first, last = item >> 32, item & LAST_ADDRESS
        elif item & LAST_ADDRESS > last:
            last = item & LAST_ADDRESS
    merged.append(first << 32 | last)
    return merged


def _difference(left: list[int], right: list[int]) -> list[int]:
    """What is in `left` and not in `right`; both merged. Steps over the parts of `right` that touch nothing."""
    rest: list[int] = []
    at = 0
    for item in left:
        first, last = item >> 32, item & LAST_ADDRESS
        at = max(at, bisect_left(right, first << 32, at) - 1)
        while at < len(right) and right[at] >> 32 <= last:
            if right[at] >> 32 > first:
                rest.append(first << 32 | (right[at] >> 32) - 1)
            first = max(first, (right[at] & LAST_ADDRESS) + 1)
            if first > last:
                break
            at += 1
        if first <= last:
            rest.append(first << 32 | last)
    return rest


EVERY_ADDRESS = RangeSet([Range(0, LAST_ADDRESS)])
