"""Virtual time: a wait costs nothing and is remembered."""

from datetime import UTC, datetime, timedelta


class VirtualClock:
    """A Clock that moves only when somebody sleeps."""

    def __init__(self, start: datetime = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)) -> None:
        self._start = start
        self._passed = 0.0
        self.waits: list[float] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self._passed += max(0.0, seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass without anybody waiting."""
        self._passed += seconds
