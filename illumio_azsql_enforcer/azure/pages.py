"""Reads a list of Azure Resource Manager whole: every page, or an error."""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import msgspec

from illumio_azsql_enforcer.azure.failures import Answer, Operation, invalid
from illumio_azsql_enforcer.azure.pipeline import origin
from illumio_azsql_enforcer.text import printable

MOST_PAGES = 1000  # far above any real list; ends a list that never ends

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T]):
    """One page of a list: `{"value": [...], "nextLink": "https://..."}`."""

    value: list[T]


class _Link(msgspec.Struct):
    next_link: str | None = msgspec.field(name="nextLink", default=None)


_LINK = msgspec.json.Decoder(_Link)


def all_pages(get: Callable[[str], Answer], first: str, operation: Operation) -> list[Answer]:
    """Every page of a list, beginning with the absolute URL `first`. Raises ArmError.

    A link to the next page is followed as it is, but never to another scheme, host or port: the token goes along.
    """
    pages: list[Answer] = []
    seen = {first}
    url: str | None = first
    while url:
        answer = get(url)
        pages.append(answer)
        url = _next(decoded(answer, _LINK, operation).next_link, first, seen, operation, answer)
    return pages


def items_of(pages: Iterable[Answer], page: msgspec.json.Decoder[Page[T]], operation: Operation) -> list[T]:
    """The items of the pages. Raises ArmInvalidAnswer."""
    return [item for answer in pages for item in decoded(answer, page, operation).value]


def decoded(answer: Answer, decoder: msgspec.json.Decoder[T], operation: Operation) -> T:
    """The body of an answer. Raises ArmInvalidAnswer."""
    try:
        return decoder.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid(operation, str(error) if answer.body else "it is empty", answer) from error


def _next(link: str | None, first: str, seen: set[str], operation: Operation, answer: Answer) -> str | None:
    if not link:
        return None
    # The SDK would take braces for its own placeholders and drop them.
    url = link.replace("{", "%7B").replace("}", "%7D")
    if not _same_place(url, first):
        raise invalid(operation, f"its next page is at {printable(link, 120)}, which is not Azure's address", answer)
    if url in seen or len(seen) >= MOST_PAGES:
        raise invalid(operation, f"its pages do not end ({len(seen)} read)", answer)
    seen.add(url)
    return url


def _same_place(url: str, first: str) -> bool:
    """Same origin; no user part, no backslash, nothing that two parsers of URLs could read in two ways."""
    plain = url.isascii() and url.isprintable() and not set(url) & set(' \\@"<>^`|')
    try:
        return plain and origin(url) == origin(first)
    except ValueError:
        return False
