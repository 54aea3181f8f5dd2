"""Readers of one value: text, words, numbers, durations, sizes, paths, addresses."""

import re
import ssl
import unicodedata
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from illumio_azsql_enforcer.addresses import Range, cidr, parse_address
from illumio_azsql_enforcer.config.document import Scalar
from illumio_azsql_enforcer.config.references import Unresolved, resolve
from illumio_azsql_enforcer.config.slots import Reader, Slot, T, quoted

_READ_AS = {"int": "a number", "float": "a number", "bool": "true or false", "null": "nothing", "timestamp": "a date"}
_UNWANTED = {"Cc", "Cs", "Zl", "Zp"}  # control characters, halves of surrogates, line and paragraph separators
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_BYTES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def word(slot: Slot) -> str:
    """The text of one value, references replaced, whatever YAML would read it as. Never empty, no control character."""
    if not isinstance(slot.node, Scalar):
        raise slot.wrong("one value is wanted here, not a list or a mapping")
    if slot.node.kind == "null":
        raise slot.wrong("there is no value; write one, or remove the line")
    value = slot.node.text if slot.node.origin else _resolved(slot, slot.node.text)
    if not value:
        raise slot.wrong(f"{slot.shown} is empty; write a value")
    if any(unicodedata.category(c) in _UNWANTED for c in value):
        raise slot.wrong(f"{slot.shown} holds a line break or a control character; remove it")
    return value


def _resolved(slot: Slot, raw: str) -> str:
    try:
        return resolve(raw, slot.environ)
    except Unresolved as unresolved:
        raise slot.wrong(str(unresolved)) from None


def text(slot: Slot, wanted: str = "") -> str:
    """The text of one value that YAML reads as text too; `wanted` completes the advice for anything else."""
    if isinstance(slot.node, Scalar) and slot.node.kind != "str":
        raw = "this value" if slot.secret else slot.node.text or "an empty value"
        quotes = "" if slot.secret or not slot.node.text else f": {quoted(slot.node.text)}"
        advice = f"; {wanted} is wanted" if wanted else ""
        raise slot.wrong(f"YAML reads {raw} as {_READ_AS[slot.node.kind]}, not as text; quote it{quotes}{advice}")
    return word(slot)


def matching(pattern: str, wanted: str) -> Reader[str]:
    """A text that `pattern` matches as a whole."""
    compiled = re.compile(pattern)

    def read(slot: Slot) -> str:
        value = text(slot)
        if not compiled.fullmatch(value):
            raise slot.wrong(f"{slot.shown} does not fit; write {wanted}")
        return value

    return read


def guid(slot: Slot) -> str:
    """A GUID, in lower case."""
    value = text(slot).lower()
    if not _GUID.fullmatch(value):
        raise slot.wrong(f"{slot.shown} is no GUID; write it as 00000000-0000-0000-0000-000000000000")
    return value


def choice(options: Mapping[str, T]) -> Reader[T]:
    """One of some words, and what it stands for."""

    def read(slot: Slot) -> T:
        value = word(slot)
        if value in options:
            return options[value]
        near = "" if slot.secret else nearest(value, options)
        raise slot.wrong(f"{slot.shown} is not known here; write one of {', '.join(options)}{near}")

    return read


def nearest(name: str, known: Mapping[str, object]) -> str:
    """A hint at the known name that looks most like `name`, or nothing."""
    close = get_close_matches(name.lower().replace("-", "_"), known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def boolean(slot: Slot) -> bool:
    """`true` or `false`; the other words of YAML 1.1 (yes, on, …) mislead more than they help."""
    value = word(slot)
    if value.lower() not in {"true", "false"}:
        raise slot.wrong(f"{slot.shown} is neither true nor false; write true or false")
    return value.lower() == "true"


def integer(low: int, high: int | None = None) -> Reader[int]:
    """A whole number in plain digits, from `low` to `high`."""
    limits = f"from {low} to {high}" if high is not None else f"of at least {low}"

    def read(slot: Slot) -> int:
        value = word(slot)
        if not re.fullmatch(r"-?(0|[1-9][0-9]*)", value, re.ASCII):
            raise slot.wrong(f"{slot.shown} is no whole number in plain digits; write a number {limits}")
        if len(value) > 18 or not low <= int(value) <= (high if high is not None else int(value)):
            raise slot.wrong(f"{slot.shown} is out of range; write a number {limits}")
        return int(value)

    return read


def duration(low: str, high: str) -> Reader[float]:
    """A duration in seconds, from `low` to `high`."""
    least, most = _seconds(low), _seconds(high)

    def read(slot: Slot) -> float:
        value = _seconds(text(slot, "a duration such as 30s, 5m or 1h"))
        if value is None:
            raise slot.wrong(f"{slot.shown} is no duration; write one whole number and its unit, such as 30s, 5m or 1h")
        if least is None or most is None or not least <= value <= most:
            raise slot.wrong(f"{slot.shown} is out of range; write a duration from {low} to {high}")
        return value

    return read


def _seconds(value: str) -> float | None:
    match = re.fullmatch(r"([0-9]{1,9})([smh])", value)
    return float(int(match[1]) * _SECONDS[match[2]]) if match else None


def size(slot: Slot) -> int:
    """A number of bytes, from 1 KiB to 64 GiB."""
    match = re.fullmatch(r"([0-9]{1,9})(KiB|MiB|GiB)", text(slot, "a size such as 512MiB or 1GiB"))
    if not match:
        raise slot.wrong(f"{slot.shown} is no size; write a whole number and its unit, such as 512KiB, 64MiB or 1GiB")
    value = int(match[1]) * _BYTES[match[2]]
    if not 1 << 10 <= value <= 64 << 30:
        raise slot.wrong(f"{slot.shown} is out of range; write a size from 1KiB to 64GiB")
    return value


def absolute_path(slot: Slot) -> Path:
    """A path from the root."""
    path = Path(text(slot))
    if not path.is_absolute():
        raise slot.wrong(f"{slot.shown} is no absolute path; write it from the root, as /path/to/it")
    return path


def ca_file(slot: Slot) -> Path:
    """The path of a PEM bundle that can be read now and holds certificates."""
    path = absolute_path(slot)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise slot.wrong(f"{slot.shown} holds no usable certificate; name a bundle of PEM certificates") from None
    except OSError as error:
        raise slot.wrong(f"{slot.shown} cannot be read: {error.strerror}; name a bundle of PEM certificates") from None
    return path


def block(slot: Slot) -> Range:
    """One CIDR block, or one address."""
    value = text(slot)
    found = _block(value)
    if found is None:
        raise slot.wrong(f"{slot.shown} is no IPv4 block; write it as 10.20.0.0/16, with no bits behind the prefix")
    return found


def addresses(slot: Slot) -> Range:
    """An address, a CIDR block, or a range `first-last`."""
    value = text(slot)
    first, dash, last = value.partition("-")
    try:
        found = Range.parse(first.strip(), last.strip()) if dash else _block(value)
    except ValueError:
        found = None
    if found is None:
        raise slot.wrong(
            f"{slot.shown} is no IPv4 range; write it as 203.0.113.7, 203.0.113.8/31 or 203.0.113.7-203.0.113.9"
        )
    return found


def _block(value: str) -> Range | None:
    """The range of an address or of a CIDR block without host bits; None for anything else."""
    start, slash, prefix = value.partition("/")
    if slash and not re.fullmatch(r"0|[1-9][0-9]?", prefix, re.ASCII):
        return None
    try:
        found = cidr(parse_address(start), int(prefix or 32))
    except ValueError:
        return None
    return found if found.start == start else None
