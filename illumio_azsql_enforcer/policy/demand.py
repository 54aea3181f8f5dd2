"""Which workloads the policy of the SQL servers looks at, so that a large estate need not be read whole.

The answer is a superset, and "everything" whenever there is doubt: a workload that is left out must not matter to any
range, source or note of any governed server. It is worked out by the same readings of rules as the translation itself.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from math import prod

from illumio_azsql_enforcer.model.firewall import ConsumerKind, Governed, Server
from illumio_azsql_enforcer.model.policy import RuleSet, Snapshot
from illumio_azsql_enforcer.model.settings import PolicySettings, ServerSettings
from illumio_azsql_enforcer.policy.consumers import VIRTUAL_SERVICES, WORKLOADS
from illumio_azsql_enforcer.policy.denies import override_denies
from illumio_azsql_enforcer.policy.identity import identify
from illumio_azsql_enforcer.policy.population import Conjunction
from illumio_azsql_enforcer.policy.rules import Grant, allow_rules
from illumio_azsql_enforcer.policy.scopes import scopes_of
from illumio_azsql_enforcer.policy.selectors import Side, read_side
from illumio_azsql_enforcer.policy.servers import folded
from illumio_azsql_enforcer.policy.world import World

MOST_LABEL_SETS = 64  # that one pair of side and scope is written out to; else it is asked for more loosely

LabelSet = frozenset[str]  # hrefs; a workload matches when it carries all of them


@dataclass(frozen=True, slots=True)
class Needed:
    """The workloads that matter, beside those that stand for the servers: all that match any of this."""

    label_sets: frozenset[LabelSet] = frozenset()
    workloads: frozenset[str] = frozenset()  # hrefs

    def within(self, other: "Needed") -> bool:
        """Whether whatever matches this matches the other, too."""
        held = all(any(wide <= each for wide in other.label_sets) for each in self.label_sets)
        return held and self.workloads <= other.workloads


@dataclass(frozen=True)
class Interest:
    """The servers that the policy is read for, and how it is read."""

    servers: tuple[Server, ...]
    naming: ServerSettings
    policy: PolicySettings

    @property
    def domains(self) -> frozenset[str]:
        """Every server's name ends in one of these; without case."""
        names = {folded(server.fqdn) for server in self.servers} - {""}
        return frozenset(name.partition(".")[2] or name for name in names)

    def needed(self, snapshot: Snapshot) -> Needed | None:
        """Which workloads matter; None: all may. Of the snapshot's workloads only the servers' own are looked at."""
        found = identify(self.servers, snapshot, self.naming)
        governed = [each for each in found if isinstance(each, Governed)]
        return needed_workloads(snapshot, self.policy, governed)


def needed_workloads(snapshot: Snapshot, settings: PolicySettings, governed: list[Governed]) -> Needed | None:
    """Which workloads matter to the translation for these servers; None: all may."""
    world = World(snapshot, settings, governed)
    bound = frozenset(each.workload.href for each in snapshot.service_bindings if each.workload)
    wish = _Wish(world, bound)
    try:
        for rule_set in snapshot.rule_sets:
            wish.add_allowed(rule_set)
            wish.add_denied(rule_set)
    except _AllMatter:
        return None
    return Needed(frozenset(wish.label_sets), frozenset(wish.workloads))


class _AllMatter(Exception):
    """Some rule looks at workloads in a way that no label set can say."""


@dataclass(slots=True)
class _Wish:
    """What has been asked for so far."""

    world: World
    bound: frozenset[str]  # workloads that any virtual service is bound to
    label_sets: set[LabelSet] = field(default_factory=set)
    workloads: set[str] = field(default_factory=set)

    def add_allowed(self, rule_set: RuleSet) -> None:
        for said in allow_rules(rule_set, self.world):
            if isinstance(said, Grant):
                self._add(said.consumers.side, said.consumers.scope, said.consumers.resolve)

    def add_denied(self, rule_set: RuleSet) -> None:
        """Every override-deny that may touch a server, in whatever scope; what is open goes towards reading more."""
        seen: set[str] = set()
        for said in override_denies(rule_set, self.world):
            if said.rule.href in seen:
                continue
            seen.add(said.rule.href)
            side = read_side(said.rule.consumers, self.world.directory)
            if side.labels is not None and side.labels.conjunction is None:
                raise _AllMatter
            scopes = [None] if said.rule.unscoped_consumers else self._scopes(rule_set)
            for scope in scopes:
                self._add(side, scope, frozenset([WORKLOADS]))

    def _scopes(self, rule_set: RuleSet) -> list[Conjunction | None]:
        scopes = scopes_of(rule_set, self.world)
        return [scope.labels.widest for scope in scopes] or [None]

    def _add(self, side: Side, scope: Conjunction | None, resolve: frozenset[str]) -> None:
        """One side in one scope (None: not scoped)."""
        if side.everyone:
            self._add_labelled(Conjunction(), scope)
        if side.labels is not None and side.labels.conjunction is not None:
            self._add_labelled(side.labels.conjunction, scope)
        self.workloads.update(actor.href for actor in side.of(ConsumerKind.WORKLOAD) if actor.href)
        if VIRTUAL_SERVICES in resolve or side.of(ConsumerKind.VIRTUAL_SERVICE):
            self.workloads.update(self.bound)

    def _add_labelled(self, side: Conjunction, scope: Conjunction | None) -> None:
        """Members that meet both carry one of the labels that are named, of each type of which some are.

        Where side and scope both name labels of a type, either is enough to ask for: a workload may carry two.
        """
        wanted: dict[str, frozenset[str]] = {}
        for demand in (*side.demands, *(scope.demands if scope else ())):
            if demand.wanted is not None:
                wanted[demand.key] = min(demand.wanted, wanted.get(demand.key, demand.wanted), key=len)
        if not wanted:
            raise _AllMatter
        self.label_sets.update(_written_out(wanted.values()))


def _written_out(choices: Iterable[frozenset[str]]) -> Iterator[LabelSet]:
    """One label of each choice, in every combination; the largest choices are left open where that is too many."""
    kept = sorted(choices, key=len)
    while len(kept) > 1 and prod(map(len, kept)) > MOST_LABEL_SETS:
        kept.pop()
    return map(frozenset, product(*kept))
