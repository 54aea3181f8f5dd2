"""How far a rule is from letting an address reach a server: every obstacle, in words.

This is for explanations alone: what is let in is decided by `rules` and `consumers`. Each obstacle has a weight, and
the rule with the least weight is the nearest miss.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pyroaring import BitMap

from illumio_azsql_enforcer.addresses import Range, format_address, parse_address
from illumio_azsql_enforcer.model.firewall import ConsumerKind, Governed
from illumio_azsql_enforcer.model.policy import IpList, Rule, RuleSet, Workload, name_of
from illumio_azsql_enforcer.model.settings import AddressSource
from illumio_azsql_enforcer.policy.consumers import VIRTUAL_SERVICES, WORKLOADS
from illumio_azsql_enforcer.policy.ip_lists import parse_entry
from illumio_azsql_enforcer.policy.population import Conjunction
from illumio_azsql_enforcer.policy.rules import resolved_as, unclear, unmet_conditions
from illumio_azsql_enforcer.policy.selectors import Actor, Labels, Side, read_scope, read_side
from illumio_azsql_enforcer.policy.workload_addresses import is_managed, known_addresses
from illumio_azsql_enforcer.policy.world import World


class ReasonKind(StrEnum):
    """Kinds of things that keep an address out."""

    OVERRIDE_DENY = "override_deny"
    PRIVATE_ADDRESS = "private_address"
    SPECIAL_ADDRESS = "special_address"
    DISABLED = "disabled"
    SERVICE = "service"
    PROVIDER = "provider"
    SCOPE = "scope"
    CONDITION = "condition"
    LABEL = "label"
    EXCLUSION = "exclusion"
    OFFLINE = "offline"
    ADDRESS_NOT_USED = "address_not_used"
    SELF = "self"
    CONSUMER = "consumer"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that keeps an address out."""

    kind: ReasonKind
    text: str  # a clause: "the workload 'W3' has env:dev, the scope wants env:prod"
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Holder:
    """A workload that has the address, and why the address does not count as one that it connects from, if so."""

    ordinal: int
    workload: Workload
    unused: Reason | None

    @property
    def labels(self) -> list[str]:
        """Label hrefs."""
        return [each.href for each in self.workload.labels or ()]


def holders_of(address: int, world: World) -> list[Holder]:
    """Every workload that is known to have the address, in whatever form."""
    found = world.addresses.holders(address)
    known = BitMap(at for at, each in enumerate(world.directory.workloads) if _has(each, address, world))
    return [
        Holder(at, each, _unused(each, address, world, used=at in found)) for at, each in _listed(found | known, world)
    ]


def obstacles(rule_set: RuleSet, rule: Rule, server: Governed, place: "Place", world: World) -> list[Reason]:
    """What keeps this rule from letting the address in, in the scope where the least does."""
    side = read_side(rule.consumers, world.directory)
    common = [*_switched_off(rule_set, rule), *_services(rule, world), *_conditions(rule, side)]
    scopes = [read_scope(items, world.directory) for items in rule_set.scopes or ()]
    if not scopes:
        return [*common, Reason(ReasonKind.SCOPE, "its rule set has no scope")]
    return [*common, *min((_in_scope(rule, side, scope, server, place, world) for scope in scopes), key=weight)]


def weight(reasons: Iterable[Reason]) -> int:
    """How far away these obstacles are together."""
    return sum(reason.weight for reason in reasons)


@dataclass(frozen=True, slots=True)
class Place:
    """The address that is asked about, and who has it."""

    address: int
    holders: Sequence[Holder]
    own: BitMap  # the workload of the server itself

    @property
    def text(self) -> str:
        return format_address(self.address)


def _in_scope(rule: Rule, side: Side, scope: Labels, server: Governed, place: Place, world: World) -> list[Reason]:
    inner = None if rule.unscoped_consumers else scope
    return [*_provider(rule, scope, server, world), *_consumer(rule, side, inner, place, world)]


def _switched_off(rule_set: RuleSet, rule: Rule) -> Iterator[Reason]:
    if rule_set.enabled is False:
        yield Reason(ReasonKind.DISABLED, "its rule set is disabled")
    if rule.enabled is False:
        yield Reason(ReasonKind.DISABLED, "it is disabled")


def _services(rule: Rule, world: World) -> Iterator[Reason]:
    coverage = world.services.coverage(rule.ingress_services)
    resolve = resolved_as(rule.resolve_labels_as.providers if rule.resolve_labels_as else None)
    if coverage.plain or VIRTUAL_SERVICES in resolve:
        return
    ports = ", ".join(str(port) for port in world.settings.ports)
    why = unclear(coverage)
    text = f"it {why[0].text}" if why else f"its services do not cover TCP {ports}"
    yield Reason(ReasonKind.SERVICE, text, 2)


def _conditions(rule: Rule, side: Side) -> Iterator[Reason]:
    yield from (Reason(ReasonKind.CONDITION, f"it {fault.text}") for fault in unmet_conditions(rule))
    yield from (Reason(ReasonKind.UNREADABLE, f"it {fault.text}") for fault in side.faults)


def _provider(rule: Rule, scope: Labels, server: Governed, world: World) -> list[Reason]:
    side = read_side(rule.providers, world.directory)
    resolve = resolved_as(rule.resolve_labels_as.providers if rule.resolve_labels_as else None)
    outside = unmet(scope.conjunction, server.label_hrefs, "the server", "the scope", world, ReasonKind.SCOPE)
    ways: list[list[Reason]] = []
    if side.everyone and WORKLOADS in resolve:
        ways.append(outside)
    if side.labels is not None and WORKLOADS in resolve:
        wants = unmet(
            side.labels.conjunction, server.label_hrefs, "the server", "the provider side", world, ReasonKind.PROVIDER
        )
        ways.append(outside + wants)
    if any(actor.href == server.workload for actor in side.of(ConsumerKind.WORKLOAD)):
        ways.append(outside)
    if VIRTUAL_SERVICES in resolve or side.of(ConsumerKind.VIRTUAL_SERVICE):
        ways.append(_by_virtual_service(server, world))
    return min(ways, key=weight) if ways else [_elsewhere(side)]


def _by_virtual_service(server: Governed, world: World) -> list[Reason]:
    """Whether the server offers a virtual service at all; which one the rule means is not told apart here."""
    services = world.virtual_services
    at = world.servers.ordinal(server)
    offers = [offer for _, offer in services.offers(services.population.everyone) if offer.server == at]
    if any(offer.coverage.plain for offer in offers):
        return []
    text = "its providers are virtual services, and none that covers the port is bound to the server"
    return [Reason(ReasonKind.PROVIDER, text)]


def _elsewhere(side: Side) -> Reason:
    if side.of(ConsumerKind.IP_LIST):
        return Reason(ReasonKind.PROVIDER, "its providers are IP lists: it is an outbound rule", 3)
    return Reason(ReasonKind.PROVIDER, "its providers do not name the server", 3)


def _consumer(rule: Rule, side: Side, scope: Labels | None, place: Place, world: World) -> list[Reason]:
    resolve = resolved_as(rule.resolve_labels_as.consumers if rule.resolve_labels_as else None)
    ways = [_by_list(actor, place, world) for actor in side.of(ConsumerKind.IP_LIST)]
    for holder in place.holders:
        ways += [_at(holder, place) + way for way in _by_workload(side, scope, holder, resolve, world)]
    return min(ways, key=weight) if ways else [Reason(ReasonKind.CONSUMER, f"no consumer of it has {place.text}", 4)]


def _by_workload(
    side: Side, scope: Labels | None, holder: Holder, resolve: Collection[str], world: World
) -> Iterator[list[Reason]]:
    who = f"the workload '{name_of(holder.workload)}'"
    outside = (
        [] if scope is None else unmet(scope.conjunction, holder.labels, who, "the scope", world, ReasonKind.SCOPE)
    )
    if WORKLOADS in resolve and side.everyone:
        yield outside
    if WORKLOADS in resolve and side.labels is not None:
        wants = unmet(side.labels.conjunction, holder.labels, who, "the consumer side", world, ReasonKind.LABEL)
        yield [*outside, *wants]
    if any(actor.href == holder.workload.href for actor in side.of(ConsumerKind.WORKLOAD)):
        yield outside


def _at(holder: Holder, place: Place) -> list[Reason]:
    if holder.ordinal in place.own:
        return [Reason(ReasonKind.SELF, "the address is the server's own")]
    return [holder.unused] if holder.unused else []


def _by_list(actor: Actor, place: Place, world: World) -> list[Reason]:
    name, listed = world.name(actor), world.ip_list(actor.href or "")
    if listed is None:
        return [Reason(ReasonKind.UNREADABLE, f"IP list {actor.href} is not known to the PCE", 2)]
    if listed.unreadable:
        return [Reason(ReasonKind.UNREADABLE, f"IP list '{name}' cannot be read: {listed.unreadable[0]}", 2)]
    if place.address in listed.ranges:
        return []
    for span in _exclusions(world.directory.ip_list(actor.href or "")):
        if place.address in span:
            return [Reason(ReasonKind.EXCLUSION, f"IP list '{name}' excludes {span}")]
    return [Reason(ReasonKind.CONSUMER, f"IP list '{name}' does not hold {place.text}", 3)]


def _exclusions(ip_list: IpList | None) -> list[Range]:
    entries = ip_list.ip_ranges or () if ip_list else ()
    spans = [parse_entry(entry) for entry in entries if entry.exclusion is True]
    return [span for span in spans if span is not None]


def unmet(
    conjunction: Conjunction | None, hrefs: Collection[str], who: str, what: str, world: World, kind: ReasonKind
) -> list[Reason]:
    """One reason for each label type on which the labels do not meet the conjunction."""
    if conjunction is None:
        return [Reason(kind, f"{what} names a label that the PCE does not have", 2)]
    reasons = []
    for demand in conjunction.demands:
        own = [href for href in hrefs if world.directory.key(href) == demand.key]
        has = _texts(own, world) or f"no {demand.key} label"
        excluded = demand.unwanted & set(own)
        if excluded or (demand.wanted is None and not own):
            reasons.append(Reason(kind, f"{who} has {has}, {what} excludes {_texts(demand.unwanted, world)}"))
        elif demand.wanted is not None and not demand.wanted & set(own):
            reasons.append(Reason(kind, f"{who} has {has}, {what} wants {_texts(demand.wanted, world) or 'nothing'}"))
    return reasons


def _texts(hrefs: Iterable[str], world: World) -> str:
    return " or ".join(sorted(world.directory.label_text(href) for href in hrefs))


def _listed(ordinals: BitMap, world: World) -> list[tuple[int, Workload]]:
    return [(at, world.directory.workloads[at]) for at in ordinals]


def _has(workload: Workload, address: int, world: World) -> bool:
    try:
        return any(packed >> 32 <= address <= packed & 0xFFFF_FFFF for packed in known_addresses(workload, world.nat))
    except ValueError:
        return False


def _unused(workload: Workload, address: int, world: World, *, used: bool) -> Reason | None:
    """Why the address does not count as one that the workload connects from; None when it does."""
    if used:
        return None
    who = f"the workload '{name_of(workload)}'"
    if world.settings.skip_offline and workload.online is False and is_managed(workload):
        return Reason(ReasonKind.OFFLINE, f"{who} is offline")
    if _is_public(workload, address) and AddressSource.PUBLIC_IP not in world.settings.addresses:
        text = f"the address is the public_ip of {who}, and policy.addresses does not use it"
        return Reason(ReasonKind.ADDRESS_NOT_USED, text)
    text = f"{who} does not connect from it: an ignored interface, loopback or link-local, or replaced by policy.nat"
    return Reason(ReasonKind.ADDRESS_NOT_USED, text)


def _is_public(workload: Workload, address: int) -> bool:
    try:
        return workload.public_ip is not None and parse_address(workload.public_ip) == address
    except ValueError:
        return False
