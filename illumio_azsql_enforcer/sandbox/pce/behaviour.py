"""How this PCE behaves where real ones differ or can be made to misbehave: switches that last until they are set back.

One-off troubles (a 502, a cut body, a reset) are faults: see `faults`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(slots=True)
class Behaviour:
    """Set an attribute at any time; it counts from the next request on."""

    requests_per_minute: int = 500  # for the key; the rest is answered 429
    throttle_wait: int | None = 10  # Retry-After of a 429, seconds; None leaves the header out
    cap: int = 500  # objects in one synchronous answer, unless max_results asks for more
    honour_max_results: bool = True  # False: max_results above the cap has no effect
    total_count: Callable[[int], int | None] = int  # what X-Total-Count says of n objects; None leaves it out
    location: Literal["href", "api", "absolute"] = "href"  # /orgs/…, /api/v2/orgs/…, https://host/api/v2/orgs/…
    job_wait: int | None = 1  # Retry-After of an accepted collection request, seconds; None leaves it out
    job_polls: int = 1  # how often a job is still running when asked
    job_end: Literal["done", "failed", "never"] = "done"
    datafiles_kept: bool = True  # False: the result of a job that is done is gone
    inline_deny_rules: bool | None = None  # None: as the release does
    wrap_product_version: bool = False  # True: inside a `product_version` key, as one schema has it
    events_permitted: bool = True  # False: 403 for events
