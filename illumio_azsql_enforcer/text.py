"""Text from the PCE or Azure is data: this makes it safe to show. And how texts of ours are put together."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase


def printable(text: str, limit: int | None = None) -> str:
    """The text on one line, control characters as escapes, cut at `limit` characters with an ellipsis."""
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def fits_any(name: str, patterns: Iterable[str]) -> bool:
    """Whether the name fits one of the shell patterns; case does not count."""
    return any(fnmatchcase(name.casefold(), pattern.casefold()) for pattern in patterns)


def sentence(text: str) -> str:
    """The text with a capital at its beginning and one full stop at its end."""
    return f"{text[:1].upper()}{text[1:].rstrip('. ')}."


def shortened(names: Sequence[str], most: int) -> str:
    """`a, b, c and 4 more`: at most so many of the names."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def plural(count: int, noun: str) -> str:
    """`1 rule`, `2,000 rules`, `3 addresses`, `4 entries`."""
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("s"):
        return f"{count:,} {noun}es"
    return f"{count:,} {noun[:-1]}ies" if noun.endswith(("cy", "ry")) else f"{count:,} {noun}s"
