"""One HTTP answer of the PCE, and the paths that may be asked for next."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from illumio_azsql_enforcer.clock import Clock
from illumio_azsql_enforcer.errors import PceInvalidAnswer
from illumio_azsql_enforcer.retrying import Deadline

T = TypeVar("T")

API = "/api/v2"
LONGEST_PATH = 1024
# Plain segments only: no query, no escapes, no dot segments. An href is data, and must not lead anywhere else.
_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9_.~:@-]+)+")
_SECONDS = re.compile(r"\d{1,9}")


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (looked up without case) and the decompressed body."""

    status: int
    headers: Mapping[str, str]
    body: bytes | bytearray = field(repr=False)

    @property
    def total(self) -> int | None:
        """`X-Total-Count`: how many objects the collection holds; None when the PCE does not tell."""
        said = self.headers.get("X-Total-Count", "")
        return int(said) if _SECONDS.fullmatch(said) else None

    @property
    def date(self) -> datetime | None:
        """`Date`: the PCE's own clock; None when missing or unreadable."""
        return _http_date(self.headers.get("Date", ""))

    def retry_after(self, clock: Clock) -> float | None:
        """`Retry-After` in seconds, from a number or an HTTP date; None when missing or unreadable."""
        said = self.headers.get("Retry-After", "").strip()
        if _SECONDS.fullmatch(said):
            return float(said)
        moment = _http_date(said)
        return max(0.0, (moment - clock.now()).total_seconds()) if moment else None


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Fetcher(Protocol):
    """What the rest of this room needs of the client."""

    @property
    def clock(self) -> Clock:
        """The clock that waits."""
        ...

    def fetch(
        self,
        path: str,
        read: Callable[[Answer], T],
        deadline: Deadline,
        *,
        params: Mapping[str, str] | None = None,
        asynchronous: bool = False,
    ) -> T:
        """`read` of the answer to a GET of `path`, tried again where that can help."""
        ...

    def quote(self, text: str) -> str:
        """`text` of the PCE, fit for a sentence to an operator."""
        ...


def is_path(path: str) -> bool:
    """Whether `path` may be put into a request: `/orgs/7/labels`, without the `/api/v2`."""
    return len(path) <= LONGEST_PATH and _PATH.fullmatch(path) is not None


def own_path(location: object) -> str:
    """The path in a `Location` or `href`, whatever host it names: the only host ever asked is the configured one.

    The guide shows an absolute URL, clients also see `/api/v2/orgs/…` and `/orgs/…`.
    Raises PceInvalidAnswer for anything else.
    """
    path = _path_part(location).removeprefix(API)
    if not path.startswith("/orgs/") or not is_path(path):
        raise PceInvalidAnswer(
            "The PCE points to an answer (Location or result.href) in a way that cannot be followed."
        )
    return path


def _path_part(location: object) -> str:
    try:
        return urlsplit(location).path if isinstance(location, str) else ""
    except ValueError:
        return ""
