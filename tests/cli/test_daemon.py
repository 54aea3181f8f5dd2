"""The daemon as a process: polls, reloads, stops."""

import json
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from illumio_azsql_enforcer.sandbox.box import Sandbox
from illumio_azsql_enforcer.sandbox.exchange import Fault
from tests.cli.conftest import PROGRAM

PATIENCE = 30.0  # seconds; a loaded machine is slow


class Daemon:
    """A running daemon whose log lines are read as they come."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(json.loads(line) if line.startswith("{") else {"event": line.strip()})

    def next(self, event: str) -> dict[str, Any]:
        """The next log line of that event; those before it are dropped."""
        while True:
            line = self._lines.get(timeout=PATIENCE)
            if line["event"] == event:
                return line

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE)


@pytest.fixture
def start(sandbox: Sandbox, environ: dict[str, str]) -> Iterator[Callable[..., Daemon]]:
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> Daemon:
        process = subprocess.Popen(
            [*PROGRAM, "--config", str(sandbox.config), "--log-format", "json", *arguments],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return Daemon(process)

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_it_enforces_and_leaves_on_sigterm(start: Callable[..., Daemon], sandbox: Sandbox) -> None:
    daemon = start()
    cycle = daemon.next("cycle")
    assert (cycle["outcome"], cycle["steps_done"]) == ("changed", 13)
    assert len(sandbox.arm.state.rules("orders-sql")) == 6
    assert daemon.stop() == 0
    assert daemon.next("stopped")["signals"] == ["SIGTERM"]


def test_a_hangup_reads_the_config_again_and_polls_at_once(start: Callable[..., Daemon], sandbox: Sandbox) -> None:
    daemon = start("--dry-run")
    assert daemon.next("cycle")["outcome"] == "pending"
    sandbox.config.write_text(sandbox.config.read_text().replace("orders-sql: {mode", "other-sql: {mode"))
    daemon.process.send_signal(signal.SIGHUP)
    daemon.next("reloaded")
    assert daemon.next("cycle")["outcome"] == "pending"
    sandbox.config.write_text("pce: {}\n")
    daemon.process.send_signal(signal.SIGHUP)
    assert "pce.url" in str(daemon.next("reload refused, the running config stays")["problems"])
    assert daemon.next("cycle")["outcome"] == "pending"
    assert daemon.stop(signal.SIGINT) == 0


def test_a_dry_run_daemon_never_writes(start: Callable[..., Daemon], sandbox: Sandbox) -> None:
    daemon = start("--dry-run")
    daemon.next("cycle")
    daemon.stop()
    assert sandbox.arm.requests("PUT", "DELETE") == []


def test_sigterm_in_the_middle_of_a_cycle_ends_once_with_143_after_the_step_in_hand(
    start: Callable[..., Daemon], sandbox: Sandbox
) -> None:
    reached = threading.Event()
    sandbox.arm.monitor = lambda *_: reached.set()
    sandbox.arm.faults.add(Fault("slow", stall=1.0), method="PUT", times=50)
    daemon = start("--once")
    assert reached.wait(PATIENCE)
    assert daemon.stop() == 143
    assert "dba-home" in sandbox.arm.state.rules("orders-sql")  # the deletes were not begun


def test_a_bad_config_at_the_start_is_78(start: Callable[..., Daemon], sandbox: Sandbox) -> None:
    sandbox.config.write_text("pce: {}\n")
    process = start().process
    assert process.wait(timeout=PATIENCE) == 78


def test_a_poll_without_news_costs_the_pce_two_requests(start: Callable[..., Daemon], sandbox: Sandbox) -> None:
    daemon = start()
    assert daemon.next("cycle")["pce_requests"] > 2
    before = len(sandbox.pce.journal)
    assert daemon.next("cycle")["pce_requests"] == 2
    assert [request.path.rsplit("/", 1)[-1] for request in sandbox.pce.journal[before:]] == ["active", "events"]
    assert daemon.stop() == 0
