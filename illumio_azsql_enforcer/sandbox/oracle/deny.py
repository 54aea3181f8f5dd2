"""Deny rules. Every doubt counts against: what might be denied is denied, and what cannot be told stops the server."""

from collections.abc import Iterator
from dataclasses import dataclass

from illumio_azsql_enforcer.sandbox.oracle.actors import (
    is_understood,
    labels_select,
    references,
    scope_selects,
)
from illumio_azsql_enforcer.sandbox.oracle.addresses import (
    Addresses,
    counted_addresses,
    ip_list_addresses,
    known_addresses,
)
from illumio_azsql_enforcer.sandbox.oracle.allow import Question, is_on
from illumio_azsql_enforcer.sandbox.oracle.answers import Answer, opposite, yes_if
from illumio_azsql_enforcer.sandbox.oracle.labels import choice_of, is_label_item
from illumio_azsql_enforcer.sandbox.oracle.services import rule_covers
from illumio_azsql_enforcer.sandbox.oracle.world import Json, href_of, listed, plain

ACTORS = frozenset({"label", "label_group", "actors", "workload", "ip_list"})


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
    """Every deny rule that touches the server or may touch it, once for each scope. No scopes at all: everywhere."""
    for rule_set in question.world.rule_sets:
        for rule in listed(rule_set.get("deny_rules")):
            if is_on(rule_set) and is_on(rule):
                for scope in listed(rule_set.get("scopes")) or [[]]:
                    touches = touches_server(question, rule, scope)
                    if touches is not Answer.NO:
                        yield _denial(question, rule, scope, touches)


def _denial(question: Question, rule: Json, scope: list[Json], touches: Answer) -> Denial:
    narrow = [] if rule.get("unscoped_consumers") is True else scope
    can_be_told = touches is Answer.YES and consumers_can_be_told(question, rule, narrow)
    addresses = tuple(consumer_addresses(question, rule, narrow)) if can_be_told else None
    all_but = bool(rule.get("all_ips_except_for_in_consumers"))
    return Denial(rule["href"], rule.get("override") is True, addresses, all_but)


def touches_server(question: Question, rule: Json, scope: list[Json]) -> Answer:
    """Whether the rule speaks about one of our ports of the server. A service for a program only is one for all."""
    services = rule.get("ingress_services")
    covered = rule_covers(question.world, services, question.ports) if listed(services) else Answer.YES
    covered = Answer.YES if covered is Answer.UNKNOWN and not _service_dangles(question, rule) else covered
    return min(covered, provides(question, rule, scope))


def _service_dangles(question: Question, rule: Json) -> bool:
    by_href = [item for item in listed(rule.get("ingress_services")) if item.get("href") is not None]
    return any(question.world.find(item) is None for item in by_href)


def provides(question: Question, rule: Json, scope: list[Json]) -> Answer:
    """Whether the server is on the provider side. A workload that is named directly counts whatever the scope."""
    world, server, items = question.world, question.server, listed(rule.get("providers"))
    in_scope = scope_selects(world, scope, server.references())
    understood = [item for item in items if is_understood(item, ACTORS | {"virtual_server"})]
    named = labels_select(world, understood, server.references())
    direct = yes_if(any(server.is_workload(reference) for reference in references(understood, "workload")))
    if len(understood) < len(items):
        named = max(named, Answer.UNKNOWN)
    if rule.get("all_ips_except_for_in_providers"):
        return opposite(min(in_scope, max(named, direct)))
    return max(direct, min(in_scope, named))


def consumers_can_be_told(question: Question, rule: Json, narrow: list[Json]) -> bool:
    """Whether every consumer is understood, every reference resolves, and every IP list can be read."""
    items = listed(rule.get("consumers"))
    return all(is_understood(item, ACTORS) and _resolves(question, item) for item in items) and all(
        is_understood(item) and _resolves(question, item) for item in narrow
    )


def _resolves(question: Question, item: Json) -> bool:
    if is_label_item(item):
        choice = choice_of(question.world, item)
        return choice is not None and choice.whole
    if "ip_list" in item:
        ip_list = question.world.find(item["ip_list"])
        return ip_list is not None and ip_list_addresses(ip_list) is not None
    return "workload" not in item or question.world.find(item["workload"]) is not None


def consumer_addresses(question: Question, rule: Json, narrow: list[Json]) -> Iterator[Addresses]:
    """All addresses that the consumers stand for: as many as can be, or, where they are the exception, as few."""
    world, items = question.world, listed(rule.get("consumers"))
    few = bool(rule.get("all_ips_except_for_in_consumers"))
    one_by_one = {href_of(reference) for reference in references(items, "workload")}
    for workload in world.living_workloads():
        in_scope = scope_selects(world, narrow, workload.get("labels"))
        direct = yes_if(plain(workload["href"]) in one_by_one)
        named = min(in_scope, labels_select(world, items, workload.get("labels")))
        if max(named, min(direct, in_scope) if few else direct) is Answer.YES:
            of_workload = counted_addresses if few else known_addresses
            yield from of_workload(workload, question.settings)
    for reference in references(items, "ip_list"):
        addresses = ip_list_addresses(world.find(reference) or {})
        if addresses is not None:
            yield addresses
