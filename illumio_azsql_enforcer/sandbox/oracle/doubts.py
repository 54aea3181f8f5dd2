"""Override-denies in which something dangles or cannot be read, even where it makes no difference.

A program must stop a server where a deny cannot be evaluated (`Denial.addresses` is None). It may stop it, too, where a
deny that could be about the server is not wholly in order; without any such doubt it must not.
"""

from illumio_azsql_enforcer.sandbox.oracle.actors import LABEL_KINDS, PROVIDER_KINDS, is_understood, scope_selects
from illumio_azsql_enforcer.sandbox.oracle.allow import Question, is_on
from illumio_azsql_enforcer.sandbox.oracle.answers import Answer
from illumio_azsql_enforcer.sandbox.oracle.deny import consumers_can_be_told, resolves, touches_server
from illumio_azsql_enforcer.sandbox.oracle.services import Wanted, rule_covers
from illumio_azsql_enforcer.sandbox.oracle.world import Json, listed


def in_doubt(question: Question) -> bool:
    """Whether an override-deny that could be about the server is not wholly in order."""
    return any(
        _could_touch(question, rule, scope) and not all(_in_order(question, rule, each) for each in scopes)
        for rule_set in question.world.rule_sets
        for scopes in [listed(rule_set.get("scopes")) or [[]]]
        for rule in listed(rule_set.get("deny_rules"))
        if is_on(rule_set) and is_on(rule) and rule.get("override")
        for scope in scopes
    )


def _could_touch(question: Question, rule: Json, scope: list[Json]) -> bool:
    """Whether it touches the server, or would if the provider items and scope items in doubt were anything else."""
    if touches_server(question, rule, scope) is not Answer.NO:
        return True
    if listed(rule.get("ingress_services")) and _covered(question, rule) is Answer.NO:
        return False
    scope_known = _scope_in_order(question, scope)
    in_scope = scope_selects(question.world, scope, question.server.references()) is not Answer.NO
    if scope_known and not in_scope and not rule.get("all_ips_except_for_in_providers"):
        return False
    return not (scope_known and _providers_in_order(question, rule))


def _covered(question: Question, rule: Json) -> Answer:
    return rule_covers(question.world, rule.get("ingress_services"), Wanted(question.ports, for_programs=True))


def _in_order(question: Question, rule: Json, scope: list[Json]) -> bool:
    """Whether everything in the rule and its scope is there, understood and readable."""
    wanted = Wanted(question.ports, for_programs=True)
    services = [rule_covers(question.world, [item], wanted) for item in listed(rule.get("ingress_services"))]
    narrow = [] if rule.get("unscoped_consumers") else scope
    return (
        Answer.UNKNOWN not in services
        and _providers_in_order(question, rule)
        and _scope_in_order(question, scope)
        and consumers_can_be_told(question, rule, narrow)
    )


def _providers_in_order(question: Question, rule: Json) -> bool:
    items = listed(rule.get("providers"))
    return bool(items) and all(is_understood(item, PROVIDER_KINDS) and resolves(question, item) for item in items)


def _scope_in_order(question: Question, scope: list[Json]) -> bool:
    return all(is_understood(item, LABEL_KINDS) and resolves(question, item) for item in scope)
