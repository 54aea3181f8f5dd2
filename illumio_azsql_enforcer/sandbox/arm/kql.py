"""The part of Resource Graph's query language that discovery needs: where, project, extend, distinct, order by, take,
count.

Anything else is refused, as the real service refuses what it cannot parse.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
Value = Callable[[Mapping[str, Any]], Any]
Stage = Callable[[list[Row]], list[Row]]

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")|(?P<number>\d+)"
    r"|(?P<operator>==|!=|=~|!~|!in~|!in\b|in~|!contains\b|!has\b|[|(),=.\[\]])|(?P<word>[A-Za-z_$][\w$]*))"
)


class QueryError(ValueError):
    """A query that cannot be parsed; the text says where."""


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query: a table and what is done to its rows."""

    table: str  # lower case
    stages: tuple[Stage, ...]

    def run(self, rows: Iterable[Row]) -> list[Row]:
        """The rows that the query gives."""
        found = list(rows)
        for stage in self.stages:
            found = stage(found)
        return found


def parse(text: str) -> Query:
    """Parse a query. Raises QueryError."""
    words = _Words(_tokens(text))
    table = words.word()
    stages: list[Stage] = []
    while not words.ended:
        words.expect("|")
        stages.append(_stage(words))
    return Query(table.lower(), tuple(stages))


def _tokens(text: str) -> list[str]:
    found, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise QueryError(f"Unexpected text at '{text[at : at + 20]}'.")
        found.append(match[match.lastgroup or 0])
        at = match.end()
    return found


class _Words:
    """The tokens that are still to be read."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens, self._at = tokens, 0

    @property
    def ended(self) -> bool:
        return self._at >= len(self._tokens)

    @property
    def ahead(self) -> str:
        return "" if self.ended else self._tokens[self._at]

    def take(self) -> str:
        if self.ended:
            raise QueryError("The query ends too early.")
        self._at += 1
        return self._tokens[self._at - 1]

    def word(self) -> str:
        token = self.take()
        if not re.match(r"[A-Za-z_$]", token):
            raise QueryError(f"A name was expected, not '{token}'.")
        return token

    def accept(self, *tokens: str) -> str:
        return self.take() if self.ahead.lower() in tokens else ""

    def expect(self, token: str) -> None:
        if not self.accept(token):
            raise QueryError(f"'{token}' was expected, not '{self.ahead}'.")


def _stage(words: _Words) -> Stage:
    name = words.word().lower()
    match name:
        case "where":
            condition = _either(words)
            return lambda rows: [row for row in rows if condition(row)]
        case "project" | "extend":
            columns = _columns(words)
            return lambda rows: [
                (dict(row) if name == "extend" else {}) | {label: value(row) for label, value in columns}
                for row in rows
            ]
        case "distinct":
            columns = _columns(words)
            return lambda rows: _each_once([{label: value(row) for label, value in columns} for row in rows])
        case "order" | "sort":
            words.expect("by")
            return _order(words)
        case "take" | "limit":
            number = int(words.take())
            return lambda rows: rows[:number]
        case "count":
            return lambda rows: [{"Count": len(rows)}]
    raise QueryError(f"The operator '{name}' is not known.")


def _each_once(rows: list[Row]) -> list[Row]:
    return list({tuple(map(_text, row.values())): row for row in rows}.values())


def _columns(words: _Words) -> list[tuple[str, Value]]:
    found = [_column(words)]
    while words.accept(","):
        found.append(_column(words))
    return found


def _column(words: _Words) -> tuple[str, Value]:
    start = words.ahead
    label, value = start, _value(words)
    if words.accept("="):
        return label, _value(words)
    return label, value


def _order(words: _Words) -> Stage:
    keys: list[tuple[Value, bool]] = []
    while True:
        value = _value(words)
        keys.append((value, words.accept("asc", "desc") != "asc"))  # descending unless it says otherwise
        if not words.accept(","):
            break

    def ordered(rows: list[Row]) -> list[Row]:
        for value, descending in reversed(keys):
            rows = sorted(rows, key=lambda row: _text(value(row)), reverse=descending)
        return rows

    return ordered


def _either(words: _Words) -> Value:
    terms = [_all(words)]
    while words.accept("or"):
        terms.append(_all(words))
    return lambda row: any(term(row) for term in terms)


def _all(words: _Words) -> Value:
    terms = [_comparison(words)]
    while words.accept("and"):
        terms.append(_comparison(words))
    return lambda row: all(term(row) for term in terms)


def _comparison(words: _Words) -> Value:
    if words.accept("("):
        inside = _either(words)
        words.expect(")")
        return inside
    left = _value(words)
    operator = words.ahead.lower()
    if operator.lstrip("!") in ("in", "in~"):
        words.take()
        return _membership(left, operator, _list(words))
    if operator not in _COMPARISONS:
        return lambda row: bool(left(row))
    words.take()
    right, compare = _value(words), _COMPARISONS[operator]
    return lambda row: compare(_text(left(row)), _text(right(row)))


def _membership(left: Value, operator: str, options: list[Value]) -> Value:
    same = str.casefold if operator.endswith("~") else str
    wanted = not operator.startswith("!")
    return lambda row: (same(_text(left(row))) in {same(_text(o(row))) for o in options}) is wanted


def _list(words: _Words) -> list[Value]:
    words.expect("(")
    found = [_value(words)]
    while words.accept(","):
        found.append(_value(words))
    words.expect(")")
    return found


def _value(words: _Words) -> Value:
    token = words.take()
    if token[0] in "'\"":
        literal = re.sub(r"\\(.)", r"\1", token[1:-1])
        return lambda _row: literal
    if token.isdigit():
        return lambda _row: int(token)
    if not re.match(r"[A-Za-z_$]", token):
        raise QueryError(f"A value was expected, not '{token}'.")
    if words.accept("("):
        return _function(token.lower(), words)
    return _path(token, words)


def _function(name: str, words: _Words) -> Value:
    inside = _either(words) if name == "not" else _value(words)
    words.expect(")")
    if name not in _FUNCTIONS:
        raise QueryError(f"The function '{name}' is not known.")
    work = _FUNCTIONS[name]
    return lambda row: work(inside(row))


def _path(first: str, words: _Words) -> Value:
    keys = [first]
    while opening := words.accept(".", "["):
        key = words.take()
        keys.append(key[1:-1] if key[0] in "'\"" else key)
        if opening == "[":
            words.expect("]")
    return lambda row: _dig(row, keys)


def _dig(row: Mapping[str, Any], keys: Sequence[str]) -> object:
    found: Any = row
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _text(value: object) -> str:
    return "" if value is None else str(value)


_COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "=~": lambda a, b: a.casefold() == b.casefold(),
    "!~": lambda a, b: a.casefold() != b.casefold(),
    "contains": lambda a, b: b.casefold() in a.casefold(),
    "!contains": lambda a, b: b.casefold() not in a.casefold(),
    "startswith": lambda a, b: a.casefold().startswith(b.casefold()),
    "endswith": lambda a, b: a.casefold().endswith(b.casefold()),
    "has": lambda a, b: b.casefold() in re.split(r"[^0-9a-z]+", a.casefold()),
    "!has": lambda a, b: b.casefold() not in re.split(r"[^0-9a-z]+", a.casefold()),
}
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "tolower": lambda value: _text(value).lower(),
    "toupper": lambda value: _text(value).upper(),
    "tostring": _text,
    "isempty": lambda value: _text(value) == "",
    "isnotempty": lambda value: _text(value) != "",
    "not": lambda value: not value,
}
