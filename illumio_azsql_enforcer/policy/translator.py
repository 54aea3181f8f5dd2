"""A snapshot and a server in, exact ranges out: the union of what allow rules let in, less what override-denies take.

Rules are evaluated once for all servers, as bitmaps of servers; rules that speak for the same servers are united once;
servers for which the same rules speak share one translation. Which source a range has is looked up when asked.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from pyroaring import BitMap

from illumio_azsql_enforcer.addresses import LAST_ADDRESS, Range, RangeSet
from illumio_azsql_enforcer.errors import PolicyUnresolvable
from illumio_azsql_enforcer.model.firewall import ALL_AZURE_SERVICES, Desired, Governed, Note, NoteCode, Translation
from illumio_azsql_enforcer.model.policy import Snapshot
from illumio_azsql_enforcer.model.settings import PolicySettings
from illumio_azsql_enforcer.policy.consumers import parts_of
from illumio_azsql_enforcer.policy.denies import Denial, Unresolved, override_denies
from illumio_azsql_enforcer.policy.findings import Findings
from illumio_azsql_enforcer.policy.ip_lists import is_private, outside_edges
from illumio_azsql_enforcer.policy.population import union
from illumio_azsql_enforcer.policy.rules import Grant, Remark, allow_rules
from illumio_azsql_enforcer.policy.sources import Attribution, Sources
from illumio_azsql_enforcer.policy.world import World
from illumio_azsql_enforcer.text import sentence

CACHED_POOLS = 1024
CACHED_SPANS = 65536  # many servers get the same ranges
_EDGES = outside_edges()
_AZURE_SERVICES = ALL_AZURE_SERVICES.first << 32 | ALL_AZURE_SERVICES.last


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """Everything that is said about exactly the same servers."""

    grants: list[Grant] = field(default_factory=list)
    remarks: list[Note] = field(default_factory=list)
    denials: list[Denial] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Consumers of many grants together."""

    addresses: BitMap  # workloads whose addresses count
    subnets: BitMap  # workloads whose subnets count
    ranges: RangeSet  # addresses that stand for themselves


class Translator:
    """Says what the policy of one snapshot admits to each governed server. Safe to use for many servers in turn."""

    def __init__(self, snapshot: Snapshot, settings: PolicySettings, governed: Sequence[Governed]) -> None:
        """Read all rules. Nothing is raised here for a policy that cannot be resolved; `translate` raises."""
        self.world = World(snapshot, settings, governed)
        self.rule_sets = snapshot.rule_sets
        self._findings = Findings(self.world)
        self._bundles = self._read(snapshot)
        self._pooled = lru_cache(maxsize=CACHED_POOLS)(self._pool)
        self._span = lru_cache(maxsize=CACHED_SPANS)(_span)
        self._known: dict[tuple[tuple[Bundle, ...], int | None], Translation] = {}

    def translate(self, server: Governed) -> Translation:
        """The ranges that may reach the server over TCP on the ports of the settings, and what was left out.

        Ranges are disjoint, sorted and minimal, and never 0.0.0.0-0.0.0.0. Raises PolicyUnresolvable when an
        override-deny that may be about the server cannot be evaluated.
        """
        bundles = self._bundles[self.world.servers.ordinal(server)]
        failures = [reason for bundle in bundles for reason in bundle.failures]
        if failures:
            more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
            raise PolicyUnresolvable(sentence(f"{failures[0]}{more}; the server keeps the firewall that it has"))
        own = self.world.directory.ordinals(server.workload)
        consumers = self.pool(bundles)
        key = (tuple(bundles), own.min() if own & (consumers.addresses | consumers.subnets) else None)
        if key not in self._known:
            self._known[key] = self._translation(bundles, own)
        return self._known[key]

    def pool(self, bundles: Sequence[Bundle]) -> Pool:
        """The consumers of all grants of these bundles."""
        pools = [self._pooled(bundle) for bundle in bundles if bundle.grants]
        return _united(pools)

    def bundles(self, server: Governed) -> Sequence[Bundle]:
        """What is said about the server."""
        return self._bundles[self.world.servers.ordinal(server)]

    def _translation(self, bundles: Sequence[Bundle], own: BitMap) -> Translation:
        grants = [grant for bundle in bundles for grant in bundle.grants]
        allowed, denied = self._allowed(bundles, own)
        final = [packed for packed in allowed.packed if self._can_arrive(packed)]
        attribution = Attribution(final, grants, own, self.world)
        desired = tuple(Desired(self._span(packed), Sources(attribution, at)) for at, packed in enumerate(final))
        notes = [note for bundle in bundles for note in bundle.remarks]
        notes += [note for bundle in bundles for denial in bundle.denials for note in denial.notes]
        notes += self._findings.about(grants, own, RangeSet.of_packed(final), denied)
        if _AZURE_SERVICES in allowed.packed[:1]:
            notes.append(_SPECIAL)
        return Translation(desired, tuple(sorted(set(notes))))

    def _allowed(self, bundles: Sequence[Bundle], own: BitMap) -> tuple[RangeSet, list[RangeSet]]:
        """What is let in, before private ranges are left out, and what is denied.

        Private addresses of workloads are left out at once where no range that is let in can reach from outside
        into their block: they could only end up in ranges that are left out anyway.
        """
        pool = self.pool(bundles)
        denied = [denial.ranges for bundle in bundles for denial in bundle.denials]
        addresses, subnets = pool.addresses - own, pool.subnets - own
        packed = self.world.addresses.open_ranges(addresses)
        packed += self.world.subnets.open_ranges(subnets) if subnets else []
        found = pool.ranges | RangeSet.of_packed(packed)
        allowed = _less(found, denied)
        if self.world.settings.keep_private_ranges or any(edge in allowed for edge in _EDGES):
            private = self.world.addresses.private_ranges(addresses)
            private += self.world.subnets.private_ranges(subnets) if subnets else []
            allowed = _less(found | RangeSet.of_packed(private), denied)
        return allowed, denied

    def _can_arrive(self, packed: int) -> bool:
        if packed == _AZURE_SERVICES:
            return False
        return self.world.settings.keep_private_ranges or not is_private(packed)

    def _pool(self, bundle: Bundle) -> Pool:
        addresses, subnets, ranges = BitMap(), BitMap(), RangeSet()
        for grant in bundle.grants:
            for part in parts_of(grant.consumers, self.world):
                if grant.consumers.subnets:
                    subnets |= part.workloads
                else:
                    addresses |= part.workloads
                ranges = ranges | part.ranges if part.ranges else ranges
        return Pool(addresses, subnets, ranges)

    def _read(self, snapshot: Snapshot) -> list[list[Bundle]]:
        """What is said about each server, by ordinal."""
        bundles: defaultdict[bytes, Bundle] = defaultdict(Bundle)
        for rule_set in snapshot.rule_sets:
            for said in allow_rules(rule_set, self.world):
                _add(bundles[said.servers.serialize()], said)
            for denied in override_denies(rule_set, self.world):
                _add(bundles[denied.servers.serialize()], denied)
        of_server: list[list[Bundle]] = [[] for _ in self.world.servers.all]
        for key, bundle in bundles.items():
            for ordinal in BitMap.deserialize(key):
                of_server[ordinal].append(bundle)
        return of_server


def _span(packed: int) -> Range:
    return Range(packed >> 32, packed & LAST_ADDRESS)


def _add(bundle: Bundle, said: Grant | Remark | Denial | Unresolved) -> None:
    if isinstance(said, Grant):
        bundle.grants.append(said)
    elif isinstance(said, Remark):
        bundle.remarks.append(said.note)
    elif isinstance(said, Denial):
        bundle.denials.append(said)
    else:
        bundle.failures.append(said.reason)


def _united(pools: Sequence[Pool]) -> Pool:
    if len(pools) == 1:
        return pools[0]
    return Pool(
        union(pool.addresses for pool in pools),
        union(pool.subnets for pool in pools),
        RangeSet.of_packed([packed for pool in pools for packed in pool.ranges.packed]),
    )


def _less(found: RangeSet, denied: Iterable[RangeSet]) -> RangeSet:
    for each in denied:
        found = found - each
    return found


_SPECIAL = Note(
    NoteCode.SPECIAL_ADDRESS,
    1,
    "the policy allows the single address 0.0.0.0; as a firewall rule it would admit all Azure services: left out",
)
