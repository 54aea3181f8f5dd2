"""Live and ready, in virtual time."""

import pytest

from illumio_azsql_enforcer.health import Health
from illumio_azsql_enforcer.report import Outcome
from tests.support.clock import VirtualClock
from tests.support.plans import a_report, a_server_report

INTERVAL = 60.0
FAILED = a_report(a_server_report(outcome=Outcome.FAILED, reason="Azure is down."), outcome=Outcome.FAILED)
BROKEN = a_report(servers=(), outcome=Outcome.FAILED, error="The PCE is down.")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def health(clock: VirtualClock) -> Health:
    return Health(clock, INTERVAL)


def test_live_until_the_last_beat_is_older_than_three_intervals(health: Health, clock: VirtualClock) -> None:
    clock.advance(180)
    assert health.live().ok
    clock.advance(0.1)
    assert not health.live().ok
    assert "180 s ago" in health.live().reason
    health.beat()
    assert health.live().ok


def test_a_long_cycle_that_gets_on_is_live(health: Health, clock: VirtualClock) -> None:
    for _ in range(20):
        clock.advance(170)
        assert health.live().ok
        health.beat()


def test_not_ready_before_the_first_complete_cycle(health: Health) -> None:
    assert not health.ready().ok
    health.tell(BROKEN)
    assert health.ready().reason == "No complete cycle yet. Latest error: The PCE is down."


def test_ready_while_the_last_complete_cycle_is_younger_than_three_intervals(
    health: Health, clock: VirtualClock
) -> None:
    health.tell(a_report())
    clock.advance(179.9)
    assert health.ready().ok
    clock.advance(0.1)
    assert not health.ready().ok


def test_a_short_trouble_with_the_pce_is_forgiven_a_long_one_is_not(health: Health, clock: VirtualClock) -> None:
    health.tell(a_report())
    clock.advance(60)
    health.tell(BROKEN)
    assert health.ready().ok
    clock.advance(120)
    health.tell(BROKEN)
    assert not health.ready().ok
    assert "The PCE is down." in health.ready().reason
    assert health.live().ok


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.PENDING, Outcome.SKIPPED, Outcome.IN_SYNC])
def test_only_failed_servers_count(health: Health, outcome: Outcome) -> None:
    health.tell(a_report(a_server_report(outcome=outcome), outcome=outcome))
    assert health.ready().ok


def test_a_failed_server_is_named_until_a_cycle_without(health: Health) -> None:
    health.tell(FAILED)
    assert "orders-sql: Azure is down." in health.ready().reason
    health.tell(BROKEN)
    assert "orders-sql: Azure is down." in health.ready().reason
    health.tell(a_report())
    assert health.ready().ok


def test_many_failed_servers_are_counted(health: Health) -> None:
    health.tell(a_report(*[a_server_report(outcome=Outcome.FAILED, reason="x")] * 7, outcome=Outcome.FAILED))
    assert health.ready().reason.startswith("7 servers failed")
    assert health.ready().reason.endswith("and 2 more")


def test_a_cycle_that_could_not_list_everything_is_not_complete(health: Health, clock: VirtualClock) -> None:
    health.tell(a_report())
    clock.advance(180)
    health.tell(a_report(error="Subscription s could not be listed.", outcome=Outcome.FAILED))
    assert "could not be listed" in health.ready().reason


def test_another_interval_counts_at_once(health: Health, clock: VirtualClock) -> None:
    clock.advance(100)
    health.interval = 10
    assert not health.live().ok
