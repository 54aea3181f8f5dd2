"""`explain`: why an address may, or may not, reach a server: by the policy, and by the firewall as it is now."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from illumio_azsql_enforcer.addresses import format_address
from illumio_azsql_enforcer.azure.access import AzureAccess
from illumio_azsql_enforcer.azure.firewall import FirewallReader
from illumio_azsql_enforcer.clock import Clock
from illumio_azsql_enforcer.errors import EnforcerError
from illumio_azsql_enforcer.model.firewall import Desired, Governed, LiveRule, Plan, RuleReader, Server, rules_after
from illumio_azsql_enforcer.model.settings import Config
from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.policy.explain import Explanation, Finding, HeldBy, Verdict, explain
from illumio_azsql_enforcer.reconcile.guards import permitted
from illumio_azsql_enforcer.reconcile.ownership import ownership_of
from illumio_azsql_enforcer.reconcile.plan import make_plan
from illumio_azsql_enforcer.report import source_to_json
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.server_cycle import mode_of
from illumio_azsql_enforcer.survey import Candidate, Survey, look, read_policy, unlisted
from illumio_azsql_enforcer.text import fits_any

SCHEMA = "illumio-azsql-enforcer/explain/1"


@dataclass(frozen=True, slots=True)
class Firewall:
    """What the server's firewall does with the address."""

    admitted_by: tuple[LiveRule, ...]  # now
    admitted_next: bool  # after the next cycle
    refused: tuple[str, ...]  # guards that keep the next cycle from changing anything


@dataclass(frozen=True, slots=True)
class Answer:
    """What there is to say about one server: the policy's side and the firewall's, or why neither is known."""

    server: Server
    explanation: Explanation | None = None
    firewall: Firewall | None = None
    unknown: str | None = None
    failed: bool = False  # what is unknown could not be told; else there is nothing to tell


@dataclass(frozen=True, slots=True)
class Answers:
    """An answer for each server that was asked about and found."""

    address: int
    servers: tuple[Answer, ...]
    unlisted: tuple[str, ...] = ()  # sentences: what kept other servers from being found

    @property
    def whole(self) -> bool:
        """Whether everything could be told."""
        return not self.unlisted and not any(answer.failed for answer in self.servers)


def explain_for(config: Config, clock: Clock, address: int, server: str | None) -> Answers:
    """An answer for the server of that name (a shell pattern), or for each. Raises EnforcerError."""
    with closing(PceClient(config.pce, clock)) as pce, closing(AzureAccess(config.azure, clock)) as azure:
        survey = look(read_policy(pce, config, clock), azure, config, clock)
        reader = FirewallReader(azure)
        answers = tuple(
            _answer(candidate, survey, reader, config, Deadline.after(clock, config.azure.deadline), address)
            for candidate in _chosen(survey, server)
        )
        return Answers(address, answers, unlisted(survey.found))


def _chosen(survey: Survey, pattern: str | None) -> list[Candidate]:
    if pattern is None:
        return list(survey.candidates)
    chosen = [candidate for candidate in survey.candidates if fits_any(candidate.server.name, [pattern])]
    if not chosen:
        missed = f"{pattern} is none of the {len(survey.candidates)} servers that were found."
        raise EnforcerError("\n".join([*unlisted(survey.found), missed]))
    return chosen


def _answer(
    candidate: Candidate, survey: Survey, reader: RuleReader, config: Config, deadline: Deadline, address: int
) -> Answer:
    server = candidate.server
    if not isinstance(candidate, Governed):
        return Answer(server, unknown=candidate.reason, failed=candidate.failed)
    explanation = explain(survey.translator, candidate, address)
    try:
        if explanation.verdict is Verdict.UNRESOLVABLE:
            return Answer(server, explanation, _as_it_is(reader, config, server, deadline, address))
        desired = survey.translator.translate(candidate).desired
        plan = _plan(reader, config, server, deadline, desired)
    except EnforcerError as error:
        return Answer(server, explanation, unknown=str(error), failed=True)
    return Answer(server, explanation, _firewall(plan, address))


def _plan(reader: RuleReader, config: Config, server: Server, deadline: Deadline, desired: tuple[Desired, ...]) -> Plan:
    settings = config.enforcement
    live = reader.rules(server, deadline)
    mode = mode_of(config, server)
    return make_plan(server, live, desired, mode=mode, settings=settings, max_rules=settings.max_rules)


def _as_it_is(reader: RuleReader, config: Config, server: Server, deadline: Deadline, address: int) -> Firewall:
    """The firewall of a server that the next cycle leaves as it is."""
    live = ownership_of(config.enforcement).of(reader.rules(server, deadline))
    admitting = _admitting(live, address)
    return Firewall(admitting, bool(admitting), ())


def _firewall(plan: Plan, address: int) -> Firewall:
    steps = permitted(plan, frozenset())
    after = rules_after(plan.live, steps).values()
    refused = tuple(refusal.detail for refusal in plan.refusals)
    return Firewall(_admitting(plan.live, address), any(address in held.rule.range for held in after), refused)


def _admitting(live: Iterable[LiveRule], address: int) -> tuple[LiveRule, ...]:
    return tuple(rule for rule in live if address in rule.rule.range)


# --- JSON (schema explain/1, published in docs/explain.md)


def to_json(answers: Answers) -> dict[str, Any]:
    """The answers as plain JSON values."""
    return {
        "schema": SCHEMA,
        "address": format_address(answers.address),
        "servers": [_server(answer) for answer in answers.servers],
        "unlisted": list(answers.unlisted),
    }


def _server(answer: Answer) -> dict[str, Any]:
    told: dict[str, Any] = {"name": answer.server.name, "id": answer.server.id, "fqdn": answer.server.fqdn}
    told["unknown"] = answer.unknown
    told["policy"] = _policy(answer.explanation) if answer.explanation else None
    told["firewall"] = _firewall_json(answer.firewall) if answer.firewall else None
    return told


def _policy(explanation: Explanation) -> dict[str, Any]:
    held = explanation.range
    return {
        "verdict": explanation.verdict.value,
        "summary": explanation.summary,
        "range": {"start": held.start, "end": held.end} if held else None,
        "sources": [source_to_json(source) for source in explanation.sources],
        "kept_out_by": [_finding(finding) for finding in explanation.kept_out_by],
        "misses": [_finding(finding) for finding in explanation.misses],
        "workloads": [_held_by(workload) for workload in explanation.workloads],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule_set": finding.rule_set,
        "rule_set_name": finding.rule_set_name,
        "rule": finding.rule,
        "name": finding.name,
        "reasons": [{"kind": reason.kind.value, "text": reason.text} for reason in finding.reasons],
    }


def _held_by(workload: HeldBy) -> dict[str, Any]:
    return {
        "href": workload.href,
        "name": workload.name,
        "labels": list(workload.labels),
        "remark": workload.remark,
    }


def _firewall_json(firewall: Firewall) -> dict[str, Any]:
    return {
        "admitted": bool(firewall.admitted_by),
        "admitted_by": [
            {"name": r.rule.name, "start": r.rule.range.start, "end": r.rule.range.end, "owned": r.owned}
            for r in firewall.admitted_by
        ],
        "admitted_after_next_cycle": firewall.admitted_next,
        "refused": list(firewall.refused),
    }
