"""Retries: back-off, Retry-After and deadlines, in virtual time."""

import pytest

from illumio_azsql_enforcer.retrying import Again, Deadline, Judge, with_retries
from tests.support.clock import VirtualClock


class Flaky:
    """Fails a number of times, then answers."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise ConnectionResetError
        return "answer"


def run(action: Flaky, judge: Judge, seconds: float = 60.0) -> tuple[VirtualClock, str]:
    clock = VirtualClock()
    return clock, with_retries(action, deadline=Deadline.after(clock, seconds), judge=judge)


def test_an_answer_is_not_asked_for_twice() -> None:
    action = Flaky(0)
    clock, answer = run(action, lambda _: Again())
    assert (answer, action.calls, clock.waits) == ("answer", 1, [])


def test_back_off_grows_and_stays_random() -> None:
    clock, answer = run(Flaky(4), lambda _: Again())
    assert answer == "answer"
    assert len(clock.waits) == 4
    assert all(0 <= wait <= 0.5 * 2**n for n, wait in enumerate(clock.waits))


def test_the_number_of_tries_is_bounded() -> None:
    action = Flaky(99)
    with pytest.raises(ConnectionResetError):
        run(action, lambda _: Again(tries=3))
    assert action.calls == 3


def test_retry_after_is_obeyed() -> None:
    clock, _ = run(Flaky(2), lambda _: Again(tries=None, wait=7))
    assert clock.waits == [7, 7]


def test_a_wait_past_the_deadline_is_not_waited_for() -> None:
    action = Flaky(1)
    with pytest.raises(ConnectionResetError):
        run(action, lambda _: Again(wait=61))
    assert action.calls == 1


def test_what_cannot_pass_is_raised_at_once() -> None:
    action = Flaky(1)
    with pytest.raises(ConnectionResetError):
        run(action, lambda _: None)
    assert action.calls == 1
