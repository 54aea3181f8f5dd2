"""A simulated Azure with one server, the real SDK on top of it, and a raw client for what the SDK would never send."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from azure.core.credentials import AccessToken
from azure.mgmt.sql import SqlManagementClient

from illumio_azsql_enforcer.sandbox.arm import ArmSimulator
from tests.support.clock import VirtualClock

SUBSCRIPTION = "11111111-1111-4111-8111-111111111111"
SERVER_ID = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/data/providers/Microsoft.Sql/servers/orders-sql"
RULES = f"{SERVER_ID}/firewallRules"
VERSION = "2025-01-01"


@dataclass
class Answer:
    """What a raw request got back."""

    status: int
    headers: Any
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])

    @property
    def message(self) -> str:
        return str(self.json["error"]["message"])

    @property
    def by_gateway(self) -> bool:
        return bool(self.headers.get("x-ms-failure-cause") == "gateway")


class Raw:
    """Sends exactly the path it is given, with a valid token unless told otherwise."""

    def __init__(self, azure: ArmSimulator) -> None:
        self.azure = azure
        self.session = requests.Session()
        self.session.verify = str(azure.ca_file)
        self.token = self.new_token()

    def new_token(self, resource: str = "https://management.azure.com/") -> str:
        return self.azure.tokens.issue(self.azure.system_identity, resource)[0]

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        version: str | None = VERSION,
        token: str | None = "",
        headers: dict[str, str] | None = None,
        data: bytes | None = None,
    ) -> Answer:
        sent = dict(headers or {})
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token or self.token}")
        if body is not None:
            data = json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        joined = "&" if "?" in path else "?"
        prepared = requests.Request(method, self.azure.url, headers=sent, data=data).prepare()
        prepared.url = self.azure.url + path + (f"{joined}api-version={version}" if version else "")
        response = self.session.send(prepared, timeout=5, allow_redirects=False)
        return Answer(response.status_code, response.headers, response.text)

    def put(self, segment: str, start: Any = "192.0.2.1", end: Any = "192.0.2.9", **more: Any) -> Answer:
        return self("PUT", f"{RULES}/{segment}", {"properties": {"startIpAddress": start, "endIpAddress": end}, **more})


class FixedCredential:
    """A credential for the SDK that asks the simulator's token store directly."""

    def __init__(self, azure: ArmSimulator) -> None:
        self.azure = azure

    def get_token(self, *scopes: str, **_options: Any) -> AccessToken:
        text, _ = self.azure.tokens.issue(self.azure.system_identity, scopes[0])
        return AccessToken(text, 4102444800)


@contextmanager
def sandbox(clock: VirtualClock, *, tls: bool = False) -> Iterator[ArmSimulator]:
    """A simulated Azure with a subscription and a server in it. Tokens live long, since tests let time pass."""
    with ArmSimulator(clock=clock, tls=tls, token_lifetime=7200) as simulator:
        simulator.state.add_subscription(SUBSCRIPTION)
        simulator.state.add_server("orders-sql", subscription=SUBSCRIPTION, resource_group="data")
        yield simulator


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def azure(clock: VirtualClock, request: pytest.FixtureRequest) -> Iterator[ArmSimulator]:
    """Over http; with `parametrize("azure", ["https"], indirect=True)` over https."""
    with sandbox(clock, tls=getattr(request, "param", "http") == "https") as simulator:
        yield simulator


@pytest.fixture
def raw(azure: ArmSimulator) -> Iterator[Raw]:
    client = Raw(azure)
    yield client
    client.session.close()


@pytest.fixture
def sdk(azure: ArmSimulator) -> Iterator[SqlManagementClient]:
    with make_sdk(azure) as client:
        yield client


def make_sdk(azure: ArmSimulator, **options: Any) -> SqlManagementClient:
    """The real client, one request for each call unless told otherwise. Over http, operations need `HTTP`."""
    settings = {"retry_total": 0, "connection_verify": str(azure.ca_file), **options}
    return SqlManagementClient(FixedCredential(azure), SUBSCRIPTION, base_url=azure.url, **settings)


HTTP: dict[str, Any] = {"enforce_https": False}
Setup = Callable[[ArmSimulator], None]
