"""`check` compares the identity's rights with what each server's mode needs, and writes nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from illumio_azsql_enforcer.sandbox.box import Sandbox
from tests.cli.conftest import Program, writes

Change = Callable[[dict[str, Any]], None]


def told(program: Program, code: int) -> dict[str, list[str]]:
    """What `check` finds about the servers: severity -> sentences."""
    run = program("check", "--output", "json")
    assert run.code == code
    found: dict[str, list[str]] = {}
    for finding in run.report["findings"]:
        if finding["area"] == "server":
            found.setdefault(finding["severity"], []).append(f"{finding['subject']}: {finding['detail']}")
    return found


def test_all_rights_and_no_more(program: Program) -> None:
    found = told(program, 0)
    assert "warning" not in found
    assert "orders-sql: The identity has every right that the mode authoritative needs." in found["ok"]
    assert "billing-sql: The identity has every right that the mode sync needs." in found["ok"]


def test_a_missing_right_is_named_before_it_is_needed(program: Program, sandbox: Sandbox, configure: Change) -> None:
    sandbox.arm.state.grants.deny("Microsoft.Sql/servers/firewallRules/delete")
    found = told(program, 1)
    assert len(found["blocking"]) == 2
    assert all("lacks Microsoft.Sql/servers/firewallRules/delete" in sentence for sentence in found["blocking"])
    configure({"servers": {"overrides": {}}, "enforcement": {"mode": "upsert"}})
    assert "blocking" not in told(program, 0)
    assert writes(sandbox) == []


@pytest.mark.parametrize(
    ("granted", "expected"),
    [
        ("Microsoft.Sql/*", "servers/write, Microsoft.Sql/servers/delete, Microsoft.Sql/register/action"),
        ("Microsoft.Sql/servers/write", "has Microsoft.Sql/servers/write, which this program never needs"),
    ],
)
def test_more_than_is_needed(program: Program, sandbox: Sandbox, granted: str, expected: str) -> None:
    sandbox.arm.state.grants.allow(granted)
    assert all(expected in sentence for sentence in told(program, 0)["warning"])


def test_rights_that_are_useful_only(program: Program, sandbox: Sandbox) -> None:
    sandbox.arm.state.grants.deny("Microsoft.Sql/servers/ipv6FirewallRules/read")
    (first, _) = told(program, 0)["warning"]
    assert "lacks Microsoft.Sql/servers/ipv6FirewallRules/read (docs/azure-permissions.md)" in first


def test_rights_that_cannot_be_verified(program: Program, sandbox: Sandbox) -> None:
    sandbox.arm.state.grants.deny("Microsoft.Authorization/permissions/read")
    found = told(program, 0)
    assert len(found["warning"]) == 2
    assert all("The identity's rights could not be verified. Cannot read" in sentence for sentence in found["warning"])
