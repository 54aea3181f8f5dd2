"""ARM's token buckets: for each subscription, principal and class of request, and for all principals together."""

import math
import threading
from dataclasses import dataclass

from illumio_azsql_enforcer.clock import Clock
from illumio_azsql_enforcer.sandbox.arm.switches import Switches, Throttle


@dataclass(slots=True)
class _Bucket:
    size: float
    refill: float
    tokens: float
    filled_at: float
    closed_until: float = float("-inf")

    def fill(self, now: float) -> None:
        self.tokens = min(self.size, self.tokens + (now - self.filled_at) * self.refill)
        self.filled_at = now

    def wait(self, now: float, least: int) -> int:
        """Seconds to wait before the next request, 0 when it may pass. Asking too early does not reopen it."""
        self.fill(now)
        if self.tokens < 1 and self.closed_until <= now:
            self.closed_until = now + max(least, math.ceil((1 - self.tokens) / self.refill))
        return max(1, math.ceil(self.closed_until - now)) if self.closed_until > now else 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request passes, and what its answer says of the buckets."""

    wait: int  # seconds; 0: it passes
    headers: dict[str, str]


class Buckets:
    """All buckets of the simulated ARM."""

    def __init__(self, clock: Clock, switches: Switches) -> None:
        self._clock, self._switches = clock, switches
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, str, str], _Bucket] = {}

    def take(self, subscription: str, principal: str, kind: str) -> Verdict:
        """Take a token for one request of a kind (`reads`, `writes`, `deletes`); no subscription: the tenant's."""
        with self._lock:
            now = self._clock.monotonic()
            own = self._bucket(subscription, principal, kind, now)
            shared = self._bucket(subscription, "*", kind, now)
            wait = max(b.wait(now, self._settings.least_wait) for b in (own, shared))
            if not self._settings.enabled:
                wait = 0
            elif wait == 0:
                own.tokens -= 1
                shared.tokens -= 1
            return Verdict(wait, _headers(kind, own, shared, tenant=not subscription))

    @property
    def _settings(self) -> Throttle:
        return self._switches.throttle

    def drain(self, subscription: str, principal: str, kind: str) -> None:
        """Leave nothing in a bucket."""
        with self._lock:
            self._bucket(subscription, principal, kind, self._clock.monotonic()).tokens = 0

    def _bucket(self, subscription: str, principal: str, kind: str, now: float) -> _Bucket:
        key = (subscription.lower(), principal, kind)
        size, refill = getattr(self._settings, kind)
        times = self._settings.shared if principal == "*" else 1
        bucket = self._buckets.setdefault(key, _Bucket(size, refill, size * times, now))
        bucket.size, bucket.refill = size * times, refill * times  # the settings may have changed
        return bucket


def _headers(kind: str, own: _Bucket, shared: _Bucket, *, tenant: bool) -> dict[str, str]:
    if tenant:
        return {f"x-ms-ratelimit-remaining-tenant-{kind}": str(int(own.tokens))}
    return {
        f"x-ms-ratelimit-remaining-subscription-{kind}": str(int(own.tokens)),
        f"x-ms-ratelimit-remaining-subscription-global-{kind}": str(int(shared.tokens)),
    }
