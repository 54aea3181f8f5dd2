"""Allow rules: for which servers each one speaks, and whom it lets in (docs/policy-semantics.md, sections 1 to 4)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pyroaring import BitMap

from illumio_azsql_enforcer.model.firewall import ConsumerKind, Note, NoteCode
from illumio_azsql_enforcer.model.policy import Item, Rule, RuleSet
from illumio_azsql_enforcer.policy.consumers import VIRTUAL_SERVICES, WORKLOADS, Consumers
from illumio_azsql_enforcer.policy.notes import Fault
from illumio_azsql_enforcer.policy.population import Conjunction, union
from illumio_azsql_enforcer.policy.scopes import Scope, scopes_of
from illumio_azsql_enforcer.policy.selectors import Actor, Side, read_side
from illumio_azsql_enforcer.policy.services import Coverage
from illumio_azsql_enforcer.policy.world import World
from illumio_azsql_enforcer.text import plural


@dataclass(frozen=True, slots=True, eq=False)
class Grant:
    """One allow rule, in one scope where its consumers are scoped, for the servers that it provides access to."""

    rule_set: RuleSet
    rule: Rule
    name: str
    servers: BitMap
    consumers: Consumers


@dataclass(frozen=True, slots=True, eq=False)
class Remark:
    """What there is to say about a rule to these servers, whether it lets anyone in or not."""

    servers: BitMap
    note: Note


@dataclass(frozen=True, slots=True)
class Providers:
    """The servers that the provider side of a rule selects in one scope."""

    scope: Scope
    direct: BitMap  # by label, as one of all workloads, or by name: the rule's services decide about the port
    offered: BitMap  # by a virtual service that covers our port
    faults: tuple[tuple[BitMap, Fault], ...] = ()  # virtual services whose port cannot be told


def rule_name(rule_set: RuleSet, position: int, kind: str = "rule") -> str:
    """`rule 3 of 'Azure DB access'`: the position is the one in the console."""
    return f"{kind} {position} of '{rule_set.name or rule_set.href}'"


def resolved_as(values: Sequence[str] | None) -> frozenset[str]:
    """What label items of a side stand for; releases that do not tell mean workloads."""
    return frozenset([WORKLOADS] if values is None else values)


def allow_rules(rule_set: RuleSet, world: World) -> Iterator[Grant | Remark]:
    """Every grant and remark of one rule set. Nothing when it is disabled (case 3)."""
    rules = rule_set.rules if isinstance(rule_set.rules, list) else []
    if rule_set.enabled is False or not rules:
        return
    scopes = scopes_of(rule_set, world)
    idle = scopes and not any(s.servers or s.widest for s in scopes) and not world.virtual_services.any_offers
    for position, rule in enumerate(rules, 1):
        if rule.enabled is not False and (not idle or _names_workloads(rule.providers)):
            yield from _Reading(world, rule_set, rule, rule_name(rule_set, position), scopes).result()


def _names_workloads(items: Sequence[Item] | None) -> bool:
    """Whether a side may be about a server that no scope holds: then there is something to note."""
    return any(ConsumerKind.WORKLOAD in item for item in items or ())


class _Reading:
    """The evaluation of one rule."""

    def __init__(self, world: World, rule_set: RuleSet, rule: Rule, name: str, scopes: Sequence[Scope]) -> None:
        self._world, self._rule_set, self._rule, self._name = world, rule_set, rule, name
        self._scopes = scopes
        resolve = rule.resolve_labels_as
        self._provide_as = resolved_as(resolve.providers if resolve else None)
        self._consume_as = resolved_as(resolve.consumers if resolve else None)

    def result(self) -> Iterator[Grant | Remark]:
        providers = read_side(self._rule.providers, self._world.directory)
        coverage = self._world.services.coverage(self._rule.ingress_services)
        found = [self._providers(providers, scope) for scope in self._scopes]
        yield from self._out_of_scope(providers, coverage)
        if providers.faults:
            yield from self._remarks(self._possible(providers), providers.faults)
        direct, offered = union(each.direct for each in found), union(each.offered for each in found)
        yield from self._uncovered(direct - offered, coverage)
        for each in found:
            yield from (Remark(servers, fault.note(self._name)) for servers, fault in each.faults)
        reached = direct | offered if coverage.plain else offered
        if not reached or any(fault.drops_rule for fault in providers.faults):
            return
        yield from self._granted(found, coverage, reached)

    def _granted(self, found: Sequence[Providers], coverage: Coverage, reached: BitMap) -> Iterator[Grant | Remark]:
        consumers = read_side(self._rule.consumers, self._world.directory)
        blockers = [*unmet_conditions(self._rule), *_unknown_values(self._provide_as | self._consume_as)]
        yield from self._remarks(reached, [*blockers, *consumers.faults])
        if blockers or any(fault.drops_rule for fault in consumers.faults):
            return
        yield from self._ambiguous(consumers, reached)
        if self._rule.unscoped_consumers:
            yield self._grant(reached, consumers, None)
            return
        for each in found:
            servers = each.direct | each.offered if coverage.plain else each.offered
            if servers:
                yield self._grant(servers, consumers, each.scope.conjunction)

    def _grant(self, servers: BitMap, side: Side, scope: Conjunction | None) -> Grant:
        subnets = "consumers" in (self._rule.use_workload_subnets or ())
        consumers = Consumers(side, self._consume_as, scope, subnets)
        return Grant(self._rule_set, self._rule, self._name, servers, consumers)

    def _providers(self, side: Side, scope: Scope) -> Providers:
        """A scope that cannot be read selects nothing."""
        if scope.conjunction is None:
            return Providers(scope, BitMap(), BitMap())
        direct = BitMap()
        if WORKLOADS in self._provide_as:
            direct = labelled(side, self._world)
        for actor in side.of(ConsumerKind.WORKLOAD):
            direct = direct | self._world.servers.of_workload(actor.href)
        offered, faults = self._offered(side, scope.conjunction)
        return Providers(scope, direct & scope.servers, offered, faults)

    def _offered(self, side: Side, scope: Conjunction) -> tuple[BitMap, tuple[tuple[BitMap, Fault], ...]]:
        """Servers on which a virtual service of the side is offered on our port (cases 80 to 82)."""
        services = self._world.virtual_services
        found = BitMap()
        for actor in side.of(ConsumerKind.VIRTUAL_SERVICE):
            found |= services.ordinals(actor.href)
        if VIRTUAL_SERVICES in self._provide_as:
            found |= services.everyone_or_labelled(side)
        if not found:
            return found, ()
        offers = services.offers(found & services.population.select(scope))
        covered = BitMap(offer.server for _, offer in offers if offer.coverage.plain and self._services_allow())
        faults = [(BitMap([o.server]), f) for _, o in offers if not o.coverage.plain for f in unclear(o.coverage)]
        return covered, tuple(faults)

    def _services_allow(self) -> bool:
        """Services of a rule are for workloads; they narrow a virtual service only where it has no place anyway."""
        services = self._rule.ingress_services
        return not services or VIRTUAL_SERVICES in self._provide_as or self._world.services.coverage(services).plain

    def _possible(self, side: Side) -> BitMap:
        """Servers to which a side that cannot be read whole could apply: for notes."""
        return union(scope.widest for scope in self._scopes) & may_provide(side, self._world)

    def _out_of_scope(self, side: Side, coverage: Coverage) -> Iterator[Remark]:
        """Notes about servers that the rule names, but that no scope of the rule set holds (cases 17 and 46)."""
        if not coverage.plain:
            return
        held = union(scope.servers for scope in self._scopes)
        named = union(self._world.servers.of_workload(a.href) for a in side.of(ConsumerKind.WORKLOAD))
        faults = [fault for scope in self._scopes for fault in scope.faults]
        if faults or not self._scopes:
            named = named | labelled(side, self._world)
        if left := named - held:
            text = "has no scope, so it applies to nothing" if not self._scopes else _NOT_IN_SCOPE
            yield from self._remarks(left, faults or [Fault(NoteCode.SCOPE, text)])

    def _uncovered(self, servers: BitMap, coverage: Coverage) -> Iterator[Remark]:
        if servers and not coverage.plain:
            empty = [] if self._rule.ingress_services else [Fault(NoteCode.UNREADABLE, "names no service")]
            yield from self._remarks(servers, [*unclear(coverage), *empty])

    def _ambiguous(self, consumers: Side, servers: BitMap) -> Iterator[Remark]:
        """Shapes that the guide advises against, read in one defined way (cases 24 and 43)."""
        if consumers.everyone and consumers.labels:
            fault = Fault(NoteCode.SCOPE, "names all workloads beside labels; it is read as all workloads")
            yield from self._remarks(servers, [fault])
        if self._rule.unscoped_consumers or consumers.labels is None:
            return
        for scope in self._scopes:
            for key in sorted(_repeated(consumers.labels.conjunction, scope.conjunction)):
                text = f"names labels of type {key}, which its scope also names; only what both select is let in"
                yield from self._remarks(servers & scope.servers, [Fault(NoteCode.SCOPE, text)])

    def _remarks(self, servers: BitMap, faults: Iterable[Fault]) -> Iterator[Remark]:
        return (Remark(servers, fault.note(self._name)) for fault in faults if servers)


_NOT_IN_SCOPE = "names the workload of this server, which is not in the scope of the rule set"


def labelled(side: Side, world: World) -> BitMap:
    """The servers that a provider side selects by label or as one of all workloads."""
    population = world.servers.population
    if side.everyone:
        return population.everyone
    if side.labels is None or side.labels.conjunction is None:
        return BitMap()
    return population.select(side.labels.conjunction)


def may_provide(side: Side, world: World) -> BitMap:
    """The servers that a side may select at most, whatever the parts of it are that could not be read."""
    population = world.servers.population
    if side.unknown or side.everyone:
        return population.everyone
    found = population.select(side.labels.widest, widest=True) if side.labels else BitMap()
    for actor in side.of(ConsumerKind.WORKLOAD):
        found = found | world.servers.of_workload(actor.href)
    for actor in side.of(ConsumerKind.VIRTUAL_SERVICE):
        found = found | _may_offer(actor, world)
    return found


def _may_offer(actor: Actor, world: World) -> BitMap:
    services = world.virtual_services
    ordinals = services.ordinals(actor.href)
    if not ordinals:
        return world.servers.population.everyone
    return BitMap(offer.server for _, offer in services.offers(ordinals))


def unclear(coverage: Coverage) -> list[Fault]:
    """Why services that might have covered our port do not."""
    if not coverage.qualified:
        return list(coverage.faults)
    text = "covers the port for a named process or Windows service only, which Azure SQL cannot tell"
    return [Fault(NoteCode.PROCESS_SERVICE, text), *coverage.faults]


def unmet_conditions(rule: Rule) -> list[Fault]:
    """What a rule asks for beside addresses and ports; Azure SQL can check none of it (cases 73 to 79)."""
    users, processes = rule.consuming_security_principals, rule.egress_services
    network = rule.network_type
    checks = [
        (users, NoteCode.USER_GROUP, f"is for {plural(len(users or ()), 'user group')} only"),
        (processes, NoteCode.PROCESS_SERVICE, "is for named processes of the consumer only"),
        (rule.sec_connect, NoteCode.SEC_CONNECT, "asks for IPsec between agents (SecureConnect)"),
        (rule.machine_auth, NoteCode.MACHINE_AUTH, "asks for machine authentication between agents"),
        (network not in (None, "brn", "all"), NoteCode.NON_CORPORATE_NETWORK, f"is for network type {network} only"),
        (rule.all_ips_except_for_in_consumers, NoteCode.UNKNOWN_ACTOR, "lets in all addresses except its consumers"),
        (rule.all_ips_except_for_in_providers, NoteCode.UNKNOWN_ACTOR, "is for all addresses except its providers"),
    ]
    end = ", which a firewall rule cannot say: nobody is let in by it"
    return [
        Fault(code, f"{text}{end}", drops_rule=True, count=len(asked) if isinstance(asked, list) else 1)
        for asked, code, text in checks
        if asked
    ]


def _unknown_values(values: frozenset[str]) -> list[Fault]:
    strange = sorted(values - {WORKLOADS, VIRTUAL_SERVICES})
    return [Fault(NoteCode.UNKNOWN_ACTOR, f"resolves labels as {each}, which is not known here") for each in strange]


def _repeated(side: Conjunction | None, scope: Conjunction | None) -> set[str]:
    """Label types that both name, but not with the same labels."""
    if side is None or scope is None:
        return set()
    asked = {demand.key: demand for demand in scope.demands}
    return {each.key for each in side.demands if each.key in asked and asked[each.key] != each}
