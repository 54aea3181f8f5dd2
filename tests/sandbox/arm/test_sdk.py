"""The real SDK and the real credentials work against the simulator, over http and https."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.mgmt.sql import SqlManagementClient

from illumio_azsql_enforcer.sandbox.arm import ArmSimulator
from tests.sandbox.arm.conftest import HTTP, SUBSCRIPTION


@pytest.fixture(params=[False, True], ids=["http", "https"])
def whole(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    with ArmSimulator(tls=request.param) as azure:
        azure.state.add_subscription(SUBSCRIPTION)
        azure.state.add_server("orders-sql", subscription=SUBSCRIPTION, resource_group="data", tags={"env": "test"})
        for name, value in azure.environ.items():
            monkeypatch.setenv(name, value)
        with (
            DefaultAzureCredential() as credential,
            SqlManagementClient(
                credential, SUBSCRIPTION, base_url=azure.url, connection_verify=str(azure.ca_file)
            ) as client,
        ):
            yield azure, client


def test_rules_are_made_changed_listed_and_deleted(whole: tuple[ArmSimulator, SqlManagementClient]) -> None:
    azure, client = whole
    rules, at = client.firewall_rules, ("data", "orders-sql")
    body = {"properties": {"startIpAddress": "192.0.2.0", "endIpAddress": "192.0.2.255"}}
    made = rules.create_or_update(*at, "office (1)", body, **HTTP)
    assert (made.name, made.start_ip_address, made.type) == (
        "office (1)",
        "192.0.2.0",
        "Microsoft.Sql/servers/firewallRules",
    )
    rules.create_or_update(
        *at, "azure", {"properties": {"startIpAddress": "0.0.0.0", "endIpAddress": "0.0.0.0"}}, **HTTP
    )
    assert [rule.name for rule in rules.list_by_server(*at, **HTTP)] == ["azure", "office (1)"]
    assert azure.state.rules("orders-sql")["office (1)"] == ("192.0.2.0", "192.0.2.255")
    rules.delete(*at, "OFFICE (1)", **HTTP)
    rules.delete(*at, "office (1)", **HTTP)
    with pytest.raises(ResourceNotFoundError) as refused:
        rules.get(*at, "office (1)", **HTTP)
    assert refused.value.error is not None
    assert refused.value.error.code == "ResourceNotFound"
    assert [r.status for r in azure.requests("PUT", "DELETE")] == [200, 200, 200, 204]
    assert azure.catastrophes == []
    assert len([r for r in azure.journal if r.server == "tokens"]) == 1


def test_servers_are_found(whole: tuple[ArmSimulator, SqlManagementClient]) -> None:
    _, client = whole
    (server,) = client.servers.list(**HTTP)
    assert (server.name, server.kind, server.tags) == ("orders-sql", "v12.0", {"env": "test"})
    assert server.public_network_access == "Enabled"
    assert server.fully_qualified_domain_name == "orders-sql.database.windows.net"
    assert [s.id for s in client.servers.list_by_resource_group("DATA", **HTTP)] == [server.id]
    assert client.servers.get("data", "orders-sql", **HTTP).as_dict() == server.as_dict()


def test_a_rule_named_by_dots_shows_as_the_catastrophe_it_is(whole: tuple[ArmSimulator, SqlManagementClient]) -> None:
    azure, client = whole
    with pytest.raises(HttpResponseError):
        client.firewall_rules.delete("data", "orders-sql", "..", **HTTP)
    (entry,) = azure.catastrophes
    assert (entry.method, entry.status) == ("DELETE", 403)
    assert azure.state.server("orders-sql")


def test_many_threads_write_at_once(azure: ArmSimulator, sdk: SqlManagementClient) -> None:
    sizes: list[tuple[int, int]] = []
    azure.monitor = lambda _server, before, after: sizes.append((len(before), len(after)))

    def put(number: int) -> None:
        body = {"properties": {"startIpAddress": f"192.0.2.{number}", "endIpAddress": f"192.0.2.{number}"}}
        sdk.firewall_rules.create_or_update("data", "orders-sql", f"r{number}", body, **HTTP)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(40)))
    assert sizes == [(n, n + 1) for n in range(40)]
    assert len(azure.state.rules("orders-sql")) == 40
