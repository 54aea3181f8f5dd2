"""What an operator should know about rules that stay although the policy does not ask for them."""

from collections.abc import Callable, Iterable, Sequence

from illumio_azsql_enforcer.model.firewall import ALL_AZURE_SERVICES, FirewallRule, LiveRule, Note, NoteCode
from illumio_azsql_enforcer.model.names import is_safe_name
from illumio_azsql_enforcer.model.settings import EnforcementSettings, Mode
from illumio_azsql_enforcer.reconcile.change import Change
from illumio_azsql_enforcer.reconcile.ownership import claims, ownership_of
from illumio_azsql_enforcer.text import shortened

SHOWN = 10  # rules that a note names before it only counts


def notes_of(live: Sequence[LiveRule], change: Change, mode: Mode, settings: EnforcementSettings) -> tuple[Note, ...]:
    """One note for each kind of rule that is kept: foreign, special, not addressable, superfluous."""
    staying = set(change.staying)
    kept = [rule for rule in live if rule.rule in staying]
    stuck = [rule for rule in kept if claims(rule, mode, settings) and not is_safe_name(rule.rule.name)]
    foreign = [rule for rule in kept if not rule.owned and rule not in stuck]
    special = [rule for rule in foreign if rule.rule.range == ALL_AZURE_SERVICES]
    ranges = [rule for rule in foreign if rule not in special]
    ownership = ownership_of(settings)
    alike, others = _parted(ranges, lambda rule: ownership.resembles(rule.rule.name))
    found = (
        _note(NoteCode.UNSAFE_NAME, "names that cannot safely be put in a URL, so never deleted", _rules(stuck)),
        _note(NoteCode.AZURE_SERVICES_RULE, "admits every Azure tenant", _rules(special)),
        _note(NoteCode.FOREIGN_RULE, "access outside the policy", _rules(others)),
        _note(NoteCode.FOREIGN_RULE, "access outside the policy, named almost like rules of ours", _rules(alike)),
        _note(NoteCode.SUPERFLUOUS_RULE, "not in the policy, kept", _superfluous(live, change, mode)),
    )
    return tuple(note for note in found if note)


def _superfluous(live: Sequence[LiveRule], change: Change, mode: Mode) -> Sequence[FirewallRule]:
    """Rules of ours that the policy does not ask for and that stay: kept by the mode, or protected."""
    staying = set(change.staying) - change.in_sync
    if mode is Mode.OBSERVE:
        staying.update(one.rule for one in change.going)
    return [one.rule for one in live if one.owned and one.rule in staying]


def _parted(rules: Iterable[LiveRule], picks: Callable[[LiveRule], bool]) -> tuple[list[LiveRule], list[LiveRule]]:
    yes: list[LiveRule] = []
    no: list[LiveRule] = []
    for rule in rules:
        (yes if picks(rule) else no).append(rule)
    return yes, no


def _rules(rules: Iterable[LiveRule]) -> Sequence[FirewallRule]:
    return [one.rule for one in rules]


def _note(code: NoteCode, what: str, rules: Sequence[FirewallRule]) -> Note | None:
    if not rules:
        return None
    shown = shortened([f"{rule.name} ({rule.range})" for rule in rules], SHOWN)
    return Note(code, len(rules), f"{what}: {shown}")
