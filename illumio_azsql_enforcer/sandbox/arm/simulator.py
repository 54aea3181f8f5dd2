"""The facade: an Azure that runs in this process, for as long as a `with` block."""

import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from illumio_azsql_enforcer.clock import Clock, SystemClock
from illumio_azsql_enforcer.sandbox.arm.certificates import make_certificates
from illumio_azsql_enforcer.sandbox.arm.chance import Chance
from illumio_azsql_enforcer.sandbox.arm.control import Control
from illumio_azsql_enforcer.sandbox.arm.frontdoor import Call, FrontDoor, Handler
from illumio_azsql_enforcer.sandbox.arm.graph import ResourceGraph
from illumio_azsql_enforcer.sandbox.arm.neighbours import Children
from illumio_azsql_enforcer.sandbox.arm.permissions import Permissions
from illumio_azsql_enforcer.sandbox.arm.routes import Kind, is_catastrophe
from illumio_azsql_enforcer.sandbox.arm.rules import FirewallRules
from illumio_azsql_enforcer.sandbox.arm.servers import Pages, Servers
from illumio_azsql_enforcer.sandbox.arm.state import ArmState, Monitor
from illumio_azsql_enforcer.sandbox.arm.switches import Switches
from illumio_azsql_enforcer.sandbox.arm.throttle import Buckets
from illumio_azsql_enforcer.sandbox.arm.tokens import Identity, ManagedIdentities, TokenAuthority, TokenStore
from illumio_azsql_enforcer.sandbox.wire import CONTROL, Faults, Reply, Request, WireServer

PUBLIC_AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net")


class ArmSimulator:
    """Azure Resource Manager, Resource Graph, and the services that issue tokens for them, on free ports of 127.0.0.1.

    Use::

        with ArmSimulator() as azure:
            azure.state.add_subscription(SUBSCRIPTION)
            azure.state.add_server("orders-sql", subscription=SUBSCRIPTION, resource_group="data")
            os.environ.update(azure.environ)  # the managed identity of azure-identity now asks the simulator
            ...                               # ARM is at azure.url
            assert azure.state.rules("orders-sql") == {"illumio-192.0.2.1-192.0.2.1": ("192.0.2.1", "192.0.2.1")}
            assert azure.catastrophes == []

    `state` is the world behind ARM, `switches` say how it behaves where the real one is not certain, `faults` go wrong
    on demand, `journal` has every request. `latency` is in real seconds for each ARM request. With a `seed` the ids and
    tokens are the same each time.
    """

    def __init__(
        self,
        *,
        tls: bool = False,
        clock: Clock | None = None,
        latency: float = 0.0,
        switches: Switches | None = None,
        token_lifetime: float = 3600.0,
        port: int = 0,
        seed: int | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self.switches = switches or Switches()
        self.journal: list[Request] = []
        self.faults = Faults()
        self._chance = Chance(seed)
        self.tenant_id = self._chance.uuid()
        self.state = ArmState(self.clock, tenant=self.tenant_id)
        self.tokens = TokenStore(self.clock, self._chance, lifetime=token_lifetime)
        self.system_identity = Identity(self._chance.uuid(), self._chance.uuid())
        self.user_identities: dict[str, Identity] = {}  # by client id
        self.application = Identity(self._chance.uuid(), self._chance.uuid(), self._chance.hex(16))
        self.audiences: set[str] = set(PUBLIC_AUDIENCES)
        self.buckets = Buckets(self.clock, self.switches)
        self._directory = tempfile.TemporaryDirectory(prefix="sandbox-azure-")
        self.ca_file, context = make_certificates(Path(self._directory.name))
        self._door = FrontDoor(
            self.state, self.switches, self.tokens, self.buckets, self._handlers(), self.audiences, self._chance
        )
        self._control = Control(self.state, self.journal)
        self.identity_header = self._chance.hex(16)
        managed = ManagedIdentities(
            self.tokens, self.system_identity, self.user_identities, header=self.identity_header
        )
        self._authority = TokenAuthority(self.tokens, self.tenant_id, {self.application.client_id: self.application})
        wire = partial(WireServer, clock=self.clock, journal=self.journal, faults=self.faults)
        self._arm = wire(
            self._answer,
            name="arm",
            tls=context if tls else None,
            latency=latency,
            dress=self._door.dress,
            port=port,
        )
        self._imds = wire(managed.answer, name="tokens")
        self._sts = wire(self._authority.answer, name="authority", tls=context)

    @property
    def url(self) -> str:
        """ARM: http or https, 127.0.0.1, a port, no slash at the end."""
        return self._arm.url

    @property
    def tokens_url(self) -> str:
        """IMDS (plain http): the value for AZURE_POD_IDENTITY_AUTHORITY_HOST."""
        return self._imds.url

    @property
    def authority_url(self) -> str:
        """The STS, always https by `ca_file`: the value for AZURE_AUTHORITY_HOST."""
        return self._sts.url

    @property
    def environ(self) -> dict[str, str]:
        """What points azure-identity's managed identity here; unset every other AZURE_*, IDENTITY_*, MSI_*, *_PROXY."""
        return {
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": self.tokens_url,
            "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
        }

    @property
    def secret_environ(self) -> dict[str, str]:
        """What points azure-identity's EnvironmentCredential here, with a client secret."""
        return {
            "AZURE_AUTHORITY_HOST": self.authority_url,
            "AZURE_TENANT_ID": self.tenant_id,
            "AZURE_CLIENT_ID": self.application.client_id,
            "AZURE_CLIENT_SECRET": self.application.client_secret,
            "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
        }

    @property
    def monitor(self) -> Monitor | None:
        """Called under the state's mutex for each write that ARM accepts: server id, rules before, rules after.

        What it raises is raised again by `stop`.
        """
        return self.state.monitor

    @monitor.setter
    def monitor(self, monitor: Monitor | None) -> None:
        self.state.monitor = monitor

    @property
    def catastrophes(self) -> list[Request]:
        """The writes that must never be sent: of servers, of whole collections, … Tests want it empty."""
        return [r for r in list(self.journal) if r.server == "arm" and is_catastrophe(r)]

    def requests(self, *methods: str) -> list[Request]:
        """The journal's ARM requests, of some methods or of all; token requests left out."""
        return [r for r in list(self.journal) if r.server == "arm" and (not methods or r.method in methods)]

    def add_identity(self, client_id: str | None = None) -> Identity:
        """A user-assigned managed identity."""
        identity = Identity(client_id or self._chance.uuid(), self._chance.uuid())
        self.user_identities[identity.client_id] = identity
        return identity

    def start(self) -> Self:
        """Listen on all three ports."""
        self._arm.start()
        self._imds.start()
        self._sts.start()
        self._authority.url = self.authority_url
        self.audiences.add(self.url)
        return self

    def stop(self) -> None:
        """End everything. Raises what went wrong inside the simulator, or in the monitor, first."""
        try:
            with ExitStack() as stack:
                for server in (self._arm, self._imds, self._sts):
                    stack.callback(server.stop)
        finally:
            self._directory.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _answer(self, request: Request) -> Reply:
        return self._control.answer(request) if request.path.startswith(CONTROL) else self._door.answer(request)

    def _handlers(self) -> dict[Kind, Handler]:
        pages = Pages(lambda: self.url, self.switches)
        servers = Servers(self.state, self.switches, pages)
        children = Children(
            FirewallRules(self.state, self.switches, servers, pages, self._chance), self.state, servers, pages
        )
        return {
            Kind.SUBSCRIPTIONS: servers.subscriptions,
            Kind.SUBSCRIPTION: servers.subscription,
            Kind.TENANTS: servers.tenants,
            Kind.GROUPS: servers.groups,
            Kind.GROUP: servers.group,
            Kind.PROVIDER: servers.provider,
            Kind.REGISTER: servers.register,
            Kind.SERVERS: servers.list,
            Kind.SERVER: servers.one,
            Kind.CHILDREN: children.collection,
            Kind.CHILD: children.item,
            Kind.PERMISSIONS: Permissions(self.state, servers).answer,
            Kind.GRAPH: ResourceGraph(self.state, self.switches).answer,
            Kind.ENDPOINTS: self._endpoints,
        }

    def _endpoints(self, call: Call) -> Reply:
        """`GET /metadata/endpoints`: where a client finds the rest of this cloud."""
        login = {"loginEndpoint": self.authority_url, "audiences": [*sorted(self.audiences)], "tenant": "common"}
        call.request.effect = "endpoints"
        return Reply.json(
            200,
            {
                "name": "Sandbox",
                "resourceManager": self.url,
                "authentication": {**login, "identityProvider": "AAD"},
                "suffixes": {"sqlServerHostname": "database.windows.net"},
            },
        )
