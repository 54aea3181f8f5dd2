"""Scopes of a rule set: which servers are in them (cases 7 to 17 of docs/policy-semantics.md)."""

from dataclasses import dataclass

from pyroaring import BitMap

from illumio_azsql_enforcer.model.policy import RuleSet
from illumio_azsql_enforcer.policy.notes import Fault
from illumio_azsql_enforcer.policy.population import Conjunction
from illumio_azsql_enforcer.policy.selectors import Labels, read_scope
from illumio_azsql_enforcer.policy.world import World


@dataclass(frozen=True, slots=True)
class Scope:
    """One scope and the servers in it."""

    labels: Labels
    servers: BitMap  # surely in it
    widest: BitMap  # in it, whatever the things that dangle are

    @property
    def conjunction(self) -> Conjunction | None:
        """None: something dangles, so the scope selects nothing."""
        return self.labels.conjunction

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What could not be read or found."""
        return self.labels.faults


def scopes_of(rule_set: RuleSet, world: World) -> list[Scope]:
    """Each scope; none at all when the rule set has none, which is not the same as All (case 17)."""
    return [_scope(read_scope(items, world.directory), world) for items in rule_set.scopes or ()]


def _scope(labels: Labels, world: World) -> Scope:
    population = world.servers.population
    found = BitMap() if labels.conjunction is None else population.select(labels.conjunction)
    return Scope(labels, found, population.select(labels.widest, widest=True))
