"""The core of the job against every release of the PCE that the sandbox knows."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from illumio_azsql_enforcer.config import load
from illumio_azsql_enforcer.enforcer import Enforcer
from illumio_azsql_enforcer.report import Outcome
from illumio_azsql_enforcer.sandbox.box import Sandbox, environment_of, open_sandbox
from illumio_azsql_enforcer.server_cycle import Options
from tests.support.clock import VirtualClock

RELEASES = ["20.1.0", "21.5.0", "22.5.0", "24.2.0", "25.2.20", "26.3.0"]
WANTED = [
    ("192.0.2.0", "192.0.2.127"),
    ("192.0.2.160", "192.0.2.255"),
    ("198.51.100.21", "198.51.100.22"),
    ("198.51.100.64", "198.51.100.79"),
    ("203.0.113.0", "203.0.113.127"),
    ("203.0.113.200", "203.0.113.200"),
]


@pytest.fixture(params=RELEASES)
def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sandbox]:
    with open_sandbox(tmp_path, release=request.param) as opened, environment_of(opened):
        yield opened


@pytest.fixture(params=[False, True], ids=["every cycle whole", "only what changed"])
def enforcer(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[Enforcer]:
    made = Enforcer(load(sandbox.config, os.environ), Options(watch=request.param), VirtualClock())
    yield made
    made.close()


def live(sandbox: Sandbox) -> list[tuple[str, str]]:
    return sorted(sandbox.arm.state.rules("orders-sql").values())


def test_a_life_of_four_cycles(sandbox: Sandbox, enforcer: Enforcer) -> None:
    console, estate = sandbox.pce.console, sandbox.estate

    assert enforcer.cycle().outcome is Outcome.CHANGED
    assert live(sandbox) == WANTED

    quiet = enforcer.cycle()
    assert (quiet.outcome, quiet.calls.azure_writes) == (Outcome.IN_SYNC, 0)

    console.update(estate.public_client, labels=[])
    assert enforcer.cycle().outcome is Outcome.CHANGED
    assert ("198.51.100.22", "198.51.100.22") in live(sandbox)

    console.update(estate.clients_list, ip_ranges=[{"from_ip": "203.0.113.0/25"}])
    console.provision("the single address goes")
    assert enforcer.cycle().outcome is Outcome.CHANGED
    assert live(sandbox) == [*WANTED[:2], ("198.51.100.22", "198.51.100.22"), *WANTED[3:5]]
    assert sandbox.arm.catastrophes == []
