"""`check`."""

import json
import os

import click

from illumio_azsql_enforcer import checking
from illumio_azsql_enforcer.checking import Finding, Severity
from illumio_azsql_enforcer.cli.run import paint, start_logging
from illumio_azsql_enforcer.cli.words import Words
from illumio_azsql_enforcer.clock import SystemClock
from illumio_azsql_enforcer.config import load
from illumio_azsql_enforcer.report_text import Paint
from illumio_azsql_enforcer.text import printable

COLOUR = {Severity.OK: "green", Severity.WARNING: "yellow", Severity.BLOCKING: "red"}


def check_access(words: Words, verify: int = 0) -> int:
    """Prints every finding; 1 when one of them would make a cycle fail. Raises ConfigError."""
    start_logging(words)
    config = load(words.config, os.environ)
    findings: list[Finding] = []
    for finding in checking.check(config, SystemClock(), verify):
        findings.append(finding)
        if words.output == "text":
            click.echo(_line(finding, paint()))
    if words.output == "json":
        click.echo(json.dumps(checking.to_json(findings), indent=2))
    return 1 if checking.blocking(findings) else 0


def _line(finding: Finding, colour: Paint) -> str:
    mark = colour(f"{finding.severity.value:<8}", COLOUR[finding.severity])
    return f"{mark}  {finding.area:<6}  {printable(finding.subject)}: {printable(finding.detail)}"
