"""The loop: one cycle every interval on a fixed grid, never two at once; back-off, reload and stop between cycles."""

import random
from collections.abc import Callable
from typing import Protocol

import structlog

from illumio_azsql_enforcer.clock import Clock
from illumio_azsql_enforcer.errors import EnforcerError
from illumio_azsql_enforcer.model.settings import Config
from illumio_azsql_enforcer.process import Requests
from illumio_azsql_enforcer.report import Report

LONGEST_BACK_OFF = 300.0  # seconds, unless the interval itself is longer

log = structlog.get_logger()


class Cycles(Protocol):
    """What the loop drives: an Enforcer."""

    @property
    def config(self) -> Config:
        """The config that it runs with."""
        ...

    def cycle(self) -> Report:
        """One cycle."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class Scheduler:
    """Runs cycles until it is asked to stop.

    `load` makes the Cycles of the current config file, at the start and at each reload; it raises EnforcerError. `wait`
    blocks for at most so many seconds, less when a request wakes it. `beat` says that the loop is alive.
    """

    def __init__(
        self,
        load: Callable[[], Cycles],
        tell: Callable[[Report], None],
        *,
        clock: Clock,
        requests: Requests,
        wait: Callable[[float], object],
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._load = load
        self._tell = tell
        self._clock = clock
        self._requests = requests
        self._wait = wait
        self._beat = beat
        self._failures = 0  # cycles in a row that failed as a whole

    def run(self) -> None:
        """Returns when `requests.stop` is set. Raises EnforcerError when the first config does not work."""
        cycles = self._load()
        due = self._clock.monotonic()
        try:
            while not self._requests.stop.is_set():
                report = cycles.cycle()
                self._tell(report)
                interval = cycles.config.enforcement.interval
                due = self._next(due, interval, report)
                if self._idle_until(due, interval):
                    cycles, due = self._reloaded(cycles), self._clock.monotonic()
        finally:
            cycles.close()

    def _next(self, due: float, interval: float, report: Report) -> float:
        """The next point of the grid; after a cycle that failed as a whole, a back-off that grows, with jitter."""
        now = self._clock.monotonic()
        self._failures = self._failures + 1 if report.error and not report.servers else 0
        if self._failures:
            longest = max(interval, LONGEST_BACK_OFF)
            back_off = min(longest, interval * 2.0 ** min(self._failures - 1, 16))
            return now + back_off * random.uniform(0.75, 1.0)  # noqa: S311 - spreads load, keeps no secret
        missed = max(0.0, now - due) // interval
        return due + (missed + 1) * interval

    def _idle_until(self, due: float, interval: float) -> bool:
        """Waits, with a beat at least every interval; True when a reload was asked for, at once."""
        requests = self._requests
        while not requests.stop.is_set() and not requests.reload.is_set():
            self._beat()
            left = due - self._clock.monotonic()
            if left <= 0:
                return False
            self._wait(min(left, interval))
            requests.wake.clear()
        return requests.reload.is_set() and not requests.stop.is_set()

    def _reloaded(self, running: Cycles) -> Cycles:
        """The Cycles of the file as it is now; a bad file keeps the running ones."""
        self._requests.reload.clear()
        try:
            fresh = self._load()
        except EnforcerError as error:
            log.error("reload refused, the running config stays", problems=str(error).splitlines())
            return running
        running.close()
        self._failures = 0
        log.info("reloaded")
        return fresh
