"""Random small worlds as PCE JSON: everything that the PCE can send, and at low probability what it should not.

All choices come from one `random.Random`, so that a seed is a world.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from illumio_azsql_enforcer.addresses import Range, cidr
from illumio_azsql_enforcer.model.firewall import Server
from illumio_azsql_enforcer.model.settings import (
    AddressSource,
    NatEntry,
    PolicySettings,
    ServerOverride,
    ServerSettings,
)
from tests.worlds.cast import Cast, value_of
from tests.worlds.dice import Dice
from tests.worlds.object_maker import ObjectMaker
from tests.worlds.rule_maker import RuleMaker

Json = dict[str, Any]


@dataclass
class Case:
    """A world, the SQL servers in it, and how the policy is to be read."""

    collections: dict[str, list[Json]]
    servers: list[Server]
    policy: PolicySettings
    naming: ServerSettings = field(default_factory=ServerSettings)


def make_case(seed: int) -> Case:
    """The case of a seed, always the same."""
    dice = Dice(Random(seed))
    cast = Cast(dice)
    collections = {**ObjectMaker(cast).collections(), "rule_sets": RuleMaker(cast).rule_sets()}
    maker = SettingsMaker(cast)
    return Case(collections, cast.servers, maker.policy(), maker.naming())


class SettingsMaker:
    """Makes the settings for one cast."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.dice = cast.dice
        self.addresses = cast.addresses

    def policy(self) -> PolicySettings:
        both = frozenset(AddressSource)
        sources = self.dice.one(
            (frozenset({AddressSource.INTERFACES}),) * 3 + (both, frozenset({AddressSource.PUBLIC_IP}))
        )
        return PolicySettings(
            ports=self.dice.one(((1433,), (1433,), (1433, 3306), (3306, 1433, 80))),
            addresses=sources,
            nat=tuple(self._nat()) if self.dice.often(0.3) else (),
            keep_private_ranges=self.dice.often(0.3),
            skip_offline=not self.dice.often(0.2),
        )

    def _nat(self) -> list[NatEntry]:
        privates = {
            cidr(self.addresses.number(), self.dice.one((32, 30, 28, 24, 16))) for _ in range(self.dice.number(1, 3))
        }
        return [NatEntry(private, tuple(self.dice.some(self._public, 2, 1))) for private in sorted(privates)]

    def _public(self) -> Range:
        return cidr(self.addresses.number(), self.dice.one((32, 32, 31, 30)))

    def naming(self) -> ServerSettings:
        """Labels of servers from the config, and from tags."""
        overrides = {}
        if self.dice.often(0.15):
            labels = {
                key: value_of(name)
                for key in self.cast.keys
                for name in self.cast.mine
                if name in self.cast.values[key]
            }
            overrides["sql0"] = ServerOverride(labels=self.dice.either(0.05, {"role": "unheard of"}, labels))
        tags = {"role": "Illumio-Role", "env": "illumio-env"} if self.dice.often(0.3) else {}
        return ServerSettings(overrides=overrides, tag_labels=tags)
