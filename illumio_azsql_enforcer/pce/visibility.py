"""Signs that the API key does not see everything: a role limited to a scope gets shorter lists, without an error.

Provisioned objects are counted by the policy version, and a read that gives fewer fails. For labels and workloads the
PCE has no such number; but what refers to one that is not listed gives it away. There may be other reasons for that,
such as a workload that was deleted while a rule still names it, so these are warnings.
"""

from collections.abc import Iterable, Iterator

from illumio_azsql_enforcer.errors import PceForbidden, PceNotFound, PceRejected
from illumio_azsql_enforcer.model.policy import Item, RuleSet, Snapshot, counts_of, unversioned
from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.pce.reader import read_version
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.text import plural, printable

ADVICE = "Give its role Global Viewer, without a scope: what it does not see might be an override-deny."
_COUNTED = ("rule_sets", "ip_lists", "label_groups")
_NAMED = {"label": "label", "label_group": "label group", "ip_list": "IP list", "workload": "workload"}


def signs_in(snapshot: Snapshot, *, whole: bool = True) -> list[str]:
    """What the snapshot itself says: sentences, best read before ADVICE. `whole`: all workloads were read."""
    carried = {each.href for workload in snapshot.workloads for each in workload.labels or ()}
    known = {"label": {label.href for label in snapshot.labels}}
    signs = [_missing(carried - known["label"], "label", "workloads carry")]
    known |= {
        "label_group": {unversioned(each.href) for each in snapshot.label_groups},
        "ip_list": {unversioned(each.href) for each in snapshot.ip_lists},
    }
    if whole:
        known["workload"] = {each.href for each in snapshot.workloads}
        bound = {each.workload.href for each in snapshot.service_bindings if each.workload}
        signs.append(_missing(bound - known["workload"], "workload", "virtual services are bound to"))
        if not snapshot.workloads:
            signs.append("The PCE lists no workload at all to this API key.")
    named = _named(snapshot.rule_sets)
    signs += [_missing(named[kind] - hrefs, _NAMED[kind], "rules name") for kind, hrefs in known.items()]
    return [sign for sign in signs if sign]


def signs_at(client: PceClient, org_id: int, deadline: Deadline) -> Iterator[str]:
    """What the PCE says to two more requests. Raises PceError when it is in trouble."""
    counts = counts_of(read_version(client, org_id, deadline))
    if not all(name in counts for name in _COUNTED):
        yield "This PCE does not count the objects of its policy: lists cut down to a scope would not be noticed."
    try:
        client.get(f"/orgs/{org_id}/events", deadline, {"max_results": "1"})
    except (PceForbidden, PceNotFound, PceRejected) as refused:
        yield (
            "The PCE's events cannot be read with this API key, so workloads, labels and service bindings are read "
            f"whole in every cycle: {refused}"
        )


def _missing(hrefs: set[str], noun: str, what: str) -> str:
    if not hrefs:
        return ""
    shown = printable(min(hrefs), limit=100)
    return f"{plural(len(hrefs), noun)} that {what} the PCE does not list to this API key, for instance {shown}."


def _named(rule_sets: Iterable[RuleSet]) -> dict[str, set[str]]:
    """The hrefs that rules and scopes name, by kind."""
    found: dict[str, set[str]] = {kind: set() for kind in _NAMED}
    for item in _items(rule_sets):
        for kind, hrefs in found.items():
            value = item.get(kind)
            href = value.get("href") if isinstance(value, dict) else None
            if isinstance(href, str):
                hrefs.add(unversioned(href))
    return found


def _items(rule_sets: Iterable[RuleSet]) -> Iterator[Item]:
    for rule_set in rule_sets:
        for scope in rule_set.scopes or ():
            yield from scope
        for rules in (rule_set.rules, rule_set.deny_rules):
            for rule in rules if isinstance(rules, list) else ():
                yield from (*(rule.providers or ()), *(rule.consumers or ()))
