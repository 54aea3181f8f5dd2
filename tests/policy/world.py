"""The common world of docs/policy-semantics.md, written as PCE payloads and decoded as the reader decodes them.

Short words in rules: 12 is label 12, -12 the same excluded, "ams" all workloads, "W1" a workload, "office" an IP list,
"vs" a virtual service, "lower" a label group; a dict is taken as it is.
"""

# ruff: noqa: N803 P, C and U are the letters of the table
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from illumio_azsql_enforcer.addresses import Range, RangeSet
from illumio_azsql_enforcer.model.firewall import Governed, Server, Translation, Ungoverned
from illumio_azsql_enforcer.model.policy import Snapshot
from illumio_azsql_enforcer.model.settings import PolicySettings, ServerSettings
from illumio_azsql_enforcer.policy.identity import identify
from illumio_azsql_enforcer.policy.translator import Translator

Json = dict[str, Any]
ORG = "/orgs/1"
ACTIVE = f"{ORG}/sec_policy/active"
FQDN = "orders-sql.database.windows.net"
SERVER = Server("/subscriptions/s/orders-sql", "orders-sql", "s", "g", FQDN)
PCE_LEVEL = PolicySettings(keep_private_ranges=True)  # the table shows addresses before the Azure filter

LABELS = {
    11: ("role", "sql-server"),
    12: ("role", "web"),
    13: ("role", "batch"),
    21: ("app", "orders"),
    22: ("app", "crm"),
    31: ("env", "prod"),
    32: ("env", "dev"),
    41: ("loc", "azure-weu"),
    42: ("loc", "dc1"),
    51: ("bu", "retail"),
}
IP_LISTS: dict[str, list[Json]] = {
    "office": [
        {"from_ip": "192.0.2.0/24", "exclusion": False},
        {"from_ip": "198.51.100.10", "to_ip": "198.51.100.20", "exclusion": False},
        {"from_ip": "203.0.113.7", "exclusion": False},
        {"from_ip": "192.0.2.128", "to_ip": "192.0.2.159", "exclusion": True},
    ],
    "any": [{"from_ip": "0.0.0.0/0"}, {"from_ip": "::/0"}],
}
OFFICE = "192.0.2.0-192.0.2.127 192.0.2.160-192.0.2.255 198.51.100.10-198.51.100.20 203.0.113.7"
MSSQL = {"port": 1433, "proto": 6}


def label(number: int) -> str:
    return f"{ORG}/labels/{number}"


def href(kind: str, name: str) -> str:
    return f"{ORG}/workloads/{name}" if kind == "workload" else f"{ACTIVE}/{kind}s/{name}"


def workload(name: str, labels: Sequence[int], *addresses: str, **more: Any) -> Json:
    interfaces = []
    for at, text in enumerate(addresses):
        address, _, length = text.partition("/")
        interfaces.append({"name": f"eth{at}", "address": address, "cidr_block": int(length) if length else None})
    carried = [{"href": label(number)} for number in labels]
    found = {"href": href("workload", name), "name": name, "interfaces": interfaces, "labels": carried}
    return {**found, "deleted": False, "managed": True, "online": True, "public_ip": None, **more}


def workloads() -> dict[str, Json]:
    every = [
        workload("S", [11, 21, 31, 41], "203.0.113.10", managed=False, hostname=FQDN),
        workload("W1", [12, 21, 31, 41], "10.20.1.11/24", public_ip="198.51.100.11"),
        workload("W2", [12, 22, 31, 41], "10.30.1.12/24"),
        workload("W3", [12, 21, 32, 41], "10.20.9.13/24"),
        workload("W4", [12, 21, 41], "10.20.7.14/24"),
        workload("B1", [13, 21, 31, 42], "192.0.2.50", managed=False),
        workload("N1", [], "10.99.0.7/24"),
        workload("OFF", [12, 21, 31, 41], "10.20.1.99/24", online=False),
    ]
    return {each["name"]: each for each in every}


def item(word: Any) -> Json:
    """One actor or scope item from a short word."""
    if isinstance(word, dict):
        return word
    if isinstance(word, int):
        return {"label": {"href": label(abs(word))}, "exclusion": word < 0}
    if word in ("ams", "container_host"):
        return {"actors": word}
    if word in _GROUPS:
        return {"label_group": {"href": href("label_group", word)}}
    kind = "workload" if word in _WORKLOADS else "virtual_service" if word.startswith("vs") else "ip_list"
    return {kind: {"href": href(kind, word)}}


_WORKLOADS = {"S", "W1", "W2", "W3", "W4", "B1", "N1", "OFF", "X"}
_GROUPS = {"lower", "nested", "empty", "cyclic"}


def items(words: Sequence[Any]) -> list[Json]:
    return [item(word) for word in words]


def scopes(words: Sequence[Sequence[Any]]) -> list[list[Json]]:
    return [items(scope) for scope in words]


def rule(
    number: int = 401, *, P: Sequence[Any] = (11,), C: Sequence[Any] = (12,), U: bool = False, **more: Any
) -> Json:
    """Base rule R with changes: P providers, C consumers, U unscoped consumers."""
    return {
        "href": f"{ACTIVE}/rule_sets/40/sec_rules/{number}",
        "enabled": True,
        "providers": items(P),
        "consumers": items(C),
        "ingress_services": [MSSQL],
        "resolve_labels_as": {"providers": ["workloads"], "consumers": ["workloads"]},
        "unscoped_consumers": U,
        **more,
    }


def deny(
    number: int = 9, *, P: Sequence[Any] = ("ams",), C: Sequence[Any] = (32,), U: bool = True, **more: Any
) -> Json:
    """An override-deny."""
    return {
        "href": f"{ACTIVE}/rule_sets/40/deny_rules/{number}",
        "enabled": True,
        "override": True,
        "providers": items(P),
        "consumers": items(C),
        "ingress_services": [MSSQL],
        "unscoped_consumers": U,
        **more,
    }


def rule_set(
    rules: Sequence[Json] = (), denies: Sequence[Json] = (), scope: Sequence[Any] = ((21, 31),), **more: Any
) -> Json:
    found = {"href": f"{ACTIVE}/rule_sets/40", "name": "orders-db", "enabled": True, "scopes": scopes(scope)}
    return {**found, "rules": list(rules), "deny_rules": list(denies), **more}


def label_group(name: str, labels: Sequence[int] = (), groups: Sequence[str] = (), key: str = "env") -> Json:
    members = [{"href": label(number)} for number in labels]
    below = [{"href": href("label_group", each)} for each in groups]
    return {"href": href("label_group", name), "name": name, "key": key, "labels": members, "sub_groups": below}


def snapshot(
    rule_sets: Sequence[Json],
    *,
    changed: Mapping[str, Json] | None = None,
    ip_lists: Mapping[str, Any] | None = None,
    **more: Any,
) -> Snapshot:
    """The common world with these rule sets; `changed` workloads are merged in, or put beside the others."""
    every = workloads()
    for name, change in (changed or {}).items():
        every[name] = {**every.get(name, {}), **change}
    lists: Mapping[str, Any] = {**IP_LISTS, **(ip_lists or {})}
    payload = {
        "version": 80,
        "release": [25, 2, 20],
        "labels": [{"href": label(n), "key": key, "value": value} for n, (key, value) in LABELS.items()],
        "ip_lists": [{"href": href("ip_list", n), "name": n, **_fields(each)} for n, each in lists.items()],
        "workloads": list(every.values()),
        "rule_sets": list(rule_sets),
        **more,
    }
    return msgspec.convert(payload, Snapshot)


def _fields(ip_list: Any) -> Json:
    """The fields of an IP list: its ranges alone, or all of them."""
    return ip_list if isinstance(ip_list, dict) else {"ip_ranges": ip_list}


def governed(world: Snapshot, server: Server = SERVER, settings: ServerSettings | None = None) -> Governed:
    found = identify([server], world, settings or ServerSettings())[0]
    assert isinstance(found, Governed), found.reason
    return found


def ungoverned(world: Snapshot, server: Server = SERVER, settings: ServerSettings | None = None) -> Ungoverned:
    found = identify([server], world, settings or ServerSettings())[0]
    assert isinstance(found, Ungoverned), found
    return found


def translated(world: Snapshot, settings: PolicySettings = PCE_LEVEL) -> Translation:
    server = governed(world)
    return Translator(world, settings, [server]).translate(server)


def ranges(translation: Translation) -> str:
    return " ".join(str(desired.range) for desired in translation.desired)


def addresses_of(names: str, world: Snapshot) -> str:
    """What the table's words stand for: workload names are their interface addresses, all else is taken as it is."""
    known = {each.name: each for each in world.workloads}
    texts: list[str] = []
    for name in names.split():
        texts += [i.address or "" for i in known[name].interfaces or ()] if name in known else [name]
    return " ".join(str(span) for span in RangeSet(_span(text) for text in texts if ":" not in text))


def _span(text: str) -> Range:
    start, _, end = text.partition("-")
    return Range.parse(start, end or start)
