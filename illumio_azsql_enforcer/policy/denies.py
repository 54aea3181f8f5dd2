"""Override-denies: what is taken away, and from which servers (cases 86 to 97 of docs/policy-semantics.md).

Every doubt goes towards denying more, and what cannot be evaluated fails the servers that it may touch. Ordinary denies
and enforcement boundaries take nothing away: allow rules beat both.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pyroaring import BitMap

from illumio_azsql_enforcer.addresses import EVERY_ADDRESS, RangeSet
from illumio_azsql_enforcer.model.firewall import ConsumerKind, Note, NoteCode
from illumio_azsql_enforcer.model.policy import DenyRule, RuleSet
from illumio_azsql_enforcer.policy.consumers import WORKLOADS, Consumers, parts_of
from illumio_azsql_enforcer.policy.notes import Fault, missing
from illumio_azsql_enforcer.policy.population import EVERYONE, Conjunction, union
from illumio_azsql_enforcer.policy.rules import labelled, may_provide, rule_name
from illumio_azsql_enforcer.policy.scopes import Scope, scopes_of
from illumio_azsql_enforcer.policy.selectors import VIRTUAL_SERVER, Actor, Labels, Side, read_side
from illumio_azsql_enforcer.policy.services import Coverage
from illumio_azsql_enforcer.policy.world import World


@dataclass(frozen=True, slots=True, eq=False)
class Denial:
    """One override-deny, in one scope where its consumers are scoped."""

    rule_set: RuleSet
    rule: DenyRule
    name: str
    servers: BitMap
    ranges: RangeSet
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Unresolved:
    """An override-deny that cannot be evaluated."""

    rule_set: RuleSet
    rule: DenyRule
    name: str
    servers: BitMap  # that it may touch
    reason: str  # a sentence


def override_denies(rule_set: RuleSet, world: World) -> Iterator[Denial | Unresolved]:
    """Every override-deny of a rule set that is in force and may touch a governed server."""
    rules = rule_set.deny_rules if isinstance(rule_set.deny_rules, list) else []
    if rule_set.enabled is False:
        return
    scopes: list[Scope] | None = None
    for position, rule in enumerate(rules, 1):
        if rule.enabled is not False and rule.override:
            scopes = scopes or scopes_of(rule_set, world) or [_all(world)]
            yield from _Reading(world, rule_set, rule, rule_name(rule_set, position, "override-deny"), scopes).result()


@dataclass(frozen=True, slots=True)
class _Touch:
    """The servers that a deny is about in one scope."""

    scope: Scope
    surely: BitMap
    perhaps: BitMap  # these and those that it may be about

    @property
    def why(self) -> str:
        """What leaves open which servers it is about."""
        return self.scope.faults[0].text if self.scope.faults else "has no providers"


class _Reading:
    """The evaluation of one override-deny."""

    def __init__(self, world: World, rule_set: RuleSet, rule: DenyRule, name: str, scopes: Sequence[Scope]) -> None:
        self._world, self._rule_set, self._rule, self._name = world, rule_set, rule, name
        self._scopes = scopes
        self._coverage = world.services.coverage(rule.ingress_services)

    def result(self) -> Iterator[Denial | Unresolved]:
        if self._rule.ingress_services and self._coverage == Coverage():
            return
        providers = read_side(self._rule.providers, self._world.directory)
        touched = [self._touch(providers, scope) for scope in self._scopes]
        everywhere = union(touch.perhaps for touch in touched)
        if not everywhere:
            return
        consumers = read_side(self._rule.consumers, self._world.directory)
        doubts = [*self._service_doubts(), *self._provider_doubts(providers), *self._consumer_doubts(consumers)]
        if doubts:
            yield self._unresolved(everywhere, doubts[0].text)
        elif self._rule.unscoped_consumers:
            yield from self._unscoped(touched, consumers)
        else:
            for touch in touched:
                yield from self._scoped(touch, consumers)

    def _unscoped(self, touched: Sequence[_Touch], consumers: Side) -> Iterator[Denial | Unresolved]:
        """The scopes only say which servers the deny is about: one that surely holds a server is enough."""
        surely = union(touch.surely for touch in touched)
        if surely:
            yield self._denial(surely, consumers, None)
        for touch in touched:
            if doubtful := touch.perhaps - surely:
                yield self._unresolved(doubtful, touch.why)

    def _scoped(self, touch: _Touch, consumers: Side) -> Iterator[Denial | Unresolved]:
        """A scope that cannot be read also leaves open whom the deny is against."""
        surely = BitMap() if touch.scope.faults else touch.surely
        if surely:
            yield self._denial(surely, consumers, touch.scope.conjunction)
        if doubtful := touch.perhaps - surely:
            yield self._unresolved(doubtful, touch.why)

    def _denial(self, servers: BitMap, consumers: Side, scope: Conjunction | None) -> Denial | Unresolved:
        try:
            ranges = self._denied(consumers, scope)
        except ValueError as error:
            return self._unresolved(servers, f"names {error}")
        return Denial(self._rule_set, self._rule, self._name, servers, ranges, tuple(self._notes(consumers)))

    def _unresolved(self, servers: BitMap, text: str) -> Unresolved:
        reason = f"{self._name} may deny access but cannot be evaluated: it {text}"
        return Unresolved(self._rule_set, self._rule, self._name, servers, reason)

    def _touch(self, side: Side, scope: Scope) -> _Touch:
        """The servers that the deny is about. A workload that it names counts whatever its scope."""
        everyone = self._world.servers.population.everyone
        named = union(self._world.servers.of_workload(actor.href) for actor in side.of(ConsumerKind.WORKLOAD))
        surely = labelled(side, self._world) | _bound(side, self._world)
        perhaps = may_provide(side, self._world) if _has_items(side) else everyone
        if self._rule.all_ips_except_for_in_providers:
            excepted = (surely | named) & scope.servers
            surely, perhaps = everyone - (perhaps | named) & scope.widest, everyone - excepted
        else:
            surely, perhaps = surely & scope.servers | named, perhaps & scope.widest | named
        return _Touch(scope, surely if scope.faults or not _has_items(side) else perhaps, perhaps)

    def _service_doubts(self) -> Sequence[Fault]:
        certain = self._coverage.plain or self._coverage.qualified
        return () if certain else self._coverage.faults

    def _provider_doubts(self, side: Side) -> list[Fault]:
        services = self._world.virtual_services
        lost = [_missing(a) for a in side.of(ConsumerKind.VIRTUAL_SERVICE) if not services.ordinals(a.href)]
        return [*side.faults, *lost]

    def _consumer_doubts(self, side: Side) -> Iterator[Fault]:
        yield from side.faults
        if not _has_items(side):
            yield Fault(NoteCode.UNREADABLE, "has no consumers")
        for actor in side.others:
            if not self._known(actor):
                yield _missing(actor)

    def _known(self, actor: Actor) -> bool:
        if actor.kind == ConsumerKind.IP_LIST:
            return self._world.ip_list(actor.href or "") is not None
        if actor.kind == ConsumerKind.WORKLOAD:
            return bool(self._world.directory.ordinals(actor.href))
        return actor.kind != VIRTUAL_SERVER and bool(self._world.virtual_services.ordinals(actor.href))

    def _denied(self, side: Side, scope: Conjunction | None) -> RangeSet:
        """The addresses that are taken away. Raises ValueError naming what cannot be read."""
        if self._rule.all_ips_except_for_in_consumers:
            return EVERY_ADDRESS - self._excepted(side, scope)
        return self._world.known_addresses(self._workloads(side, scope)) | self._listed(side)

    def _workloads(self, side: Side, scope: Conjunction | None) -> BitMap:
        population, services = self._world.workloads, self._world.virtual_services
        found = BitMap()
        if side.everyone:
            found |= population.everyone
        if side.labels is not None and side.labels.conjunction is not None:
            found |= population.select(side.labels.conjunction, widest=True)
        if scope is not None:
            found &= population.select(scope, widest=True)
        for actor in side.of(ConsumerKind.WORKLOAD):
            found |= self._world.directory.ordinals(actor.href)
        for actor in side.of(ConsumerKind.VIRTUAL_SERVICE):
            found |= union(services.bound_workloads(at) for at in services.ordinals(actor.href))
        return found

    def _listed(self, side: Side) -> RangeSet:
        """Addresses that stand for themselves. Raises ValueError for an entry that cannot be read."""
        services = self._world.virtual_services
        read = [(actor, self._world.ip_list(actor.href or "")) for actor in side.of(ConsumerKind.IP_LIST)]
        for actor in side.of(ConsumerKind.VIRTUAL_SERVICE):
            read += [(actor, services.overrides(at)) for at in services.ordinals(actor.href)]
        found = RangeSet()
        for actor, listed in read:
            if listed is None or listed.unreadable:
                why = listed.unreadable[0] if listed else "the PCE does not have it"
                raise ValueError(f"'{self._world.name(actor)}' ({actor.href}): {why}")
            found |= listed.ranges
        return found

    def _excepted(self, side: Side, scope: Conjunction | None) -> RangeSet:
        """What an allow rule with these consumers would surely let in: exceptions are read narrowly (case 95)."""
        self._listed(side)
        found = RangeSet()
        for part in parts_of(Consumers(side, frozenset([WORKLOADS]), scope), self._world):
            book = self._world.addresses
            packed = book.open_ranges(part.workloads) + book.private_ranges(part.workloads)
            found |= RangeSet.of_packed(packed) | part.ranges
        return found

    def _notes(self, side: Side) -> Iterator[Note]:
        if not self._coverage.plain and self._coverage.qualified:
            yield Note(NoteCode.PROCESS_SERVICE, 1, f"{self._name} is for a named process; it is applied in full")
        for actor in side.of(ConsumerKind.IP_LIST):
            listed = self._world.ip_list(actor.href or "")
            if listed and listed.fqdns:
                text = (
                    f"{self._name} denies host names of '{self._world.name(actor)}', which admit or deny nothing here"
                )
                yield Note(NoteCode.FQDN, listed.fqdns, text)


def _all(world: World) -> Scope:
    """A deny without a scope is read as a deny everywhere (case 17)."""
    everyone = world.servers.population.everyone
    return Scope(Labels((), EVERYONE, EVERYONE), everyone, everyone)


def _has_items(side: Side) -> bool:
    return bool(side.labels or side.everyone or side.others or side.unknown)


def _bound(side: Side, world: World) -> BitMap:
    """The servers on which a virtual service of the side is offered, whatever the port."""
    services = world.virtual_services
    named = union(services.ordinals(actor.href) for actor in side.of(ConsumerKind.VIRTUAL_SERVICE))
    return BitMap(offer.server for _, offer in services.offers(named))


def _missing(actor: Actor) -> Fault:
    return missing(actor.kind.replace("_", " ").replace("ip list", "IP list"), actor.href)
