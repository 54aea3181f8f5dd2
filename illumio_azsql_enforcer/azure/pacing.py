"""Keeps all threads together within ARM's buckets of requests: one for each subscription and kind of request.

ARM says in its answers how much is left of a bucket (`x-ms-ratelimit-remaining-subscription-reads` and the like;
Resource Graph, whose quota is one for each identity, in `x-ms-user-quota-remaining`), and refuses a request that comes
before the Retry-After of a 429 has passed. So nobody asks while a bucket is known to be empty; the request is then not
made but ends as ArmThrottled, with the time to wait, like one that ARM refused.
"""

import re
import threading
from dataclasses import dataclass

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import HTTPPolicy
from azure.core.rest import HttpRequest, HttpResponse

from illumio_azsql_enforcer.azure.failures import asked_wait
from illumio_azsql_enforcer.clock import Clock
from illumio_azsql_enforcer.errors import ArmThrottled

KNOWN_FOR = 1.0  # seconds for which a remaining count is believed; buckets fill again all the time
LONGEST_PAUSE = 60.0  # seconds for which everybody waits at most, whatever one answer said
QUOTA = "x-ms-user-quota-remaining"  # of Resource Graph
_REMAINING = (
    QUOTA,
    *(
        f"x-ms-ratelimit-remaining-subscription-{whose}{kind}"
        for whose in ("", "global-")
        for kind in ("reads", "writes", "deletes")
    ),
)
_SUBSCRIPTION = re.compile(r"/subscriptions/([^/?]+)")


@dataclass(slots=True)
class _Bucket:
    """Monotonic seconds, and numbers of requests."""

    closed_until: float = float("-inf")
    left: int = 0
    known_until: float = float("-inf")  # how long `left` is believed
    under_way: int = 0

    def wait(self, now: float) -> float:
        """Seconds until one more request makes sense; 0: now."""
        empty = self.under_way >= self.left and now < self.known_until
        return max(0.0, self.closed_until - now, self.known_until - now if empty else 0.0)


class Pace:
    """What is known of the buckets. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def begin(self, request: HttpRequest) -> None:
        """A request is about to be made. Raises ArmThrottled when its bucket is known to be empty."""
        subscription, kind = key = _key(request)
        place = f"subscription {subscription}" if subscription else "this identity"
        with self._lock:
            bucket = self._buckets.setdefault(key, _Bucket())
            wait = bucket.wait(self._clock.monotonic())
            if wait > 0:
                raise ArmThrottled(
                    f"Azure lets no further {kind} through for {place} before {wait:.1f} seconds have passed.",
                    retry_after=wait,
                )
            bucket.under_way += 1

    def end(self, request: HttpRequest, response: HttpResponse | None) -> None:
        """The request that began is over."""
        with self._lock:
            bucket = self._buckets[_key(request)]
            bucket.under_way -= 1
            if response is not None:
                _learn(bucket, response, self._clock.monotonic())


class Pacing(HTTPPolicy[HttpRequest, HttpResponse]):
    """Holds requests back as Pace says."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def send(self, request: PipelineRequest[HttpRequest]) -> PipelineResponse[HttpRequest, HttpResponse]:
        self._pace.begin(request.http_request)
        answer: HttpResponse | None = None
        try:
            response = self.next.send(request)
            answer = response.http_response
            return response
        finally:
            self._pace.end(request.http_request, answer)


def _key(request: HttpRequest) -> tuple[str, str]:
    found = _SUBSCRIPTION.search(request.url)
    return found.group(1).lower() if found else "", request.method


def _learn(bucket: _Bucket, response: HttpResponse, now: float) -> None:
    said = [response.headers.get(name) for name in _REMAINING]
    counts = [int(count) for count in said if count and count.isdecimal()]
    if counts:
        known_for = asked_wait(response.headers) if QUOTA in response.headers else None
        bucket.left, bucket.known_until = min(counts), now + min(known_for or KNOWN_FOR, LONGEST_PAUSE)
    if response.status_code == 429:
        bucket.closed_until = now + min(asked_wait(response.headers) or 0.0, LONGEST_PAUSE)
