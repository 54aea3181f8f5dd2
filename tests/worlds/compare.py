"""Holds the policy room against the naive model: identity, ranges, sources and explanations."""

import ipaddress
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from illumio_azsql_enforcer.errors import PolicyUnresolvable
from illumio_azsql_enforcer.model.firewall import Governed, Translation, Ungoverned
from illumio_azsql_enforcer.model.policy import Snapshot
from illumio_azsql_enforcer.policy.explain import explain
from illumio_azsql_enforcer.policy.identity import identify
from illumio_azsql_enforcer.policy.misses import ReasonKind
from illumio_azsql_enforcer.policy.translator import Translator
from illumio_azsql_enforcer.sandbox.oracle import Decision, Judge, ServerView, World
from tests.worlds.dice import BORDERS
from tests.worlds.generator import Case
from tests.worlds.naive_identity import Known, naive_identity

LAST = 2**32 - 1
EVERYWHERE = {int(ipaddress.IPv4Address(text)) for text in BORDERS}
EXPLAINED = 4  # addresses of each server
_BLOCK = re.compile(r'"(\d+\.\d+\.\d+\.\d+)(?:/(\d+))?"')


@dataclass
class Tally:
    """How much was really compared; a run that compares nothing must not pass."""

    servers: int = 0
    refused: int = 0
    with_access: int = 0
    with_denials: int = 0


def differences(case: Case, tally: Tally | None = None) -> list[str]:
    """Everything on which the two do not agree, in words; empty when they agree."""
    return list(_differences(case, tally or Tally()))


def kind(found: list[str]) -> str:
    """What sort of difference this is: the first one, without its names and numbers."""
    return re.sub(r"'[^']*'|[\d.]+", "", found[0])[:100] if found else ""


def _differences(case: Case, tally: Tally) -> Iterator[str]:
    snapshot = msgspec.convert({"version": 1, "release": (25, 2, 20), **case.collections}, Snapshot)
    world = World.of(case.collections)
    found = identify(case.servers, snapshot, case.naming)
    yield from _wrong_identities(case, found)
    governed = [each for each in found if isinstance(each, Governed)]
    translator = Translator(snapshot, case.policy, governed)
    for one in governed:
        tally.servers += 1
        judge = Judge(world, ServerView(one.server.fqdn, one.label_hrefs, one.workload), case.policy)
        for text in _Comparison(case, judge, translator, one, tally).differences():
            yield f"{one.server.name}: {text}"


def _wrong_identities(case: Case, found: tuple[Governed | Ungoverned, ...]) -> Iterator[str]:
    for server, each in zip(case.servers, found, strict=True):
        expected = naive_identity(case, server)
        if isinstance(each, Governed):
            known = Known(each.label_hrefs, each.labels_from, each.workload, each.virtual_service)
            values = {label["value"] for label in case.collections["labels"] if label["href"] in each.label_hrefs}
            if known != expected or set(each.labels.values()) != values:
                yield f"{server.name} is known as {known}, not as {expected}"
        elif expected != ("failed" if each.failed else "skipped"):
            yield f"{server.name} is ungoverned ({each.reason}), not {expected}"


@dataclass
class _Comparison:
    """One server in one world."""

    case: Case
    judge: Judge
    translator: Translator
    governed: Governed
    tally: Tally

    def differences(self) -> Iterator[str]:
        try:
            translation = self.translator.translate(self.governed)
        except PolicyUnresolvable as error:
            self.tally.refused += 1
            if not self.judge.in_doubt:  # it may refuse more than it must, but not without a reason
                yield f"the translator says {error}; the model can tell"
            return
        if self.judge.unresolvable:
            hrefs = [denial.rule for denial in self.judge.denials if denial.addresses is None]
            yield f"the translator can tell; the model cannot, because of {hrefs}"
            return
        self.tally.with_access += bool(translation.desired)
        self.tally.with_denials += bool(self.judge.denials)
        yield from shape_errors(translation)
        yield from self._wrong_addresses(translation)
        yield from self._wrong_sources(translation)
        yield from self._wrong_explanations(translation)

    def _wrong_addresses(self, translation: Translation) -> Iterator[str]:
        for address in sorted(self.probes(translation)):
            held = any(address in desired.range for desired in translation.desired)
            verdict = self.judge.verdict(address)
            if held != (verdict.decision is Decision.ALLOWED):
                text = ipaddress.IPv4Address(address)
                yield f"{text}: model {verdict.decision.value} by {sorted(verdict.rules)}, translator {held}"

    def _wrong_sources(self, translation: Translation) -> Iterator[str]:
        """A range names each rule that asks for a part of it, and no other."""
        for desired in translation.desired:
            places = {address for address in self.judge.borders if address in desired.range} | {desired.range.first}
            asking = {grant.rule for grant in self.judge.grants if any(address in grant for address in places)}
            named = {source.rule for source in desired.sources}
            if asking != named:
                yield f"{desired.range}: the sources are {sorted(named)}, not {sorted(asking)}"

    def _wrong_explanations(self, translation: Translation) -> Iterator[str]:
        probes = sorted(self.probes(translation))
        for address in probes[:: len(probes) // EXPLAINED]:
            verdict, told = self.judge.verdict(address), explain(self.translator, self.governed, address)
            named = frozenset(source.rule for source in told.sources)
            if (told.verdict.name, named) != (verdict.decision.name, verdict.rules):
                yield f"{ipaddress.IPv4Address(address)}: explained as {told.verdict} by {named}, not {verdict}"
            denies = {f.rule for f in told.kept_out_by for r in f.reasons if r.kind is ReasonKind.OVERRIDE_DENY}
            if verdict.decision is Decision.NOT_ALLOWED and denies != verdict.override_denies:
                yield f"{ipaddress.IPv4Address(address)}: explained by the denies {denies}, not {verdict}"

    def probes(self, translation: Translation) -> set[int]:
        """Each address at which an answer may change, with its neighbours."""
        borders = EVERYWHERE | set(self.judge.borders) | set(_written(self.case))
        for desired in translation.desired:
            borders |= {desired.range.first, desired.range.last}
        for entry in self.case.policy.nat:
            for block in (entry.private, *entry.public):
                borders |= {block.first, block.last}
        near = {address + step for address in borders for step in (-1, 0, 1)}
        return {address for address in near if 0 <= address <= LAST}


def shape_errors(translation: Translation) -> Iterator[str]:
    """Ranges must be sorted, apart by at least one address, each with its sources, and never the single 0.0.0.0."""
    ranges = [desired.range for desired in translation.desired]
    for one, following in pairwise(ranges):
        if following.first <= one.last + 1:
            yield f"{one} and {following} are not sorted, or overlap, or touch"
    for desired in translation.desired:
        if not desired.sources or len(set(desired.sources)) < len(desired.sources):
            yield f"{desired.range} has no sources, or one of them twice"
        if desired.range.last == 0:
            yield "0.0.0.0 is alone"


def _written(case: Case) -> Iterator[int]:
    """First and last address of each block that is written anywhere in the world, and of interfaces' subnets."""
    kinds = ("ip_lists", "workloads", "virtual_services")
    for address, prefix in set(_BLOCK.findall(json.dumps([case.collections.get(kind) for kind in kinds]))):
        for length in (prefix,) if prefix else ("32", "24", "28"):
            try:
                block = ipaddress.IPv4Network((address, int(length)), strict=False)
            except ValueError:
                continue
            yield from (int(block.network_address), int(block.broadcast_address))
