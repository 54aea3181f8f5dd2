"""Everything about Azure that is not known for certain, or that may be either way, as a switch."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(slots=True)
class Throttle:
    """Token buckets for each subscription and principal; `shared` times as much for all principals together."""

    enabled: bool = True
    reads: tuple[float, float] = (250, 25)  # bucket, refill a second
    writes: tuple[float, float] = (200, 10)
    deletes: tuple[float, float] = (200, 10)
    shared: int = 15
    least_wait: int = 1  # seconds: the least Retry-After
    before_authorization: bool = False


@dataclass(slots=True)
class Switches:
    """How this Azure behaves where the real one is not certain. The defaults are the likeliest answers."""

    # the front door
    retired_version: bool = False  # api-version 2014-04-01 still works
    unknown_version_status: int = 400
    disabled_subscription_status: int = 409
    registration_allowed: bool = False  # a provider registration is carried out instead of refused
    trailing_slash: bool = True  # `…/servers/x/` is the server; else an unknown route
    filter_lists: bool = True  # a list shows what may be read; else it needs the right over the whole list
    throttle: Throttle = field(default_factory=Throttle)
    throttle_retry_after: bool = True
    # servers
    page_size: int | None = None  # of server lists
    foreign_next_link: str | None = None  # base URL of another host, put into every nextLink
    synapse_status: int | None = 403  # refusal of rule writes on a Synapse server; None: carried out
    missing_parent: Literal["gateway", "provider"] = "gateway"  # who says that the server is not there
    # rules
    rules_page_size: int | None = None
    shuffled: bool = False  # rule lists come in another order each time
    read_lag: float = 0.0  # seconds by which reads of rules are behind writes
    create_status: Literal[200, 201] = 200
    other_name_in_body: Literal["refuse", "ignore"] = "refuse"
    other_case: Literal["update", "not_found"] = "update"  # PUT of an existing name in other case
    leading_zeros: bool = False  # 01.2.3.4 is taken as 1.2.3.4
    bad_name_code: str = "InvalidResourceId"
    rule_limit: int = 256
    full_refuses_update: bool = False  # at the limit, PUT of an existing rule is refused too
    disabled_refuses_delete: bool = True  # public access disabled: DELETE of a rule is refused too
    perimeter_refuses_writes: bool = False  # public access SecuredByPerimeter
    enabling_takes: float = 0.0  # seconds for which writes stay refused after public access was enabled
    replace_status: Literal[200, 202] = 202
    replace_works: bool = True
    collection_delete_wipes: bool = False
    accepted: Literal["no", "done", "lost"] = "no"  # rule writes answer 202, and are, or are not, carried out
    overlap_conflict: bool = False  # two writes at once on one server: the second is refused with 409
    write_seconds: float = 0.0  # real seconds that a rule write takes
    # Resource Graph
    graph_lag: float = 0.0  # seconds by which it is behind
    graph_quota: int = 15  # queries in each window of five seconds for a principal
    graph_retry_after: bool = False  # its 429 carries Retry-After
    graph_page_limit: int = 1000
