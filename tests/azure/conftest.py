"""A simulated Azure with one subscription and one server, and an AzureAccess to it through the real SDK."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from illumio_azsql_enforcer.azure.access import AzureAccess
from illumio_azsql_enforcer.azure.firewall import FirewallReader, FirewallWriter
from illumio_azsql_enforcer.model.firewall import Server
from illumio_azsql_enforcer.model.settings import AzureSettings, Cloud, CredentialKind
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.sandbox.arm import ArmSimulator
from tests.support.clock import VirtualClock

SUBSCRIPTION = "6f1b3a52-0c7e-4d1b-9a55-3f2f0d1c7e01"
OTHER_SUBSCRIPTION = "6f1b3a52-0c7e-4d1b-9a55-3f2f0d1c7e02"
ENVIRONMENT_OF_OTHERS = (
    "AZURE_",
    "IDENTITY_",
    "MSI_",
    "IMDS_",
    "REQUESTS_CA",
    "CURL_CA",
    "HTTP",
    "ALL_PROXY",
    "NO_PROXY",
)

Access = Callable[..., AzureAccess]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith(ENVIRONMENT_OF_OTHERS)]:
        monkeypatch.delenv(name)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def azure(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArmSimulator]:
    """ARM over http on loopback; a managed identity gives the tokens. No catastrophe may happen in any test."""
    with ArmSimulator(clock=clock) as simulator:
        populate(simulator)
        for name, value in simulator.environ.items():
            monkeypatch.setenv(name, value)
        yield simulator
        assert simulator.catastrophes == []


def populate(simulator: ArmSimulator) -> None:
    simulator.state.add_subscription(SUBSCRIPTION)
    simulator.state.add_server("orders-sql", subscription=SUBSCRIPTION, resource_group="Data")


def settings_for(simulator: ArmSimulator, **changes: object) -> AzureSettings:
    """Settings that point at a simulator."""
    cloud = Cloud(simulator.url, None, "https://management.azure.com", custom=True)
    made = AzureSettings(cloud, (SUBSCRIPTION,), CredentialKind.MANAGED_IDENTITY)
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def open_access(azure: ArmSimulator, clock: VirtualClock) -> Iterator[Access]:
    """Makes AzureAccess objects with changed settings; closes them at the end."""
    made: list[AzureAccess] = []

    def make(**changes: object) -> AzureAccess:
        made.append(AzureAccess(settings_for(azure, **changes), clock))
        return made[-1]

    yield make
    for access in made:
        access.close()


@pytest.fixture
def access(open_access: Access) -> AzureAccess:
    return open_access()


@pytest.fixture
def reader(access: AzureAccess) -> FirewallReader:
    return FirewallReader(access)


@pytest.fixture
def writer(access: AzureAccess) -> FirewallWriter:
    return FirewallWriter(access)


@pytest.fixture
def deadline(clock: VirtualClock) -> Deadline:
    return Deadline.after(clock, 300.0)


@pytest.fixture
def server() -> Server:
    """The server of the simulator, as discovery gives it."""
    return Server(
        id=f"/subscriptions/{SUBSCRIPTION}/resourceGroups/Data/providers/Microsoft.Sql/servers/orders-sql",
        name="orders-sql",
        subscription_id=SUBSCRIPTION,
        resource_group="Data",
        fqdn="orders-sql.database.windows.net",
    )
