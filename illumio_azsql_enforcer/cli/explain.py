"""`explain`."""

import json
import os
from collections.abc import Iterator

import click

from illumio_azsql_enforcer import explaining
from illumio_azsql_enforcer.addresses import parse_address
from illumio_azsql_enforcer.cli.run import paint, start_logging
from illumio_azsql_enforcer.cli.words import Words
from illumio_azsql_enforcer.clock import SystemClock
from illumio_azsql_enforcer.config import load
from illumio_azsql_enforcer.explaining import Answer, Firewall
from illumio_azsql_enforcer.policy.explain import Explanation, Verdict
from illumio_azsql_enforcer.report_text import Paint, source_words
from illumio_azsql_enforcer.text import printable

VERDICT_COLOUR = {Verdict.ALLOWED: "green", Verdict.NOT_ALLOWED: "yellow", Verdict.UNRESOLVABLE: "red"}


def explain_address(words: Words, address: str, server: str | None) -> int:
    """Prints an answer for each server; 0 also for an address that may not reach it. Raises EnforcerError.

    1 where something could not be told.
    """
    try:
        number = parse_address(address)
    except ValueError as error:
        raise click.UsageError(f"{address!r} is not an IPv4 address such as 203.0.113.7.") from error
    start_logging(words)
    config = load(words.config, os.environ)
    answers = explaining.explain_for(config, SystemClock(), number, server)
    if words.output == "json":
        click.echo(json.dumps(explaining.to_json(answers), indent=2))
    else:
        told = ("\n".join(_lines(answer, paint())) for answer in answers.servers)
        click.echo("\n\n".join(told) or "No server was found.")
    for sentence in answers.unlisted:
        click.echo(f"illumio-azsql-enforcer: {printable(sentence)}", err=True)
    return 0 if answers.whole else 1


def _lines(answer: Answer, colour: Paint) -> Iterator[str]:
    name = colour(printable(answer.server.name), "bold")
    if answer.explanation is None:
        yield f"{name}  {'not known' if answer.failed else 'not governed'}: {printable(answer.unknown or '')}"
        return
    verdict = answer.explanation.verdict
    yield f"{name}  {colour(verdict.value.replace('_', ' '), VERDICT_COLOUR[verdict])}"
    yield f"  {printable(answer.explanation.summary)}"
    yield from (f"  {printable(line)}" for line in _policy(answer.explanation))
    if answer.firewall:
        yield from (f"  {printable(line)}" for line in _firewall(answer.firewall))
    if answer.unknown:
        yield f"  firewall: {printable(answer.unknown)}"


def _policy(explanation: Explanation) -> Iterator[str]:
    if explanation.range:
        yield f"range: {explanation.range}"
    for workload in explanation.workloads:
        remark = f" ({workload.remark})" if workload.remark else ""
        yield f"workload: {workload.name}: {', '.join(workload.labels) or 'no labels'}{remark}"
    for source in explanation.sources:
        yield f"let in by: {source_words(source)}"
    for finding in explanation.kept_out_by:
        yield f"kept out by: {finding.text}"
    for finding in explanation.misses:
        yield f"near miss: {finding.text}"


def _firewall(firewall: Firewall) -> Iterator[str]:
    for rule in firewall.admitted_by:
        whose = "our" if rule.owned else "the foreign"
        yield f"firewall: admitted now by {whose} rule {rule.rule.name} ({rule.rule.range})"
    if not firewall.admitted_by:
        yield "firewall: not admitted now"
    changes = firewall.admitted_next != bool(firewall.admitted_by)
    after = "admitted" if firewall.admitted_next else "not admitted"
    yield f"next cycle: {f'it becomes {after}' if changes else f'it stays {after}'}"
    yield from (f"next cycle: held back by {refusal}" for refusal in firewall.refused)
