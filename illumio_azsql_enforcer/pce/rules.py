"""The rules of each rule set, all of them: inline where the PCE sends them so, else from their own collections."""

from collections.abc import Iterable

import msgspec

from illumio_azsql_enforcer.errors import PceInvalidAnswer, PceNotFound, SnapshotIncomplete
from illumio_azsql_enforcer.model.policy import DenyRule, Rule, RuleSet
from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.pce.release import Release, surely_without_deny_rules
from illumio_azsql_enforcer.pce.wording import plain
from illumio_azsql_enforcer.retrying import Deadline


def with_all_rules(
    client: PceClient,
    rule_sets: tuple[RuleSet, ...],
    release: Release,
    deadline: Deadline,
    known: tuple[RuleSet, ...] = (),
) -> tuple[RuleSet, ...]:
    """The rule sets with `rules` and `deny_rules` filled in.

    `known`: the rule sets of the same policy version as they were read before; when these are the same but for deny
    rules that do not come inline, those are not asked for again.
    Raises SnapshotIncomplete when override-denies may exist and cannot be read, and any other PceError.
    """
    for each in rule_sets:
        _check_keys(each)
    allowing = tuple(_with_rules(client, each, deadline) for each in rule_sets)
    whole = _as_before(allowing, known) or _with_deny_rules(client, allowing, release, deadline)
    _check_hrefs(whole)
    return whole


def _check_keys(rule_set: RuleSet) -> None:
    for key, value in (("rules", rule_set.rules), ("deny_rules", rule_set.deny_rules)):
        if value is None:
            raise PceInvalidAnswer(f"The PCE sent {_who(rule_set)} with null where its {key} belong.")


def _with_rules(client: PceClient, rule_set: RuleSet, deadline: Deadline) -> RuleSet:
    if rule_set.rules is not msgspec.UNSET:
        return rule_set
    rules = client.collection(f"{rule_set.href}/sec_rules", Rule, deadline).items
    return msgspec.structs.replace(rule_set, rules=rules)


def _as_before(rule_sets: tuple[RuleSet, ...], known: tuple[RuleSet, ...]) -> tuple[RuleSet, ...] | None:
    """The known rule sets, if these are the same as far as they tell."""
    if len(rule_sets) != len(known):
        return None
    same = all(
        msgspec.structs.replace(old, deny_rules=new.deny_rules) == new
        for new, old in zip(rule_sets, known, strict=True)
    )
    silent = all(each.deny_rules is msgspec.UNSET for each in rule_sets)
    return known if known and silent and same else None


def _with_deny_rules(
    client: PceClient, rule_sets: tuple[RuleSet, ...], release: Release, deadline: Deadline
) -> tuple[RuleSet, ...]:
    """Trusts inline deny rules only when every rule set has the key; whether an active one does differs by release."""
    silent = [each for each in rule_sets if each.deny_rules is msgspec.UNSET]
    if not silent:
        return rule_sets
    try:
        first = _deny_rules(client, silent[0], deadline)
    except PceNotFound:
        return _without_deny_rules(rule_sets, release)
    return tuple(
        msgspec.structs.replace(each, deny_rules=first if each is silent[0] else _deny_rules(client, each, deadline))
        for each in rule_sets
    )


def _deny_rules(client: PceClient, rule_set: RuleSet, deadline: Deadline) -> list[DenyRule]:
    return client.collection(f"{rule_set.href}/deny_rules", DenyRule, deadline).items


def _without_deny_rules(rule_sets: tuple[RuleSet, ...], release: Release) -> tuple[RuleSet, ...]:
    """The PCE has no such route: fine below 24.2, else an override-deny could be overlooked."""
    if not surely_without_deny_rules(release) or any(each.deny_rules for each in rule_sets):
        said = ".".join(map(str, release)) or "unknown"
        raise SnapshotIncomplete(
            f"The PCE does not answer for deny rules (404), which every release from 24.2 on has (this is {said}): "
            "an override-deny might be overlooked.",
            status=404,
        )
    return tuple(msgspec.structs.replace(each, deny_rules=[]) for each in rule_sets)


def _check_hrefs(rule_sets: tuple[RuleSet, ...]) -> None:
    seen: set[str] = set()
    for rule_set in rule_sets:
        for href in _rule_hrefs(rule_set):
            if href in seen:
                raise PceInvalidAnswer(f"The PCE sent the rule {plain(href)} twice, in {_who(rule_set)}.")
            seen.add(href)


def _rule_hrefs(rule_set: RuleSet) -> Iterable[str]:
    for rules in (rule_set.rules, rule_set.deny_rules):
        yield from (each.href for each in rules or ())


def _who(rule_set: RuleSet) -> str:
    return plain(f"rule set {rule_set.href} ({rule_set.name})")
