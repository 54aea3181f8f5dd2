"""Whether the loop is alive, and whether its work succeeds: what /livez and /readyz answer. Pure: time is an argument.

Live is what still moves: a long cycle is live, since every answer, every server that is done and every wait is a beat;
a wedged one is not. Ready is what does its work: a complete cycle not long ago, and no server that failed in it.
"""

from dataclasses import dataclass

from illumio_azsql_enforcer.clock import Clock
from illumio_azsql_enforcer.report import Outcome, Report
from illumio_azsql_enforcer.text import plural

PATIENCE = 3  # intervals
SHOWN = 5  # failed servers that are named


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether all is well, and why (not)."""

    ok: bool
    reason: str


class Health:
    """Fed by the loop, asked from other threads."""

    def __init__(self, clock: Clock, interval: float) -> None:
        """`interval`: seconds between cycles; it may be set anew at any time."""
        self.interval = interval
        self._clock = clock
        self._beat_at = clock.monotonic()
        self._complete_at: float | None = None  # end of the last cycle that read everything
        self._failed: str | None = None  # the servers that failed in the last cycle that got as far as the servers
        self._error: str | None = None  # of the last cycle

    def beat(self) -> None:
        """The loop moved."""
        self._beat_at = self._clock.monotonic()

    def tell(self, report: Report) -> None:
        """A cycle ended."""
        self.beat()
        self._error = report.error
        if report.servers or not report.error:
            self._failed = _failed(report)
        if not report.error:
            self._complete_at = self._clock.monotonic()

    def live(self) -> Verdict:
        """Not when the last beat is older than three intervals."""
        age = self._clock.monotonic() - self._beat_at
        told = f"The last beat was {age:.0f} s ago; the interval is {self.interval:.0f} s."
        return Verdict(age <= PATIENCE * self.interval, told)

    def ready(self) -> Verdict:
        """When the last complete cycle is younger than three intervals and no server failed."""
        latest = f" Latest error: {self._error}" if self._error else ""
        if self._complete_at is None:
            return Verdict(ok=False, reason=f"No complete cycle yet.{latest}")
        age = self._clock.monotonic() - self._complete_at
        told = f"The last complete cycle ended {age:.0f} s ago; the interval is {self.interval:.0f} s."
        if age >= PATIENCE * self.interval:
            return Verdict(ok=False, reason=told + latest)
        return Verdict(ok=not self._failed, reason=self._failed or told)


def _failed(report: Report) -> str | None:
    failed = [server for server in report.servers if server.outcome is Outcome.FAILED]
    if not failed:
        return None
    named = "; ".join(f"{server.server.name}: {server.reason}" for server in failed[:SHOWN])
    more = f"; and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
    return f"{plural(len(failed), 'server')} failed in the last cycle. {named}{more}"
