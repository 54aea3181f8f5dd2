"""What goes back and forth between a client and a simulator, and the faults that are planned for it."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Self
from urllib.parse import parse_qsl

from illumio_azsql_enforcer.secret import Secret

SECRET_HEADERS = frozenset({"authorization", "cookie", "x-identity-header"})
NOT_SHOWN = "(not shown)"
CONTROL = "/sandbox/"  # paths for steering a simulator from outside: not in the journal, no latency, no faults


@dataclass(slots=True)
class Request:
    """One request as it arrived, and, once answered, what became of it: an entry of the journal."""

    number: int  # over all servers of this process, in order of arrival
    at: datetime  # on the simulator's clock
    server: str  # the name of the WireServer
    method: str
    target: str  # path and query exactly as sent
    path: str  # raw path: percent-encoded, dot segments and double slashes as sent
    decoded: str  # path with %XX undone
    query: dict[str, str]  # decoded; the last value of a repeated name
    headers: dict[str, str]  # lower-case names; secret values are "(not shown)"
    body: bytes = field(repr=False)
    secrets: dict[str, Secret] = field(default_factory=dict)  # the secret headers, by lower-case name
    status: int | None = None  # None: not answered (yet), or the answer was lost
    effect: str = ""  # what the simulator did, for people and assertions
    fault: str = ""  # the name of the fault that was played

    @property
    def authorization(self) -> Secret | None:
        """The Authorization header."""
        return self.secrets.get("authorization")

    @property
    def query_items(self) -> list[tuple[str, str]]:
        """Every pair of the query in order, repeated names included."""
        return parse_qsl(self.target.partition("?")[2], keep_blank_values=True)

    def json(self) -> object:
        """The body as JSON. Raises ValueError."""
        value: object = json.loads(self.body)
        return value

    def as_dict(self) -> dict[str, Any]:
        """The entry as plain values, for printing or sending; without the credential."""
        names = ("number", "server", "method", "target", "decoded", "query", "headers", "status", "effect", "fault")
        shown = {name: getattr(self, name) for name in names}
        return shown | {"at": self.at.isoformat(), "body": self.body.decode("utf-8", "replace")}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. Content-Length and Date are added on the way out."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, status: int, value: object, headers: Mapping[str, str] | None = None) -> Self:
        """An answer of compact JSON."""
        body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
        return cls(status, body, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong with one request. Without `reply` and `reset` the request is answered as usual.

    In order: `act` runs (the world changes under the client's feet); with `effect` the request is carried out;
    the connection stalls; then it is reset, or `reply` is sent instead of the real answer, or the real answer is.
    """

    name: str
    reply: Reply | Callable[[Request], Reply] | None = None
    effect: bool = False  # carry the request out, although its answer is replaced or lost
    reset: bool = False  # end the connection with a TCP reset instead of an answer
    stall: float = 0.0  # real seconds; ended early by `stop`
    truncate: bool = False  # send half of the body that Content-Length promises, then close
    act: Callable[[Request], None] | None = None


@dataclass(slots=True)
class PlannedFault:
    """A fault that waits for its requests. `played` counts how often it was used; `times=0` cancels it."""

    fault: Fault
    method: str
    path: str
    server: str
    times: float
    skip: int
    when: Callable[[Request], bool] | None
    played: int = 0

    def matches(self, request: Request) -> bool:
        """Method, decoded path (without case) and server fit the patterns, and so does `when`."""
        fits = fnmatchcase(request.method, self.method) and fnmatchcase(request.decoded.lower(), self.path.lower())
        return fits and fnmatchcase(request.server, self.server) and (self.when is None or self.when(request))


class Faults:
    """The faults that are planned; the first that matches a request is played, and is used up after `times`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[PlannedFault] = []

    def add(
        self,
        fault: Fault,
        *,
        method: str = "*",
        path: str = "*",
        server: str = "*",
        times: float = 1,
        skip: int = 0,
        when: Callable[[Request], bool] | None = None,
    ) -> PlannedFault:
        """Plan a fault for the requests that match shell patterns of method and decoded path (`*` spans slashes).

        `server` is the WireServer's name, where several share these faults. `skip` lets that
        many matching requests pass first; `times=math.inf` never ends.
        """
        planned = PlannedFault(fault, method, path, server, times, skip, when)
        with self._lock:
            self._planned.append(planned)
        return planned

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._planned.clear()

    def take(self, request: Request) -> Fault | None:
        """The fault for this request, or None."""
        with self._lock:
            for planned in self._planned:
                if planned.played < planned.times and planned.matches(request):
                    if planned.skip > 0:
                        planned.skip -= 1
                        continue
                    planned.played += 1
                    return planned.fault
        return None
