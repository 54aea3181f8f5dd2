"""Small servers, plans and reports to look at."""

from datetime import UTC, datetime, timedelta
from typing import Any

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.model.firewall import (
    Action,
    ConsumerKind,
    Desired,
    FirewallRule,
    LabelsFrom,
    LiveRule,
    Note,
    NoteCode,
    Plan,
    Server,
    Source,
    Step,
    StepResult,
    StepStatus,
)
from illumio_azsql_enforcer.model.settings import Mode
from illumio_azsql_enforcer.report import Calls, Outcome, Report, ServerReport

RULE_SETS = "/orgs/1/sec_policy/active/rule_sets"
OFFICE = Range.parse("203.0.113.0", "203.0.113.255")
OLD = Range.parse("192.0.2.7", "192.0.2.7")
SERVER = Server(
    id="/subscriptions/s/resourceGroups/rg/providers/Microsoft.Sql/servers/orders-sql",
    name="orders-sql",
    subscription_id="s",
    resource_group="rg",
    fqdn="orders-sql.database.windows.net",
)
CLIENTS = Source(
    rule_set=f"{RULE_SETS}/40",
    rule_set_name="Azure DB access",
    rule=f"{RULE_SETS}/40/sec_rules/401",
    consumer=ConsumerKind.IP_LIST,
    consumer_href="/orgs/1/sec_policy/active/ip_lists/14",
    consumer_name="Illumio clients",
)
ADD = Step(Action.ADD, "illumio-203.0.113.0-203.0.113.255", OFFICE, phase=1, reason="the policy asks for it")
DELETE = Step(Action.DELETE, "illumio-192.0.2.7-192.0.2.7", OLD, phase=2, reason="no rule of the policy asks for it")
KEPT = LiveRule(FirewallRule("portal", Range.parse("198.51.100.1", "198.51.100.2")), owned=False, protected=False)
GOING = LiveRule(FirewallRule(DELETE.name, OLD), owned=True, protected=False)


def a_plan(**changes: Any) -> Plan:
    """A plan that adds one range and deletes another."""
    fields: dict[str, Any] = {
        "id": "3f9c",
        "server": SERVER,
        "mode": Mode.SYNC,
        "live": (GOING, KEPT),
        "desired": (Desired(OFFICE, (CLIENTS,)),),
        "steps": (ADD, DELETE),
        "left": 0,
    }
    return Plan(**fields | changes)


def results(status: StepStatus, error: str | None = None) -> tuple[StepResult, ...]:
    """Both steps of `a_plan` with one status."""
    return (StepResult(ADD, status, error), StepResult(DELETE, status, error))


def a_server_report(**changes: Any) -> ServerReport:
    """A server that was changed."""
    plan = a_plan()
    fields: dict[str, Any] = {
        "server": SERVER,
        "outcome": Outcome.CHANGED,
        "mode": Mode.SYNC,
        "labels": {"role": "Database Server", "app": "Azure DB"},
        "labels_from": LabelsFrom.WORKLOAD,
        "plan_id": plan.id,
        "desired": plan.desired,
        "live": plan.live,
        "steps": results(StepStatus.DONE),
        "notes": (Note(NoteCode.PRIVATE_ADDRESS, 3, "3 workloads have private addresses only"),),
    }
    return ServerReport(**fields | changes)


def a_report(*servers: ServerReport, **changes: Any) -> Report:
    """A cycle over these servers, by default one that was changed."""
    started = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
    fields: dict[str, Any] = {
        "run_id": "a1b2c3",
        "dry_run": False,
        "started_at": started,
        "finished_at": started + timedelta(seconds=1.25),
        "outcome": Outcome.CHANGED,
        "policy_version": 80,
        "calls": Calls(pce=9, azure_reads=3, azure_writes=2),
        "servers": servers or (a_server_report(),),
    }
    return Report(**fields | changes)
