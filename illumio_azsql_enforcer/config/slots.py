"""A place in the config that holds, or could hold, a value; readers turn slots into typed values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TypeVar

from illumio_azsql_enforcer.config import document
from illumio_azsql_enforcer.config.document import Node, Scalar
from illumio_azsql_enforcer.config.references import has_reference
from illumio_azsql_enforcer.errors import ConfigError, Problem
from illumio_azsql_enforcer.text import printable

T = TypeVar("T")

_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Slot:
    """A node with its dotted key, its line, and what is needed to read it."""

    node: Node
    key: str
    line: int
    file: str
    environ: Mapping[str, str] = field(repr=False)
    secret: bool = False

    def wrong(self, message: str) -> ConfigError:
        """The error that says `message` about this place."""
        return ConfigError(problems=(Problem(self.file, self.line, self.key, message),))

    @property
    def shown(self) -> str:
        """How a message names the value: as it is written in the file, never what a reference brought."""
        if self.secret or not isinstance(self.node, Scalar):
            return "this value"
        if self.node.origin:
            return f"the value of ${self.node.origin}"
        return f"the value of {quoted(self.node.text)}" if has_reference(self.node.text) else quoted(self.node.text)

    def child(self, node: Node, name: str, line: int, *, secret: bool = False) -> "Slot":
        """The slot of `name` below this one."""
        key = f"{self.key}.{name}" if self.key else name
        return replace(self, node=node, key=key, line=line, secret=self.secret or secret)

    def items(self) -> "list[Slot]":
        """The items of a list. Raises ConfigError for anything else."""
        if not isinstance(self.node, document.Sequence):
            raise self.wrong("a list is wanted; write it as [one, two], or one `- item` a line")
        return [
            replace(self, node=item, key=f"{self.key}[{at}]", line=item.line) for at, item in enumerate(self.node.items)
        ]

    def entries(self) -> "list[tuple[Slot, Slot]]":
        """The key and the value of each entry of a mapping; of nothing: none. Raises ConfigError for anything else."""
        if is_null(self.node):
            return []
        if not isinstance(self.node, document.Mapping):
            raise self.wrong("a mapping is wanted; write `key: value` lines below it")
        return [
            (replace(self, node=e.key, line=e.key.line), self.child(e.value, printable(e.key.text), e.key.line))
            for e in self.node.entries
        ]


Reader = Callable[[Slot], T]


class Trouble:
    """Collects the ConfigErrors of several `with` blocks, so that all are reported together."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> bool:
        if not isinstance(error, ConfigError):
            return False
        self._problems += error.problems
        return True

    def raise_any(self) -> None:
        """Raise everything that was collected as one ConfigError, in the order of the file."""
        if self._problems:
            raise ConfigError(problems=tuple(sorted(self._problems, key=lambda problem: problem.line)))


def is_null(node: Node) -> bool:
    """Whether YAML reads the node as nothing."""
    return isinstance(node, Scalar) and node.kind == "null"


def quoted(text: str) -> str:
    """`text` between quotes, safe to print and not longer than a glance."""
    return f'"{printable(text, _SHOWN)}"'
