"""A YAML file as a tree of nodes that know their line: no Python objects, bounded in size, depth and number."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from illumio_azsql_enforcer.errors import ConfigError, Problem
from illumio_azsql_enforcer.text import printable

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 50_000

_STANDARD = "tag:yaml.org,2002:"
_KINDS = {_STANDARD + kind: kind for kind in ("str", "int", "float", "bool", "null", "timestamp")}
_KINDS |= {_STANDARD + "value": "str", _STANDARD + "merge": "str"}  # a lone `=` or `<<` is text


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value as it is written, and what YAML would read it as."""

    text: str
    kind: str  # str, int, float, bool, null or timestamp
    line: int
    origin: str | None = None  # the environment variable that stands in for the file


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: "tuple[Node, ...]"
    line: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key: value`."""

    key: Scalar
    value: "Node"


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in the order of the file; a key may be there twice."""

    entries: tuple[Entry, ...]
    line: int


Node = Scalar | Sequence | Mapping


def read(path: Path) -> Node | None:
    """The tree of the one document in the file, None when it is empty. Raises ConfigError."""
    name = printable(str(path))
    text = _decoded(_content(path, name), name)
    try:
        return _tree(text)
    except _Malformed as malformed:
        raise ConfigError(problems=(Problem(name, malformed.line, "", malformed.message),)) from None


class _Malformed(Exception):
    """What makes the whole file unusable."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


def _content(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"Cannot read the config file {name}: {error.strerror or 'the path is no file name'}."
        ) from None
    except ValueError:  # a NUL byte in the path
        raise ConfigError(f"Cannot read the config file {name}: the path is no file name.") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"The config file {name} is too large: at most {MAX_BYTES} bytes are read.")
    return content


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = Problem(name, line, "", "the file is not UTF-8 text; save it as UTF-8")
        raise ConfigError(problems=(problem,)) from None


class _Composer(yaml.SafeLoader):
    """The composer of SafeLoader (which knows no Python objects) with a bound on depth and on nodes."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        self._nodes += 1
        if self._depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise _too_much(self.line + 1)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _too_much(line: int) -> _Malformed:
    return _Malformed(line, f"the file is nested deeper than {MAX_DEPTH} levels or holds more than {MAX_NODES} values")


def _tree(text: str) -> Node | None:
    root = _composed(text)
    return None if root is None else _Conversion().node(root, 0, 1)


def _composed(text: str) -> yaml.Node | None:
    try:
        loader = _Composer(text)
        return loader.get_single_node()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _Malformed(line, "the file holds a control character; remove it, or write it as an escape") from None
    except yaml.MarkedYAMLError as error:
        raise _explained(error, text) from None
    except (ValueError, OverflowError):  # PyYAML's own: an escape such as \UFFFFFFFF, an endless %YAML version
        raise _Malformed(loader.line + 1, "not valid YAML: a number or an escape that has no meaning") from None


def _explained(error: yaml.MarkedYAMLError, text: str) -> _Malformed:
    """YAML's complaint in our words: PyYAML's quotes the file, which may hold a secret in clear."""
    mark = error.problem_mark or error.context_mark
    number = mark.line if mark else 0
    return _Malformed(number + 1, f"not valid YAML: {_advice(error, _line(text, number))}")


def _line(text: str, number: int) -> str:
    return next((line for at, line in enumerate(text.splitlines()) if at == number), "")


def _advice(error: yaml.MarkedYAMLError, line: str) -> str:
    complaint = error.problem or ""
    if "'\\t'" in complaint or "\t" in line[: len(line) - len(line.lstrip())]:
        return "a tab; indent with spaces"
    if re.search(r"\balias\b|\banchor\b", f"{error.context} {complaint}"):
        return 'a value that begins with * or & is an alias or an anchor; quote it, as in "*"'
    if "${" in line:
        return 'a value with ${...} inside [ ] or { } needs quotes, as in ["${env:NAME}"]'
    if "another document" in complaint:
        return "a second document begins here; keep one"
    return _COMMON.get(complaint, "check the indentation, the quotes and the colons around this line")


_COMMON = {
    "mapping values are not allowed here": "a colon inside a value or wrong indentation; quote a value that holds ': '",
    "could not find expected ':'": "a key without its ': '; write it as key: value",
    "found unexpected end of stream": "a quote that is never closed",
}


class _Conversion:
    """Turns PyYAML's graph into a tree. Aliases are written out, within the bounds: a cycle meets MAX_DEPTH."""

    def __init__(self) -> None:
        self._left = MAX_NODES

    def node(self, node: yaml.Node, depth: int, line: int) -> Node:
        """`line` is that of the place where the node is used, which for an alias is not where it is written."""
        self._left -= 1
        line = max(line, node.start_mark.line + 1)
        if depth > MAX_DEPTH or self._left < 0:
            raise _too_much(line)
        if isinstance(node, yaml.MappingNode) and node.tag == _STANDARD + "map":
            return Mapping(tuple(self._entries(node, depth, line)), line)
        if isinstance(node, yaml.SequenceNode) and node.tag == _STANDARD + "seq":
            return Sequence(tuple(self.node(item, depth + 1, line) for item in node.value), line)
        return _scalar(node, line)

    def _entries(self, node: yaml.MappingNode, depth: int, line: int) -> Iterator[Entry]:
        merges = []
        own = set()
        for key, value in node.value:
            at = max(line, key.start_mark.line + 1)
            if key.tag == _STANDARD + "merge":
                merges.append((value, at))
                continue
            entry = Entry(_scalar(key, at), self.node(value, depth + 1, at))
            own.add(entry.key.text)
            yield entry
        for value, at in merges:
            yield from self._merged(value, depth, at, own)

    def _merged(self, node: yaml.Node, depth: int, line: int, own: set[str]) -> Iterator[Entry]:
        """The entries that a merge key (`<<: *base`) adds: those that are not there yet."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            mapping = self.node(source, depth + 1, line)
            if not isinstance(mapping, Mapping):
                raise _Malformed(line, "a merge key (<<) takes a mapping; write <<: *anchor")
            added = [entry for entry in mapping.entries if entry.key.text not in own]
            yield from added
            own |= {entry.key.text for entry in added}


def _scalar(node: yaml.Node, line: int) -> Scalar:
    if not isinstance(node, yaml.ScalarNode) and node.tag in {_STANDARD + "map", _STANDARD + "seq"}:
        raise _Malformed(line, "a key that is a list or a mapping; a key is plain text")
    kind = _KINDS.get(node.tag)
    if kind is None or not isinstance(node, yaml.ScalarNode):
        raise _Malformed(line, "a tag (!...) that is not used here; remove it, or quote a text that begins with !")
    return Scalar(node.value, kind, line)
