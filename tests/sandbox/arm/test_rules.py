"""Firewall rules: what is accepted, what is refused and how, and every switch both ways."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.sql import SqlManagementClient

from illumio_azsql_enforcer.sandbox.arm import ArmSimulator
from tests.sandbox.arm.conftest import HTTP, RULES, SERVER_ID, SUBSCRIPTION, Raw
from tests.support.clock import VirtualClock

DISABLED_TEXT = (
    "Unable to create or modify firewall rules when public network interface for the server is disabled. "
    "To manage server or database level firewall rules, please enable the public network interface."
)


# --- reading


def test_an_empty_list(raw: Raw) -> None:
    assert raw("GET", RULES).text == '{"value":[]}'


def test_a_rule_as_it_is_shown(azure: ArmSimulator, raw: Raw) -> None:
    azure.state.set_rule("orders-sql", "Rule1", "0.0.0.0", "255.255.255.255")
    shown = (
        '{"properties":{"startIpAddress":"0.0.0.0","endIpAddress":"255.255.255.255"},'
        f'"id":"{RULES}/Rule1","name":"Rule1","type":"Microsoft.Sql/servers/firewallRules"}}'
    )
    assert raw("GET", f"{RULES}/rULE1").text == shown
    assert raw("GET", RULES.upper()).text == f'{{"value":[{shown}]}}'


def test_a_missing_rule(raw: Raw) -> None:
    refused = raw("GET", f"{RULES}/asotest-firewall-hpmpki")
    assert (refused.status, refused.headers["Content-Length"]) == (404, "169")
    assert refused.text == (
        '{"error":{"code":"ResourceNotFound","message":"The requested resource of type '
        "'Microsoft.Sql/servers/firewallRules' with name 'asotest-firewall-hpmpki' was not found.\"}}"
    )


def test_the_order_of_the_list(azure: ArmSimulator, raw: Raw) -> None:
    for name in ("b", "C", "a", *map(str, range(20))):
        azure.state.set_rule("orders-sql", name, "192.0.2.1", "192.0.2.1")

    def names() -> list[str]:
        return [rule["name"] for rule in raw("GET", RULES).json["value"]]

    assert names() == sorted(names(), key=str.casefold)
    azure.switches.shuffled = True
    first, second = names(), names()
    assert first != second
    assert sorted(first) == sorted(second)


def test_paging_with_a_token_that_has_to_be_encoded(azure: ArmSimulator, sdk: SqlManagementClient) -> None:
    for number in range(7):
        azure.state.set_rule("orders-sql", f"r{number}", "192.0.2.1", "192.0.2.1")
    azure.switches.rules_page_size = 3
    assert [r.name for r in sdk.firewall_rules.list_by_server("data", "orders-sql", **HTTP)] == [
        f"r{n}" for n in range(7)
    ]
    assert [r.query.get("$skiptoken") for r in azure.requests()] == [None, "3/a+b%2Fc==", "6/a+b%2Fc=="]


def test_a_skip_token_that_was_never_given_out(azure: ArmSimulator, raw: Raw) -> None:
    assert raw("GET", f"{RULES}?$skiptoken=3").status == 400


def test_reads_may_lag_behind_writes(azure: ArmSimulator, raw: Raw, clock: VirtualClock) -> None:
    azure.switches.read_lag = 30
    raw.put("r")
    assert raw("GET", f"{RULES}/r").status == 404
    clock.advance(20)
    raw.put("s")
    clock.advance(11)
    assert [rule["name"] for rule in raw("GET", RULES).json["value"]] == ["r"]
    assert set(azure.state.rules("orders-sql")) == {"r", "s"}


# --- PUT


@pytest.mark.parametrize("status", [200, 201])
def test_a_new_rule_and_a_changed_one(azure: ArmSimulator, raw: Raw, status: int) -> None:
    azure.switches.create_status = status  # type: ignore[assignment]
    azure.state.set_rule("orders-sql", "other", "198.51.100.1", "198.51.100.1")
    made, same = raw.put("r"), raw.put("r")
    changed = raw.put("r", "192.0.2.3", "192.0.2.4")
    assert [made.status, same.status, changed.status] == [status, 200, 200]
    assert changed.json["properties"] == {"startIpAddress": "192.0.2.3", "endIpAddress": "192.0.2.4"}
    assert azure.state.rules("orders-sql") == {
        "other": ("198.51.100.1", "198.51.100.1"),
        "r": ("192.0.2.3", "192.0.2.4"),
    }
    assert not {"Azure-AsyncOperation", "Location", "ETag"} & set(made.headers)


@pytest.mark.parametrize("start", ["0.0.0.0", "10.0.0.1", "192.168.1.1", "127.0.0.1", "224.0.0.1", "255.255.255.255"])
def test_any_range_is_accepted(azure: ArmSimulator, raw: Raw, start: str) -> None:
    assert raw.put("r", start, start).status == 200
    assert raw.put("twice", start, start).status == 200
    assert raw.put("wide", "0.0.0.0", "255.255.255.255").status == 200
    assert len(azure.state.rules("orders-sql")) == 3


@pytest.mark.parametrize(
    "address",
    [
        "2001:db8::1",
        "::ffff:192.0.2.1",
        "192.0.2.0/24",
        "1.2.3",
        "01.2.3.4",
        " 1.2.3.4",
        "1.2.3.4 ",
        "",
        "1.2.3.256",
        "1.2.3.4.5",
        "1.2.3.-4",
        "0x1.2.3.4",
        "1.2.3.٤",
        "example.com",
        "1.2.3.4\x00",
    ],
)
def test_what_is_no_ipv4_address(azure: ArmSimulator, raw: Raw, address: str) -> None:
    for answer in (raw.put("r", start=address), raw.put("r", end=address)):
        assert (answer.status, answer.code) == (400, "FirewallRuleNotIPv4Address")
    assert azure.state.rules("orders-sql") == {}


def test_leading_zeros_may_be_tolerated(azure: ArmSimulator, raw: Raw) -> None:
    azure.switches.leading_zeros = True
    assert raw.put("r", "010.002.3.04", "10.2.3.100").json["properties"]["startIpAddress"] == "10.2.3.4"


def test_a_reversed_range_is_compared_by_number(raw: Raw) -> None:
    assert raw.put("r", "192.0.2.9", "192.0.2.10").status == 200
    refused = raw.put("r", "192.0.2.10", "192.0.2.9")
    assert (refused.status, refused.code) == (400, "FirewallRuleInvalidRange")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"properties": None},
        {"properties": {}},
        {"properties": {"startIpAddress": "192.0.2.1"}},
        {"properties": {"endIpAddress": "192.0.2.1"}},
        {"properties": {"startIpAddress": 1, "endIpAddress": "192.0.2.1"}},
        {"startIpAddress": "192.0.2.1", "endIpAddress": "192.0.2.1"},
    ],
)
def test_missing_parameters(raw: Raw, body: dict[str, Any]) -> None:
    refused = raw("PUT", f"{RULES}/r", body)
    assert (refused.status, refused.code) == (400, "InvalidServerFirewallRuleResourceParameters")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'"x"', b"null"])
def test_bodies_that_are_no_object(raw: Raw, data: bytes) -> None:
    refused = raw("PUT", f"{RULES}/r", data=data)
    assert (refused.status, refused.code) == (400, "InvalidServerFirewallRuleResourceRequest")


def test_a_body_that_is_not_declared_as_json(raw: Raw) -> None:
    refused = raw("PUT", f"{RULES}/r", data=b"{}", headers={"Content-Type": "text/plain"})
    assert (refused.status, refused.code, refused.by_gateway) == (415, "UnsupportedMediaType", True)


def test_a_name_in_the_body(azure: ArmSimulator, raw: Raw) -> None:
    assert raw.put("r", name="r", id=f"{RULES}/r", type="Microsoft.Sql/servers/firewallRules").status == 200
    refused = raw.put("r", name="other")
    assert (refused.status, refused.code) == (400, "InvalidServerFirewallRuleResourceRequest")
    azure.switches.other_name_in_body = "ignore"
    assert raw.put("r", name="other").json["name"] == "r"
    assert list(azure.state.rules("orders-sql")) == ["r"]


def test_a_name_in_other_case(azure: ArmSimulator, raw: Raw) -> None:
    raw.put("Office")
    changed = raw.put("OFFICE", "192.0.2.7", "192.0.2.8")
    assert (changed.status, changed.json["name"]) == (200, "Office")
    assert azure.state.rules("orders-sql") == {"Office": ("192.0.2.7", "192.0.2.8")}
    azure.switches.other_case = "not_found"
    refused = raw.put("office")
    assert (refused.status, refused.text) == (404, "")
    assert raw.put("Office").status == 200


@pytest.mark.parametrize(
    ("segment", "name"),
    [
        ("a%20b", "a b"),
        ("1.2.2.128s25", "1.2.2.128s25"),
        ("ClientIP_(2)-x", "ClientIP_(2)-x"),
        ("%C3%A9t%C3%A9", "été"),
        ("x" * 128, "x" * 128),
        ("+", "+"),
    ],
)
def test_names_that_are_accepted(azure: ArmSimulator, raw: Raw, segment: str, name: str) -> None:
    assert raw.put(segment).json["name"] == name
    assert raw("DELETE", f"{RULES}/{segment}").status == 200
    assert azure.state.rules("orders-sql") == {}


@pytest.mark.parametrize("character", list("<>*%&:;\\/?\x00\t\x1f\x7f"))
def test_characters_that_a_name_must_not_have(azure: ArmSimulator, raw: Raw, character: str) -> None:
    refused = raw.put(f"a%{ord(character):02X}b")
    assert (refused.status, refused.code) == (400, "InvalidResourceId")
    assert azure.state.rules("orders-sql") == {}


def test_names_that_are_too_long_or_end_in_a_dot(azure: ArmSimulator, raw: Raw) -> None:
    assert raw.put("x" * 129).code == "FirewallRuleNameTooLong"
    azure.switches.bad_name_code = "InvalidServerFirewallRuleResourceRequest"
    assert raw.put("r.").code == "InvalidServerFirewallRuleResourceRequest"


# --- limits and public access


@pytest.mark.parametrize("limit", [128, 255, 256])
def test_the_rule_limit_counts_every_rule(azure: ArmSimulator, raw: Raw, limit: int) -> None:
    azure.switches.rule_limit = limit
    azure.state.set_rule("orders-sql", "AllowAllWindowsAzureIps", "0.0.0.0", "0.0.0.0")
    for number in range(limit - 2):
        azure.state.set_rule("orders-sql", f"r{number}", "192.0.2.1", "192.0.2.1")
    assert raw.put("last").status == 200
    refused = raw.put("more")
    assert (refused.status, refused.code) == (400, "TooManyFirewallRules")
    assert raw.put("last", "192.0.2.2").status == 200
    azure.switches.full_refuses_update = True
    assert raw.put("last", "192.0.2.3").code == "TooManyFirewallRules"
    assert raw("DELETE", f"{RULES}/r0").status == 200
    assert raw.put("last", "192.0.2.3").status == 200


def test_one_server_may_have_a_limit_of_its_own(azure: ArmSimulator, raw: Raw) -> None:
    azure.state.set_rule_limit("orders-sql", 1)
    assert [raw.put("a").status, raw.put("b").status] == [200, 400]


def test_disabled_public_access_refuses_writes(azure: ArmSimulator, raw: Raw, clock: VirtualClock) -> None:
    azure.state.set_rule("orders-sql", "r", "192.0.2.1", "192.0.2.1")
    azure.state.set_public_access("orders-sql", "Disabled")
    assert raw("GET", RULES).status == 200
    assert raw("GET", f"{RULES}/r").status == 200
    for refused in (raw.put("r"), raw("DELETE", f"{RULES}/r")):
        assert (refused.status, refused.code, refused.message) == (400, "DenyPublicEndpointEnabled", DISABLED_TEXT)
    azure.switches.enabling_takes = 30
    azure.state.set_public_access("orders-sql", "Enabled")
    assert raw.put("r").code == "DenyPublicEndpointEnabled"
    clock.advance(30)
    assert raw.put("r").status == 200


def test_disabled_public_access_may_allow_deletes(azure: ArmSimulator, raw: Raw) -> None:
    azure.switches.disabled_refuses_delete = False
    azure.state.set_rule("orders-sql", "r", "192.0.2.1", "192.0.2.1")
    azure.state.set_public_access("orders-sql", "Disabled")
    assert raw("DELETE", f"{RULES}/r").status == 200
    assert raw.put("r").status == 400


def test_a_perimeter_may_refuse_writes(azure: ArmSimulator, raw: Raw) -> None:
    azure.state.set_public_access("orders-sql", "SecuredByPerimeter")
    assert raw.put("r").status == 200
    azure.switches.perimeter_refuses_writes = True
    assert raw.put("r").code == raw("DELETE", f"{RULES}/r").code == "DenyPublicEndpointEnabled"


# --- DELETE


def test_deleting(azure: ArmSimulator, raw: Raw) -> None:
    azure.state.set_rule("orders-sql", "Office", "192.0.2.1", "192.0.2.1")
    gone = raw("DELETE", f"{RULES}/office", headers={"If-Match": '"x"'})
    assert (gone.status, gone.text, gone.headers["Content-Length"]) == (200, "", "0")
    assert "Content-Type" not in gone.headers
    again = raw("DELETE", f"{RULES}/office")
    assert (again.status, again.text) == (204, "")
    assert [r.effect for r in azure.requests("DELETE")] == ["deleted Office", "nothing: no such rule"]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_other_methods_on_a_rule(azure: ArmSimulator, raw: Raw, method: str) -> None:
    azure.state.grants.allow("*")
    assert raw(method, f"{RULES}/r", {}).status == 405
    assert [r.method for r in azure.catastrophes] == [method]


# --- the server is not there


@pytest.mark.parametrize(("method", "word"), [("GET", "read"), ("PUT", "write"), ("DELETE", "delete")])
def test_a_missing_or_vanishing_server(azure: ArmSimulator, raw: Raw, method: str, word: str) -> None:
    azure.state.set_server_state("orders-sql", "Dropping")
    refused = raw(method, f"{RULES}/r", {"properties": {}})
    assert (refused.status, refused.code, refused.by_gateway) == (404, "ParentResourceNotFound", True)
    assert refused.message == (
        f"Failed to perform '{word}' on resource(s) of type 'servers/firewallRules', "
        f"because the parent resource '{SERVER_ID}' could not be found."
    )
    azure.state.remove_server("orders-sql")
    assert raw(method, f"{RULES}/r", {"properties": {}}).code == "ParentResourceNotFound"
    azure.state.remove_group(SUBSCRIPTION, "data")
    assert raw(method, f"{RULES}/r", {"properties": {}}).code == "ResourceGroupNotFound"


def test_the_provider_may_be_the_one_to_say_so(azure: ArmSimulator, raw: Raw) -> None:
    azure.switches.missing_parent = "provider"
    azure.state.move_server("orders-sql", "elsewhere")
    refused = raw("GET", RULES)
    assert (refused.status, refused.code, refused.by_gateway) == (404, "ServerNotInSubscriptionResourceGroup", False)
    azure.state.remove_server("orders-sql")
    assert raw("GET", RULES).code == "SubscriptionDoesNotHaveServer"


@pytest.mark.parametrize("status", [403, 409, None])
def test_the_server_of_a_synapse_workspace(azure: ArmSimulator, raw: Raw, status: int | None) -> None:
    azure.switches.synapse_status = status
    group = "synapseworkspace-managedrg-1"
    server = azure.state.add_server("ws", subscription=SUBSCRIPTION, resource_group=group, kind="v12.0,analytics")
    body = {"properties": {"startIpAddress": "192.0.2.1", "endIpAddress": "192.0.2.1"}}
    assert raw("PUT", f"{server}/firewallRules/r", body).status == (status or 200)
    assert raw("GET", f"{server}/firewallRules").status == 200


# --- the collection: replace and wipe


@pytest.mark.parametrize(("status", "works"), [(200, True), (202, True), (202, False)])
def test_replace(azure: ArmSimulator, sdk: SqlManagementClient, status: int, *, works: bool) -> None:
    azure.switches.replace_status = status  # type: ignore[assignment]
    azure.switches.replace_works = works
    azure.state.set_rule("orders-sql", "old", "192.0.2.1", "192.0.2.1")
    rule = {"name": "new ", "properties": {"startIpAddress": "192.0.2.2", "endIpAddress": "192.0.2.2"}}
    answer = sdk.firewall_rules.replace("data", "orders-sql", {"values": [rule]}, **HTTP)
    assert (answer is None) == (status == 202)
    assert list(azure.state.rules("orders-sql")) == (["new"] if works else ["old"])
    assert [r.method for r in azure.catastrophes] == ["PUT"]


def test_a_rule_named_by_one_dot_wipes_them_all(azure: ArmSimulator, sdk: SqlManagementClient) -> None:
    azure.state.set_rule("orders-sql", "old", "192.0.2.1", "192.0.2.1")
    body = {"properties": {"startIpAddress": "192.0.2.2", "endIpAddress": "192.0.2.2"}}
    sdk.firewall_rules.create_or_update("data", "orders-sql", ".", body, **HTTP)
    assert azure.state.rules("orders-sql") == {}
    (entry,) = azure.catastrophes
    assert (entry.method, entry.path, entry.effect) == ("PUT", f"{RULES}/", "REPLACED all rules by 0")


@pytest.mark.parametrize("path", [RULES, f"{RULES}/"])
def test_deleting_the_collection(azure: ArmSimulator, raw: Raw, path: str) -> None:
    azure.state.set_rule("orders-sql", "r", "192.0.2.1", "192.0.2.1")
    refused = raw("DELETE", path)
    assert (refused.status, refused.code) == (405, "MethodNotAllowed")
    assert len(azure.state.rules("orders-sql")) == 1
    azure.switches.collection_delete_wipes = True
    assert raw("DELETE", path).status == 200
    assert azure.state.rules("orders-sql") == {}
    assert len(azure.catastrophes) == 2


def test_replace_validates_every_rule(azure: ArmSimulator, raw: Raw) -> None:
    bad = {"name": "b", "properties": {"startIpAddress": "x", "endIpAddress": "192.0.2.2"}}
    good = {"name": "a", "properties": {"startIpAddress": "192.0.2.1", "endIpAddress": "192.0.2.2"}}
    azure.switches.rule_limit = 1
    assert raw("PUT", RULES, {"values": [good, bad]}).code == "FirewallRuleNotIPv4Address"
    assert raw("PUT", RULES, {"values": [good, good | {"name": "c"}]}).code == "TooManyFirewallRules"
    assert raw("PUT", RULES, {"values": [{}]}).code == "FirewallRuleNameEmpty"
    assert raw("PUT", RULES, {"values": 1}).code == "InvalidServerFirewallRuleResourceRequest"
    assert azure.state.rules("orders-sql") == {}


# --- odd successes and overlapping writes


@pytest.mark.parametrize(("accepted", "left"), [("done", ["new"]), ("lost", ["old"])])
def test_a_202_makes_the_sdk_raise(
    azure: ArmSimulator, sdk: SqlManagementClient, accepted: Any, left: list[str]
) -> None:
    azure.state.set_rule("orders-sql", "old", "192.0.2.1", "192.0.2.1")
    azure.switches.accepted = accepted
    body = {"properties": {"startIpAddress": "192.0.2.2", "endIpAddress": "192.0.2.2"}}
    with pytest.raises(HttpResponseError) as made:
        sdk.firewall_rules.create_or_update("data", "orders-sql", "new", body, **HTTP)
    with pytest.raises(HttpResponseError):
        sdk.firewall_rules.delete("data", "orders-sql", "old", **HTTP)
    assert made.value.status_code == 202
    assert list(azure.state.rules("orders-sql")) == left


@pytest.mark.parametrize("conflict", [False, True])
def test_two_writes_at_once(azure: ArmSimulator, *, conflict: bool) -> None:
    azure.switches.overlap_conflict, azure.switches.write_seconds = conflict, 0.2
    azure.state.add_server("other-sql", subscription=SUBSCRIPTION, resource_group="data")

    def put(path: str) -> int:
        client = Raw(azure)
        with client.session:
            body = {"properties": {"startIpAddress": "192.0.2.1", "endIpAddress": "192.0.2.1"}}
            return client("PUT", path, body).status

    paths = [f"{RULES}/a", f"{RULES}/b", f"{RULES}/c".replace("orders", "other")]
    with ThreadPoolExecutor(3) as pool:
        statuses = list(pool.map(put, paths))
    assert sorted(statuses[:2]) == ([200, 409] if conflict else [200, 200])
    assert statuses[2] == 200


# --- who watches


def test_the_monitor_sees_each_accepted_write(azure: ArmSimulator, raw: Raw) -> None:
    seen: list[Any] = []
    azure.monitor = lambda *change: seen.append(change)
    raw.put("r")
    raw.put("bad", "x")
    raw("DELETE", f"{RULES}/missing")
    azure.state.set_rule("orders-sql", "by-hand", "192.0.2.1", "192.0.2.1")
    raw("DELETE", f"{RULES}/r")
    mine, hand = {"r": ("192.0.2.1", "192.0.2.9")}, {"by-hand": ("192.0.2.1", "192.0.2.1")}
    assert seen == [(SERVER_ID, {}, mine), (SERVER_ID, mine | hand, hand)]


def test_what_the_monitor_raises_fails_the_test(clock: VirtualClock) -> None:
    def never(_server: str, _before: object, _after: object) -> None:
        raise AssertionError("a promise was broken")

    azure = ArmSimulator(clock=clock).start()
    azure.state.add_subscription(SUBSCRIPTION)
    azure.state.add_server("orders-sql", subscription=SUBSCRIPTION, resource_group="data")
    azure.monitor = never
    client = Raw(azure)
    with client.session:
        assert client.put("r").status == 500
    with pytest.raises(AssertionError, match="a promise was broken"):
        azure.stop()


def test_activity_is_recorded_for_arm_alone(azure: ArmSimulator, raw: Raw) -> None:
    azure.state.set_rule("orders-sql", "by-hand", "192.0.2.1", "192.0.2.1")
    answer = raw("DELETE", f"{RULES}/by-hand", headers={"x-ms-correlation-request-id": "c-1"})
    (record,) = azure.state.activity
    assert record.operation == "Microsoft.Sql/servers/firewallRules/delete"
    assert (record.scope, record.status) == (f"{RULES}/by-hand", 200)
    assert record.correlation_id == answer.headers["x-ms-correlation-request-id"] == "c-1"
    assert record.caller == azure.system_identity.object_id
