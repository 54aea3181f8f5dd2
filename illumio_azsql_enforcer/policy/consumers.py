"""Who may connect: the consumers of a rule as workloads and ranges (sections 1 to 3 of docs/policy-semantics.md)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pyroaring import BitMap

from illumio_azsql_enforcer.addresses import RangeSet
from illumio_azsql_enforcer.model.firewall import ConsumerKind, NoteCode
from illumio_azsql_enforcer.policy.ip_lists import Listed
from illumio_azsql_enforcer.policy.notes import Fault, missing
from illumio_azsql_enforcer.policy.population import Conjunction
from illumio_azsql_enforcer.policy.selectors import Actor, Side
from illumio_azsql_enforcer.policy.world import World

WORKLOADS, VIRTUAL_SERVICES = "workloads", "virtual_services"
NOTHING = RangeSet()


@dataclass(frozen=True, slots=True)
class Consumers:
    """The consumers of one allow rule, as far as one scope lets them in (`scope` None: consumers are not scoped)."""

    side: Side
    resolve: frozenset[str]  # what labels, groups and all workloads stand for
    scope: Conjunction | None
    subnets: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """What one consumer item, or the label items together, select."""

    actors: tuple[Actor, ...]
    workloads: BitMap  # those whose addresses count
    ranges: RangeSet = NOTHING  # addresses that stand for themselves
    listed: tuple[tuple[Actor, Listed], ...] = ()  # where these ranges were read
    faults: tuple[Fault, ...] = ()  # why it selects less than it says

    @property
    def by_label(self) -> bool:
        """Whether workloads are found by label here, and so are worth naming."""
        return self.actors[0].kind in (ConsumerKind.LABEL, ConsumerKind.LABEL_GROUP, ConsumerKind.ALL_WORKLOADS)


def parts_of(consumers: Consumers, world: World) -> Iterator[Part]:
    """Each part of the side; the side is their union (cases 36 and 42)."""
    side = consumers.side
    if side.labels is not None:
        yield _by_labels(consumers, side.labels.actors, side.labels.conjunction, world)
    if side.everyone:
        yield _by_labels(consumers, (Actor(ConsumerKind.ALL_WORKLOADS, None),), Conjunction(), world)
    for actor in side.others:
        if actor.kind == ConsumerKind.WORKLOAD:
            yield _named_workload(actor, consumers.scope, world)
        elif actor.kind == ConsumerKind.IP_LIST:
            yield _ip_list(actor, world)
        elif actor.kind == ConsumerKind.VIRTUAL_SERVICE:
            yield _named_virtual_service(actor, consumers.scope, world)


def _by_labels(consumers: Consumers, actors: tuple[Actor, ...], conjunction: Conjunction | None, world: World) -> Part:
    if conjunction is None:
        return Part(actors, BitMap())
    found = BitMap()
    if WORKLOADS in consumers.resolve:
        found = world.workloads.select(conjunction)
        if consumers.scope is not None and consumers.scope.demands:
            found = found & world.workloads.select(consumers.scope)
    if VIRTUAL_SERVICES not in consumers.resolve:
        return Part(actors, found)
    population = world.virtual_services.population
    services = population.select(conjunction) & population.select(consumers.scope or Conjunction())
    return _with_services(actors, found, services, world)


def _named_workload(actor: Actor, scope: Conjunction | None, world: World) -> Part:
    found = world.directory.ordinals(actor.href)
    if not found:
        return Part((actor,), found, faults=(missing("workload", actor.href),))
    if scope is None or found <= world.workloads.select(scope):
        return Part((actor,), found)
    text = f"names workload '{world.name(actor)}', which is not in the scope of the server"
    return Part((actor,), found & world.workloads.select(scope), faults=(Fault(NoteCode.SCOPE, text),))


def _ip_list(actor: Actor, world: World) -> Part:
    listed = world.ip_list(actor.href or "")
    if listed is None:
        return Part((actor,), BitMap(), faults=(missing("IP list", actor.href),))
    return _with_ranges((actor,), BitMap(), [(actor, listed)], f"names IP list '{world.name(actor)}'")


def _named_virtual_service(actor: Actor, scope: Conjunction | None, world: World) -> Part:
    services = world.virtual_services.ordinals(actor.href)
    if not services:
        return Part((actor,), services, faults=(missing("virtual service", actor.href),))
    inside = services & world.virtual_services.population.select(scope) if scope is not None else services
    if inside:
        return _with_services((actor,), BitMap(), inside, world)
    text = f"names virtual service '{world.name(actor)}', which is not in the scope of the server"
    return Part((actor,), inside, faults=(Fault(NoteCode.SCOPE, text),))


def _with_services(actors: tuple[Actor, ...], found: BitMap, services: BitMap, world: World) -> Part:
    """`found`, and what these virtual services connect from (cases 83 to 85)."""
    book = world.virtual_services
    listed = [(Actor(ConsumerKind.VIRTUAL_SERVICE, book.all[at].href), book.overrides(at)) for at in services]
    part = _with_ranges(actors, found | book.bound(services), listed, "names virtual services")
    silent = [at for at in services if not book.bound_workloads(at) and not book.all[at].ip_overrides]
    faults = tuple(_unbound(book.all[at].name, book.all[at].href) for at in silent)
    return Part(part.actors, part.workloads, part.ranges, part.listed, part.faults + faults)


def _with_ranges(actors: tuple[Actor, ...], found: BitMap, listed: Sequence[tuple[Actor, Listed]], where: str) -> Part:
    """A list with an entry that cannot be read is not used at all: the entry might have been an exclusion."""
    usable = [(actor, each) for actor, each in listed if not each.unreadable]
    faults = tuple(_unreadable(where, actor, each) for actor, each in listed if each.unreadable)
    ranges = usable[0][1].ranges if len(usable) == 1 else RangeSet(r for _, each in usable for r in each.ranges)
    return Part(actors, found, ranges, tuple(listed), faults)


def _unreadable(where: str, actor: Actor, listed: Listed) -> Fault:
    return Fault(NoteCode.UNREADABLE, f"{where} ({actor.href}), which is not used: {listed.unreadable[0]}")


def _unbound(name: str, href: str) -> Fault:
    text = f"names virtual service '{name}' ({href}), which is bound to no workload and has no ip_overrides"
    return Fault(NoteCode.NO_ADDRESS, text)
