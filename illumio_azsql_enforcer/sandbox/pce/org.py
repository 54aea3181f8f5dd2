"""What one organization holds: live objects, the draft of the policy, and every policy version that was provisioned.

Objects are JSON dictionaries, kept with draft hrefs inside; `views` turns them into the answer for a view. A version's
objects are never changed after it was made, so versions share what they have in common.
"""

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC
from threading import RLock
from typing import Any

from illumio_azsql_enforcer.clock import Clock
from illumio_azsql_enforcer.sandbox.pce.refusals import not_found
from illumio_azsql_enforcer.sandbox.pce.release import Release
from illumio_azsql_enforcer.sandbox.pce.resource import Resource
from illumio_azsql_enforcer.sandbox.pce.resources import HELD_AS, RESOURCES, VERSIONED
from illumio_azsql_enforcer.sandbox.pce.shapes import Json

Objects = dict[str, dict[str, Json]]  # collection -> id -> object
USER = {"href": "/users/1"}
USER_NAME = "admin@pce.example.com"
PCE_FQDN = "pce.example.com"


class Verbatim(dict[str, Any]):
    """A planted object or rule: it is answered as it is, not trimmed to the release."""


@dataclass(frozen=True, slots=True)
class Version:
    """One provisioned policy: the version object, what it holds, and which objects it changed."""

    described: Json
    objects: Objects
    modified: dict[str, list[Json]]

    @property
    def number(self) -> int:
        """The policy version."""
        return int(self.described["version"])


@dataclass(frozen=True, slots=True)
class Place:
    """Where an href points: a collection, maybe an object of it, maybe a rule or a kind of rules below it."""

    collection: str
    id: str | None = None
    view: str | None = None  # draft, active or a number; None for unversioned objects
    rules: str | None = None  # sec_rules or deny_rules
    rule_id: str | None = None


class Org:
    """The organization's objects, under one lock. `revision` moves with every change."""

    def __init__(self, org_id: int, release: Release, clock: Clock) -> None:
        self.org_id, self.release, self.clock = org_id, release, clock
        self.lock = RLock()
        self.live: Objects = {name: {} for name, resource in RESOURCES.items() if not resource.versioned}
        self.draft: Objects = {name: {} for name in VERSIONED}
        self.versions: dict[int, Version] = {}
        self.events: list[Json] = []
        self.revision = 0
        self._numbers: Counter[str] = Counter()

    @property
    def active(self) -> Version:
        """The newest policy version."""
        return self.versions[max(self.versions)]

    def stamp(self) -> str:
        """Now, as the PCE writes it: RFC 3339 with milliseconds."""
        return self.clock.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"

    def new_id(self, resource: Resource) -> str:
        """A new id of the collection's kind; the same ones in every run."""
        self._numbers[resource.collection] += 1
        number = self._numbers[resource.collection]
        return str(number) if resource.ids == "number" else self.new_uuid(f"{resource.collection}/{number}")

    def new_uuid(self, name: str) -> str:
        """A UUID that depends on the organization and the name alone."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"pce/orgs/{self.org_id}/{name}"))

    def skip_ids(self, collection: str, used: Iterable[str]) -> None:
        """Ids of planted objects are not given out again."""
        highest = max((int(one) for one in used if one.isdecimal()), default=0)
        self._numbers[collection] = max(self._numbers[collection], highest)

    def base(self, resource: Resource) -> str:
        """The collection's href, in the draft for versioned objects."""
        view = "sec_policy/draft/" if resource.versioned else ""
        return f"/orgs/{self.org_id}/{view}{resource.collection}"

    def place(self, href: str) -> Place:
        """Read an href (of any view). Raises Refused 404 for one that no object can have."""
        parts = href.split("/")[1:]
        if parts[:2] != ["orgs", str(self.org_id)]:
            raise not_found(href)
        view, parts = (parts[3], parts[4:]) if parts[2:3] == ["sec_policy"] and len(parts) > 4 else (None, parts[2:])
        match parts:
            case ["firewall_settings"]:
                return Place("firewall_settings", "firewall_settings", view)
            case [collection, one] if self._fits(collection, view):
                return Place(collection, one, view)
            case ["rule_sets", one, ("sec_rules" | "deny_rules") as rules, rule] if view:
                return Place("rule_sets", one, view, rules, rule)
        raise not_found(href)

    def _fits(self, collection: str, view: str | None) -> bool:
        resource = RESOURCES.get(collection)
        return resource is not None and resource.versioned == (view is not None)

    def objects(self, collection: str, view: str | None) -> dict[str, Json]:
        """The stored objects of a collection in a view. Raises Refused 404 for a version that does not exist."""
        if view is None:
            return self.live[collection]
        if view == "draft":
            return self.draft[collection]
        number = max(self.versions) if view == "active" else int(view) if view.isdecimal() else -1
        if number not in self.versions:
            raise not_found(f"/orgs/{self.org_id}/sec_policy/{view}")
        return self.versions[number].objects[collection]

    def stored(self, place: Place, href: str) -> Json:
        """The stored object, or rule, at a place. Raises Refused 404."""
        found = self.objects(place.collection, place.view).get(place.id or "")
        if found is not None and place.rules:
            rules = found.get(HELD_AS[place.rules]) or []
            found = next((rule for rule in rules if rule["href"].rpartition("/")[2] == place.rule_id), None)
        if found is None:
            raise not_found(href)
        return found

    def living(self, collection: str) -> Iterator[Json]:
        """The objects of a collection as an editor sees them: not deleted, and the draft for versioned ones."""
        for one in self.objects(collection, "draft" if RESOURCES[collection].versioned else None).values():
            if not one.get("deleted") and one.get("update_type") != "delete":
                yield one

    def add_version(self, message: str, objects: Objects, modified: dict[str, list[Json]]) -> Version:
        """Make these objects the active policy, under the next number."""
        number = max(self.versions, default=-1) + 1
        counts = {name: len(objects[name]) for name in VERSIONED}
        if not self.release.modern_agents:
            del counts["enforcement_boundaries"]
        described: Json = {
            "href": f"/orgs/{self.org_id}/sec_policy/{number}",
            "version": number,
            "workloads_affected": sum(1 for one in self.live["workloads"].values() if one.get("managed")),
            "commit_message": message,
            "object_counts": counts,
            "created_at": self.stamp(),
            "created_by": USER,
        }
        self.versions[number] = Version(described, objects, modified)
        self.revision += 1
        return self.versions[number]


def settled(one: Json) -> Json:
    """A draft object as a version keeps it: a copy without deleted rules and without marks of pending changes."""
    kept = deepcopy(one)
    kept["update_type"] = None
    for held in HELD_AS.values():
        if held in kept:
            kept[held] = settled_rules(kept[held])
    return kept


def settled_rules(rules: list[Json]) -> list[Json]:
    """Rules without the deleted ones, and without marks of pending changes."""
    return [type(rule)({**rule, "update_type": None}) for rule in rules if rule["update_type"] != "delete"]
