"""Allow rules. Every doubt is a no: an item, a scope or a rule that is not wholly understood lets nobody in."""

from collections.abc import Iterator
from dataclasses import dataclass

from illumio_azsql_enforcer.model.settings import PolicySettings
from illumio_azsql_enforcer.sandbox.oracle.actors import (
    PROVIDER_KINDS,
    is_understood,
    labels_select,
    references,
    resolves_as,
    scope_selects,
)
from illumio_azsql_enforcer.sandbox.oracle.addresses import (
    Addresses,
    bound_workloads,
    counted_addresses,
    ip_list_addresses,
    virtual_service_addresses,
)
from illumio_azsql_enforcer.sandbox.oracle.answers import Answer
from illumio_azsql_enforcer.sandbox.oracle.labels import dangling_exclusion
from illumio_azsql_enforcer.sandbox.oracle.services import Port, Wanted, rule_covers, virtual_service_covers
from illumio_azsql_enforcer.sandbox.oracle.world import (
    Json,
    ServerView,
    World,
    href_of,
    listed,
    plain,
    virtual_services_on,
)


@dataclass(frozen=True)
class Question:
    """May somebody reach this server?"""

    world: World
    server: ServerView
    settings: PolicySettings
    ports: tuple[Port, ...]
    with_conditions: bool = False  # also rules for some users, programs or authenticated machines only


@dataclass(frozen=True)
class Grant:
    """An allow rule that lets these addresses in."""

    rule: str
    rule_set: str
    addresses: tuple[Addresses, ...]

    def __contains__(self, address: int) -> bool:
        return any(address in some for some in self.addresses)


def grants(question: Question) -> Iterator[Grant]:
    """Every allow rule that speaks about the server, once for each scope that the server is in."""
    for rule_set in question.world.rule_sets:
        for rule in listed(rule_set.get("rules")):
            if is_on(rule_set) and is_on(rule) and is_usable(question, rule):
                for scope in listed(rule_set.get("scopes")):
                    if provides(question, rule, scope) is Answer.YES:
                        consumers = tuple(consumer_addresses(question, rule, scope))
                        yield Grant(rule["href"], rule_set["href"], consumers)


def is_on(thing: Json) -> bool:
    """Rule sets and rules are on unless they say otherwise."""
    return thing.get("enabled") is not False


def is_usable(question: Question, rule: Json) -> bool:
    """Whether everything that narrows the rule is understood and can be checked from outside."""
    providers, consumers = listed(rule.get("providers")), listed(rule.get("consumers"))
    understood = all(is_understood(item, PROVIDER_KINDS) for item in providers)
    understood = understood and all(is_understood(item) for item in consumers)
    if not understood or dangling_exclusion(question.world, [*providers, *consumers]):
        return False
    if rule.get("all_ips_except_for_in_consumers") or rule.get("all_ips_except_for_in_providers"):
        return False
    if not stands_for_known_kinds(rule) or rule.get("network_type") not in {None, "brn", "all"}:
        return False
    return question.with_conditions or not has_conditions(rule)


def stands_for_known_kinds(rule: Json) -> bool:
    """Whether `resolve_labels_as` speaks of workloads and virtual services only."""
    told = rule.get("resolve_labels_as") or {}
    return {*listed(told.get("providers")), *listed(told.get("consumers"))} <= {"workloads", "virtual_services"}


def has_conditions(rule: Json) -> bool:
    """Users, programs and machine identities: nothing of this can be seen at a database firewall."""
    conditions = ("consuming_security_principals", "egress_services", "sec_connect", "machine_auth")
    return any(rule.get(name) for name in conditions)


# --- the provider side


def provides(question: Question, rule: Json, scope: list[Json]) -> Answer:
    """Whether the rule, in this scope, opens one of our ports of the server."""
    return max(_as_workload(question, rule, scope), _as_virtual_service(question, rule, scope))


def _as_workload(question: Question, rule: Json, scope: list[Json]) -> Answer:
    """The server itself is named: by its labels, as one of all workloads, or as a workload."""
    world, server, items = question.world, question.server, listed(rule.get("providers"))
    named = Answer.NO
    if resolves_as(rule, "providers", "workloads"):
        named = labels_select(world, items, server.references())
    if any(server.is_workload(reference) for reference in references(items, "workload")):
        named = Answer.YES
    covered = rule_covers(world, rule.get("ingress_services"), Wanted(question.ports))
    return min(named, scope_selects(world, scope, server.references()), covered)


def _as_virtual_service(question: Question, rule: Json, scope: list[Json]) -> Answer:
    """A virtual service bound to the server is named; the port is then the virtual service's."""
    world, items = question.world, listed(rule.get("providers"))
    answers = [Answer.NO]
    for service, binding in virtual_services_on(world, question.server):
        named = Answer.NO
        if resolves_as(rule, "providers", "virtual_services"):
            named = labels_select(world, items, service.get("labels"))
        if any(href_of(reference) == plain(service["href"]) for reference in references(items, "virtual_service")):
            named = Answer.YES
        covered = virtual_service_covers(world, question.server, service, binding, Wanted(question.ports))
        answers.append(
            min(named, scope_selects(world, scope, service.get("labels")), covered, _narrowed(question, rule))
        )
    return max(answers)


def _narrowed(question: Question, rule: Json) -> Answer:
    """Services of a rule have no place beside a virtual service that it names; where they are, they narrow."""
    services = listed(rule.get("ingress_services"))
    if not services or resolves_as(rule, "providers", "virtual_services"):
        return Answer.YES
    return rule_covers(question.world, services, Wanted(question.ports))


# --- the consumer side


def consumer_addresses(question: Question, rule: Json, scope: list[Json]) -> Iterator[Addresses]:
    """All addresses that the rule lets in. The scope narrows workloads and virtual services of an intra-scope rule."""
    narrow = [] if rule.get("unscoped_consumers") is True else scope
    for reference in references(listed(rule.get("consumers")), "ip_list"):
        ip_list = question.world.find(reference)
        addresses = ip_list_addresses(ip_list) if ip_list else None
        if addresses is not None:
            yield addresses
    for workload in consumer_workloads(question, rule, narrow):
        yield from _of_workload(question, rule, workload)
    for service in consumer_services(question, rule, narrow):
        bound = [_of_workload(question, rule, workload) for workload in bound_workloads(question.world, service)]
        yield from virtual_service_addresses(service, bound)


def consumer_workloads(question: Question, rule: Json, narrow: list[Json]) -> Iterator[Json]:
    """The workloads that are named by label, as one of all, or one by one."""
    world, items = question.world, listed(rule.get("consumers"))
    one_by_one = {href_of(reference) for reference in references(items, "workload")}
    for workload in world.living_workloads():
        named = Answer.NO
        if resolves_as(rule, "consumers", "workloads"):
            named = labels_select(world, items, workload.get("labels"))
        if plain(workload["href"]) in one_by_one:
            named = Answer.YES
        if min(named, scope_selects(world, narrow, workload.get("labels"))) is Answer.YES:
            yield workload


def consumer_services(question: Question, rule: Json, narrow: list[Json]) -> Iterator[Json]:
    """The virtual services that are named by label, as one of all, or one by one."""
    world, items = question.world, listed(rule.get("consumers"))
    one_by_one = {href_of(reference) for reference in references(items, "virtual_service")}
    for service in world.virtual_services:
        named = Answer.NO
        if resolves_as(rule, "consumers", "virtual_services"):
            named = labels_select(world, items, service.get("labels"))
        if plain(service["href"]) in one_by_one:
            named = Answer.YES
        if min(named, scope_selects(world, narrow, service.get("labels"))) is Answer.YES:
            yield service


def _of_workload(question: Question, rule: Json, workload: Json) -> list[Addresses]:
    """A workload's addresses; none for the server itself, which does not connect to itself."""
    if question.server.is_workload(workload):
        return []
    subnets = "consumers" in listed(rule.get("use_workload_subnets"))
    return counted_addresses(workload, question.settings, subnets=subnets)
