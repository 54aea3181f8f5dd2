"""`policy_check` and `allow`: which rules speak about one connection, told by the naive model of policy meaning."""

import ipaddress
from collections.abc import Mapping

from illumio_azsql_enforcer.sandbox.oracle import World, policy_check
from illumio_azsql_enforcer.sandbox.pce.org import Org
from illumio_azsql_enforcer.sandbox.pce.refusals import invalid
from illumio_azsql_enforcer.sandbox.pce.resources import HELD_AS, RESOURCES
from illumio_azsql_enforcer.sandbox.pce.shapes import Json
from illumio_azsql_enforcer.sandbox.pce.views import Views, in_view


class Analysis:
    """Answers about the policy of one organization."""

    def __init__(self, org: Org, views: Views) -> None:
        self._org, self._views = org, views
        self._worlds: dict[str, World] = {}
        self._worlds_of = -1

    def check(self, view: str, query: Mapping[str, str]) -> dict[str, list[Json]]:
        """`sec_rules`, `deny_rules` and `override_deny_rules` that match. Raises Refused 406.

        The question is `src_external_ip` or `src_workload`, `dst_workload`, `port` and `protocol`. Unlike a PCE, the
        sandbox answers about workloads as destinations, and IPv4 as source, only.
        """
        schema = "sec_policy_policy_check"
        missing = [name for name in ("dst_workload", "port", "protocol") if name not in query]
        if missing or ("src_external_ip" in query) == ("src_workload" in query):
            wanted = "src_external_ip or src_workload, dst_workload, port and protocol"
            raise invalid([f"The property '#/' did not contain the required properties: {wanted}"], schema)
        try:
            matched = policy_check(
                self._world(view),
                dst_workload=query["dst_workload"],
                port=int(query["port"]),
                proto=int(query["protocol"]),
                src_ip=_address(query.get("src_external_ip")),
                src_workload=query.get("src_workload"),
            )
        except (ValueError, KeyError) as error:
            raise invalid([f"The property '#/' holds a value that is not usable: {error}"], schema) from None
        return {kind: [self._rule(view, href) for href in hrefs] for kind, hrefs in matched.items()}

    def _world(self, view: str) -> World:
        if self._worlds_of != self._org.revision:
            self._worlds, self._worlds_of = {}, self._org.revision
        if view not in self._worlds:
            self._worlds[view] = World.of({name: self._objects(name, view) for name in RESOURCES})
        return self._worlds[view]

    def _objects(self, collection: str, view: str) -> list[Json]:
        versioned = RESOURCES[collection].versioned
        stored = self._org.objects(collection, view if versioned else None).values()
        kept = [one for one in stored if one.get("update_type") != "delete"]
        shown: list[Json] = in_view(kept, view) if versioned else kept
        for rule_set in shown if collection == "rule_sets" else []:
            for held in HELD_AS.values():
                rules = rule_set.get(held) or []
                rule_set[held] = [rule for rule in rules if rule.get("update_type") != "delete"]
        return shown

    def _rule(self, view: str, href: str) -> Json:
        place = self._org.place(href)
        rule_set = self._org.stored(self._org.place(href.partition(f"/{place.rules}/")[0]), href)
        shown = self._views.rule(place.rules or "", self._org.stored(place, href), view)
        return {**shown, "rule_set": {"href": href.partition(f"/{place.rules}/")[0], "name": rule_set["name"]}}


def _address(text: str | None) -> int | None:
    return None if text is None else int(ipaddress.IPv4Address(text))
