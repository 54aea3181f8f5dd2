"""JSON of the PCE straight into the structs of `model.policy`, and which object it was that did not fit."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from illumio_azsql_enforcer.errors import PceInvalidAnswer
from illumio_azsql_enforcer.pce.wording import CutAnswer, plain

T = TypeVar("T")
Body = bytes | bytearray
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@contextmanager
def collector_off() -> Iterator[None]:
    """No cycle collection inside: it would walk millions of fresh objects that hold no cycles, again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def decode_list(body: Body, type_: type[T], what: str) -> list[T]:
    """The objects of a collection. `what` names it in errors.

    Raises PceInvalidAnswer: no JSON, no list, or an object that does not fit, named by its href and name.
    """
    try:
        with collector_off():
            items = msgspec.json.decode(body, type=list[type_])  # type: ignore[valid-type]
    except msgspec.ValidationError as misfit:
        problem = _offender(body, type_, what, misfit)
    except _BROKEN as broken:
        problem = no_json(body, what, broken)
    else:
        return items
    raise problem


def decode_one(body: Body, type_: type[T], what: str) -> T:
    """One object. Raises PceInvalidAnswer like `decode_list`."""
    try:
        one = msgspec.json.decode(body, type=type_)
    except msgspec.ValidationError as misfit:
        problem = _wrong(what, misfit)
    except _BROKEN as broken:
        problem = no_json(body, what, broken)
    else:
        return one
    raise problem


def no_json(body: Body, what: str, broken: Exception) -> PceInvalidAnswer:
    """What a body is that cannot be parsed: HTML of something in between, cut off, or damaged."""
    start = bytes(body[:64]).lstrip()
    if start.startswith(b"<"):
        return PceInvalidAnswer(
            f"The PCE sent HTML instead of JSON for {what}: check that pce.url is the PCE, not a portal or a proxy."
        )
    if not start or "truncated" in str(broken):
        return CutAnswer(f"The PCE sent {what} cut off: the JSON ends too early.")
    return PceInvalidAnswer(f"The PCE sent {what} as JSON that cannot be read: {plain(str(broken))}.")


def _offender(body: Body, type_: type[T], what: str, misfit: Exception) -> PceInvalidAnswer:
    """The first object of the list that does not fit `type_`, in words."""
    decoder = msgspec.json.Decoder(type_)
    try:
        for index, raw in enumerate(msgspec.json.decode(body, type=list[msgspec.Raw])):
            if own := _misfit(raw, decoder):
                return _wrong(f"{what} with {_who(raw, index)}", own)
    except msgspec.ValidationError:  # no list at all
        return _wrong(what, misfit)
    except _BROKEN as broken:
        return no_json(body, what, broken)
    return _wrong(what, misfit)


def _wrong(what: str, misfit: Exception) -> PceInvalidAnswer:
    return PceInvalidAnswer(f"The PCE sent {what} in a wrong shape: {plain(str(misfit))}.")


def _misfit(raw: msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> msgspec.ValidationError | None:
    try:
        decoder.decode(raw)
    except msgspec.ValidationError as misfit:
        return misfit
    return None


def _who(raw: msgspec.Raw, index: int) -> str:
    """The object's href and name where it has such, else its place in the list."""
    told = msgspec.json.decode(raw)
    known = [told[key] for key in ("href", "name") if isinstance(told, dict) and isinstance(told.get(key), str)]
    return plain(" ".join(known)) if known else f"element {index}"
