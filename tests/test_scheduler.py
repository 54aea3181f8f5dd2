"""The loop in virtual time: grid, back-off, reload, stop."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from illumio_azsql_enforcer.errors import ConfigError
from illumio_azsql_enforcer.model.firewall import Server
from illumio_azsql_enforcer.model.settings import Config, Mode
from illumio_azsql_enforcer.process import Requests
from illumio_azsql_enforcer.report import Outcome, Report, ServerReport
from illumio_azsql_enforcer.scheduler import Scheduler
from tests.support.clock import VirtualClock
from tests.support.configs import a_config

SERVER = ServerReport(Server("/s", "orders-sql", "sub", "rg", "orders-sql.example"), Outcome.FAILED, Mode.SYNC)


@dataclass
class ScriptedCycles:
    """Cycles that take as long, and fail, as scripted; the last one asks to stop."""

    clock: VirtualClock
    requests: Requests
    took: list[float]
    errors: list[str | None]
    servers: tuple[ServerReport, ...] = ()
    config: Config = field(default_factory=a_config)  # interval 60 s
    during: Callable[[int], None] = lambda _n: None
    started: list[float] = field(default_factory=list)
    closed: bool = False

    def cycle(self) -> Report:
        number = len(self.started)
        self.started.append(self.clock.monotonic())
        self.during(number)
        self.clock.advance(self.took[number])
        if number == len(self.took) - 1:
            self.requests.stop.set()
        error = self.errors[number] if self.errors else None
        moment = datetime.now(UTC)
        return Report("run", False, moment, moment, Outcome.IN_SYNC, error=error, servers=self.servers)

    def close(self) -> None:
        self.closed = True


def run(took: list[float], errors: list[str | None] | None = None, **extra: object) -> ScriptedCycles:
    clock, requests = VirtualClock(), Requests()
    cycles = ScriptedCycles(clock, requests, took, errors or [], **extra)  # type: ignore[arg-type]  # fields by name
    told: list[Report] = []
    Scheduler(lambda: cycles, told.append, clock=clock, requests=requests, wait=clock.sleep).run()
    assert len(told) == len(took)
    assert cycles.closed
    return cycles


def test_cycles_start_on_a_grid_that_does_not_drift() -> None:
    assert run([5, 17, 0.5, 3]).started == [0, 60, 120, 180]


def test_a_cycle_longer_than_the_interval_causes_neither_overlap_nor_burst() -> None:
    assert run([130, 1, 1]).started == [0, 180, 240]


def test_a_cycle_that_failed_as_a_whole_backs_off_with_jitter_up_to_a_bound() -> None:
    started = run([0] * 6, ["The PCE is down."] * 6).started
    gaps = [after - before for before, after in itertools.pairwise(started)]
    for gap, longest in zip(gaps, [60, 120, 240, 300, 300], strict=True):
        assert 0.75 * longest <= gap <= longest


def test_the_loop_beats_at_least_every_interval_through_the_longest_back_off() -> None:
    clock, requests = VirtualClock(), Requests()
    beats: list[float] = []
    cycles = ScriptedCycles(clock, requests, [0] * 6, ["The PCE is down."] * 6)
    Scheduler(
        lambda: cycles,
        lambda _: None,
        clock=clock,
        requests=requests,
        wait=clock.sleep,
        beat=lambda: beats.append(clock.monotonic()),
    ).run()
    assert clock.monotonic() > 600
    assert max(after - before for before, after in itertools.pairwise(beats)) < 60.001


def test_success_ends_the_back_off() -> None:
    started = run([0] * 5, ["down", "down", None, None, None]).started
    assert started[4] - started[3] == pytest.approx(60)


def test_trouble_with_one_subscription_does_not_slow_the_others() -> None:
    assert run([0, 0, 0], ["One subscription is gone."] * 3, servers=(SERVER,)).started == [0, 60, 120]


def test_stop_while_idle_ends_the_loop_without_another_cycle() -> None:
    clock, requests = VirtualClock(), Requests()
    cycles = ScriptedCycles(clock, requests, [0, 0], [])

    def wait(_seconds: float) -> None:
        requests.stop.set()

    Scheduler(lambda: cycles, lambda _: None, clock=clock, requests=requests, wait=wait).run()
    assert cycles.started == [0]


def test_reload_takes_the_new_config_at_once() -> None:
    clock, requests = VirtualClock(), Requests()
    first = ScriptedCycles(clock, requests, [0, 0], [], during=lambda _n: requests.reload.set())
    second = ScriptedCycles(clock, requests, [0], [])
    loaded = iter([first, second])
    Scheduler(lambda: next(loaded), lambda _: None, clock=clock, requests=requests, wait=clock.sleep).run()
    assert (first.started, first.closed, second.started, second.closed) == ([0], True, [0], True)


def test_reload_of_a_bad_file_keeps_the_running_config() -> None:
    clock, requests = VirtualClock(), Requests()
    cycles = ScriptedCycles(clock, requests, [0, 0], [], during=lambda n: requests.reload.set() if n == 0 else None)
    calls: list[int] = []

    def load() -> ScriptedCycles:
        calls.append(1)
        if len(calls) > 1:
            raise ConfigError("config.yaml:3: pce.url: missing")
        return cycles

    Scheduler(load, lambda _: None, clock=clock, requests=requests, wait=clock.sleep).run()
    assert len(calls) == 2
    assert cycles.started == [0, 0]


def test_a_bad_first_config_is_the_callers_problem() -> None:
    def load() -> ScriptedCycles:
        raise ConfigError("config.yaml: not there")

    with pytest.raises(ConfigError):
        Scheduler(
            load, lambda _: None, clock=VirtualClock(), requests=Requests(), wait=lambda _s: pytest.fail("waited")
        ).run()
