"""Why an address may, or may not, reach a server: the answer of the policy, with what lets it in or keeps it out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.errors import PolicyUnresolvable
from illumio_azsql_enforcer.model.firewall import Desired, Governed, Source
from illumio_azsql_enforcer.model.policy import name_of
from illumio_azsql_enforcer.policy.misses import Place, Reason, ReasonKind, holders_of, obstacles, weight
from illumio_azsql_enforcer.policy.rules import rule_name
from illumio_azsql_enforcer.policy.sources import Attribution
from illumio_azsql_enforcer.policy.translator import Translator

NEAREST = 5  # misses that are worth reading
FAR = 4  # a rule with obstacles of this weight has nothing to do with the address


class Verdict(StrEnum):
    """What the policy says about an address."""

    ALLOWED = "allowed"
    NOT_ALLOWED = "not_allowed"
    UNRESOLVABLE = "unresolvable"  # an override-deny that may be about the server cannot be evaluated


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule and what it means for the address."""

    rule_set: str  # hrefs
    rule_set_name: str
    rule: str
    name: str  # "rule 3 of 'Azure DB access'"
    reasons: tuple[Reason, ...]

    @property
    def text(self) -> str:
        """A sentence without its full stop."""
        return f"{self.name}: {'; '.join(reason.text for reason in self.reasons)}"


@dataclass(frozen=True, slots=True)
class HeldBy:
    """A workload that has the address."""

    href: str
    name: str
    labels: tuple[str, ...]  # `role:web`
    remark: str | None  # why the address does not count as one that it connects from


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the policy says about one address and one server, and why. The live firewall is not looked at."""

    address: int
    verdict: Verdict
    summary: str  # one sentence
    range: Range | None  # the desired range that holds the address
    sources: tuple[Source, ...]  # what asks for the address, also when it is kept out in the end
    kept_out_by: tuple[Finding, ...]  # rules that would let it in but for what stands there; denies
    misses: tuple[Finding, ...]  # rules that come near to letting it in, the nearest first
    workloads: tuple[HeldBy, ...]


def explain(translator: Translator, governed: Governed, address: int) -> Explanation:
    """Explain one address (an integer from 0 to 2**32 - 1) for one of the translator's servers."""
    own = translator.world.directory.ordinals(governed.workload)
    place = Place(address, holders_of(address, translator.world), own)
    sources = tuple(sorted(set(_sources(translator, governed, place)), key=str))
    held = tuple(_held_by(translator, place))
    base = Explanation(address, Verdict.UNRESOLVABLE, "", None, sources, (), (), held)
    try:
        desired = translator.translate(governed).desired
    except PolicyUnresolvable as error:
        return replace(base, summary=str(error))
    span = _holding(desired, address)
    if span is not None:
        summary = f"{place.text} may reach {governed.server.name}: {_let_in(sources)}"
        return replace(base, verdict=Verdict.ALLOWED, summary=summary, range=span)
    kept = tuple(_kept_out(translator, governed, place, sources))
    misses = () if kept else tuple(_misses(translator, governed, place))
    summary = f"{place.text} may not reach {governed.server.name}: {_why_not(kept, misses, place)}"
    return replace(base, verdict=Verdict.NOT_ALLOWED, summary=summary, kept_out_by=kept, misses=misses)


def _sources(translator: Translator, governed: Governed, place: Place) -> Iterator[Source]:
    grants = [grant for bundle in translator.bundles(governed) for grant in bundle.grants]
    return Attribution([place.address << 32 | place.address], grants, place.own, translator.world).sources(0)


def _holding(desired: Sequence[Desired], address: int) -> Range | None:
    return next((each.range for each in desired if address in each.range), None)


def _kept_out(translator: Translator, governed: Governed, place: Place, sources: Sequence[Source]) -> Iterator[Finding]:
    """Denies that take the address away, and the final filter; both matter only where a rule lets the address in."""
    denials = [denial for bundle in translator.bundles(governed) for denial in bundle.denials]
    for denial in denials:
        if place.address in denial.ranges:
            reason = Reason(ReasonKind.OVERRIDE_DENY, f"it denies {place.text}, and no rule allows against it")
            rule_set = denial.rule_set
            yield Finding(rule_set.href, rule_set.name, denial.rule.href, denial.name, (reason,))
    if not sources or any(place.address in denial.ranges for denial in denials):
        return
    first = sources[0]
    name = f"the rules that allow {place.text}"
    yield Finding(first.rule_set, first.rule_set_name, first.rule, name, (_filtered(place),))


def _filtered(place: Place) -> Reason:
    """Nothing is left out at the end but 0.0.0.0 alone and ranges in private blocks."""
    if place.address == 0:
        text = "as a firewall rule 0.0.0.0 would admit all Azure services, so it is never written"
        return Reason(ReasonKind.SPECIAL_ADDRESS, text)
    text = "a private address cannot arrive at a public endpoint; set policy.nat or policy.addresses"
    return Reason(ReasonKind.PRIVATE_ADDRESS, text)


def _misses(translator: Translator, governed: Governed, place: Place) -> list[Finding]:
    found: list[tuple[int, str, Finding]] = []
    for rule_set in translator.rule_sets:
        for position, rule in enumerate(rule_set.rules if isinstance(rule_set.rules, list) else (), 1):
            reasons = tuple(obstacles(rule_set, rule, governed, place, translator.world))
            if reasons and weight(reasons) < FAR:
                name = rule_name(rule_set, position)
                finding = Finding(rule_set.href, rule_set.name, rule.href, name, reasons)
                found.append((weight(reasons), rule.href, finding))
    return [finding for _, _, finding in sorted(found, key=lambda each: each[:2])[:NEAREST]]


def _held_by(translator: Translator, place: Place) -> Iterator[HeldBy]:
    directory = translator.world.directory
    for holder in place.holders:
        labels = tuple(sorted(directory.label_text(href) for href in holder.labels))
        remark = holder.unused.text if holder.unused else None
        yield HeldBy(holder.workload.href, directory.workload_name(holder.ordinal), labels, remark)


def _let_in(sources: Sequence[Source]) -> str:
    first, more = sources[0], len(sources) - 1
    others = f", and {more} more" if more else ""
    who = f"'{first.consumer_name}'" + (f" (workload '{first.workload_name}')" if first.workload_name else "")
    return f"{who} by a rule of '{first.rule_set_name}'{others}"


def _why_not(kept: Sequence[Finding], misses: Sequence[Finding], place: Place) -> str:
    if kept:
        return kept[0].text
    if misses:
        return f"no rule lets it in; the nearest is {misses[0].text}"
    known = "no workload has it" if not place.holders else f"'{name_of(place.holders[0].workload)}' has it"
    return f"no rule comes near it ({known})"
