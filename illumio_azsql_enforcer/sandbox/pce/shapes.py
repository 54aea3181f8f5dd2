"""What a request body may look like: small checks, and the PCE's own words for what is wrong.

A check takes a value and its JSON pointer and yields one sentence for each fault, worded like the JSON schema validator
behind the PCE: token `input_validation_error`, message "Input validation failed. Details: {…}" (REST API guide).
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

Json = dict[str, Any]
JsonValue = Any  # a part of it
Check = Callable[[object, str], Iterator[str]]

_NAMES: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}
_HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


def _wrong_type(value: object, at: str, wanted: str) -> str:
    return f"The property '{at}' of type {_NAMES[type(value)]} did not match the following type: {wanted}"


def typed(*kinds: type) -> Check:
    """A value of one of these JSON types; a boolean is no integer."""

    def check(value: object, at: str) -> Iterator[str]:
        if type(value) not in kinds:
            yield _wrong_type(value, at, ", ".join(_NAMES[kind] for kind in kinds))

    return check


def integer(least: int, most: int) -> Check:
    """A whole number within both ends."""

    def check(value: object, at: str) -> Iterator[str]:
        if type(value) is not int:
            yield _wrong_type(value, at, "integer")
        elif not least <= value <= most:
            yield f"The property '{at}' with value {value} is not between {least} and {most}"

    return check


def one_of(*choices: object) -> Check:
    """One of these values."""

    def check(value: object, at: str) -> Iterator[str]:
        if value not in choices:
            listed = ", ".join(str(choice) for choice in choices)
            yield f"The property '{at}' value {msgspec.json.encode(value).decode()} did not match one of: {listed}"

    return check


def nullable(inner: Check) -> Check:
    """Null, or what `inner` takes."""

    def check(value: object, at: str) -> Iterator[str]:
        if value is not None:
            yield from inner(value, at)

    return check


def array(inner: Check, *, least: int = 0, most: int | None = None) -> Check:
    """A list whose items all pass `inner`."""

    def check(value: object, at: str) -> Iterator[str]:
        if type(value) is not list:
            yield _wrong_type(value, at, "array")
            return
        if len(value) < least:
            yield f"The property '{at}' did not contain a minimum number of items {least}"
        if most is not None and len(value) > most:
            yield f"The property '{at}' had more items than the allowed {most}"
        for index, item in enumerate(value):
            yield from inner(item, f"{at.rstrip('/')}/{index}")

    return check


def additional(names: list[str], at: str) -> str:
    """The words for properties that are not in the schema."""
    listed = msgspec.json.encode(names).decode().replace(",", ", ")
    return f"The property '{at}' contains additional properties {listed} outside of the schema when none are allowed"


def record(fields: Mapping[str, Check], *, required: tuple[str, ...] = ()) -> Check:
    """An object with no other properties than these (`additionalProperties` is false in every published schema)."""

    def check(value: object, at: str) -> Iterator[str]:
        if type(value) is not dict:
            yield _wrong_type(value, at, "object")
            return
        extra = [name for name in value if name not in fields]
        if extra:
            yield additional(extra, at)
        for name in required:
            if name not in value:
                yield f"The property '{at}' did not contain a required property of '{name}'"
        for name, item in value.items():
            if name in fields:
                yield from fields[name](item, f"{at.rstrip('/')}/{name}")

    return check


def any_of(*checks: Check) -> Check:
    """A value that passes at least one of the checks."""

    def check(value: object, at: str) -> Iterator[str]:
        if all(next(inner(value, at), None) for inner in checks):
            yield f"The property '{at}' did not match any of the required schemas"

    return check


def single(fields: Mapping[str, Check], beside: Mapping[str, Check]) -> Check:
    """An object with exactly one of `fields`, and whatever of `beside`: a rule's actor, a scope's item."""
    whole = record({**fields, **beside})

    def check(value: object, at: str) -> Iterator[str]:
        yield from whole(value, at)
        if type(value) is dict and sum(name in value for name in fields) != 1:
            yield f"The property '{at}' must name exactly one of: {', '.join(fields)}"

    return check


def address(value: object, at: str) -> Iterator[str]:
    """An IPv4 or IPv6 address, without a mask."""
    if not _is(ipaddress.ip_address, value):
        yield f"The property '{at}' is not an IP address"


def address_or_network(value: object, at: str) -> Iterator[str]:
    """An address, or a network in CIDR notation; host bits are taken (the PCE stores them as they come)."""
    if not _is(ipaddress.ip_interface, value):
        yield f"The property '{at}' is not an IP address or a CIDR block"


def fqdn(value: object, at: str) -> Iterator[str]:
    """A domain name; the first label may be a `*`."""
    labels = value.removesuffix(".").split(".") if type(value) is str else [""]
    if not all(label == "*" or _HOST_LABEL.fullmatch(label) for label in labels):
        yield f"The property '{at}' is not a domain name"


def _is(parse: Callable[[Any], object], value: object) -> bool:
    try:
        parse(value)
    except ValueError:
        return False
    return type(value) is str


TEXT = typed(str)
OPTIONAL_TEXT = typed(str, type(None))
FLAG = typed(bool)
REFERENCE = record({"href": TEXT}, required=("href",))
EXTERNAL: dict[str, Check] = {"external_data_set": OPTIONAL_TEXT, "external_data_reference": OPTIONAL_TEXT}
PORT = integer(0, 65535)
