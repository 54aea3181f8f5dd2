"""The daemon under a service manager that listens on a socket: what it is told in the course of a life."""

import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from illumio_azsql_enforcer.sandbox.box import Sandbox
from tests.cli.conftest import PROGRAM

PATIENCE = 30.0  # seconds; a loaded machine is slow


class Manager:
    """A service manager that only listens."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(PATIENCE)

    def next(self, wanted: str) -> list[str]:
        """The lines of the next datagram with that line; signs of life before it are passed over, nothing else is."""
        while True:
            lines = self._socket.recv(8192).decode().splitlines()
            if wanted in lines:
                return lines
            assert lines[0].split("=")[0] in {"WATCHDOG", "WATCHDOG_USEC", "EXTEND_TIMEOUT_USEC", "STATUS"}, lines

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    listening = Manager(tmp_path / "notify")
    yield listening
    listening.close()


@pytest.fixture
def start(
    sandbox: Sandbox, environ: dict[str, str], tmp_path: Path
) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    started: list[subprocess.Popen[bytes]] = []
    told = environ | {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "180000000"}

    def run() -> "subprocess.Popen[bytes]":
        command = [*PROGRAM, "--config", str(sandbox.config)]
        started.append(subprocess.Popen(command, env=told, stderr=subprocess.DEVNULL))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()


def test_a_life_told_to_the_service_manager(
    manager: Manager, start: Callable[[], "subprocess.Popen[bytes]"], sandbox: Sandbox
) -> None:
    process = start()
    assert "policy version" in manager.next("READY=1")[1]
    assert len(sandbox.arm.state.rules("orders-sql")) == 6  # the first cycle was complete
    manager.next("WATCHDOG=1")
    process.send_signal(signal.SIGHUP)
    assert any(line.startswith("RELOADING=1") for line in manager.next("RELOADING=1"))
    assert "Config loaded" in manager.next("READY=1")[1]
    sandbox.config.write_text("pce: {}\n")
    process.send_signal(signal.SIGHUP)
    manager.next("RELOADING=1")
    assert "Reload refused" in manager.next("READY=1")[1]
    process.send_signal(signal.SIGTERM)
    manager.next("STOPPING=1")
    assert process.wait(PATIENCE) == 0


def test_a_first_cycle_that_fails_is_told_and_the_daemon_is_ready(
    manager: Manager, start: Callable[[], "subprocess.Popen[bytes]"], sandbox: Sandbox
) -> None:
    sandbox.config.write_text(sandbox.config.read_text().replace("api_1", "api_2"))
    start()
    assert manager.next("READY=1")[1].startswith("STATUS=failed at ")
