"""Why a range is desired: found when somebody asks.

A range can have very many sources (a subnet behind one public address holds thousands of workloads), and most are
never looked at. So a range carries its sources as a sequence that looks them up on first use.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from pyroaring import BitMap

from illumio_azsql_enforcer.addresses import LAST_ADDRESS
from illumio_azsql_enforcer.model.firewall import ConsumerKind, Source
from illumio_azsql_enforcer.model.policy import name_of
from illumio_azsql_enforcer.policy.consumers import Part, parts_of
from illumio_azsql_enforcer.policy.population import union
from illumio_azsql_enforcer.policy.rules import Grant
from illumio_azsql_enforcer.policy.selectors import Actor
from illumio_azsql_enforcer.policy.workload_addresses import AddressBook
from illumio_azsql_enforcer.policy.world import World


class Sources(Sequence[Source]):
    """The sources of one range: a sequence, in order, without repeats; equal to any sequence of the same sources."""

    __slots__ = ("_at", "_attribution", "_found")

    def __init__(self, attribution: "Attribution", at: int) -> None:
        self._attribution, self._at = attribution, at
        self._found: tuple[Source, ...] | None = None

    @overload
    def __getitem__(self, at: int) -> Source: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Source]: ...
    def __getitem__(self, at: int | slice) -> Source | Sequence[Source]:
        return self._all()[at]

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[Source]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._all() == tuple(other)

    def __hash__(self) -> int:
        return hash(self._all())

    def __repr__(self) -> str:
        return repr(self._all())

    def _all(self) -> tuple[Source, ...]:
        if self._found is None:
            self._found = tuple(sorted(set(self._attribution.sources(self._at)), key=_order))
        return self._found


@dataclass(frozen=True, slots=True)
class _Share:
    """What one part of a grant has in one range."""

    grant: Grant
    part: Part
    listed: bool  # addresses that stand for themselves
    workloads: BitMap


class Attribution:
    """Which grants have addresses in which ranges; found for all ranges in one pass, when the first is asked for."""

    def __init__(self, spans: Sequence[int], grants: Sequence[Grant], own: BitMap, world: World) -> None:
        """`spans`: sorted and disjoint, packed. `own`: the workload of the server itself, which never is a source."""
        self._spans, self._grants, self._own, self._world = spans, grants, own, world
        self._shares: dict[int, list[_Share]] | None = None

    def sources(self, at: int) -> Iterator[Source]:
        """The sources of one range, by its place."""
        if self._shares is None:
            self._shares = self._found()
        for share in self._shares.get(at, ()):
            yield from _of_share(share, self._world)

    def _found(self) -> dict[int, list[_Share]]:
        shares: dict[int, list[_Share]] = {}
        for grant in self._grants:
            book = self._world.subnets if grant.consumers.subnets else self._world.addresses
            for part in parts_of(grant.consumers, self._world):
                held = self._held(book, part.workloads - self._own)
                listed = {at for packed in part.ranges.packed for at in self._touched(packed)}
                for at in held.keys() | listed:
                    share = _Share(grant, part, at in listed, BitMap(held.get(at, ())))
                    shares.setdefault(at, []).append(share)
        return shares

    def _held(self, book: AddressBook, workloads: BitMap) -> dict[int, BitMap]:
        """The workloads of this part that have an address in each range."""
        held: dict[int, BitMap] = {}
        for packed, owners in book.owned(workloads):
            for at in self._touched(packed):
                held[at] = held[at] | owners if at in held else owners
        return held

    def _touched(self, packed: int) -> range:
        """The places of the ranges that have an address in common with this one."""
        first, last = packed >> 32, packed & LAST_ADDRESS
        start = bisect_right(self._spans, first << 32 | LAST_ADDRESS) - 1
        start = start if start >= 0 and self._spans[start] & LAST_ADDRESS >= first else start + 1
        return range(start, bisect_right(self._spans, last << 32 | LAST_ADDRESS))


def _of_share(share: _Share, world: World) -> Iterator[Source]:
    part, actors = share.part, _naming(share.part.actors)
    left = share.workloads - union(_carriers(actor, world) for actor in actors)
    for actor in actors:
        if share.listed or (share.workloads and not part.by_label):
            yield _source(share.grant, actor, None, world)
        if part.by_label:
            chosen = share.workloads & _carriers(actor, world) | left  # left: found through their virtual services
            yield from (_source(share.grant, actor, at, world) for at in chosen)


def _naming(actors: tuple[Actor, ...]) -> tuple[Actor, ...]:
    """The items to name: those that ask for a label, if any does."""
    return tuple(actor for actor in actors if not actor.excluded) or actors


def _carriers(actor: Actor, world: World) -> BitMap:
    """Workloads that carry a label that the item names."""
    if actor.kind == ConsumerKind.LABEL and not actor.excluded:
        return world.workloads.carriers(actor.href or "")
    group = world.directory.group(actor.href or "") if actor.kind == ConsumerKind.LABEL_GROUP else None
    if group is None or actor.excluded:
        return world.workloads.everyone
    return union(world.workloads.carriers(href) for href in group.labels)


def _source(grant: Grant, actor: Actor, workload: int | None, world: World) -> Source:
    name = world.name(actor)
    found = None if workload is None else world.directory.workloads[workload]
    return Source(
        rule_set=grant.rule_set.href,
        rule_set_name=grant.rule_set.name,
        rule=grant.rule.href,
        consumer=ConsumerKind(actor.kind),
        consumer_href=actor.href,
        consumer_name=f"not {name}" if actor.excluded else name,
        workload_href=found.href if found else None,
        workload_name=name_of(found) if found else None,
    )


def _order(source: Source) -> tuple[str, ...]:
    where = (source.rule_set, source.rule, source.consumer, source.consumer_href or "")
    return (*where, source.workload_href or "", source.consumer_name)
