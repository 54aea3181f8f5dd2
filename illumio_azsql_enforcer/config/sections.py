"""Readers of mappings and lists: sections with known keys, free mappings, lists of one kind of item."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic

from illumio_azsql_enforcer.config import document
from illumio_azsql_enforcer.config.document import Scalar
from illumio_azsql_enforcer.config.scalars import nearest
from illumio_azsql_enforcer.config.slots import Reader, Slot, T, Trouble, is_null

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,39}")


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of one key of a section."""

    read: Reader[Any]
    field: str = ""  # the name in the typed settings, where it differs
    example: str = ""  # a required key: what a good line holds
    secret: bool = False
    standby: Callable[[Slot], Scalar | None] | None = None  # what the environment has when the file has nothing
    inner: "Section[Any] | None" = None  # the section that `read` reads one or several of


class Section(Generic[T]):
    """A reader of a mapping with known keys into `build(slot, values)`, which gets only the values that are set."""

    def __init__(self, build: Callable[[Slot, dict[str, Any]], T], keys: Mapping[str, Key]) -> None:
        self.keys = keys
        self._build = build

    def __call__(self, slot: Slot) -> T:
        trouble = Trouble()
        given: dict[str, Slot] = {}
        for name_slot, value_slot in slot.entries():
            with trouble:
                self._admit(name_slot, value_slot, given)
        values: dict[str, Any] = {}
        for name, key in self.keys.items():
            with trouble:
                self._read(slot, name, key, given, values)
        trouble.raise_any()
        return self._build(slot, values)

    def _admit(self, name_slot: Slot, value_slot: Slot, given: dict[str, Slot]) -> None:
        name = name_slot.node.text if isinstance(name_slot.node, Scalar) else ""
        if name not in self.keys:
            raise self._unknown(name, name_slot, value_slot)
        if name in given:
            raise value_slot.wrong(f"the key is there twice, first in line {given[name].line}; keep one")
        key = self.keys[name]
        given[name] = name_slot.child(value_slot.node, name, value_slot.line, secret=key.secret)

    def _unknown(self, name: str, name_slot: Slot, value_slot: Slot) -> Exception:
        """A key with a misplaced value in it (`api_secret:hunter2`) must not be repeated in the message."""
        deeper = sorted((path for path in self.paths() if path.endswith(f".{name}")), key=lambda path: path.count("."))
        misplaced = f" (did you mean {deeper[0]}?)" if deeper else f"; known here: {', '.join(self.keys)}"
        hint = nearest(name, self.keys) or misplaced
        if _PLAIN_KEY.fullmatch(name):
            return value_slot.wrong(f"unknown key{hint}")
        return name_slot.wrong(f"a key that is no plain word{hint}; write `key: value`")

    def _read(self, slot: Slot, name: str, key: Key, given: dict[str, Slot], values: dict[str, Any]) -> None:
        found = given.get(name)
        if found is None or is_null(found.node):
            found = self._absent(slot, name, key, found)
        if found is not None:
            values[key.field or name] = key.read(found)

    @staticmethod
    def _absent(slot: Slot, name: str, key: Key, found: Slot | None) -> Slot | None:
        """What is read for a key that the file leaves out: an empty section, the environment's value, or nothing."""
        line = found.line if found else slot.line
        empty = slot.child(document.Mapping((), line), name, line, secret=key.secret)
        if isinstance(key.read, Section):
            return empty
        standby = key.standby(empty) if key.standby else None
        if standby is not None:
            return slot.child(standby, name, line, secret=key.secret)
        if key.example:
            raise empty.wrong(f"the key is missing; {key.example}")
        return None

    def paths(self, prefix: str = "") -> list[str]:
        """Every dotted key below, in order; the items of lists and free mappings have the path of their key."""
        found = []
        for name, key in self.keys.items():
            inner = key.read if isinstance(key.read, Section) else key.inner
            found += [prefix + name, *(inner.paths(f"{prefix}{name}.") if inner else [])]
        return found


def settings(kind: Callable[..., T]) -> Callable[[Slot, dict[str, Any]], T]:
    """The build function of a section whose values are the fields of a dataclass; what is not set keeps its default."""
    return lambda _slot, values: kind(**values)


def list_of(read: Reader[T], *, least: int = 0) -> Reader[tuple[T, ...]]:
    """A list of one kind of item."""

    def read_list(slot: Slot) -> tuple[T, ...]:
        trouble = Trouble()
        found: list[T] = []
        for item in slot.items():
            with trouble:
                found.append(read(item))
        trouble.raise_any()
        if len(found) < least:
            raise slot.wrong("the list is empty; write at least one item")
        return tuple(found)

    return read_list


def mapping_of(read_key: Reader[str], read: Reader[T]) -> Reader[dict[str, T]]:
    """A mapping with free keys."""

    def read_mapping(slot: Slot) -> dict[str, T]:
        trouble = Trouble()
        found: dict[str, T] = {}
        seen: set[str] = set()
        for name_slot, value_slot in slot.entries():
            with trouble:
                name = read_key(name_slot)
                if name in seen:
                    raise value_slot.wrong("the key is there twice (perhaps in upper and lower case); keep one")
                seen.add(name)
                found[name] = read(value_slot)
        trouble.raise_any()
        return found

    return read_mapping
