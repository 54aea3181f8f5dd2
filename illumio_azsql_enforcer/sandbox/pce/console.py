"""What a person does in the PCE's web console, and what agents and clouds do to workloads, as plain calls."""

from collections.abc import Iterable, Mapping
from copy import deepcopy

from illumio_azsql_enforcer.sandbox.pce.editing import create, delete, update
from illumio_azsql_enforcer.sandbox.pce.events import Origin
from illumio_azsql_enforcer.sandbox.pce.org import Org
from illumio_azsql_enforcer.sandbox.pce.planting import plant
from illumio_azsql_enforcer.sandbox.pce.policy_kinds import DENY_RULES, SEC_RULES
from illumio_azsql_enforcer.sandbox.pce.provisioning import provision, provision_nothing
from illumio_azsql_enforcer.sandbox.pce.resource import Resource
from illumio_azsql_enforcer.sandbox.pce.resources import RESOURCES
from illumio_azsql_enforcer.sandbox.pce.shapes import Json, JsonValue
from illumio_azsql_enforcer.sandbox.pce.views import Views


class Console:
    """Takes and returns PCE JSON. Everything is checked as the REST API checks it: Refused is raised, nothing happens.

    Versioned objects (rule sets and their rules, IP lists, services, label groups, virtual services) change in the
    draft and count once they are provisioned; labels, workloads and service bindings count at once.
    """

    def __init__(self, org: Org, views: Views) -> None:
        self._org, self._views = org, views

    def create(self, collection: str, **fields: JsonValue) -> Json:
        """A new object. A workload with `managed=True` is one that an agent has paired."""
        resource = RESOURCES[collection]
        managed = collection == "workloads" and fields.pop("managed", False)
        with self._org.lock:
            made = create(self._org, resource, fields, self._origin(resource, "POST"))
            if managed:
                self._pair(made)
            return self._shown(made)

    def add_rule(self, rule_set_href: str, **fields: JsonValue) -> Json:
        """A new allow rule; what is not given is as the rule editor sets it (enabled, labels stand for workloads)."""
        usual: Json = {"enabled": True, "resolve_labels_as": SEC_RULES.defaults["resolve_labels_as"]}
        return self._add(SEC_RULES, rule_set_href, {**deepcopy(usual), **fields})

    def add_deny_rule(self, rule_set_href: str, **fields: JsonValue) -> Json:
        """A new deny rule; `override=True` makes it an override-deny."""
        return self._add(DENY_RULES, rule_set_href, fields)

    def update(self, href: str, **changes: JsonValue) -> Json:
        """Change fields of an object or a rule; an active href means its draft."""
        with self._org.lock:
            draft = self._draft(href)
            place = self._org.place(draft)
            return self._shown(update(self._org, place, draft, changes, Origin(f"/api/v2{draft}", "PUT")))

    def delete(self, href: str) -> None:
        """Delete an object or a rule; an active href means its draft."""
        with self._org.lock:
            draft = self._draft(href)
            delete(self._org, self._org.place(draft), draft, Origin(f"/api/v2{draft}", "DELETE"))

    def get(self, href: str) -> Json:
        """The object at an href, in the view that the href names."""
        with self._org.lock:
            place = self._org.place(href)
            stored = self._org.stored(place, href)
            if place.rules:
                return deepcopy(self._views.rule(place.rules, stored, place.view or ""))
            return deepcopy(self._views.show(place.collection, stored, place.view))

    def find(self, collection: str, **equals: JsonValue) -> list[Json]:
        """The objects (drafts, for versioned ones) that are not deleted and have these values."""
        with self._org.lock:
            shown = [self._shown(one) for one in self._org.living(collection)]
        return [one for one in shown if all(one.get(name) == value for name, value in equals.items())]

    def provision(self, description: str = "", hrefs: Iterable[str] | None = None) -> int:
        """Provision the changes of these objects, or all; returns the new policy version."""
        with self._org.lock:
            drafts = None if hrefs is None else [self._draft(href) for href in hrefs]
            origin = Origin(f"/api/v2/orgs/{self._org.org_id}/sec_policy", "POST")
            return provision(self._org, description, drafts, origin).number

    @property
    def version(self) -> int:
        """The active policy version."""
        with self._org.lock:
            return self._org.active.number

    def move_version(self) -> int:
        """Somebody provisions something without meaning: the policy version moves; returns it."""
        with self._org.lock:
            return provision_nothing(self._org, Origin(f"/api/v2/orgs/{self._org.org_id}/sec_policy", "POST")).number

    def plant(self, objects: Mapping[str, Iterable[Json]]) -> int:
        """Put whole objects in, unchecked and answered as they are, as the next policy version; see `planting`."""
        with self._org.lock:
            return plant(self._org, objects)

    def _add(self, resource: Resource, rule_set_href: str, fields: Json) -> Json:
        with self._org.lock:
            draft = self._draft(rule_set_href)
            rule_set = self._org.stored(self._org.place(draft), draft)
            origin = Origin(f"/api/v2{draft}/{resource.collection}", "POST")
            return self._shown(create(self._org, resource, fields, origin, rule_set))

    def _draft(self, href: str) -> str:
        place = self._org.place(href)
        return href if place.view is None else href.replace(f"/sec_policy/{place.view}/", "/sec_policy/draft/", 1)

    def _shown(self, stored: Json) -> Json:
        return self.get(stored["href"])

    def _pair(self, made: Json) -> None:
        name = made["href"].rpartition("/")[2]
        number = sum(1 for one in self._org.live["workloads"].values() if one.get("managed")) + 1
        made["managed"] = True
        made["agent"] = {"href": f"/orgs/{self._org.org_id}/agents/{number}"}
        made["ven"] = {
            "href": f"/orgs/{self._org.org_id}/vens/{name}",
            "hostname": made["hostname"],
            "name": made["name"],
            "status": "active",
        }

    def _origin(self, resource: Resource, method: str) -> Origin:
        return Origin(f"/api/v2{self._org.base(resource)}", method)
