"""A real cycle over loopback, and whether it is taken for alive: a long one is, a wedged one is not."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from illumio_azsql_enforcer.clock import BeatingClock
from illumio_azsql_enforcer.config import load
from illumio_azsql_enforcer.enforcer import Enforcer
from illumio_azsql_enforcer.health import Health
from illumio_azsql_enforcer.report import Outcome
from illumio_azsql_enforcer.sandbox.box import Sandbox, environment_of, open_sandbox
from illumio_azsql_enforcer.sandbox.exchange import Fault
from illumio_azsql_enforcer.server_cycle import Options
from tests.support.clock import VirtualClock


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with open_sandbox(tmp_path) as opened, environment_of(opened):
        yield opened


def test_a_cycle_of_many_slow_answers_is_live_all_along(sandbox: Sandbox) -> None:
    clock = VirtualClock()
    health = Health(clock, 10)
    live: list[bool] = []

    def slow() -> None:
        clock.advance(14)  # the cycle takes many intervals; a token and the answer that it is for make no three
        live.append(health.live().ok)

    for server in (sandbox.pce, sandbox.arm):
        server.faults.add(Fault("slow", effect=True, act=lambda _: slow()), method="*", path="*", times=10_000)
    config = load(sandbox.config, os.environ)
    config = replace(config, azure=replace(config.azure, concurrency=1))  # answers at once would add up here
    with closing(Enforcer(config, Options(dry_run=True), VirtualClock(), beat=health.beat)) as enforcer:
        report = enforcer.cycle()
    assert report.outcome is Outcome.PENDING, report.error
    assert len(live) > 10
    assert all(live)


@pytest.mark.parametrize("side", ["pce", "arm"])
def test_a_cycle_that_hangs_in_one_answer_is_not_live(sandbox: Sandbox, side: str) -> None:
    clock = VirtualClock()
    health = Health(clock, 10)
    hanging, release = threading.Event(), threading.Event()

    def hang() -> None:
        hanging.set()
        release.wait(10)

    server = sandbox.pce if side == "pce" else sandbox.arm
    server.faults.add(Fault("hang", effect=True, act=lambda _: hang()), method="GET", path="*", times=1)
    config = load(sandbox.config, os.environ)
    with (
        closing(Enforcer(config, Options(dry_run=True), VirtualClock(), beat=health.beat)) as enforcer,
        ThreadPoolExecutor(1) as pool,
    ):
        cycle = pool.submit(enforcer.cycle)
        assert hanging.wait(10)
        clock.advance(31)
        wedged = health.live()
        release.set()
        assert cycle.result(10).outcome is Outcome.PENDING
    assert not wedged.ok
    assert health.live().ok


def test_a_long_wait_beats_all_along() -> None:
    clock = VirtualClock()
    health = Health(clock, 10)
    waiting = VirtualClock()
    beats: list[float] = []

    def beat() -> None:
        beats.append(waiting.monotonic())
        health.beat()

    BeatingClock(waiting, beat, every=10).sleep(35)
    assert beats == [0, 10, 20, 30, 35]
    assert waiting.waits == [10, 10, 10, 5]


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_wait_of_nothing_is_none(seconds: float) -> None:
    waiting = VirtualClock()
    BeatingClock(waiting, lambda: None, every=10).sleep(seconds)
    assert waiting.waits == []
