"""A large estate as the PCE would send it: deterministic JSON, one body for each collection.

Workloads have all the fields that a 25.2 PCE sends (about 3 KB each). There are twenty label types; rule sets are
mostly scoped by application and environment, a few span the organisation; databases are unmanaged workloads whose
hostname is the name of an Azure SQL server.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from illumio_azsql_enforcer.addresses import Range, cidr, format_address, parse_address
from illumio_azsql_enforcer.model.firewall import Server
from illumio_azsql_enforcer.model.settings import NatEntry, PolicySettings

Json = dict[str, Any]
ORG = "/orgs/1"
ACTIVE = f"{ORG}/sec_policy/active"
SUFFIX = "database.windows.net"
STAMP = "2026-01-11T09:00:00.000Z"
TYPES = {"role": 200, "app": 500, "env": 6, "loc": 20, **{f"type{number}": 30 for number in range(16)}}
DATABASE_ROLES = 5  # the first roles are those of database servers
RULES_A_SET = 20
SITES = 64  # networks 10.site.0.0/16, each behind a public address of its own


@dataclass(frozen=True, slots=True)
class Size:
    """How large the estate is."""

    workloads: int = 125_000
    rules: int = 50_000
    servers: int = 1_000


def collections(size: Size) -> Iterator[tuple[str, bytes]]:
    """The name and JSON body of each collection, one after the other."""
    maker = _Maker(size)
    yield "labels", _array(maker.labels())
    yield "label_groups", _array(maker.label_groups())
    yield "ip_lists", _array(maker.ip_lists())
    yield "services", _array(maker.services())
    yield "virtual_services", _array(maker.virtual_services())
    yield "service_bindings", _array(maker.service_bindings())
    yield "rule_sets", _array(maker.rule_sets())
    yield "workloads", _array(maker.workloads())


def servers(size: Size) -> list[Server]:
    """The logical servers that Azure would list."""
    return [
        Server(f"/subscriptions/s/resourceGroups/g/servers/sql{at}", f"sql{at}", "s", "g", f"sql{at}.{SUFFIX}")
        for at in range(size.servers)
    ]


def settings() -> PolicySettings:
    """Half of the sites are behind a translated address; the addresses of the others stay private."""
    return PolicySettings(nat=tuple(_nat(site) for site in range(0, SITES, 2)))


def _nat(site: int) -> NatEntry:
    public = parse_address("20.0.0.0") + site * 4
    return NatEntry(cidr(parse_address(f"10.{site}.0.0"), 16), (Range(public, public + 1),))


class _Maker:
    def __init__(self, size: Size) -> None:
        self._size = size
        self._hrefs = {key: [f"{ORG}/labels/{key}-{at}" for at in range(count)] for key, count in TYPES.items()}

    def labels(self) -> Iterator[Json]:
        for key, hrefs in self._hrefs.items():
            for at, href in enumerate(hrefs):
                stamps = {"created_at": STAMP, "updated_at": STAMP, "deleted": False}
                yield {"href": href, "key": key, "value": f"{key.title()} {at}", **stamps}

    def label_groups(self) -> Iterator[Json]:
        random = Random(1)
        for at in range(200):
            key = list(TYPES)[at // 10]
            members = [{"href": href} for href in random.sample(self._hrefs[key], min(4, len(self._hrefs[key])))]
            below = [{"href": f"{ACTIVE}/label_groups/{at - 1}"}] if at % 10 == 1 else []
            yield {
                "href": f"{ACTIVE}/label_groups/{at}",
                "name": f"group {at}",
                "key": key,
                "labels": members,
                "sub_groups": below,
            }

    def ip_lists(self) -> Iterator[Json]:
        random = Random(2)
        for at in range(400):
            ranges = [_entry(random) for _ in range(random.randrange(1, 40))]
            yield {"href": f"{ACTIVE}/ip_lists/{at}", "name": f"list {at}", "ip_ranges": ranges, "fqdns": []}

    def services(self) -> Iterator[Json]:
        for at in range(100):
            ports = [{"proto": 6, "port": 1433 if at % 2 == 0 else 8000 + at}, {"proto": 17, "port": 53}]
            yield {"href": f"{ACTIVE}/services/{at}", "name": f"service {at}", "service_ports": ports}

    def virtual_services(self) -> Iterator[Json]:
        random = Random(3)
        for at in range(200):
            labels = [{"href": random.choice(self._hrefs[key])} for key in ("role", "app", "env")]
            port = {"proto": 6, "port": 1433}
            yield {
                "href": f"{ACTIVE}/virtual_services/{at}",
                "name": f"vs {at}",
                "labels": labels,
                "service_ports": [port],
            }

    def service_bindings(self) -> Iterator[Json]:
        random = Random(4)
        for at in range(400):
            bound = {"href": f"{ACTIVE}/virtual_services/{at % 200}"}
            workload = {"href": f"{ORG}/workloads/{random.randrange(self._size.workloads)}"}
            yield {"href": f"{ORG}/service_bindings/{at}", "virtual_service": bound, "workload": workload}

    def rule_sets(self) -> Iterator[Json]:
        random = Random(5)
        for at in range(0, self._size.rules, RULES_A_SET):
            href = f"{ACTIVE}/rule_sets/{at}"
            scopes = [self._scope(random) for _ in range(random.choice((1, 1, 1, 2)))]
            count = min(RULES_A_SET, self._size.rules - at)
            wide = not all(scopes)
            rules = [self._rule(random, f"{href}/sec_rules/{at + n}", wide=wide) for n in range(count)]
            denies = [self._deny(random, f"{href}/deny_rules/{at}")] if at % (20 * RULES_A_SET) == 0 else []
            yield {
                "href": href,
                "name": f"rule set {at}",
                "enabled": at % (50 * RULES_A_SET) != 0,
                "description": "",
                "scopes": scopes,
                "rules": rules,
                "deny_rules": denies,
                "ip_tables_rules": [],
                "created_at": STAMP,
            }

    def workloads(self) -> Iterator[Json]:
        random = Random(6)
        for at in range(self._size.workloads):
            yield self._workload(random, at)

    def _workload(self, random: Random, at: int) -> Json:
        database = at < self._size.servers
        site = random.randrange(SITES)
        address = f"10.{site}.{at >> 8 & 255}.{at & 255}"
        extra = random.sample(range(16), 4)
        keys = ["role", "app", "env", "loc", *(f"type{number}" for number in extra)]
        hrefs = [self._carried(random, key, database=database) for key in keys]
        interfaces = [_interface("eth0", address, 16), _interface("eth0", f"fd00::{at >> 8:x}:{at & 255:x}", 64)]
        if at % 20 == 0:
            interfaces.append(_interface("eth0.public", format_address(parse_address("20.64.0.0") + at), 32))
        return {
            "href": f"{ORG}/workloads/{at}",
            "name": f"workload-{at}",
            "hostname": f"sql{at}.{SUFFIX}" if database else f"host-{at}.example.com",
            "managed": not database,
            "online": at % 50 != 0,
            "labels": [{"href": href, "key": key, "value": href[13:]} for key, href in zip(keys, hrefs, strict=True)],
            "interfaces": interfaces,
            **_FILLING,
        }

    def _carried(self, random: Random, key: str, *, database: bool) -> str:
        if key == "role":
            span = range(DATABASE_ROLES) if database else range(DATABASE_ROLES, TYPES["role"])
            return self._hrefs[key][random.choice(span)]
        return random.choice(self._hrefs[key])

    def _scope(self, random: Random) -> list[Json]:
        shape = random.random()
        keys = [] if shape < 0.005 else ["loc", "type0"] if shape < 0.03 else ["app"] if shape < 0.1 else ["app", "env"]
        return [self._label(random, key) for key in keys]

    def _rule(self, random: Random, href: str, *, wide: bool) -> Json:
        """Rules that span the organisation name few consumers: one role of one application, or an IP list."""
        consumers = self._consumers(random)
        if wide:
            consumers = [self._label(random, key) for key in ("role", "app", "env")]
        return {
            "href": href,
            "enabled": random.random() > 0.02,
            "description": "",
            "providers": self._providers(random),
            "consumers": consumers,
            "consuming_security_principals": [],
            "ingress_services": self._services(random),
            "egress_services": [],
            "resolve_labels_as": {"providers": ["workloads"], "consumers": ["workloads"]},
            "unscoped_consumers": "actors" not in consumers[0] and random.random() < 0.4,
            "sec_connect": False,
            "stateless": False,
            "machine_auth": False,
            "network_type": "brn",
            "use_workload_subnets": [],
        }

    def _deny(self, random: Random, href: str) -> Json:
        consumers = [self._label(random, "role"), self._label(random, "env")]
        fixed = {
            "enabled": True,
            "override": True,
            "unscoped_consumers": True,
            "ingress_services": [{"proto": 6, "port": 1433}],
        }
        return {"href": href, "providers": [{"actors": "ams"}], "consumers": consumers, **fixed}

    def _providers(self, random: Random) -> list[Json]:
        if random.random() < 0.1:
            return [{"actors": "ams"}]
        return [{"label": {"href": self._hrefs["role"][random.randrange(DATABASE_ROLES)]}, "exclusion": False}]

    def _consumers(self, random: Random) -> list[Json]:
        shape = random.random()
        if shape < 0.15:
            return [{"ip_list": {"href": f"{ACTIVE}/ip_lists/{random.randrange(400)}"}}]
        if shape < 0.2:
            return [{"workload": {"href": f"{ORG}/workloads/{random.randrange(self._size.workloads)}"}}]
        if shape < 0.25:
            return [{"label_group": {"href": f"{ACTIVE}/label_groups/{random.randrange(200)}"}}]
        if shape < 0.3:
            return [{"actors": "ams"}]  # of the scope: see `_rule`
        roles = [self._label(random, "role") for _ in range(random.randrange(1, 4))]
        more = [self._label(random, random.choice(list(TYPES))) for _ in range(random.randrange(3))]
        excluded = [self._label(random, "loc", exclusion=True)] if random.random() < 0.05 else []
        return [*roles, *more, *excluded]

    def _services(self, random: Random) -> list[Json]:
        if random.random() < 0.5:
            return [{"proto": 6, "port": 1433}]
        return [{"href": f"{ACTIVE}/services/{random.randrange(100)}"}]

    def _label(self, random: Random, key: str, *, exclusion: bool = False) -> Json:
        return {"label": {"href": random.choice(self._hrefs[key])}, "exclusion": exclusion}


def _entry(random: Random) -> Json:
    address = random.randrange(parse_address("20.0.0.0"), parse_address("60.0.0.0"))
    if random.random() < 0.5:
        return {"from_ip": f"{format_address(address)}/{random.randrange(20, 33)}", "exclusion": random.random() < 0.1}
    return {
        "from_ip": format_address(address),
        "to_ip": format_address(address + random.randrange(1000)),
        "exclusion": False,
    }


def _interface(name: str, address: str, length: int) -> Json:
    return {
        "name": name,
        "address": address,
        "cidr_block": length,
        "default_gateway_address": None,
        "link_state": "up",
        "network": {"href": f"{ORG}/networks/1", "name": "Corporate"},
        "network_detection_mode": "single_private_brn",
        "friendly_name": None,
    }


def _array(objects: Iterable[Json]) -> bytes:
    encoder = json.JSONEncoder(separators=(",", ":"))
    return ("[" + ",\n".join(encoder.encode(each) for each in objects) + "]").encode()


_OPEN_PORT = {
    "address": "0.0.0.0",
    "port": 443,
    "protocol": 6,
    "user": "root",
    "process_name": "/usr/sbin/nginx",
    "package": None,
    "win_service_name": None,
}
_FILLING: Json = {
    "deleted": False,
    "delete_type": None,
    "description": "",
    "public_ip": None,
    "ignored_interface_names": [],
    "external_data_set": None,
    "external_data_reference": None,
    "service_principal_name": None,
    "distinguished_name": "",
    "service_provider": "on premises",
    "data_center": "dc1",
    "data_center_zone": None,
    "os_id": "rhel-x86_64-8.6",
    "os_detail": "4.18.0-372.9.1.el8.x86_64 #1 SMP Fri Apr 15 22:12:19 EDT 2022",
    "enforcement_mode": "full",
    "visibility_level": "flow_summary",
    "firewall_coexistence": None,
    "selectively_enforced_services": [],
    "blocked_connection_action": "drop",
    "created_at": STAMP,
    "updated_at": STAMP,
    "created_by": {"href": f"{ORG}/agents/1"},
    "updated_by": {"href": "/users/1"},
    "deleted_at": None,
    "deleted_by": None,
    "caps": ["write"],
    "ven": {"href": f"{ORG}/vens/1", "hostname": "host.example.com", "status": "active", "version": "22.5.30-1"},
    "agent": {
        "href": f"{ORG}/agents/1",
        "config": {"log_traffic": True, "mode": "enforced", "visibility_level": "flow_summary"},
        "status": {
            "uid": "rhel-1",
            "last_heartbeat_on": STAMP,
            "uptime_seconds": 1_234_567,
            "agent_version": "22.5.30-1",
            "managed_since": STAMP,
            "agent_health_errors": {"errors": [], "warnings": []},
            "security_policy_applied_at": STAMP,
            "security_policy_received_at": STAMP,
            "security_policy_refresh_at": STAMP,
            "security_policy_sync_state": "applied",
            "firewall_rule_count": 220,
            "status": "active",
        },
    },
    "services": {"uptime_seconds": 1_234_567, "open_service_ports": [_OPEN_PORT] * 3},
    "vulnerability_summary": None,
    "detected_vulnerabilities": [],
    "risk_summary": {"ransomware": None},
}
