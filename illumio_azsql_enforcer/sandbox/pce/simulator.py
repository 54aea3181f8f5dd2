"""A PCE on this machine: starts and stops, and shows what it was asked."""

from types import TracebackType
from typing import Self

from illumio_azsql_enforcer.clock import Clock, SystemClock
from illumio_azsql_enforcer.sandbox.pce.app import App
from illumio_azsql_enforcer.sandbox.pce.behaviour import Behaviour
from illumio_azsql_enforcer.sandbox.pce.console import Console
from illumio_azsql_enforcer.sandbox.pce.control import Control
from illumio_azsql_enforcer.sandbox.pce.org import Org
from illumio_azsql_enforcer.sandbox.pce.release import Release
from illumio_azsql_enforcer.sandbox.pce.replies import dressed
from illumio_azsql_enforcer.sandbox.pce.routes import Routes
from illumio_azsql_enforcer.sandbox.pce.seed import seed
from illumio_azsql_enforcer.sandbox.pce.views import Views
from illumio_azsql_enforcer.sandbox.wire import CONTROL, Faults, Reply, Request, WireServer

API_KEY = "api_1a2b3c4d5e6f70819"
API_SECRET = "4b0b5f6d7c8e9a0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c0d1e2f3a4b"  # noqa: S105 - of the sandbox alone


class PceSimulator:
    """A context manager: a PCE that answers on `url` until it is stopped.

    `console` edits its policy and workloads in process; the REST API does the same over HTTP. `journal` lists the
    requests, `faults` makes single requests go wrong (`faults` of this package has the usual ones), `behaviour`
    holds the switches that last.
    """

    def __init__(
        self,
        *,
        org_id: int = 1,
        api_key: str = API_KEY,
        api_secret: str = API_SECRET,
        release: str = "25.2.20",
        clock: Clock | None = None,
        port: int = 0,
        latency: float = 0.0,
    ) -> None:
        clock = clock or SystemClock()
        self.org_id, self.api_key, self.api_secret = org_id, api_key, api_secret
        self.release = Release.parse(release)
        self.behaviour = Behaviour()
        self._org = Org(org_id, self.release, clock)
        seed(self._org)
        views = Views(self._org)
        self.console = Console(self._org, views)
        routes = Routes(self._org, self.behaviour, views, lambda: self.url)
        self._app = App(self._org, self.behaviour, routes, (api_key, api_secret))
        self._server = WireServer(self._answer, name="pce", clock=clock, latency=latency, dress=dressed, port=port)
        self._started = False
        self._control = Control(self.console, self.behaviour, self.faults, self.journal)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`. Raises RuntimeError when not started."""
        return self._server.url

    @property
    def journal(self) -> list[Request]:
        """Every request, oldest first."""
        return self._server.journal

    @property
    def faults(self) -> Faults:
        """What goes wrong, once or for as long as planned."""
        return self._server.faults

    def _answer(self, request: Request) -> Reply:
        return (self._control if request.path.startswith(CONTROL) else self._app).answer(request)

    def start(self) -> Self:
        """Listen, unless it does already. Raises OSError when the port is taken."""
        if not self._started:
            self._server.start()
            self._started = True
        return self

    def stop(self) -> None:
        """End every connection. Raises the first defect of the simulator that a request met."""
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
