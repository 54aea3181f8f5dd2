"""A secret that cannot be printed by accident."""

from collections.abc import Callable
from typing import NoReturn


class Secret:
    """Holds a string that `repr`, `str`, formatting, pickling and tracebacks do not show; `reveal()` gives it away."""

    __slots__ = ("_reveal",)

    def __init__(self, value: str) -> None:
        # A closure rather than an attribute: a debugger or a traceback with locals prints the function, not the text.
        self._reveal: Callable[[], str] = lambda: value

    def reveal(self) -> str:
        """The text itself, for the one call that sends it."""
        return self._reveal()

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return format(repr(self), format_spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._reveal() == other.reveal()

    def __hash__(self) -> int:
        return hash(self._reveal())

    def __reduce__(self) -> NoReturn:
        raise TypeError("A secret is not pickled.")
