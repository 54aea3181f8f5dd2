"""`check`: reach the PCE and Azure with the config as it is, write nothing, and say what is missing."""

from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from illumio_azsql_enforcer.azure.access import AzureAccess
from illumio_azsql_enforcer.azure.firewall import FirewallReader
from illumio_azsql_enforcer.azure.permissions import TOO_MUCH, USEFUL, allowed, needed, permissions_at
from illumio_azsql_enforcer.azure.servers import Discovered
from illumio_azsql_enforcer.clock import Clock
from illumio_azsql_enforcer.errors import ArmError, EnforcerError
from illumio_azsql_enforcer.model.firewall import Governed, PublicAccess, RuleReader, Server
from illumio_azsql_enforcer.model.policy import Snapshot
from illumio_azsql_enforcer.model.settings import Config, Mode
from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.pce.visibility import ADVICE, signs_at, signs_in
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.server_cycle import abandoned, mode_of
from illumio_azsql_enforcer.survey import Candidate, Survey, find_servers, read_policy, survey_of
from illumio_azsql_enforcer.text import plural
from illumio_azsql_enforcer.verifying import compare

SCHEMA = "illumio-azsql-enforcer/check/1"


class Severity(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"
    BLOCKING = "blocking"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    severity: Severity
    area: str  # pce, azure, server
    subject: str  # the PCE's address, a subscription, a server's name
    detail: str


def to_json(findings: list[Finding]) -> dict[str, Any]:
    """Schema check/1, published in docs/check.md."""
    return {
        "schema": SCHEMA,
        "ok": not blocking(findings),
        "findings": [
            {"severity": f.severity.value, "area": f.area, "subject": f.subject, "detail": f.detail} for f in findings
        ],
    }


def blocking(findings: list[Finding]) -> bool:
    """Whether a cycle with this config would fail."""
    return any(finding.severity is Severity.BLOCKING for finding in findings)


def check(config: Config, clock: Clock, verify: int = 0) -> Iterator[Finding]:
    """Every finding, as it is made. Both sides are reached; what depends on one that failed is not looked at.

    `verify` is the number of addresses about which the PCE itself is asked.
    """
    pce, azure = PceClient(config.pce, clock), AzureAccess(config.azure, clock)
    try:
        snapshot = yield from _check_pce(pce, config, clock)
        found = yield from _check_azure(azure, config, clock)
        if snapshot is not None and found is not None:
            survey = yield from _check_servers(snapshot, found, azure, config, clock)
            if survey is not None and verify:
                yield from _check_meaning(pce, config, survey, verify, Deadline.after(clock, config.pce.deadline))
    finally:
        pce.close()
        azure.close()


def _check_pce(pce: PceClient, config: Config, clock: Clock) -> Generator[Finding, None, Snapshot | None]:
    try:
        snapshot = read_policy(pce, config, clock)
    except EnforcerError as error:
        yield Finding(Severity.BLOCKING, "pce", config.pce.url, str(error))
        return None
    rules = sum(len(rule_set.rules or ()) for rule_set in snapshot.rule_sets)
    sizes = (
        plural(len(snapshot.rule_sets), "rule set"),
        plural(rules, "rule"),
        plural(len(snapshot.workloads), "workload"),
    )
    yield Finding(
        Severity.OK, "pce", config.pce.url, f"Policy version {snapshot.version} was read whole: {', '.join(sizes)}."
    )
    yield from _check_key(snapshot, pce, config, Deadline.after(clock, config.pce.deadline))
    return snapshot


def _check_key(snapshot: Snapshot, pce: PceClient, config: Config, deadline: Deadline) -> Iterator[Finding]:
    """Whether the key sees everything, as far as that can be told."""
    try:
        signs = [*signs_in(snapshot), *signs_at(pce, config.pce.org_id, deadline)]
    except EnforcerError as error:
        yield Finding(Severity.WARNING, "pce", config.pce.url, f"What the key sees could not be checked: {error}")
        return
    yield from (Finding(Severity.WARNING, "pce", config.pce.url, f"{sign} {ADVICE}") for sign in signs)
    if not signs:
        told = (
            "The key sees as many objects as the policy version counts, and nothing refers to one that it does not see."
        )
        yield Finding(Severity.OK, "pce", config.pce.url, told)


def _check_azure(azure: AzureAccess, config: Config, clock: Clock) -> Generator[Finding, None, Discovered | None]:
    try:
        found = find_servers(azure, config, clock)
    except EnforcerError as error:
        yield Finding(Severity.BLOCKING, "azure", config.azure.cloud.resource_manager, str(error))
        return None
    for failure in found.failures:
        yield Finding(Severity.BLOCKING, "azure", failure.subscription_id, str(failure.error))
    per_subscription = Counter(server.subscription_id for server in found.servers)
    for subscription, count in sorted(per_subscription.items()):
        yield Finding(Severity.OK, "azure", subscription, f"{plural(count, 'SQL server')} found.")
    return found


def _check_servers(
    snapshot: Snapshot, found: Discovered, azure: AzureAccess, config: Config, clock: Clock
) -> Generator[Finding, None, Survey | None]:
    try:
        survey = survey_of(snapshot, found, config)
    except EnforcerError as error:
        yield Finding(Severity.BLOCKING, "pce", config.pce.url, str(error))
        return None
    if not any(isinstance(candidate, Governed) for candidate in survey.candidates):
        yield Finding(
            Severity.WARNING,
            "azure",
            config.azure.cloud.resource_manager,
            "No server is governed: give the PCE workload of a server (hostname = the server's FQDN) labels.",
        )
    reader = FirewallReader(azure)
    for candidate in survey.candidates:
        deadline = Deadline.after(clock, config.azure.deadline)
        yield from _check_server(candidate, reader, config, deadline)
        if isinstance(candidate, Governed):
            yield from _check_rights(candidate.server, mode_of(config, candidate.server), azure, deadline)
    return survey


def _check_meaning(pce: PceClient, config: Config, survey: Survey, most: int, deadline: Deadline) -> Iterator[Finding]:
    """Our reading of the policy against the PCE's own; every disagreement is shown with both answers."""
    agreed = differ = 0
    try:
        for comparison in compare(pce, config, survey, most, deadline):
            if comparison.ours == comparison.theirs:
                agreed += 1
                continue
            differ += 1
            yield Finding(Severity.BLOCKING, "policy", comparison.server, comparison.text)
    except EnforcerError as error:
        yield Finding(Severity.WARNING, "policy", config.pce.url, f"The PCE could not be asked any further: {error}")
    told = f"The PCE was asked about {plural(agreed + differ, 'address')}: {agreed} agree, {differ} differ."
    yield Finding(Severity.WARNING if differ else Severity.OK, "policy", config.pce.url, told)


def _check_server(candidate: Candidate, reader: RuleReader, config: Config, deadline: Deadline) -> Iterator[Finding]:
    server = candidate.server
    if not isinstance(candidate, Governed) and candidate.failed:
        yield Finding(Severity.BLOCKING, "server", server.name, candidate.reason)
        return
    try:
        rules = reader.rules(server, deadline)
    except ArmError as error:
        yield Finding(Severity.BLOCKING, "server", server.name, str(error))
        return
    if not isinstance(candidate, Governed):
        left = abandoned(candidate, rules, config)
        yield Finding(Severity.BLOCKING if left else Severity.OK, "server", server.name, left or candidate.reason)
        return
    labels = ", ".join(f"{key}={value}" for key, value in candidate.labels.items())
    told = f"Governed by {labels} (from {candidate.labels_from.value}); {plural(len(rules), 'firewall rule')} read."
    yield Finding(Severity.OK, "server", server.name, told)
    if server.public_access is PublicAccess.DISABLED:
        inert = "Public network access is disabled: its firewall rules have no effect and cannot be edited."
        yield Finding(Severity.WARNING, "server", server.name, inert)


def _check_rights(server: Server, mode: Mode, azure: AzureAccess, deadline: Deadline) -> Iterator[Finding]:
    """Every action that the mode needs, told without trying any; and those that the identity had better not have."""
    try:
        held = permissions_at(azure, server, deadline)
    except EnforcerError as error:
        told = f"The identity's rights could not be verified. {error}"
        yield Finding(Severity.WARNING, "server", server.name, told)
        return
    for severity, actions in ((Severity.BLOCKING, needed(mode)), (Severity.WARNING, USEFUL)):
        missing = sorted(set(actions) - set(allowed(held, actions)))
        if missing:
            told = f"The identity lacks {', '.join(missing)} (docs/azure-permissions.md)."
            yield Finding(severity, "server", server.name, told)
    if excess := allowed(held, TOO_MUCH):
        told = f"The identity has {', '.join(excess)}, which this program never needs: take it away."
        yield Finding(Severity.WARNING, "server", server.name, told)
    if len(allowed(held, needed(mode))) == len(needed(mode)):
        yield Finding(Severity.OK, "server", server.name, f"The identity has every right that the mode {mode} needs.")
