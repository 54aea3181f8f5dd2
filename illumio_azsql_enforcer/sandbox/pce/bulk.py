"""Changing many workloads in one call (`PUT workloads/bulk_create` and its siblings)."""

from illumio_azsql_enforcer.sandbox.pce.editing import create, delete, update
from illumio_azsql_enforcer.sandbox.pce.events import Origin
from illumio_azsql_enforcer.sandbox.pce.live_kinds import WORKLOADS
from illumio_azsql_enforcer.sandbox.pce.org import Org
from illumio_azsql_enforcer.sandbox.pce.refusals import Refused, invalid
from illumio_azsql_enforcer.sandbox.pce.shapes import Json

MOST = 1000  # workloads in one call
BULK = ("bulk_create", "bulk_update", "bulk_delete")


def bulk(org: Org, action: str, body: object, origin: Origin) -> list[Json]:
    """One result for each workload: its href and status, or its errors; the others are carried out all the same."""
    if not isinstance(body, list) or len(body) > MOST:
        raise invalid([f"The property '#/' is not an array of at most {MOST} items"], f"workloads_{action}")
    return [_one(org, action, item, origin) for item in body]


def _one(org: Org, action: str, item: Json, origin: Origin) -> Json:
    try:
        return _carried_out(org, action, dict(item), origin)
    except Refused as refused:
        return {"href": item.get("href"), **refused.errors[0], "status": "validation_failure"}


def _carried_out(org: Org, action: str, fields: Json, origin: Origin) -> Json:
    if action == "bulk_create":
        return {"href": create(org, WORKLOADS, fields, origin)["href"], "status": "created"}
    href = str(fields.pop("href", ""))
    place = org.place(href)
    if action == "bulk_update":
        update(org, place, href, fields, origin)
        return {"href": href, "status": "updated"}
    delete(org, place, href, origin)
    return {"href": href}
