"""Time as an argument: every wait in the program goes through a Clock, so that tests run in virtual time."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from illumio_azsql_enforcer.errors import Stopped


def rfc3339(moment: datetime) -> str:
    """The moment as text: UTC, with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Clock(Protocol):
    """What the program needs of time."""

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait. Raises Stopped at once when the program is asked to stop."""
        ...


class BeatingClock:
    """Another clock whose waits show that the program is alive: `beat` is called before, during and after each."""

    def __init__(self, clock: Clock, beat: Callable[[], None], every: float) -> None:
        self._clock, self._beat, self._every = clock, beat, every

    def now(self) -> datetime:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        until = self.monotonic() + seconds
        self._beat()
        while (left := until - self.monotonic()) > 0:
            self._clock.sleep(min(left, self._every))
            self._beat()


class SystemClock:
    """The machine's clock; `stop` ends every wait."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop or threading.Event()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        if self._stop.wait(max(0.0, seconds)):
            raise Stopped("Asked to stop while waiting.")
