"""Random labels, groups, IP lists, services, workloads and virtual services."""

from typing import Any

from tests.worlds.cast import Cast, value_of
from tests.worlds.small_world import href

Json = dict[str, Any]


class ObjectMaker:
    """Makes the objects of one cast."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.dice = cast.dice
        self.addresses = cast.addresses

    def collections(self) -> dict[str, list[Json]]:
        """Every collection but the rule sets."""
        cast = self.cast
        return {
            "labels": [self.label(key, name) for key, names in cast.values.items() for name in names],
            "label_groups": [self.group(name) for name in cast.groups],
            "ip_lists": [self.ip_list(name) for name in cast.lists],
            "services": [self.service(name) for name in cast.services],
            "workloads": [*self.server_workloads(), *(self.machine(name) for name in cast.machines)],
            "virtual_services": [self.virtual_service(name) for name in cast.virtual],
            "service_bindings": self.bindings(),
        }

    def label(self, key: str, name: str) -> Json:
        made: Json = {"href": name, "key": key, "value": value_of(name)}
        if self.dice.often(0.5):
            made["deleted"] = self.dice.either(0.01, rare=True, usual=False)
        return made

    def group(self, name: str) -> Json:
        """A group of labels of one key, perhaps empty, perhaps with sub-groups, perhaps in a circle."""
        number = self.cast.groups.index(name)
        key = self.cast.keys[number % min(2, len(self.cast.keys))]
        labels = self.dice.some(lambda: self.cast.reference(self.dice.one(self.cast.values[key]), gone=0.03), 2)
        same = [other for other in self.cast.groups if self.cast.groups.index(other) % 2 == number % 2]
        subs = self.dice.some(lambda: self.cast.reference(self.dice.one(same)), 1)
        made: Json = {"href": name, "name": f"group {number}", "key": key, "labels": labels, "sub_groups": subs}
        if self.dice.often(0.03):
            made["key"] = self.dice.one(("", *self.cast.keys))
        if self.dice.often(0.03):
            made[self.dice.one(("labels", "sub_groups"))] = None
        return made

    def ip_list(self, name: str) -> Json:
        made: Json = {"href": name, "name": f"list {name[-1]}", "ip_ranges": self.dice.some(self.addresses.entry, 4)}
        if self.dice.often(0.1):
            made["fqdns"] = [{"fqdn": "*.example.com"}]
        if self.dice.often(0.02):
            made["ip_ranges"] = None
        return made

    def service(self, name: str) -> Json:
        made: Json = {"href": name, "name": "a service", "service_ports": self.dice.some(self.port, 3)}
        if self.dice.often(0.2):
            made["windows_services"] = self.dice.some(self.program_port, 2)
        if self.dice.often(0.05):
            made["process_name"] = "sqlservr.exe"
        return made

    def port(self) -> Json:
        kind = self.dice.random.random()
        if kind < 0.5:
            return {"proto": 6, "port": 1433}
        if kind < 0.6:
            return {"proto": self.dice.one((6, -1, 17))}
        made: Json = {
            "proto": self.dice.one((6, 6, 6, -1, 17)),
            "port": self.dice.one((80, 1400, 1432, 1433, 1434, 3306, 0)),
        }
        if self.dice.often(0.4):
            made["to_port"] = made["port"] + self.dice.one((0, 1, 33, 10000, -1))
        if self.dice.often(0.02):
            made[self.dice.one(("proto", "port", "to_port"))] = self.dice.one(("6", None, True, 6.5, [], -1))
        return made

    def program_port(self) -> Json:
        made = self.port()
        if self.dice.often(0.5):
            made[self.dice.one(("process_name", "service_name"))] = self.dice.one(("sqlservr.exe", None))
        return made

    # --- workloads

    def server_workloads(self) -> list[Json]:
        """A workload with the hostname of each server, mostly; at times two of them, or one that was deleted."""
        made = []
        for number, server in enumerate(self.cast.servers):
            if not self.dice.often(0.15):
                labels = self.cast.mine if number == 0 else self.cast.server_like_labels()
                if self.dice.often(0.01):
                    labels = [*labels, *self.cast.values["role"][:2]]
                made.append(self.server_workload(f"S{number}", server.fqdn, self.cast.references(labels)))
            if self.dice.often(0.03):
                twin = self.server_workload(f"T{number}", server.fqdn, self.cast.references(self.cast.mine))
                made.append({**twin, "deleted": self.dice.often(0.7)})
        return made

    def server_workload(self, name: str, fqdn: str, labels: list[Json]) -> Json:
        hostname = self.dice.either(0.2, fqdn.upper() + ".", fqdn)
        return {**self.machine(href("workloads", name)), "hostname": hostname, "labels": labels, "managed": False}

    def machine(self, name: str) -> Json:
        made: Json = {
            "href": name,
            "name": f"machine {name[-1]}",
            "hostname": f"m{name[-1]}.example.com",
            "managed": self.dice.either(0.4, rare=False, usual=True),
            "online": not self.dice.often(0.15),
            "public_ip": self.addresses.text() if self.dice.often(0.4) else None,
            "interfaces": self.dice.some(self.interface, 3),
            "labels": self.cast.references(self.cast.some_labels()),
        }
        if self.dice.often(0.1):
            made["ignored_interface_names"] = [self.dice.one(("eth0", "eth1"))]
        if self.dice.often(0.15):
            del made["managed"]
            made.update(
                self.dice.one(({"ven": {"href": "/orgs/1/vens/1"}}, {"agent": {"href": "/a"}}, {"agent": {}}, {}))
            )
        if self.dice.often(0.05):
            made["deleted"] = True
        if self.dice.often(0.05):
            del made[self.dice.one(("online", "public_ip", "interfaces", "labels", "name"))]
        return made

    def interface(self) -> Json:
        made: Json = {"name": self.dice.one(("eth0", "eth1")), "address": self.addresses.text()}
        if self.cast.crowded and self.dice.often(0.9):
            made["address"] = self.dice.one(("203.0.113.6", "203.0.113.6", "10.0.0.0"))
        if self.dice.often(0.9):
            made["cidr_block"] = self.dice.one((24, 28, 30, 32, None, 29, 8, 0))
        if self.dice.often(0.01):
            made[self.dice.one(("address", "name", "cidr_block"))] = None
        if self.dice.often(0.01):
            made["cidr_block"] = self.dice.one((64, -1, "24", True))
        return made

    # --- virtual services

    def virtual_service(self, name: str) -> Json:
        made: Json = {
            "href": name,
            "name": f"vs {name[-1]}",
            "labels": self.cast.references(self.cast.server_like_labels()),
        }
        if self.cast.services and self.dice.often(0.2):
            made["service"] = self.cast.reference(self.dice.one(self.cast.services))
        else:
            made["service_ports"] = self.dice.some(self.virtual_port, 2, 1)
        if self.dice.often(0.2):
            fqdn = self.dice.one((*(server.fqdn for server in self.cast.servers), "x.example.com"))
            made["service_addresses"] = [
                self.dice.one(({"fqdn": fqdn}, {"fqdn": fqdn, "port": self.dice.one((1433, -1, 1434, None, "1433"))}))
            ]
        if self.dice.often(0.25):
            made["ip_overrides"] = self.dice.some(self.addresses.block, 2)
        return made

    def bindings(self) -> list[Json]:
        if not self.cast.virtual:
            return []
        return [self.binding(n) for n in range(self.dice.number(0, 4))]

    def binding(self, number: int) -> Json:
        bound = self.dice.one((href("workloads", "S0"), href("workloads", "S0"), *self.cast.machines))
        field_name = self.dice.one(("virtual_service", "virtual_service", "bound_service"))
        made: Json = {"href": href("service_bindings", number), "workload": self.cast.reference(bound)}
        made[field_name] = self.cast.reference(self.dice.one(self.cast.virtual))
        if self.dice.often(0.5):
            made["port_overrides"] = self.dice.some(self.port_override, 2)
        return made

    def virtual_port(self) -> Json:
        if self.dice.often(0.3):
            return self.dice.one(
                ({"proto": 6, "port": -1}, {"proto": 6}, {"proto": -1}, {"proto": 6, "port": 1400, "to_port": 1500})
            )
        return self.port()

    def port_override(self) -> Json:
        made: Json = {"proto": self.dice.one((6, 6, 6, 17)), "port": self.dice.one((1433, 1433, 1433, 80, 3306))}
        made["new_port"] = self.dice.one((1433, 14330, 80))
        if self.dice.often(0.2):
            made["new_to_port"] = made["new_port"] + self.dice.one((0, 5))
        return made
