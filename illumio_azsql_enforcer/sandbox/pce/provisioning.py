"""From draft to active: what is pending, and making it the next policy version."""

from collections.abc import Iterable, Iterator

from illumio_azsql_enforcer.sandbox.pce.events import Origin, record
from illumio_azsql_enforcer.sandbox.pce.org import Objects, Org, Verbatim, Version, settled, settled_rules
from illumio_azsql_enforcer.sandbox.pce.refusals import Refused
from illumio_azsql_enforcer.sandbox.pce.resources import HELD_AS, VERSIONED
from illumio_azsql_enforcer.sandbox.pce.shapes import Json, JsonValue


def pending(org: Org) -> dict[str, list[Json]]:
    """The draft objects that differ from the active policy, by collection."""
    found = {name: [_summary(one) for one in org.draft[name].values() if one["update_type"]] for name in VERSIONED}
    return {name: summaries for name, summaries in found.items() if summaries}


def _summary(one: Json) -> Json:
    kept = ("href", "name", "update_type", "updated_at", "updated_by")
    return {"caps": ["write", "provision"], **{name: one.get(name) for name in kept}}


def provision(org: Org, message: str, hrefs: Iterable[str] | None, origin: Origin) -> Version:
    """Make pending changes the active policy: all of them, or those of these draft hrefs.

    Raises Refused 406 for an href that is not pending, for nothing to do, and for a policy that would refer to
    objects that are not provisioned.
    """
    chosen = list(_chosen(org, hrefs))
    if not chosen:
        raise Refused(406, "input_validation_error", "There are no changes to provision")
    objects = _next_objects(org, chosen)
    _check_dependencies(org, objects, chosen)
    modified: dict[str, list[Json]] = {}
    for collection, one in chosen:
        modified.setdefault(collection, []).append(_summary(one))
    _settle_draft(org, objects, chosen)
    return _made(org, org.add_version(message, objects, modified), origin)


def provision_nothing(org: Org, origin: Origin) -> Version:
    """A new policy version with the same objects."""
    return _made(org, org.add_version("", org.active.objects, {}), origin)


def _made(org: Org, version: Version, origin: Origin) -> Version:
    record(org, "sec_policy.create", [_change(org, version)], origin, 201)
    return version


def _chosen(org: Org, hrefs: Iterable[str] | None) -> Iterator[tuple[str, Json]]:
    if hrefs is None:
        for name in VERSIONED:
            yield from ((name, one) for one in org.draft[name].values() if one["update_type"])
        return
    for href in dict.fromkeys(hrefs):
        place = org.place(href)
        one = org.draft.get(place.collection, {}).get(place.id or "")
        if one is None or not one["update_type"] or place.rules:
            raise Refused(406, "invalid_uri", f"Invalid URI: {{{href}}} has no pending changes")
        yield place.collection, one


def _next_objects(org: Org, chosen: list[tuple[str, Json]]) -> Objects:
    objects = {name: dict(held) for name, held in org.active.objects.items()}
    for collection, one in chosen:
        if one["update_type"] == "delete":
            objects[collection].pop(_id(one), None)
        else:
            objects[collection][_id(one)] = settled(one)
    return objects


def _check_dependencies(org: Org, objects: Objects, chosen: list[tuple[str, Json]]) -> None:
    """What is provisioned may refer only to what is; a deletion may leave nobody behind who refers to it."""
    deletes = any(one["update_type"] == "delete" for _, one in chosen)
    for collection, one in chosen:
        held = [] if isinstance(one, Verbatim) else [objects[collection].get(_id(one))]
        for href in _versioned_references([objects["rule_sets"], objects["label_groups"]] if deletes else held):
            place = org.place(href)
            if place.id not in objects[place.collection]:
                raise Refused(406, "dependencies_not_provisioned", f"To be provisioned as well: {href}")


def _versioned_references(value: JsonValue) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from _versioned_references(one)
    elif isinstance(value, dict):
        href = value.get("href")
        if isinstance(href, str) and "/sec_policy/draft/" in href and "update_type" not in value:
            yield href
        yield from _versioned_references(list(value.values()))


def _settle_draft(org: Org, objects: Objects, chosen: list[tuple[str, Json]]) -> None:
    for collection, one in chosen:
        name = _id(one)
        if name in objects[collection]:
            one["update_type"] = None
            for held in HELD_AS.values():
                if held in one:
                    one[held] = settled_rules(one[held])
        else:
            del org.draft[collection][name]


def _change(org: Org, version: Version) -> Json:
    described = version.described
    return {
        "uuid": org.new_uuid(f"changes/{len(org.events)}"),
        "resource": {"sec_policy": {"href": described["href"], "version": described["version"]}},
        "changes": {
            "version": {"before": version.number - 1, "after": version.number},
            "commit_message": {"before": None, "after": described["commit_message"]},
            "modified_objects": {"before": None, "after": version.modified},
        },
        "change_type": "create",
    }


def _id(one: Json) -> str:
    return str(one["href"]).rpartition("/")[2]
