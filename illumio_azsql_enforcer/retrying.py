"""One way to try again: exponential back-off with jitter, Retry-After, a deadline, virtual time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception
from tenacity.wait import wait_random_exponential

from illumio_azsql_enforcer.clock import Clock

T = TypeVar("T")

FIRST_WAIT = 0.5  # seconds; the ceiling of the first random wait, doubled each time
LONGEST_WAIT = 30.0


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on a clock after which nothing is started."""

    clock: Clock
    at: float  # monotonic seconds

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> Self:
        return cls(clock, clock.monotonic() + seconds)

    @property
    def remaining(self) -> float:
        """Seconds left; 0 when it has passed."""
        return max(0.0, self.at - self.clock.monotonic())


@dataclass(frozen=True, slots=True)
class Again:
    """A failure that may pass: how many tries in all (None: until the deadline), what wait was asked."""

    tries: int | None = 5
    wait: float | None = None  # Retry-After, seconds


Judge = Callable[[BaseException], Again | None]  # None: do not retry


def with_retries(action: Callable[[], T], *, deadline: Deadline, judge: Judge) -> T:
    """The result of `action`, tried again as `judge` says while the wait still fits before the deadline.

    Raises what the last try raised. A Retry-After that passes the deadline is not waited for.
    """
    back_off = wait_random_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT)

    def verdict(state: RetryCallState) -> Again | None:
        raised = state.outcome.exception() if state.outcome else None
        return judge(raised) if raised else None

    def wait(state: RetryCallState) -> float:
        said = verdict(state)
        return said.wait if said and said.wait is not None else back_off(state)

    def stop(state: RetryCallState) -> bool:
        said = verdict(state)
        used_up = bool(said and said.tries is not None and state.attempt_number >= said.tries)
        return used_up or state.upcoming_sleep >= deadline.remaining

    retrying = Retrying(
        retry=retry_if_exception(lambda raised: judge(raised) is not None),
        wait=wait,
        stop=stop,
        sleep=deadline.clock.sleep,
        reraise=True,
    )
    return retrying(action)
