"""Holds the translator against the naive model, and makes a failing case small enough to read."""

import copy
import ipaddress
import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise

import msgspec

from illumio_azsql_enforcer.errors import PolicyUnresolvable
from illumio_azsql_enforcer.model.firewall import Governed, Translation
from illumio_azsql_enforcer.model.policy import Snapshot
from illumio_azsql_enforcer.policy.translator import Translator
from illumio_azsql_enforcer.sandbox.oracle import Decision, Judge, ServerView, World
from tests.worlds.dice import BORDERS
from tests.worlds.generator import Case
from tests.worlds.naive_identity import Known, naive_identity

LAST = 2**32 - 1
EVERYWHERE = {int(ipaddress.IPv4Address(text)) for text in BORDERS}
_BLOCK = re.compile(r'"(\d+\.\d+\.\d+\.\d+)(?:/(\d+))?"')


def differences(case: Case) -> list[str]:
    """Everything on which the two do not agree, in words; empty when they agree."""
    return list(_differences(case))


def _differences(case: Case) -> Iterator[str]:
    snapshot = msgspec.convert({"version": 1, "release": (25, 2, 20), **case.collections}, Snapshot)
    world = World.of(case.collections)
    governed = governed_servers(case)
    translator = Translator(snapshot, case.policy, governed)
    for one in governed:
        view = ServerView(one.server.fqdn, one.label_hrefs, one.workload)
        for text in _about(case, Judge(world, view, case.policy), translator, one):
            yield f"{one.server.name}: {text}"


def governed_servers(case: Case) -> list[Governed]:
    """The servers that the policy decides about, as the naive identity knows them."""
    found = [(server, naive_identity(case, server)) for server in case.servers]
    names = {label["href"]: (label["key"], label["value"]) for label in case.collections.get("labels", [])}
    return [
        Governed(
            server,
            dict(names[href] for href in known.labels),
            known.labels,
            known.labels_from,
            known.workload,
            known.virtual_service,
        )
        for server, known in found
        if isinstance(known, Known)
    ]


def _about(case: Case, judge: Judge, translator: Translator, governed: Governed) -> Iterator[str]:
    try:
        translation = translator.translate(governed)
    except PolicyUnresolvable as error:
        if not judge.in_doubt:  # it may refuse more than it must, but not without a reason
            yield f"the translator says {error}; the model can tell"
        return
    if judge.unresolvable:
        yield f"the model cannot tell, because of {[d.rule for d in judge.denials if d.addresses is None]}"
        return
    yield from shape_errors(translation)
    yield from _wrong_addresses(case, judge, translation)


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


def _wrong_addresses(case: Case, judge: Judge, translation: Translation) -> Iterator[str]:
    for address in sorted(probes(case, translation)):
        holding = [desired for desired in translation.desired if address in desired.range]
        verdict = judge.verdict(address)
        text = ipaddress.IPv4Address(address)
        if bool(holding) != (verdict.decision is Decision.ALLOWED):
            yield f"{text}: model {verdict.decision.value} by {sorted(verdict.rules)}, translator {bool(holding)}"
        elif holding:
            named = {source.rule for source in holding[0].sources}
            if not verdict.rules <= named:
                yield f"{text}: sources lack {sorted(verdict.rules - named)}"


def probes(case: Case, translation: Translation) -> set[int]:
    """Each address at which an answer may change, with its neighbours."""
    borders = set(EVERYWHERE)
    for desired in translation.desired:
        borders |= {desired.range.first, desired.range.last}
    for entry in case.policy.nat:
        for block in (entry.private, *entry.public):
            borders |= {block.first, block.last}
    borders |= set(_written(case))
    near = {address + step for address in borders for step in (-1, 0, 1)}
    return {address for address in near if 0 <= address <= LAST}


def _written(case: Case) -> Iterator[int]:
    """First and last address of each block that is written anywhere in the world, and of interfaces' subnets."""
    kinds = ("ip_lists", "workloads", "virtual_services")
    for address, prefix in set(_BLOCK.findall(json.dumps([case.collections.get(kind) for kind in kinds]))):
        for length in (prefix, 32, 24, 28, 29, 30) if not prefix else (prefix,):
            try:
                block = ipaddress.IPv4Network((address, int(length)), strict=False)
            except ValueError:
                continue
            yield from (int(block.network_address), int(block.broadcast_address))


# --- making it small


def smallest(case: Case, fails: Callable[[Case], bool]) -> Case:
    """A case that still fails, and from which nothing can be left out any more."""
    shrunk = True
    while shrunk:
        shrunk = False
        for path in list(_paths(case.collections)):
            tried = copy.deepcopy(case)
            if _leave_out(tried.collections, path) and fails(tried):
                case, shrunk = tried, True
                break
    return case


def _paths(thing: object, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The place of every element of a list and every key of an object, the largest parts first."""
    inside: list[tuple[str | int, object]] = []
    if isinstance(thing, dict):
        inside = list(thing.items())
    elif isinstance(thing, list):
        inside = list(enumerate(thing))
    yield from ((*above, place) for place, _ in inside)
    for place, value in inside:
        yield from _paths(value, (*above, place))


def _leave_out(thing: object, path: tuple[str | int, ...]) -> bool:
    """Drop what is at the path; what names an object stays."""
    for place in path[:-1]:
        thing = thing[place]  # type: ignore[index]
    if path[-1] in {"href", "key", "value", "enabled"}:
        return False
    del thing[path[-1]]  # type: ignore[attr-defined]
    return True


def kind(found: list[str]) -> str:
    """What sort of difference this is: the first one, without its names and numbers."""
    return re.sub(r"'[^']*'|[\d.]+", "", found[0])[:100] if found else ""


def told(case: Case, found: list[str]) -> str:
    """The case and what is wrong with it, to be read by people."""
    world = {name: things for name, things in case.collections.items() if things}
    return "\n".join([*found[:10], json.dumps(world, indent=1), repr(case.policy), repr(case.naming)])
