"""Whole worlds put in at once: objects as a PCE would send them, or as it never should, without any check.

For large estates, for recorded answers and for hostile ones (dangling references, unknown fields, odd types).
"""

from collections.abc import Iterable, Mapping
from copy import deepcopy

from illumio_azsql_enforcer.sandbox.pce.org import Org, Version
from illumio_azsql_enforcer.sandbox.pce.resources import HELD_AS, RESOURCES
from illumio_azsql_enforcer.sandbox.pce.shapes import Json, JsonValue

HEAVY = ("workloads", "labels")  # large, and without references to versioned objects: kept as they are


def plant(org: Org, objects: Mapping[str, Iterable[Json]]) -> int:
    """Add objects, each with its own href (any view), or replace those that have it; returns the new policy version.

    `objects` maps a collection to its objects. They are answered as they are, but for the view in their hrefs.
    Versioned ones are in the draft and in the new version.
    """
    modified: dict[str, list[Json]] = {}
    held = {name: dict(one) for name, one in org.active.objects.items()}
    for collection, many in objects.items():
        kept = {_id(one): _drafted(one) if collection not in HEAVY else dict(one) for one in many}
        org.verbatim.update(one["href"] for one in kept.values())
        org.skip_ids(collection, kept)
        if RESOURCES[collection].versioned:
            _keep_draft(org, collection, kept)
            held[collection].update(kept)
            modified[collection] = []
        else:
            org.live[collection].update(kept)
    return _next(org, held, modified).number


def _next(org: Org, held: dict[str, dict[str, Json]], modified: dict[str, list[Json]]) -> Version:
    return org.add_version("Planted", held, modified)


def _keep_draft(org: Org, collection: str, kept: Mapping[str, Json]) -> None:
    for name, one in kept.items():
        draft = deepcopy(one)
        draft["update_type"] = None
        for rules in HELD_AS.values() if collection == "rule_sets" else ():
            draft[rules] = [{"update_type": None, **rule} for rule in draft.get(rules) or []]
        org.draft[collection][name] = draft


def _drafted(value: JsonValue) -> JsonValue:
    """A copy with draft hrefs."""
    if isinstance(value, list):
        return [_drafted(one) for one in value]
    if not isinstance(value, dict):
        return value
    copied = {key: _drafted(one) for key, one in value.items()}
    href = copied.get("href")
    if isinstance(href, str) and "/sec_policy/" in href:
        before, _, after = href.partition("/sec_policy/")
        copied["href"] = f"{before}/sec_policy/draft/{after.partition('/')[2]}"
    return copied


def _id(one: Json) -> str:
    return str(one["href"]).rpartition("/")[2]
