"""Steering the simulator from another process: not ARM, no token, no trace in the journal or the activity log."""

from typing import Any

import pytest
import requests

from illumio_azsql_enforcer.sandbox.arm import ArmSimulator, faults
from tests.sandbox.arm.conftest import RULES, SERVER_ID, SUBSCRIPTION, Raw


def control(azure: ArmSimulator, method: str, name: str, body: Any = None) -> requests.Response:
    return requests.request(method, f"{azure.url}/sandbox/{name}", json=body, timeout=5)


def test_rules_are_made_by_hand(azure: ArmSimulator, raw: Raw) -> None:
    rule = {"server": "orders-sql", "name": "by/hand", "start": "192.0.2.1", "end": "192.0.2.2"}
    azure.faults.add(faults.reset())
    assert control(azure, "POST", "rules", rule).status_code == 200
    azure.faults.clear()
    assert azure.state.rules("orders-sql") == {"by/hand": ("192.0.2.1", "192.0.2.2")}
    assert control(azure, "DELETE", "rules", {"server": SERVER_ID, "name": "by/hand"}).status_code == 200
    assert raw("GET", RULES).json == {"value": []}
    assert (len(azure.journal), azure.state.activity, azure.catastrophes) == (1, [], [])


def test_the_world_is_changed(azure: ArmSimulator, raw: Raw) -> None:
    new = {"name": "new-sql", "subscription": SUBSCRIPTION, "resource_group": "data"}
    assert control(azure, "POST", "add_server", new).json() == {"result": SERVER_ID.replace("orders", "new")}
    control(azure, "POST", "set_public_access", {"server": "new-sql", "access": "Disabled"})
    assert azure.state.server("new-sql").public_access == "Disabled"
    control(azure, "POST", "deny", {"actions": ["*/delete"], "scope": SERVER_ID})
    assert raw("DELETE", f"{RULES}/r").status == 403
    control(azure, "POST", "lock", {"scope": "orders-sql", "level": "ReadOnly"})
    assert raw.put("r").code == "ScopeLocked"
    control(azure, "POST", "unlock", {"scope": "orders-sql"})
    control(azure, "POST", "remove_server", {"server": "orders-sql"})
    assert raw("GET", RULES).code == "ParentResourceNotFound"


def test_the_world_is_shown(azure: ArmSimulator, raw: Raw) -> None:
    raw.put("r")
    (entry,) = control(azure, "GET", "journal").json()["value"]
    assert (entry["method"], entry["status"], entry["headers"]["authorization"]) == ("PUT", 200, "(not shown)")
    assert raw.token not in str(entry)
    (record,) = control(azure, "GET", "activity").json()["value"]
    assert record["operation"] == "Microsoft.Sql/servers/firewallRules/write"
    (server,) = control(azure, "GET", "servers").json()["value"]
    assert (server["id"], server["firewallRules"]) == (SERVER_ID, {"r": ["192.0.2.1", "192.0.2.9"]})


@pytest.mark.parametrize(
    ("method", "name", "body", "status"),
    [
        ("POST", "rules", {"server": "nope", "name": "r", "start": "192.0.2.1", "end": "192.0.2.1"}, 400),
        ("POST", "rules", {"server": "orders-sql", "name": "r", "start": "192.0.2.2", "end": "192.0.2.1"}, 400),
        ("POST", "rules", {"server": "orders-sql"}, 400),
        ("POST", "rules", [1], 400),
        ("POST", "commit", {}, 404),
        ("POST", "__init__", {}, 404),
        ("PUT", "lock", {}, 404),
        ("GET", "secrets", None, 404),
    ],
)
def test_wrong_requests(azure: ArmSimulator, method: str, name: str, body: Any, status: int) -> None:
    assert control(azure, method, name, body).status_code == status
    assert azure.state.rules("orders-sql") == {}
