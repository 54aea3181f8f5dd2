"""What the journal is told about each write, and by whom."""

from dataclasses import dataclass
from typing import Protocol

from illumio_azsql_enforcer.model.firewall import Plan, Step, StepResult


@dataclass(frozen=True, slots=True)
class RunContext:
    """The cycle that a write belongs to."""

    run_id: str
    policy_version: int | None = None


class StepJournal(Protocol):
    """Keeps what was meant and what became of it. Raises StateUnwritable."""

    def intent(self, context: RunContext, plan: Plan, step: Step) -> None:
        """Said, and safe on disk, before the write is sent."""
        ...

    def outcome(self, context: RunContext, plan: Plan, result: StepResult) -> None:
        """Said when it is known how the write ended, also when that is: not known."""
        ...
