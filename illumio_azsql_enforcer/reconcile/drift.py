"""What somebody else changed between two cycles. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.model.firewall import (
    FirewallRule,
    LiveRule,
    Note,
    NoteCode,
    StepResult,
    StepStatus,
    rules_after,
)
from illumio_azsql_enforcer.model.names import folded

Firewall = Mapping[str, FirewallRule]  # by folded name


def left_behind(live: Iterable[LiveRule], results: Sequence[StepResult]) -> Firewall | None:
    """The firewall after a cycle; None when the outcome of a step is not known for sure."""
    if any(result.status in (StepStatus.FAILED, StepStatus.NOT_RUN) for result in results):
        return None
    done = (result.step for result in results if result.status is StepStatus.DONE)
    return {name: one.rule for name, one in rules_after(live, done).items()}


def drift(left: Firewall, live: Iterable[LiveRule]) -> tuple[Note, ...]:
    """One note about every rule that differs from what the last cycle left behind, or none."""
    now = {folded(one.rule.name): one.rule for one in live}
    changes = [text for name in sorted(left.keys() | now.keys()) if (text := _change(left.get(name), now.get(name)))]
    if not changes:
        return ()
    return (Note(NoteCode.DRIFT, len(changes), f"changed by somebody else since the last cycle: {', '.join(changes)}"),)


def _change(before: FirewallRule | None, now: FirewallRule | None) -> str | None:
    if before is None:
        return f"{now.name} added ({now.range})" if now else None
    if now is None:
        return f"{before.name} deleted ({before.range})"
    return _edited(now.name, before.range, now.range)


def _edited(name: str, before: Range, now: Range) -> str | None:
    return None if before == now else f"{name} edited ({before} -> {now})"
