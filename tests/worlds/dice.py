"""Skewed random choices, and random addresses.

Addresses crowd in a small window, at the borders of the private blocks and at both ends of the space, so that things
touch, overlap and swallow each other.
"""

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

Json = dict[str, Any]
Thing = TypeVar("Thing")

BORDERS = tuple(
    """
    0.0.0.0 0.0.0.1 0.255.255.255 1.0.0.0 9.255.255.255 10.0.0.0 10.255.255.255 11.0.0.0 100.63.255.255 100.64.0.0
    126.255.255.255 127.0.0.1 128.0.0.0 169.253.255.255 169.254.8.8 172.15.255.255 172.31.255.255 192.167.255.255
    192.168.0.1 223.255.255.255 224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.254 255.255.255.255
    """.split()  # noqa: SIM905 - easier to read than a list of 25 lines
)
GARBAGE = (
    "",
    "300.1.2.3",
    "10.0.0",
    "010.1.1.1",
    "10.0.0.0/33",
    "localhost",
    "1.2.3.4 ",
    "zz::1",
    "10.0.0.0/x",
    "1.2.3.4/-1",
    "１.2.3.4",
    "1.2.3.4\n",
)
IPV6 = ("2001:db8::7", "fe80::1", "::ffff:203.0.113.7")


@dataclass
class Dice:
    """Skewed choices."""

    random: Random

    def often(self, chance: float) -> bool:
        return self.random.random() < chance

    def one(self, things: Sequence[Thing]) -> Thing:
        return things[int(self.random.random() * len(things))]

    def some(self, make: Callable[[], Thing], most: int, least: int = 0) -> list[Thing]:
        return [make() for _ in range(least + int(self.random.random() * (most - least + 1)))]

    def number(self, first: int, last: int) -> int:
        return first + int(self.random.random() * (last - first + 1))

    def either(self, chance: float, rare: Thing, usual: Thing) -> Thing:
        return rare if self.random.random() < chance else usual


# --- addresses


@dataclass
class AddressMaker:
    """Addresses as numbers and as text."""

    dice: Dice

    def number(self) -> int:
        kind = self.dice.random.random()
        if kind < 0.6:
            return (203 << 24) + (113 << 8) + self.dice.number(0, 63)
        if kind < 0.62:
            return 0
        if kind < 0.85:
            return (10 << 24) + (20 << 16) + self.dice.number(0, 40)
        return int(ipaddress.IPv4Address(self.dice.one(BORDERS)))

    def text(self) -> str:
        """An IPv4 address; now and then IPv6, or nothing that can be read."""
        kind = self.dice.random.random()
        if kind < 0.05:
            return self.dice.one(IPV6)
        return self.dice.one(GARBAGE) if kind < 0.06 else dotted(self.number())

    def block(self) -> str:
        if self.dice.often(0.4):
            return self.text()
        return f"{dotted(self.number())}/{self.dice.one((32, 31, 30, 30, 29, 28, 27, 24, 16, 8, 3, 0))}"

    def entry(self) -> Json:
        """One entry of an IP list."""
        made: Json = {"from_ip": self.block()}
        if self.dice.often(0.4):
            made = self._pair()
        if self.dice.often(0.7):
            made["exclusion"] = self.dice.either(0.3, rare=True, usual=False)
        if self.dice.often(0.01):
            made[self.dice.one(("from_ip", "to_ip", "exclusion"))] = self.dice.one(
                (7, "no", None, [], "::5", "", "24", "/24", "128", "10.0.0.0/8")
            )
        return made

    def _pair(self) -> Json:
        first = self.number()
        last = min(first + self.dice.one((0, 1, 3, 7, 20, 2**20, 2**26)), 2**32 - 1)
        if self.dice.often(0.005):
            first, last = last, first
        return {"from_ip": dotted(first), "to_ip": self.dice.either(0.01, rare="28", usual=dotted(last))}


def dotted(number: int) -> str:
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
