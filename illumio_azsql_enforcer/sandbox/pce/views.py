"""Stored objects as the PCE shows them: in the draft, active or a numbered view, and with the fields of its release."""

from illumio_azsql_enforcer.sandbox.pce.org import Org, Verbatim
from illumio_azsql_enforcer.sandbox.pce.resources import HELD_AS
from illumio_azsql_enforcer.sandbox.pce.shapes import Json, JsonValue

OLD_MODES = {"idle": "idle", "visibility_only": "illuminated", "full": "enforced", "selective": "selective"}
NAMES = "rule_set_services_labels_and_names"  # the representation that has names beside hrefs
SINCE_26 = ("all_ips_except_for_in_consumers", "all_ips_except_for_in_providers")


class Views:
    """How one organization is shown. `inline_deny_rules` None means: as the release does."""

    def __init__(self, org: Org) -> None:
        self.org, self.release = org, org.release
        self.inline_deny_rules: bool | None = None

    def show(self, collection: str, stored: Json, view: str | None, representation: str = "") -> Json:
        """The object as an answer holds it."""
        if isinstance(stored, Verbatim):
            return _planted(stored, view)
        if collection == "workloads":
            return self._workload(stored, with_values=self.release.label_values or bool(representation))
        shown: Json = in_view(stored, view)
        if collection == "rule_sets":
            self._rule_set(shown, representation == NAMES)
        elif collection in ("label_groups", "virtual_services"):
            self._members(shown)
        elif collection == "services" and view != "draft":
            del shown["update_type"]
        elif collection == "service_bindings":
            shown["bound_service"] = shown["virtual_service"] = in_view(stored["virtual_service"], "active")
        return {**shown, "caps": ["write", "provision"]} if view else shown

    def rule(self, kind: str, stored: Json, view: str) -> Json:
        """One rule as an answer holds it."""
        if isinstance(stored, Verbatim):
            return _planted(stored, view)
        shown: Json = in_view(stored, view)
        self._rule(shown, names=False, exclusion=self._exclusion(kind))
        return shown

    def _exclusion(self, kind: str) -> bool:
        return self.release.policy_check if kind == "deny_rules" else self.release.exclusions

    # --- unversioned

    def _workload(self, stored: Json, *, with_values: bool) -> Json:
        labels = [self._label(one) if with_values else one for one in stored["labels"]]
        mode = {"mode": OLD_MODES[stored["enforcement_mode"]], "log_traffic": False}
        agent = {**(stored.get("agent") or {}), "config": {**mode, "security_policy_update_mode": "adaptive"}}
        report = {"uptime_seconds": 86400, "created_at": stored["created_at"], "open_service_ports": []}
        services = report if stored["managed"] else {}
        shown = {**stored, "labels": labels, "services": services, "agent": agent, "caps": ["write"]}
        if not self.release.exclusions:
            del shown["managed"]
        if not self.release.modern_agents:
            for name in ("ven", "enforcement_mode", "visibility_level"):
                del shown[name]
        return shown

    def _label(self, reference: Json) -> Json:
        label = self.org.live["labels"].get(reference["href"].rpartition("/")[2])
        return {"href": reference["href"], "key": label.get("key"), "value": label.get("value")} if label else reference

    # --- versioned

    def _members(self, shown: Json) -> None:
        """Labels with key and value, sub-groups with their name."""
        shown["labels"] = [self._label(one) for one in shown["labels"]]
        for group in shown.get("sub_groups", []):
            group["name"] = self._name("label_groups", group["href"])

    def _name(self, collection: str, href: str) -> str | None:
        name = href.rpartition("/")[2]
        found = self.org.draft[collection].get(name) or self.org.active.objects[collection].get(name)
        return found["name"] if found else None

    def _rule_set(self, shown: Json, names: bool) -> None:  # noqa: FBT001 - private
        for scope in shown["scopes"]:
            self._items(scope, names=names, exclusion=self.release.exclusions)
        for kind, held in HELD_AS.items():
            for rule in shown[held]:
                if not isinstance(rule, Verbatim):
                    self._rule(rule, names=names, exclusion=self._exclusion(kind))
        shown["ip_tables_rules"] = []
        inline = self.release.inline_deny_rules if self.inline_deny_rules is None else self.inline_deny_rules
        if not (inline and self.release.deny_rules):
            del shown["deny_rules"]

    def _rule(self, rule: Json, *, names: bool, exclusion: bool) -> None:
        for side in ("providers", "consumers"):
            self._items(rule[side], names=names, exclusion=exclusion)
        if "override" in rule:
            rule["caps"] = ["write", "provision"]
        hidden = () if self.release.inline_deny_rules else SINCE_26
        for name in (*hidden, *(() if self.release.label_values else ("network_type",))):
            rule.pop(name, None)
        for service in rule["ingress_services"] if names else []:
            if "href" in service:
                service["name"] = self._name("services", service["href"])

    def _items(self, items: list[Json], *, names: bool, exclusion: bool) -> None:
        for item in items:
            if exclusion and ("label" in item or "label_group" in item):
                item.setdefault("exclusion", False)
            elif not exclusion:
                item.pop("exclusion", None)
            if names:
                self._name_item(item)

    def _name_item(self, item: Json) -> None:
        if "label" in item:
            item["label"] = self._label(item["label"])
        for kind, collection in (("ip_list", "ip_lists"), ("label_group", "label_groups")):
            if kind in item:
                item[kind]["name"] = self._name(collection, item[kind]["href"])


def _planted(stored: Json, view: str | None) -> Json:
    """As it is; once edited, and so with draft hrefs, with those of the view."""
    return dict(in_view(stored, view)) if view and "/sec_policy/draft/" in stored["href"] else stored


def in_view(value: JsonValue, view: str | None) -> JsonValue:
    """A copy whose hrefs of versioned objects are those of the view."""
    if isinstance(value, list):
        return [in_view(one, view) for one in value]
    if not isinstance(value, dict):
        return value
    copied = type(value)({key: in_view(one, view) for key, one in value.items()})
    href = copied.get("href")
    if view not in (None, "draft") and isinstance(href, str):
        copied["href"] = href.replace("/sec_policy/draft/", f"/sec_policy/{view}/", 1)
    return copied
