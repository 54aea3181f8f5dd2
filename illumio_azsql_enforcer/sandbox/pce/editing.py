"""Creating, changing and deleting objects, as POST, PUT and DELETE do; versioned objects change in the draft only."""

from collections.abc import Iterator
from copy import deepcopy

from illumio_azsql_enforcer.sandbox.pce.checks import check_sense, check_shape, check_unique, resolve
from illumio_azsql_enforcer.sandbox.pce.events import Origin, record_edit
from illumio_azsql_enforcer.sandbox.pce.org import USER, Org, Place
from illumio_azsql_enforcer.sandbox.pce.refusals import Refused
from illumio_azsql_enforcer.sandbox.pce.resource import Resource
from illumio_azsql_enforcer.sandbox.pce.resources import HELD_AS, RESOURCES, RULE_KINDS
from illumio_azsql_enforcer.sandbox.pce.shapes import Json, JsonValue

INTERFACE: Json = {
    "name": None,
    "address": None,
    "cidr_block": None,
    "default_gateway_address": None,
    "link_state": None,
    "network": None,
    "network_detection_mode": "manual",
    "friendly_name": None,
    "loopback": False,
}
REFERRED = {  # who may refer to a kind of object, and the error when it is deleted all the same
    "ip_lists": ("ip_list_referenced", ("rule_sets", "enforcement_boundaries")),
    "services": ("service_referenced", ("rule_sets", "virtual_services", "enforcement_boundaries")),
    "label_groups": ("label_group_referenced", ("rule_sets", "label_groups", "enforcement_boundaries")),
    "virtual_services": ("virtual_service_referenced", ("rule_sets", "service_bindings")),
}
LABEL_REFERRED = {
    "label_still_has_associated_rule_set": ("rule_sets", "enforcement_boundaries"),
    "label_referenced_by_label_group": ("label_groups",),
    "label_still_has_associated_workload": ("workloads", "virtual_services"),
}


def create(org: Org, resource: Resource, body: object, origin: Origin, rule_set: Json | None = None) -> Json:
    """Make an object; a rule is put into `rule_set`. Raises Refused 406."""
    fields = resolve(org, check_shape(org, resource, body, creating=True))
    stem = f"{rule_set['href']}/{resource.collection}" if rule_set else org.base(resource)
    now = org.stamp()
    made: Json = {
        "href": f"{stem}/{org.new_id(resource)}",
        "created_at": now,
        "updated_at": now,
        "created_by": USER,
        "updated_by": USER,
        **deepcopy(dict(resource.defaults)),
        **fields,
    }
    if resource.versioned:
        made |= {"update_type": "create", "deleted_at": None, "deleted_by": None}
    _fill(resource, made)
    _check(org, resource, made)
    if rule_set is None:
        org.objects(resource.collection, "draft" if resource.versioned else None)[_id(made)] = made
    else:
        held = HELD_AS[resource.collection]
        rule_set[held] = [*(rule_set.get(held) or []), made]
        _touch(org, rule_set)
    org.revision += 1
    record_edit(org, resource, None, made, origin)
    return made


def update(org: Org, place: Place, href: str, body: object, origin: Origin) -> Json:
    """Change some fields of an object. Raises Refused 404 or 406."""
    resource = resource_at(place)
    stored = _editable(org, place, href)
    fields = resolve(org, check_shape(org, resource, body, creating=False))
    before = deepcopy(stored)
    after = {**stored, **fields}
    _fill(resource, after)
    _check(org, resource, after)
    stored.update(after)
    _touched(org, place, stored)
    record_edit(org, resource, before, stored, origin)
    return stored


def delete(org: Org, place: Place, href: str, origin: Origin) -> None:
    """Delete an object: at once when it is unversioned or was never provisioned, else on provisioning."""
    resource = resource_at(place)
    if not resource.writable:
        raise Refused(405, "method_not_allowed_error", f"This sandbox does not edit {resource.collection}")
    stored = _editable(org, place, href)
    _check_unreferenced(org, resource, stored)
    if place.rules:
        _delete_rule(org, place, stored)
    elif resource.versioned:
        _delete_draft(org, resource, stored)
    else:
        _delete_live(org, resource, stored)
    org.revision += 1
    record_edit(org, resource, stored, None, origin)


def resource_at(place: Place) -> Resource:
    """What kind of object a place is for."""
    return RULE_KINDS[place.rules] if place.rules else RESOURCES[place.collection]


def _editable(org: Org, place: Place, href: str) -> Json:
    if place.view not in (None, "draft"):
        raise Refused(405, "method_not_allowed_error", "Only the draft can be edited")
    stored = org.stored(place, href)
    if stored.get("update_type") == "delete" or stored.get("deleted"):
        raise Refused(406, "already_deleted", f"Already deleted: {href}")
    return stored


def _check(org: Org, resource: Resource, whole: Json) -> None:
    check_unique(org, resource, whole)
    check_sense(org, resource, whole)


def _fill(resource: Resource, made: Json) -> None:
    if resource.collection == "ip_lists":
        made["ip_ranges"] = [{"exclusion": False, **one} for one in made.get("ip_ranges") or []]
    if resource.collection == "workloads":
        made["interfaces"] = [{**INTERFACE, **one} for one in made.get("interfaces") or []]


def _touched(org: Org, place: Place, stored: Json) -> None:
    _touch(org, stored)
    if place.rules:
        _touch(org, org.draft["rule_sets"][place.id or ""])
    org.revision += 1


def _touch(org: Org, stored: Json) -> None:
    stored |= {"updated_at": org.stamp(), "updated_by": USER}
    if "update_type" in stored and stored["update_type"] is None:
        stored["update_type"] = "update"


def _delete_rule(org: Org, place: Place, rule: Json) -> None:
    rule_set = org.draft["rule_sets"][place.id or ""]
    if rule["update_type"] == "create":
        rule_set[HELD_AS[place.rules or ""]].remove(rule)
    else:
        rule["update_type"] = "delete"
    _touch(org, rule_set)


def _delete_draft(org: Org, resource: Resource, stored: Json) -> None:
    if _id(stored) in org.active.objects[resource.collection]:
        stored |= {"update_type": "delete", "deleted_at": org.stamp(), "deleted_by": USER}
    else:
        del org.draft[resource.collection][_id(stored)]


def _delete_live(org: Org, resource: Resource, stored: Json) -> None:
    if "deleted" in resource.defaults:
        stored |= {"deleted": True, "deleted_at": org.stamp(), "deleted_by": USER, "updated_at": org.stamp()}
    else:
        del org.live[resource.collection][_id(stored)]


def _check_unreferenced(org: Org, resource: Resource, stored: Json) -> None:
    for token, holders in _referrers(resource):
        if any(refers(one, stored["href"]) for holder in holders for one in org.living(holder)):
            raise Refused(406, token, f"{resource.noun} is in use: {stored['href']}")


def _referrers(resource: Resource) -> Iterator[tuple[str, tuple[str, ...]]]:
    if resource.collection == "labels":
        yield from LABEL_REFERRED.items()
    elif resource.collection in REFERRED:
        yield REFERRED[resource.collection]


def refers(value: JsonValue, href: str) -> bool:
    """Whether an object holds a reference to `href`; deleted rules in it do not count."""
    if isinstance(value, list):
        return any((isinstance(one, dict) and one.get("href") == href) or refers(one, href) for one in value)
    if not isinstance(value, dict) or value.get("update_type") == "delete":
        return False
    named = any(isinstance(inner, dict) and inner.get("href") == href for inner in value.values())
    return named or any(refers(inner, href) for inner in value.values())


def _id(stored: Json) -> str:
    return str(stored["href"]).rpartition("/")[2]
