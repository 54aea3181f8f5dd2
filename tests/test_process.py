"""Signals become requests; the work ends by itself, in time, or is given up."""

import os
import signal
import threading

import pytest

from illumio_azsql_enforcer import process
from illumio_azsql_enforcer.process import Requests, supervise

LONG = 10.0  # seconds; never waited for, unless the code is wrong


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def test_work_that_ends_by_itself_gives_its_exit_code() -> None:
    assert supervise(lambda: 3, Requests()) == 3


def test_what_the_work_raises_reaches_the_caller() -> None:
    def work() -> int:
        raise ValueError("the config is bad")

    with pytest.raises(ValueError, match="the config is bad"):
        supervise(work, Requests())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_is_a_request_that_the_work_reads(number: signal.Signals) -> None:
    requests = Requests()

    def work() -> int:
        send(number)
        assert requests.stop.wait(LONG)
        assert requests.wake.wait(LONG)
        return 0

    assert supervise(work, requests) == 0
    assert requests.signals == [number]


def test_a_hangup_is_a_request_to_reload_and_ends_nothing() -> None:
    requests = Requests()

    def work() -> int:
        send(signal.SIGHUP)
        assert requests.reload.wait(LONG)
        return 0

    assert supervise(work, requests) == 0
    assert not requests.stop.is_set()


def test_work_that_outlives_its_grace_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE", 0.0)
    release, requests, left = threading.Event(), Requests(), threading.Event()

    def work() -> int:
        send(signal.SIGTERM)
        release.wait(LONG)
        left.set()
        return 0

    assert supervise(work, requests) is None
    release.set()
    assert left.wait(LONG)


def test_the_handlers_of_before_are_back_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    supervise(lambda: 0, Requests())
    assert signal.getsignal(signal.SIGTERM) is before
