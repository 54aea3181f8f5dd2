"""Whole worlds put in at once: objects as a PCE would send them, or as it never should, without any check.

For large estates, for recorded answers and for hostile ones (dangling references, unknown fields, odd types).
"""

from collections.abc import Iterable, Mapping

from illumio_azsql_enforcer.sandbox.pce.org import Org, Verbatim
from illumio_azsql_enforcer.sandbox.pce.resources import HELD_AS, RESOURCES
from illumio_azsql_enforcer.sandbox.pce.shapes import Json, JsonValue


def plant(org: Org, objects: Mapping[str, Iterable[Json]]) -> int:
    """Add objects, each with its own href, or replace those that have it; returns the new policy version.

    `objects` maps a collection to its objects. They are answered as they are, inner hrefs included; versioned ones
    (give them active hrefs) are in the new version, and with draft hrefs in the draft, where they can be edited.
    """
    modified: dict[str, list[Json]] = {}
    held = {name: dict(one) for name, one in org.active.objects.items()}
    for collection, many in objects.items():
        kept = {_id(one): _marked(one) for one in many}
        org.skip_ids(collection, kept)
        if RESOURCES[collection].versioned:
            org.draft[collection].update({name: _draft(one) for name, one in kept.items()})
            held[collection].update(kept)
            modified[collection] = []
        else:
            org.live[collection].update(kept)
    return org.add_version("Planted", held, modified).number


def _marked(one: Json) -> Json:
    """The object as it is, but it and its rules known as planted."""
    marked = Verbatim(one)
    for rules in HELD_AS.values():
        if isinstance(one.get(rules), list):
            marked[rules] = [Verbatim(rule) if isinstance(rule, dict) else rule for rule in one[rules]]
    return marked


def _draft(one: Json) -> Json:
    draft: Json = _drafted(one)
    draft["update_type"] = None
    for rules in HELD_AS.values():
        for rule in draft.get(rules) or []:
            rule["update_type"] = None
    return draft


def _drafted(value: JsonValue) -> JsonValue:
    """A copy with draft hrefs."""
    if isinstance(value, list):
        return [_drafted(one) for one in value]
    if not isinstance(value, dict):
        return value
    copied = type(value)({key: _drafted(one) for key, one in value.items()})
    href = copied.get("href")
    if isinstance(href, str) and "/sec_policy/" in href:
        before, _, after = href.partition("/sec_policy/")
        copied["href"] = f"{before}/sec_policy/draft/{after.partition('/')[2]}"
    return copied


def _id(one: Json) -> str:
    return str(one["href"]).rpartition("/")[2]
