"""Deny rules. Every doubt counts against: what might be denied is denied, and what cannot be told stops the server."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from illumio_azsql_enforcer.sandbox.oracle.actors import (
    ACTOR_KINDS,
    PROVIDER_KINDS,
    is_all_workloads,
    is_understood,
    labels_select,
    references,
    scope_selects,
)
from illumio_azsql_enforcer.sandbox.oracle.addresses import (
    Addresses,
    all_readable,
    bound_workloads,
    counted_addresses,
    ip_list_addresses,
    known_addresses,
    override_addresses,
)
from illumio_azsql_enforcer.sandbox.oracle.allow import Question, is_on
from illumio_azsql_enforcer.sandbox.oracle.answers import Answer, opposite, yes_if
from illumio_azsql_enforcer.sandbox.oracle.labels import choice_of, is_label_item
from illumio_azsql_enforcer.sandbox.oracle.services import Wanted, rule_covers
from illumio_azsql_enforcer.sandbox.oracle.world import Json, href_of, listed, plain, virtual_services_on


@dataclass(frozen=True)
class Denial:
    """A deny rule that touches the server, in one scope. No addresses: it cannot be evaluated."""

    rule: str
    override: bool
    addresses: tuple[Addresses, ...] | None
    all_but_these: bool

    def __contains__(self, address: int) -> bool:
        named = any(address in some for some in self.addresses or ())
        return self.addresses is not None and named != self.all_but_these


def denials(question: Question) -> Iterator[Denial]:
    """Every deny rule that touches the server or may touch it. No scopes at all: everywhere.

    Consumers that the scope narrows are told for each scope; other consumers are the same for all scopes together.
    """
    for rule_set in question.world.rule_sets:
        scopes = listed(rule_set.get("scopes")) or [[]]
        for rule in listed(rule_set.get("deny_rules")):
            if is_on(rule_set) and is_on(rule):
                if rule.get("unscoped_consumers"):
                    touches = max(touches_server(question, rule, scope) for scope in scopes)
                    yield from _denial(question, rule, [], touches)
                else:
                    for scope in scopes:
                        yield from _denial(question, rule, scope, touches_server(question, rule, scope))


def _denial(question: Question, rule: Json, narrow: list[Json], touches: Answer) -> Iterator[Denial]:
    if touches is not Answer.NO:
        can_be_told = touches is Answer.YES and consumers_can_be_told(question, rule, narrow)
        addresses = tuple(consumer_addresses(question, rule, narrow)) if can_be_told else None
        all_but = bool(rule.get("all_ips_except_for_in_consumers"))
        yield Denial(rule["href"], rule.get("override") is True, addresses, all_but)


def touches_server(question: Question, rule: Json, scope: list[Json]) -> Answer:
    """Whether the rule speaks about one of our ports of the server. No services at all: about every port."""
    services = rule.get("ingress_services")
    wanted = Wanted(question.ports, for_programs=True)
    covered = rule_covers(question.world, services, wanted) if listed(services) else Answer.YES
    return min(covered, provides(question, rule, scope))


def provides(question: Question, rule: Json, scope: list[Json]) -> Answer:
    """Whether the server is on the provider side. A workload that is named directly counts whatever the scope."""
    world, server, items = question.world, question.server, listed(rule.get("providers"))
    in_scope = scope_selects(world, scope, server.references())
    understood = [item for item in items if is_understood(item, PROVIDER_KINDS)]
    named = labels_select(world, understood, server.references())
    direct = yes_if(any(server.is_workload(reference) for reference in references(understood, "workload")))
    named = max(named, _names_virtual_service(question, references(understood, "virtual_service")))
    if len(understood) < len(items) or not items:
        named = max(named, Answer.UNKNOWN)
    if rule.get("all_ips_except_for_in_providers"):
        return opposite(min(in_scope, max(named, direct)))
    return max(direct, min(in_scope, named))


def _names_virtual_service(question: Question, named: Iterable[Json]) -> Answer:
    """Whether one of these virtual services is bound to the server. One that dangles may be."""
    bound = {plain(service["href"]) for service, _ in virtual_services_on(question.world, question.server)}
    answers = {yes_if(href_of(each) in bound) if question.world.find(each) else Answer.UNKNOWN for each in named}
    return max(answers, default=Answer.NO)


def consumers_can_be_told(question: Question, rule: Json, narrow: list[Json]) -> bool:
    """Whether there are consumers, each is understood, every reference resolves, and every address can be read."""
    items = listed(rule.get("consumers"))
    if not items or not all(is_understood(item) and resolves(question, item) for item in [*items, *narrow]):
        return False
    few = bool(rule.get("all_ips_except_for_in_consumers"))
    return few or all(all_readable(workload) for workload in consumer_workloads(question, rule, narrow))


def resolves(question: Question, item: Json) -> bool:
    """Whether what the item refers to is there, whole and readable."""
    if is_label_item(item):
        choice = choice_of(question.world, item)
        return choice is not None and choice.whole
    if is_all_workloads(item) or item.get("virtual_server"):
        return True
    thing = question.world.find(*(item[kind] for kind in ACTOR_KINDS if item.get(kind)))
    if thing is not None and item.get("ip_list"):
        return ip_list_addresses(thing) is not None
    return thing is not None and (not item.get("virtual_service") or override_addresses(thing) is not None)


def consumer_workloads(question: Question, rule: Json, narrow: list[Json]) -> Iterator[Json]:
    """The workloads that are named by label, as one of all, one by one, or by a virtual service bound to them.

    The scope narrows the first two only; but where the consumers are the exception, it narrows all.
    """
    world, items = question.world, listed(rule.get("consumers"))
    few = bool(rule.get("all_ips_except_for_in_consumers"))
    one_by_one = {href_of(reference) for reference in references(items, "workload")}
    if not few:
        services = [world.find(reference) or {} for reference in references(items, "virtual_service")]
        one_by_one |= {plain(workload["href"]) for vs in services for workload in bound_workloads(world, vs)}
    for workload in world.living_workloads():
        in_scope = scope_selects(world, narrow, workload.get("labels"))
        direct = yes_if(plain(workload["href"]) in one_by_one)
        named = min(in_scope, labels_select(world, items, workload.get("labels")))
        answer = max(named, min(direct, in_scope) if few else direct)
        if answer is Answer.YES or (answer is Answer.UNKNOWN and not few):
            yield workload


def consumer_addresses(question: Question, rule: Json, narrow: list[Json]) -> Iterator[Addresses]:
    """All addresses that the consumers stand for: as many as can be, or, where they are the exception, as few."""
    world, items = question.world, listed(rule.get("consumers"))
    few = bool(rule.get("all_ips_except_for_in_consumers"))
    for workload in consumer_workloads(question, rule, narrow):
        of_workload = counted_addresses if few else known_addresses
        yield from of_workload(workload, question.settings)
    for reference in references(items, "ip_list"):
        addresses = ip_list_addresses(world.find(reference) or {})
        if addresses is not None:
            yield addresses
    for reference in references(items, "virtual_service"):
        yield from _of_service(question, world.find(reference) or {}, narrow, few=few)


def _of_service(question: Question, service: Json, narrow: list[Json], *, few: bool) -> Iterator[Addresses]:
    """The addresses of a virtual service that is named; its workloads count among the workloads unless few do."""
    world, overrides = question.world, override_addresses(service)
    if few and scope_selects(world, narrow, service.get("labels")) is not Answer.YES:
        return
    if overrides is not None:
        yield overrides
    if few and not listed(service.get("ip_overrides")):
        for workload in bound_workloads(world, service):
            yield from counted_addresses(workload, question.settings)
