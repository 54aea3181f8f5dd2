"""Desired and live ranges, and a mode, become a Plan: everything that is intended, before anything is written. Pure."""

import hashlib
import json
from collections.abc import Iterable, Sequence

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.model.firewall import (
    ALL_AZURE_SERVICES,
    Desired,
    FirewallRule,
    LiveRule,
    Note,
    NoteCode,
    Plan,
    Server,
    Step,
)
from illumio_azsql_enforcer.model.settings import EnforcementSettings, Mode
from illumio_azsql_enforcer.reconcile.change import Change, compare, only_widening
from illumio_azsql_enforcer.reconcile.guards import MAX_RULES, Case, judged
from illumio_azsql_enforcer.reconcile.notes import notes_of
from illumio_azsql_enforcer.reconcile.order import ordered, ordered_without_limit
from illumio_azsql_enforcer.reconcile.ownership import may_delete, ownership_of
from illumio_azsql_enforcer.reconcile.steps import steps_of

ID_DIGITS = 16  # of a SHA-256 in hex


def make_plan(
    server: Server,
    live: Sequence[FirewallRule],
    desired: Sequence[Desired],
    *,
    mode: Mode,
    settings: EnforcementSettings,
    max_rules: int,
) -> Plan:
    """What has to change on one server, in an order in which every prefix is safe, and what the guards say to it.

    `desired` holds disjoint ranges; `max_rules` is the number of rules that the server can hold, all kinds counted. In
    observe the steps are those of sync, and the guards are judged too.
    """
    ownership = ownership_of(settings)
    rules = ownership.of(live)
    wanted = tuple(one for one in desired if one.range != ALL_AZURE_SERVICES)
    acting = Mode.SYNC if mode is Mode.OBSERVE else mode
    change = change_of(rules, [one.range for one in wanted], acting, settings)
    deletable = [rule for rule in rules if may_delete(rule, acting, settings)]
    refusals = judged(Case(change, wanted, deletable, max_rules, settings.guards)) if change.busy else ()
    fits = all(refusal.guard != MAX_RULES for refusal in refusals)
    made = steps_of(ordered(change, max_rules) if fits else ordered_without_limit(change), ownership)
    return Plan(
        id=plan_id(server, rules, made.steps),
        server=server,
        mode=mode,
        live=rules,
        desired=wanted,
        steps=made.steps,
        left=len(made.steps) if mode is Mode.OBSERVE else len(change.left),
        refusals=refusals,
        gap=made.gap,
        notes=(*notes_of(rules, change, mode, settings), *noted_gap(made.gap), *_noted_special(desired)),
    )


def change_of(rules: Sequence[LiveRule], wanted: Sequence[Range], mode: Mode, settings: EnforcementSettings) -> Change:
    """The difference as the mode sees it; `mode` is not observe."""
    acting = Mode.SYNC if mode is Mode.UPSERT else mode
    change = compare(rules, wanted, ownership_of(settings), lambda rule: may_delete(rule, acting, settings))
    return only_widening(rules, change) if mode is Mode.UPSERT else change


def plan_id(server: Server, live: Iterable[LiveRule], steps: Iterable[Step]) -> str:
    """A digest of the server, its live rules and the steps: the same for the same situation, in any run."""
    held = [(one.rule.name, str(one.rule.range)) for one in live]
    told = [(step.action, step.name, str(step.range), step.phase) for step in steps]
    text = json.dumps([server.id.casefold(), held, told])
    return hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]


def noted_gap(gap: Sequence[Range]) -> tuple[Note, ...]:
    """The note about wanted addresses that are not admitted for a moment."""
    if not gap:
        return ()
    dropped = ", ".join(map(str, gap))
    detail = f"not admitted for a moment, because the rule limit leaves no other order: {dropped}"
    return (Note(NoteCode.GAP, sum(one.size for one in gap), detail),)


def _noted_special(desired: Iterable[Desired]) -> tuple[Note, ...]:
    if all(one.range != ALL_AZURE_SERVICES for one in desired):
        return ()
    return (Note(NoteCode.SPECIAL_ADDRESS, 1, "0.0.0.0 alone is never admitted: to Azure it means every tenant"),)
