"""Who carries which label, as bitmaps of ordinals: workloads, virtual services or servers alike."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from pyroaring import BitMap

from illumio_azsql_enforcer.model.policy import Label

CACHED_SELECTIONS = 2048  # at most 16 KiB each for 125,000 members


@dataclass(frozen=True, slots=True, order=True)
class Demand:
    """What is asked of one label type: one of `wanted` (None: any label of the type), and none of `unwanted`."""

    key: str
    wanted: frozenset[str] | None
    unwanted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Conjunction:
    """Demands on different label types, all to be met; without any, everyone meets it (a scope of All)."""

    demands: tuple[Demand, ...] = ()


EVERYONE = Conjunction()


def union(bitmaps: Iterable[BitMap]) -> BitMap:
    """Everyone who is in any of them."""
    return BitMap().union(*bitmaps)


class Population:
    """Members by label. The bitmaps that are handed out are shared: read them, do not change them."""

    def __init__(self, carried: Iterable[Iterable[str]], labels: Mapping[str, Label]) -> None:
        """`carried`: the label hrefs of each member, in order of their ordinals."""
        members: defaultdict[str, list[int]] = defaultdict(list)
        count = 0
        for hrefs in carried:
            for href in hrefs:
                members[href].append(count)
            count += 1
        self.everyone = BitMap(range(count))
        self._members = {href: BitMap(ordinals) for href, ordinals in members.items()}
        self._types: defaultdict[str, list[str]] = defaultdict(list)
        for href in self._members:
            self._types[labels[href].key if href in labels else ""].append(href)
        self._typed = {key: self._any_of(hrefs) for key, hrefs in self._types.items()}
        self._cached = lru_cache(maxsize=CACHED_SELECTIONS)(self._select)

    def select(self, conjunction: Conjunction, *, widest: bool = False) -> BitMap:
        """The members that meet the conjunction.

        A member without a label of a type meets no demand on that type (cases 16, 22, 26 of
        docs/policy-semantics.md). `widest`: members that may meet it count too, as an override-deny needs it: a label
        that the PCE did not list may be the other label of a type that an exclusion asks for.
        """
        return self._cached(conjunction, widest)

    def carriers(self, href: str) -> BitMap:
        """The members that carry this label."""
        return self._members.get(href) or BitMap()

    def _select(self, conjunction: Conjunction, widest: bool) -> BitMap:  # noqa: FBT001 lru_cache keys by position
        if not conjunction.demands:
            return self.everyone
        return BitMap.intersection(*(self._meeting(demand, widest=widest) for demand in conjunction.demands))

    def _meeting(self, demand: Demand, *, widest: bool) -> BitMap:
        if widest and (demand.wanted is None or demand.unwanted):
            others = demand.wanted if demand.wanted is not None else self._types.get(demand.key, ())
            found = self._any_of([href for href in others if href not in demand.unwanted])
            return found | self._untyped(demand.key) if demand.wanted is None else found
        if demand.wanted is None:
            return self._typed.get(demand.key, BitMap()) - self._any_of(demand.unwanted)
        members = self._any_of(demand.wanted)
        return members - self._any_of(demand.unwanted) if demand.unwanted else members

    def _untyped(self, key: str) -> BitMap:
        """The members that carry a label which the PCE did not list, and which may be their only label of the type."""
        return self._any_of(self._types.get("", ())) - self._typed.get(key, BitMap())

    def _any_of(self, hrefs: Iterable[str]) -> BitMap:
        found = [self._members[href] for href in hrefs if href in self._members]
        return found[0] if len(found) == 1 else BitMap.union(*found) if found else BitMap()
