"""How notes and explanations name things: in the words of the console."""

from collections.abc import Iterable
from dataclasses import dataclass

from illumio_azsql_enforcer.model.firewall import Note, NoteCode


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in the policy that cannot be read or found.

    In an allow rule it makes the rule narrower; in an override-deny it makes the deny impossible to evaluate.
    """

    code: NoteCode
    text: str  # "names IP list /orgs/…, which the PCE does not have": a predicate of the rule
    drops_rule: bool = False  # narrowing the item alone could widen the rule
    count: int = 1  # objects

    def note(self, subject: str) -> Note:
        """The note about the rule or object that is called `subject`."""
        return Note(self.code, self.count, f"{subject} {self.text}")


def missing(noun: str, href: str | None, *, drops_rule: bool = False) -> Fault:
    """What a rule names and the PCE does not have."""
    return Fault(NoteCode.DANGLING_REFERENCE, f"names {noun} {href}, which the PCE does not have", drops_rule)


def joined(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *head, last = list(names) or [""]
    return f"{', '.join(head)} and {last}" if head else last
