"""The audit log: one event for each change, with what it changed (REST API guide, events)."""

from copy import deepcopy
from dataclasses import dataclass

from illumio_azsql_enforcer.sandbox.pce.org import PCE_FQDN, USER, USER_NAME, Org
from illumio_azsql_enforcer.sandbox.pce.resource import Resource
from illumio_azsql_enforcer.sandbox.pce.shapes import Json

UNLISTED = {"deny_rule"}  # kinds whose edits the vendor's list of events does not have
STATUS = {"create": 201, "update": 204, "delete": 204}


@dataclass(frozen=True, slots=True)
class Origin:
    """Who changed something, and through which call."""

    endpoint: str | None = None
    method: str | None = None
    source: str = "127.0.0.1"
    by_system: bool = False


def record(org: Org, event_type: str, changes: list[Json], origin: Origin, status: int | None) -> None:
    """Append an event."""
    name = org.new_uuid(f"events/{len(org.events)}")
    by = {"system": {}} if origin.by_system else {"user": {**USER, "username": USER_NAME}}
    org.events.append(
        {
            "href": f"/orgs/{org.org_id}/events/{name}",
            "timestamp": org.stamp(),
            "pce_fqdn": PCE_FQDN,
            "created_by": by,
            "event_type": event_type,
            "status": "success",
            "severity": "info",
            "action": {
                "uuid": org.new_uuid(f"actions/{len(org.events)}"),
                "api_endpoint": origin.endpoint,
                "api_method": origin.method,
                "http_status_code": status,
                "src_ip": origin.source,
            },
            "resource_changes": changes,
            "notifications": [],
        }
    )


def record_edit(org: Org, resource: Resource, before: Json | None, after: Json | None, origin: Origin) -> None:
    """Append the event of a create, an update or a delete."""
    verb = "create" if before is None else "delete" if after is None else "update"
    if resource.noun in UNLISTED:
        return
    subject = after or before or {}
    change: Json = {
        "uuid": org.new_uuid(f"changes/{len(org.events)}"),
        "resource": {resource.noun: _canonical(org, resource, subject)},
        "changes": _difference(before or {}, after or {}),
        "change_type": verb,
    }
    record(org, _type(resource, verb, before, after), [change], origin, STATUS[verb])


def _type(resource: Resource, verb: str, before: Json | None, after: Json | None) -> str:
    """Agents, not people, change a managed workload's addresses and whether it is online."""
    if verb == "update" and before and after and after.get("managed"):
        if before.get("online") != after.get("online"):
            return "workload.online" if after["online"] else "system_task.agent_offline_check"
        if before.get("interfaces") != after.get("interfaces"):
            return "workload_interfaces.update"
    return f"{resource.noun}.{verb}"


def _canonical(org: Org, resource: Resource, subject: Json) -> Json:
    shown: Json = {"href": subject["href"]}
    for name in ("name", "hostname", "key", "value"):
        if name in subject:
            shown[name] = subject[name]
    if resource.noun == "workload":
        shown["labels"] = [_label(org, one["href"]) for one in subject.get("labels") or []]
    return shown


def _label(org: Org, href: str) -> Json:
    label = org.live["labels"].get(href.rpartition("/")[2], {})
    return {"href": href, "key": label.get("key"), "value": label.get("value")}


_SILENT = {"href", "created_at", "updated_at", "deleted_at", "created_by", "updated_by", "deleted_by", "update_type"}


def _difference(before: Json, after: Json) -> Json:
    names = [name for name in {**before, **after} if name not in _SILENT and before.get(name) != after.get(name)]
    return {name: {"before": deepcopy(before.get(name)), "after": deepcopy(after.get(name))} for name in names}
