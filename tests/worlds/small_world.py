"""The common world of the decision table: one SQL server, seven workloads, two IP lists, and the base rule."""

import copy
import ipaddress
from typing import Any

from illumio_azsql_enforcer.model.settings import PolicySettings
from illumio_azsql_enforcer.sandbox.oracle import Judge, ServerView, World

Json = dict[str, Any]
Objects = dict[str, list[Json]]

FQDN = "orders-sql.database.windows.net"
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
OFFICE = "192.0.2.0-192.0.2.127 192.0.2.160-192.0.2.255 198.51.100.10-198.51.100.20 203.0.113.7-203.0.113.7"
W1, W2, W3, W4 = "10.20.1.11", "10.30.1.12", "10.20.9.13", "10.20.7.14"
B1, N1, OFF = "192.0.2.50", "10.99.0.7", "10.20.1.99"
AMS = {"actors": "ams"}


def href(kind: str, name: object) -> str:
    """The href of an object as the PCE spells it in active policy."""
    unversioned = kind in {"labels", "workloads", "service_bindings"}
    return f"/orgs/1/{'' if unversioned else 'sec_policy/active/'}{kind}/{name}"


def ref(kind: str, name: object) -> Json:
    return {"href": href(kind, name)}


def label(number: int, *, exclusion: bool = False) -> Json:
    """A label item of a scope or of a side of a rule."""
    return {"label": ref("labels", number), "exclusion": exclusion}


def group(name: str) -> Json:
    return {"label_group": ref("label_groups", name)}


def without(number: int) -> Json:
    return label(number, exclusion=True)


def ip_list(name: str) -> Json:
    return {"ip_list": ref("ip_lists", name)}


def workload(name: str) -> Json:
    return {"workload": ref("workloads", name)}


def interface(address: str, bits: int | None = 24, name: str = "eth0") -> Json:
    return {"name": name, "address": address, "cidr_block": bits}


def machine(name: str, labels: list[int], *interfaces: Json, **more: object) -> Json:
    """A workload; managed and online unless told otherwise."""
    return {
        "href": href("workloads", name),
        "name": name,
        "hostname": f"{name.lower()}.example.com",
        "managed": True,
        "online": True,
        "public_ip": None,
        "deleted": False,
        "interfaces": list(interfaces),
        "labels": [ref("labels", number) for number in labels],
        **more,
    }


def entries(*texts: str) -> list[Json]:
    """IP-list entries: `a`, `a/n`, `a-b`; with `!` in front they are exclusions."""
    made = []
    for text in texts:
        first, _, last = text.removeprefix("!").partition("-")
        made.append({"from_ip": first, "to_ip": last or None, "exclusion": text.startswith("!")})
    return made


def named_list(name: str, *texts: str, **more: object) -> Json:
    return {"href": href("ip_lists", name), "name": name, "ip_ranges": entries(*texts), "fqdns": [], **more}


def rule(number: int = 401, **changes: object) -> Json:
    """The base rule R, with some fields changed."""
    return {
        "href": href("rule_sets", f"40/sec_rules/{number}"),
        "enabled": True,
        "providers": [label(11)],
        "consumers": [label(12)],
        "consuming_security_principals": [],
        "ingress_services": [{"port": 1433, "proto": 6}],
        "egress_services": [],
        "resolve_labels_as": {"providers": ["workloads"], "consumers": ["workloads"]},
        "unscoped_consumers": False,
        "sec_connect": False,
        "stateless": False,
        "machine_auth": False,
        "network_type": "brn",
        "use_workload_subnets": [],
        **changes,
    }


def deny(number: int = 9, **changes: object) -> Json:
    """An override-deny of everything for everybody, with some fields changed."""
    return {
        "href": href("rule_sets", f"40/deny_rules/{number}"),
        "enabled": True,
        "override": True,
        "providers": [AMS],
        "consumers": [AMS],
        "ingress_services": [{"port": 1433, "proto": 6}],
        "egress_services": [],
        "unscoped_consumers": True,
        "network_type": "brn",
        **changes,
    }


def rule_set(
    *rules: Json,
    scopes: list[list[Json]] | None = None,
    denies: tuple[Json, ...] = (),
    number: int = 40,
    **more: object,
) -> Json:
    """A rule set; its scope is the base rule's unless told otherwise."""
    return {
        "href": href("rule_sets", number),
        "name": f"rule set {number}",
        "enabled": True,
        "scopes": [[label(21), label(31)]] if scopes is None else scopes,
        "rules": list(rules),
        "deny_rules": list(denies),
        **more,
    }


def common_world() -> Objects:
    """The objects of the decision table, without any rule set."""
    server = machine("S", [11, 21, 31, 41], interface("203.0.113.10", 32), managed=False, hostname=FQDN)
    return {
        "labels": [
            {"href": href("labels", number), "key": key, "value": value, "deleted": False}
            for number, (key, value) in LABELS.items()
        ],
        "label_groups": [],
        "ip_lists": [
            named_list(
                "office", "192.0.2.0/24", "198.51.100.10-198.51.100.20", "203.0.113.7", "!192.0.2.128-192.0.2.159"
            ),
            named_list("any", "0.0.0.0/0", "::/0"),
        ],
        "services": [],
        "rule_sets": [],
        "workloads": [
            server,
            machine("W1", [12, 21, 31, 41], interface(W1), public_ip="198.51.100.11"),
            machine("W2", [12, 22, 31, 41], interface(W2)),
            machine("W3", [12, 21, 32, 41], interface(W3)),
            machine("W4", [12, 21, 41], interface(W4)),
            machine("B1", [13, 21, 31, 42], interface(B1, None), managed=False),
            machine("N1", [], interface(N1)),
            machine("OFF", [12, 21, 31, 41], interface(OFF), online=False),
        ],
        "virtual_services": [],
        "service_bindings": [],
    }


def changed(world: Objects, name: str, **changes: object) -> Objects:
    """The world with some fields of one workload changed."""
    made = copy.deepcopy(world)
    for thing in made["workloads"]:
        if thing["href"] == href("workloads", name):
            thing.update(changes)
    return made


def server_view(world: Objects) -> ServerView:
    """The SQL server S, as its workload describes it."""
    mine = world["workloads"][0]
    return ServerView(FQDN, frozenset(reference["href"] for reference in mine["labels"]), mine["href"])


def runs(judge: Judge) -> list[tuple[int, int]]:
    """The allowed addresses before anything about Azure, as ranges: asked address by address at every border."""
    starts = [border for border in sorted({0, *judge.borders}) if border < 2**32]
    found: list[tuple[int, int]] = []
    for start, following in zip(starts, [*starts[1:], 2**32], strict=True):
        if judge.in_policy(start):
            joined = found and found[-1][1] + 1 == start
            found[-1:] = [(found[-1][0], following - 1)] if joined else [*found[-1:], (start, following - 1)]
    return found


def judge_of(world: Objects, settings: PolicySettings) -> Judge:
    return Judge(World.of(world), server_view(world), settings)


# --- variations


def only(
    *rules: Json, scopes: list[list[Json]] | None = None, denies: tuple[Json, ...] = (), **objects: list[Json]
) -> Objects:
    """The common world with one rule set and a few objects more."""
    world = common_world()
    for name, more in objects.items():
        world[name] = world[name] + more
    world["rule_sets"].append(rule_set(*rules, scopes=scopes, denies=denies))
    return world


def free(**changes: object) -> Json:
    """R, extra-scope."""
    return {**rule(), "unscoped_consumers": True, **changes}


def label_group(name: str, *numbers: int, subs: tuple[str, ...] = ()) -> Json:
    labels = [ref("labels", number) for number in numbers]
    return {
        "href": href("label_groups", name),
        "name": name,
        "key": "env",
        "labels": labels,
        "sub_groups": [ref("label_groups", sub) for sub in subs],
    }


def service(name: str, *ports: Json, **more: object) -> Json:
    return {"href": href("services", name), "name": name, "service_ports": list(ports), **more}


def virtual_service(*labels: int, **more: object) -> Json:
    return {
        "href": href("virtual_services", "vs"),
        "name": "vs",
        "labels": [ref("labels", number) for number in labels],
        "service_ports": [{"port": 1433, "proto": 6}],
        "service_addresses": [],
        "ip_overrides": [],
        **more,
    }


def binding(name: str, *overrides: Json) -> Json:
    return {
        "href": href("service_bindings", "b"),
        "workload": ref("workloads", name),
        "virtual_service": ref("virtual_services", "vs"),
        "port_overrides": list(overrides),
    }


def tcp(port: int, to_port: int | None = None) -> Json:
    return {"proto": 6, "port": port, "to_port": to_port}


def resolve(providers: str = "workloads", consumers: str = "workloads") -> Json:
    return {"providers": [providers], "consumers": [consumers]}


def ranges(text: str) -> list[tuple[int, int]]:
    """`a b-c` as pairs of numbers, in order."""
    pairs = [(part.split("-")[0], part.split("-")[-1]) for part in text.split()]
    return sorted((int(ipaddress.IPv4Address(first)), int(ipaddress.IPv4Address(last))) for first, last in pairs)
