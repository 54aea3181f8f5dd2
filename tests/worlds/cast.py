"""The names that one random world is made of, and references to them."""

from collections.abc import Sequence
from typing import Any

from illumio_azsql_enforcer.model.firewall import Server
from tests.worlds.dice import AddressMaker, Dice
from tests.worlds.small_world import href

Json = dict[str, Any]

KEYS = ("role", "app", "env", "loc", "bu")


class Cast:
    """What is named first can be referred to by whatever is made later."""

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.addresses = AddressMaker(dice)
        self.keys = KEYS[: dice.number(3, 5)]
        self.values: dict[str, list[str]] = {
            key: [href("labels", f"{key}{n}") for n in range(dice.number(2, 3))] for key in self.keys
        }
        self.servers = [_server(number) for number in range(dice.one((1, 1, 1, 1, 2, 2, 2, 4)))]
        self.mine: list[str] = [dice.one(self.values[key]) for key in self.keys if not dice.often(0.12)]
        self.groups = [href("label_groups", n) for n in range(dice.number(0, 4))]
        self.lists = [href("ip_lists", n) for n in range(dice.number(1, 4))]
        self.services = [href("services", n) for n in range(dice.number(0, 3))]
        self.crowded = dice.often(0.025)  # many workloads behind a few addresses
        self.machines = [
            href("workloads", n) for n in range(dice.number(66, 140) if self.crowded else dice.number(1, 7))
        ]
        self.virtual = [href("virtual_services", n) for n in range(dice.one((0, 0, 1, 1, 2, 3)))]

    def some_labels(self) -> list[str]:
        return [self.dice.one(self.values[key]) for key in self.keys if self.dice.often(0.85)]

    def server_like_labels(self) -> list[str]:
        return self.mine if self.dice.often(0.7) else self.some_labels()

    def reference(self, name: str, gone: float = 0.006) -> Json:
        """The object; at times under its draft href, and once in a while something that is not there."""
        if self.dice.often(gone):
            return {"href": name.rsplit("/", 1)[0] + "/gone"}
        return {"href": name.replace("/active/", "/draft/") if self.dice.often(0.05) else name}

    def references(self, names: Sequence[str]) -> list[Json]:
        """Labels of something; once in a while one that the PCE did not list."""
        gone = [{"href": names[0] + "-gone"}] if names and self.dice.often(0.01) else []
        return [{"href": name} for name in names] + gone

    def label_item(self) -> Json:
        """A label or a group, mostly one that the server has; exclusions are mostly of something else."""
        if self.dice.often(0.01):
            return self.strange_item()
        if self.groups and self.dice.often(0.2):
            made: Json = {"label_group": self.reference(self.dice.one(self.groups))}
            return {**made, "exclusion": True} if self.dice.often(0.15) else made
        exclusion = self.dice.often(0.15)
        names = self.values[self.dice.one(self.keys)]
        if self.mine and self.dice.often(0.75):
            names = [self.dice.one(self.mine)]
        if exclusion and names[0] in self.mine and self.dice.often(0.7):
            names = next(values for values in self.values.values() if names[0] in values)
        item: Json = {"label": self.reference(self.dice.one(names))}
        if exclusion or self.dice.often(0.5):
            item["exclusion"] = exclusion
        return item

    def strange_item(self) -> Json:
        return self.dice.one(
            (
                {"planet": {"href": "/mars"}},
                {"actors": "container_host"},
                {"label_dimension": "app"},
                {"actors": "ams", "exclusion": True},
                {"ip_list": {"href": self.lists[0]}, "exclusion": True},
                {"label": {"href": self.values["role"][0]}, "planet": "mars"},
                {"label": {"href": self.values["role"][0]}, "exclusion": self.dice.one(("yes", []))},
                {"label": {"href": self.dice.one((None, 7))}},
                {"label": {"href": self.values["role"][0]}, "label_group": None, "key": "role"},
                {"workload": {"href": self.machines[0]}, "ip_list": {"href": self.lists[0]}},
                {},
            )
        )


def value_of(name: str) -> str:
    """The value of the label with this href."""
    return name.rsplit("/", 1)[1]


def _server(number: int) -> Server:
    name = f"sql{number}"
    tags = {"ILLUMIO-ROLE": "role0", "illumio-env": "env1" if number else "env7"}
    return Server(f"/subscriptions/s/{name}", name, "s", "group", f"{name}.database.windows.net", tags=tags)
