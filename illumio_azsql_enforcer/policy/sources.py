"""Why a range is desired: found when somebody asks.

A range can have very many sources (a subnet behind one public address holds thousands of workloads), and most are
never looked at. So a range carries its sources as a sequence that looks them up on first use.
"""

from collections.abc import Iterator, Sequence
from typing import overload

from pyroaring import BitMap

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.model.firewall import ConsumerKind, Source
from illumio_azsql_enforcer.model.policy import name_of
from illumio_azsql_enforcer.policy.consumers import Part, parts_of
from illumio_azsql_enforcer.policy.rules import Grant
from illumio_azsql_enforcer.policy.selectors import Actor
from illumio_azsql_enforcer.policy.world import World


class Sources(Sequence[Source]):
    """The sources of one range: a sequence, in order, without repeats; equal to any sequence of the same sources."""

    __slots__ = ("_found", "_grants", "_own", "_span", "_world")

    def __init__(self, span: Range, grants: Sequence[Grant], own: BitMap, world: World) -> None:
        """`own`: the workload of the server itself, which never is a source."""
        self._span, self._grants, self._own, self._world = span, grants, own, world
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
            found = set(sources_of(self._span, self._grants, self._own, self._world))
            self._found = tuple(sorted(found, key=_order))
        return self._found


def sources_of(span: Range, grants: Sequence[Grant], own: BitMap, world: World) -> Iterator[Source]:
    """Every source of these grants that holds an address of the range."""
    for grant in grants:
        book = world.subnets if grant.consumers.subnets else world.addresses
        holders = book.holders(span) - own
        for part in parts_of(grant.consumers, world):
            yield from _of_part(part, span, holders, grant, world)


def _of_part(part: Part, span: Range, holders: BitMap, grant: Grant, world: World) -> Iterator[Source]:
    workloads = part.workloads & holders
    listed = part.ranges.overlaps(span)
    actors = _naming(part.actors)
    left = workloads - BitMap.union(BitMap(), *(_carriers(actor, world) for actor in actors))
    for actor in actors:
        if listed or (workloads and not part.by_label):
            yield _source(grant, actor, None, world)
        if part.by_label:
            chosen = workloads & _carriers(actor, world) | left  # left: found through their virtual services
            yield from (_source(grant, actor, at, world) for at in chosen)


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
    found = [world.workloads.carriers(href) for href in group.labels]
    return BitMap.union(*found) if found else BitMap()


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
