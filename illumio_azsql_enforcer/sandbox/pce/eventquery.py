"""Which events a query finds: newest first, 100 unless more are asked for, never more than 10,000."""

from collections.abc import Mapping

from illumio_azsql_enforcer.sandbox.pce.query import limit
from illumio_azsql_enforcer.sandbox.pce.shapes import Json

USUAL, MOST = 100, 10_000


def find_events(events: list[Json], query: Mapping[str, str]) -> tuple[list[Json], int]:
    """The events to show, and how many there are in all."""
    found = [one for one in reversed(events) if _fits(one, query)]
    asked = limit(query)
    return found[: min(USUAL if asked is None else asked, MOST)], len(found)


def _fits(event: Json, query: Mapping[str, str]) -> bool:
    first, last = query.get("timestamp[gte]", ""), query.get("timestamp[lte]", "~")
    named = all(query.get(name, event[name]) == event[name] for name in ("event_type", "status", "severity"))
    return named and first <= event["timestamp"] <= last
