"""What systemd is told, and when; with a real socket where the wire matters."""

import os
import signal
import socket
from pathlib import Path

import pytest

from illumio_azsql_enforcer.sdnotify import ServiceManager, sender

WATCHED = {"WATCHDOG_USEC": "180000000", "WATCHDOG_PID": str(os.getpid())}


class Told:
    """The datagrams of a ServiceManager under virtual time."""

    def __init__(self, environ: dict[str, str] | None = None) -> None:
        self.now = 1000.0
        self.sent: list[str] = []
        self.manager = ServiceManager(self.sent.append, environ or {}, lambda: self.now)

    def take(self) -> list[str]:
        taken, self.sent[:] = list(self.sent), []
        return taken


def started(environ: dict[str, str] | None = None) -> Told:
    """After the first cycle."""
    told = Told(environ)
    told.manager.loaded(60)
    told.manager.told("in_sync")
    told.take()
    return told


@pytest.mark.parametrize("abstract", [False, True])
def test_a_datagram_reaches_the_manager(tmp_path: Path, abstract: bool) -> None:
    name = f"@illumio-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        send = sender({"NOTIFY_SOCKET": name})
        assert send is not None
        send("READY=1\nSTATUS=günstig")
        assert manager.recv(4096).decode() == "READY=1\nSTATUS=günstig"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}])
def test_without_a_socket_there_is_nobody_to_tell(environ: dict[str, str]) -> None:
    assert sender(environ) is None
    ServiceManager(sender(environ), environ).told("in_sync")


def test_a_manager_that_went_away_is_no_error(tmp_path: Path) -> None:
    send = sender({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert send is not None
    send("READY=1")


def test_ready_comes_with_the_first_cycle_and_only_then() -> None:
    told = Told()
    told.manager.loaded(60)
    told.manager.beat()
    assert not any("READY=1" in text for text in told.take())
    told.manager.told("failed: the PCE is down")
    told.manager.told("in_sync")
    assert told.take() == ["READY=1\nSTATUS=failed: the PCE is down", "STATUS=in_sync"]


def test_a_long_first_cycle_asks_for_more_time_while_it_moves() -> None:
    told = Told()
    told.manager.loaded(60)
    told.take()
    for _ in range(5):
        told.manager.beat()
        told.now += 0.5
    assert told.take() == ["EXTEND_TIMEOUT_USEC=180000000"] * 3
    told.manager.told("in_sync")
    told.take()
    told.now += 5
    told.manager.beat()
    assert told.take() == []


def test_beats_feed_the_watchdog_at_most_once_a_second() -> None:
    told = started(WATCHED)
    for _ in range(100):
        told.now += 0.1
        told.manager.beat()
    assert set(told.sent) == {"WATCHDOG=1"}
    assert 9 <= len(told.sent) <= 11


def test_nobody_feeds_a_watchdog_that_is_not_there_or_not_ours() -> None:
    for environ in ({}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "180000000", "WATCHDOG_PID": "1"}):
        told = started(environ)
        told.manager.beat()
        assert told.sent == []


@pytest.mark.parametrize(("silence", "patience"), [(60, 180), (3600, 10800), (10, 180)])
def test_the_watchdog_is_never_shorter_than_three_healthy_pauses(silence: float, patience: int) -> None:
    told = Told(WATCHED)
    told.manager.loaded(silence)
    assert told.sent[0] == f"WATCHDOG_USEC={patience * 1_000_000}"


def test_a_reload_is_announced_with_its_moment_and_answered() -> None:
    told = started()
    told.manager.heard(signal.SIGHUP)
    assert told.take() == ["RELOADING=1\nMONOTONIC_USEC=1000000000"]
    told.manager.told("in_sync")  # the cycle in hand ends first
    told.manager.beat()
    assert told.take() == ["STATUS=in_sync", "EXTEND_TIMEOUT_USEC=180000000"]
    told.manager.loaded(60)
    assert told.take() == ["READY=1\nSTATUS=Config loaded; the next cycle begins."]


def test_a_refused_reload_is_answered_too_and_cannot_smuggle_lines_in() -> None:
    told = started()
    told.manager.heard(signal.SIGHUP)
    told.take()
    told.manager.refused("config.yaml:3: pce.url\nSTOPPING=1")
    (answer,) = told.take()
    assert answer.splitlines() == [
        "READY=1",
        r"STATUS=Reload refused, the running config stays: config.yaml:3: pce.url\nSTOPPING=1",
    ]


def test_a_hangup_during_the_start_is_no_reload() -> None:
    told = Told()
    told.manager.heard(signal.SIGHUP)
    assert told.take() == []


def test_after_stopping_nothing_more_is_said() -> None:
    told = started(WATCHED)
    told.manager.heard(signal.SIGTERM)
    assert told.take()[0].startswith("STOPPING=1\n")
    told.manager.beat()
    told.manager.told("in_sync")
    told.manager.loaded(60)
    assert not [text for text in told.sent if "READY" in text or "STATUS" in text or "WATCHDOG=1" in text]
