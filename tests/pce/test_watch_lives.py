"""Random lives of a watch: whatever happens and fails, each snapshot that it gives is what a full read gives."""

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from illumio_azsql_enforcer.errors import PceError
from illumio_azsql_enforcer.sandbox.exchange import Request
from illumio_azsql_enforcer.sandbox.pce import PceSimulator, faults
from illumio_azsql_enforcer.sandbox.wire import Fault
from tests.pce.test_changes import Watched
from tests.support.clock import VirtualClock

Act = Callable[[Watched, int], Any]
PATHS = ("*/active", "*/events", "*/workloads", "*/labels", "*/rule_sets", "*/ip_lists", "*/service_bindings")
TROUBLES = (faults.UNAUTHORIZED, faults.LOGIN_PAGE, faults.FORBIDDEN, faults.NOT_FOUND)


def _label(watched: Watched, number: int) -> None:
    count = len(watched.pce.console.find("labels"))
    watched.pce.console.create("labels", key="role", value=f"r{number} {count} {watched.clock.now()}")


def _relabel(watched: Watched, number: int) -> None:
    labels = watched.pce.console.find("labels")
    workloads = watched.pce.console.find("workloads")
    chosen = labels[number % len(labels)]["href"]
    watched.pce.console.update(workloads[number % len(workloads)]["href"], labels=[{"href": chosen}])


def _create(watched: Watched, number: int) -> None:
    watched.pce.console.create("workloads", name=f"w{number} {watched.clock.now()}")


def _address(watched: Watched, number: int) -> None:
    interfaces = [{"name": "eth0", "address": f"192.0.2.{number}"}]
    watched.pce.console.update(watched.workload, interfaces=interfaces)


def _provision(watched: Watched, number: int) -> None:
    watched.pce.console.update(watched.rule_set, description=f"{number} {watched.clock.now()}")
    watched.pce.console.provision()


def _move(watched: Watched, number: int) -> None:
    watched.pce.console.move_version()


def _draft(watched: Watched, number: int) -> None:
    watched.pce.console.update(watched.rule_set, name=f"a draft {number}")


def _trouble(watched: Watched, number: int) -> None:
    watched.pce.faults.add(TROUBLES[number % len(TROUBLES)], path=PATHS[number % len(PATHS)], times=1)


def _throttle(watched: Watched, number: int) -> None:
    watched.pce.faults.add(faults.throttled(3), path=PATHS[number % len(PATHS)], times=2)


def _while_reading(watched: Watched, number: int) -> None:
    """The policy is provisioned, or a workload relabelled, just before some request is answered."""
    act = (_provision, _relabel)[number % 2]

    def happen(_request: Request) -> None:
        act(watched, number)

    watched.pce.faults.add(Fault("meanwhile", act=happen), path=PATHS[number // 2 % len(PATHS)], times=1)


def _time(watched: Watched, number: int) -> None:
    watched.clock.advance(number * 10.0)


def _no_events(watched: Watched, number: int) -> None:
    watched.pce.behaviour.events_permitted = number % 3 == 0


QUIET: list[Act] = [_label, _relabel, _create, _address, _provision, _move, _draft, _time, _no_events]
LOUD: list[Act] = [_trouble, _throttle, _while_reading]
STEPS = st.lists(st.tuples(st.sampled_from(QUIET + LOUD), st.integers(0, 200)), max_size=4)


@settings(max_examples=40, deadline=None)
@given(cycles=st.lists(STEPS, min_size=2, max_size=8))
def test_a_snapshot_is_never_old_and_never_mixed(cycles: list[list[tuple[Act, int]]]) -> None:
    clock = VirtualClock()
    with PceSimulator(clock=clock, release="26.3") as pce:
        watched = Watched(pce, clock)
        for steps in cycles:
            for act, number in steps:
                act(watched, number)
            meanwhile = any(act is _while_reading for act, _ in steps)
            try:
                found = watched.look()
            except PceError:
                found = None
            pce.faults.clear()
            if found is not None and not meanwhile:
                assert found == watched.whole()
        assert watched.look() == watched.whole()
        watched.client.close()
