"""Servers, subscriptions, groups, neighbouring rules: reading works as in Azure, writing is refused and recorded."""

import pytest
from azure.core.exceptions import ServiceRequestError
from azure.mgmt.sql import SqlManagementClient

from illumio_azsql_enforcer.sandbox.arm import ArmSimulator
from tests.sandbox.arm.conftest import HTTP, RULES, SERVER_ID, SUBSCRIPTION, Raw

SERVERS = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Sql/servers"
OTHER = "22222222-2222-4222-8222-222222222222"


def names(raw: Raw, path: str = SERVERS) -> list[str]:
    return [server["name"] for server in raw("GET", path).json["value"]]


# --- reading


def test_a_server_as_it_is_shown(azure: ArmSimulator, raw: Raw) -> None:
    azure.state.set_tags("orders-sql", {"env": "test"})
    shown = raw("GET", f"{SERVER_ID.upper()}?$expand=administrators/activedirectory").json
    assert (shown["id"], shown["name"], shown["type"]) == (SERVER_ID, "orders-sql", "Microsoft.Sql/servers")
    assert (shown["kind"], shown["location"], shown["tags"]) == ("v12.0", "westeurope", {"env": "test"})
    properties = shown["properties"]
    assert properties["fullyQualifiedDomainName"] == "orders-sql.database.windows.net"
    assert (properties["state"], properties["publicNetworkAccess"], properties["version"]) == (
        "Ready",
        "Enabled",
        "12.0",
    )
    azure.state.set_tags("orders-sql", {})
    assert "tags" not in raw("GET", SERVER_ID).json


def test_servers_are_listed_by_subscription_and_by_group(azure: ArmSimulator, raw: Raw) -> None:
    azure.state.add_server(
        "b-sql", subscription=SUBSCRIPTION, resource_group="Web", fqdn="b.example", public_access="Disabled"
    )
    azure.state.add_server(
        "ws", subscription=SUBSCRIPTION, resource_group="synapseworkspace-managedrg-1", kind="v12.0,analytics"
    )
    assert names(raw) == ["b-sql", "orders-sql", "ws"]
    groups = f"/subscriptions/{SUBSCRIPTION}/resourceGroups"
    assert names(raw, f"{groups}/WEB/providers/Microsoft.Sql/servers") == ["b-sql"]
    refused = raw("GET", f"{groups}/none/providers/Microsoft.Sql/servers")
    assert (refused.status, refused.code) == (404, "ResourceGroupNotFound")
    assert refused.message == "Resource group 'none' could not be found."


def test_a_missing_server(raw: Raw) -> None:
    refused = raw("GET", SERVER_ID.replace("orders-sql", "gone"))
    assert (refused.status, refused.code, refused.by_gateway) == (404, "ResourceNotFound", True)
    assert refused.message == (
        "The Resource 'Microsoft.Sql/servers/gone' under resource group 'data' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    )


def test_the_sdk_follows_pages_of_servers(azure: ArmSimulator, sdk: SqlManagementClient) -> None:
    for number in range(4):
        azure.state.add_server(f"s{number}", subscription=SUBSCRIPTION, resource_group="data")
    azure.switches.page_size = 2
    assert [s.name for s in sdk.servers.list(**HTTP)] == ["orders-sql", "s0", "s1", "s2", "s3"]
    assert len(list(sdk.servers.list_by_resource_group("data", **HTTP))) == 5
    assert [r.status for r in azure.requests()] == [200] * 6


def test_a_next_link_may_lead_away(azure: ArmSimulator, sdk: SqlManagementClient, raw: Raw) -> None:
    azure.state.add_server("b-sql", subscription=SUBSCRIPTION, resource_group="data")
    azure.switches.page_size, azure.switches.foreign_next_link = 1, "http://127.0.0.1:1"
    assert raw("GET", SERVERS).json["nextLink"].startswith("http://127.0.0.1:1/subscriptions/")
    with pytest.raises(ServiceRequestError, match=r"127\.0\.0\.1"):
        list(sdk.servers.list(**HTTP))  # the SDK does follow it, which is what the product must prevent


def test_lists_show_what_may_be_read(azure: ArmSimulator, raw: Raw) -> None:
    azure.state.add_server("hidden-sql", subscription=SUBSCRIPTION, resource_group="hidden")
    azure.state.grants.only("Microsoft.Sql/servers/read", scope=SERVER_ID.rpartition("/providers")[0])
    assert names(raw) == ["orders-sql"]
    assert raw("GET", SERVER_ID.replace("data/", "hidden/").replace("orders", "hidden")).status == 403
    azure.switches.filter_lists = False
    assert raw("GET", SERVERS).code == "AuthorizationFailed"


def test_subscriptions(azure: ArmSimulator, raw: Raw) -> None:
    azure.state.add_subscription(OTHER, name="Other")
    azure.state.disable_subscription(OTHER)
    listed = raw("GET", "/subscriptions", version="2022-12-01").json["value"]
    assert [(s["subscriptionId"], s["displayName"], s["state"]) for s in listed] == [
        (SUBSCRIPTION, "Sandbox", "Enabled"),
        (OTHER, "Other", "Disabled"),
    ]
    assert raw("GET", f"/subscriptions/{OTHER}", version="2022-12-01").json == listed[1]
    azure.state.grants.only("*/read", scope=f"/subscriptions/{OTHER}/resourceGroups/x")
    assert [s["subscriptionId"] for s in raw("GET", "/subscriptions", version="2022-12-01").json["value"]] == [OTHER]
    assert raw("GET", SERVERS).code == "SubscriptionNotFound"
    assert raw("GET", "/subscriptions", version="2025-01-01").code == "InvalidApiVersionParameter"


def test_groups_tenants_and_endpoints(azure: ArmSimulator, raw: Raw) -> None:
    groups = f"/subscriptions/{SUBSCRIPTION}/resourceGroups"
    assert [g["name"] for g in raw("GET", groups, version="2021-04-01").json["value"]] == ["data"]
    assert raw("GET", f"{groups}/DATA", version="2021-04-01").json["id"] == f"{groups}/data"
    assert raw("GET", f"{groups}/none", version="2021-04-01").code == "ResourceGroupNotFound"
    assert raw("GET", "/tenants", version="2022-12-01").json["value"][0]["tenantId"] == azure.tenant_id
    endpoints = raw("GET", "/metadata/endpoints", version="2022-09-01", token=None).json
    assert endpoints["authentication"]["loginEndpoint"] == azure.authority_url


def test_a_server_that_moves_or_vanishes_between_two_calls(azure: ArmSimulator, raw: Raw) -> None:
    azure.state.set_rule("orders-sql", "r", "192.0.2.1", "192.0.2.1")
    moved = azure.state.move_server("orders-sql", "archive")
    assert raw("GET", RULES).code == "ParentResourceNotFound"
    assert len(raw("GET", f"{moved}/firewallRules").json["value"]) == 1
    azure.state.remove_server("orders-sql")
    azure.state.add_server("orders-sql", subscription=SUBSCRIPTION, resource_group="archive")
    assert raw("GET", f"{moved}/firewallRules").json["value"] == []


def test_operations_know_their_servers(azure: ArmSimulator) -> None:
    state = azure.state
    assert state.rules("ORDERS-SQL") == state.rules(SERVER_ID.upper()) == {}
    for unknown in ("nope", SERVER_ID.replace("/data/", "/other/")):
        with pytest.raises(KeyError):
            state.rules(unknown)
    with pytest.raises(ValueError, match="taken"):
        state.add_server("Orders-SQL", subscription=SUBSCRIPTION, resource_group="elsewhere")
    with pytest.raises(ValueError, match="not a range"):
        state.set_rule("orders-sql", "r", "192.0.2.2", "192.0.2.1")
    with pytest.raises(KeyError):
        state.delete_rule("orders-sql", "r")


# --- what must never be sent


@pytest.mark.parametrize("slash", ["", "/", "/firewallRules/.."])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_write_of_a_server_is_a_catastrophe(azure: ArmSimulator, raw: Raw, method: str, slash: str) -> None:
    azure.state.grants.allow("*")
    refused = raw(method, SERVER_ID + slash, {"location": "westeurope"})
    assert (refused.status, refused.code) == (403, "AuthorizationFailed")
    assert names(raw) == ["orders-sql"]
    assert [(r.method, r.path) for r in azure.catastrophes] == [(method, SERVER_ID + slash)]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", SERVERS),
        ("PUT", f"/subscriptions/{SUBSCRIPTION}/resourceGroups/data"),
        ("DELETE", f"/subscriptions/{SUBSCRIPTION}/resourceGroups/data"),
        ("DELETE", f"/subscriptions/{SUBSCRIPTION}"),
        ("PUT", f"{SERVER_ID}/ipv6FirewallRules/r"),
        ("DELETE", f"{SERVER_ID}/virtualNetworkRules/r"),
        ("PUT", f"{SERVER_ID}/databases/d"),
        ("POST", f"{RULES}/r"),
    ],
)
def test_other_writes_that_must_never_be_sent(azure: ArmSimulator, raw: Raw, method: str, path: str) -> None:
    raw(method, path, {}, token=None)
    assert [(r.method, r.path, r.status) for r in azure.catastrophes] == [(method, path, azure.journal[0].status)]
    assert azure.catastrophes[0].status in (400, 401)


def test_what_the_product_sends_is_no_catastrophe(azure: ArmSimulator, raw: Raw) -> None:
    raw.put("r")
    raw("DELETE", f"{RULES}/r")
    raw("GET", SERVERS)
    raw("POST", "/providers/Microsoft.ResourceGraph/resources", {"query": "resources"}, version="2022-10-01")
    assert [r.status for r in azure.journal] == [200] * 4
    assert azure.catastrophes == []


# --- neighbours


def test_ipv6_rules_are_read_only(azure: ArmSimulator, raw: Raw, sdk: SqlManagementClient) -> None:
    azure.state.set_ipv6_rule("orders-sql", "six", "2001:db8::1", "2001:db8::2")
    (shown,) = raw("GET", f"{SERVER_ID}/ipv6FirewallRules").json["value"]
    assert shown["properties"] == {"startIPv6Address": "2001:db8::1", "endIPv6Address": "2001:db8::2"}
    assert shown["type"] == "Microsoft.Sql/servers/ipv6FirewallRules"
    assert raw("GET", f"{SERVER_ID}/ipv6firewallrules/SIX").json == shown
    assert raw("GET", f"{SERVER_ID}/ipv6FirewallRules/none").code == "ResourceNotFound"
    assert [r.start_i_pv6_address for r in sdk.ipv6_firewall_rules.list_by_server("data", "orders-sql", **HTTP)] == [
        "2001:db8::1"
    ]
    assert raw("PUT", f"{SERVER_ID}/ipv6FirewallRules/r", {}).status == 403
    assert (
        raw("GET", f"{SERVER_ID}/ipv6FirewallRules", version="2020-11-01-preview").code == "NoRegisteredProviderFound"
    )


def test_network_rules_are_read_only(azure: ArmSimulator, raw: Raw, sdk: SqlManagementClient) -> None:
    subnet = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/v/subnets/s"
    azure.state.set_network_rule("orders-sql", "subnet", subnet)
    (rule,) = sdk.virtual_network_rules.list_by_server("data", "orders-sql", **HTTP)
    assert (rule.name, rule.virtual_network_subnet_id, rule.state) == ("subnet", subnet, "Ready")
    assert raw("DELETE", f"{SERVER_ID}/virtualNetworkRules/subnet").status == 403


def test_neighbours_need_rights_of_their_own(azure: ArmSimulator, raw: Raw) -> None:
    azure.state.grants.only("Microsoft.Sql/servers/read", "Microsoft.Sql/servers/firewallRules/*")
    assert raw("GET", f"{SERVER_ID}/ipv6FirewallRules").code == "AuthorizationFailed"
    assert raw("GET", RULES).status == 200
