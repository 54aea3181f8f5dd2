"""Resource Graph: the query language as far as it goes, paging, quota, lag, and no firewall rules."""

from typing import Any

import pytest

from illumio_azsql_enforcer.sandbox.arm import ArmSimulator, kql
from tests.sandbox.arm.conftest import SERVER_ID, SUBSCRIPTION, Answer, Raw
from tests.support.clock import VirtualClock

GRAPH = "/providers/Microsoft.ResourceGraph/resources"
OTHER = "22222222-2222-4222-8222-222222222222"
SERVERS = "resources | where type =~ 'microsoft.sql/servers'"
DISCOVERY = (
    "resources | where type =~ 'microsoft.sql/servers' and kind !~ 'v12.0,analytics' | project id,name,resourceGroup,"
    "subscriptionId,location,tags,kind,state=properties.state,pna=properties.publicNetworkAccess | order by id asc"
)


def ask(raw: Raw, query: str, *, version: str = "2022-10-01", subscriptions: Any = None, **options: Any) -> Answer:
    body: dict[str, Any] = {"query": query, "options": {name.replace("_", "$"): v for name, v in options.items()}}
    if subscriptions is not None:
        body["subscriptions"] = subscriptions
    return raw("POST", GRAPH, body, version=version)


def names(answer: Answer) -> list[str]:
    return [row["name"] for row in answer.json["data"]]


def test_discovery_of_servers(azure: ArmSimulator, raw: Raw) -> None:
    azure.state.add_server("A-sql", subscription=SUBSCRIPTION, resource_group="Web", tags={"env": "test"})
    azure.state.add_server("ws", subscription=SUBSCRIPTION, resource_group="managed", kind="v12.0,analytics")
    answer = ask(raw, DISCOVERY, subscriptions=[SUBSCRIPTION])
    body = answer.json
    assert (body["totalRecords"], body["count"], body["facets"], body["resultTruncated"]) == (2, 2, [], "false")
    assert body["data"][0] == {
        "id": SERVER_ID.replace("/data/", "/Web/").replace("orders-sql", "A-sql"),
        "name": "A-sql",
        "resourceGroup": "web",
        "subscriptionId": SUBSCRIPTION,
        "location": "westeurope",
        "tags": {"env": "test"},
        "kind": "v12.0",
        "state": "Ready",
        "pna": "Enabled",
    }
    assert names(answer) == ["A-sql", "orders-sql"]
    assert "$skipToken" not in body


def test_firewall_rules_are_not_indexed(azure: ArmSimulator, raw: Raw) -> None:
    azure.state.set_rule("orders-sql", "r", "192.0.2.1", "192.0.2.1")
    assert ask(raw, "Resources | where type =~ 'Microsoft.Sql/servers/firewallRules'").json["data"] == []


def test_paging_needs_the_id_and_the_same_query(azure: ArmSimulator, raw: Raw) -> None:
    for number in range(4):
        azure.state.add_server(f"s{number}", subscription=SUBSCRIPTION, resource_group="data")
    query = f"{SERVERS} | order by name asc | project id, name"
    first = ask(raw, query, _top=3)
    assert (names(first), first.json["resultTruncated"]) == (["orders-sql", "s0", "s1"], "true")
    second = ask(raw, query, _top=3, _skipToken=first.json["$skipToken"])
    assert (names(second), second.json["totalRecords"], second.json["count"]) == (["s2", "s3"], 5, 2)
    assert ask(raw, SERVERS, _skipToken=first.json["$skipToken"]).status == 400
    assert ask(raw, query, _skipToken="rubbish").status == 400
    without_id = ask(raw, f"{SERVERS} | project name", _top=3).json
    assert without_id["resultTruncated"] == "true"
    assert "$skipToken" not in without_id


def test_the_quota(azure: ArmSimulator, raw: Raw, clock: VirtualClock) -> None:
    answers = [ask(raw, SERVERS) for _ in range(16)]
    assert [a.status for a in answers] == [200] * 15 + [429]
    assert [a.headers["x-ms-user-quota-remaining"] for a in answers] == [*map(str, range(14, -1, -1)), "0"]
    assert answers[-1].headers["x-ms-user-quota-resets-after"] == "00:00:05"
    assert answers[-1].code == "RateLimiting"
    assert "Retry-After" not in answers[-1].headers
    azure.switches.graph_retry_after = True
    assert ask(raw, SERVERS).headers["Retry-After"] == "5"
    clock.advance(5)
    assert ask(raw, SERVERS).status == 200


def test_the_graph_lags(azure: ArmSimulator, raw: Raw, clock: VirtualClock) -> None:
    clock.advance(100)
    azure.switches.graph_lag = 60
    azure.state.add_server("new-sql", subscription=SUBSCRIPTION, resource_group="data")
    azure.state.set_public_access("orders-sql", "Disabled")
    query = f"{SERVERS} | project name, pna=properties.publicNetworkAccess"
    assert ask(raw, query).json["data"] == [{"name": "orders-sql", "pna": "Enabled"}]
    clock.advance(60)
    azure.state.remove_server("new-sql")
    assert ask(raw, query).json["data"] == [
        {"name": "orders-sql", "pna": "Disabled"},
        {"name": "new-sql", "pna": "Enabled"},
    ]
    clock.advance(60)
    assert names(ask(raw, query)) == ["orders-sql"]


def test_only_what_may_be_read_is_shown(azure: ArmSimulator, raw: Raw) -> None:
    azure.state.add_subscription(OTHER)
    azure.state.add_server("far-sql", subscription=OTHER, resource_group="data")
    assert sorted(names(ask(raw, SERVERS))) == ["far-sql", "orders-sql"]
    assert names(ask(raw, SERVERS, subscriptions=[OTHER.upper()])) == ["far-sql"]
    azure.state.grants.deny("*", scope=f"/subscriptions/{OTHER}")
    assert names(ask(raw, SERVERS)) == ["orders-sql"]
    refused = ask(raw, SERVERS, subscriptions=[OTHER])
    assert refused.json["error"]["details"][0]["code"] == "NoValidSubscriptionsInQueryRequest"
    azure.state.grants.deny("Microsoft.Sql/servers/read", scope="orders")
    azure.state.grants.deny("Microsoft.Sql/servers/read", scope=SERVER_ID)
    assert ask(raw, SERVERS).json["data"] == []


def test_a_table_is_the_default_of_old_versions(raw: Raw) -> None:
    body = ask(raw, f"{SERVERS} | project name, tags", version="2019-04-01").json
    assert body["data"] == {
        "columns": [{"name": "name", "type": "string"}, {"name": "tags", "type": "object"}],
        "rows": [["orders-sql", None]],
    }


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("resources | where", "ParserFailure"),
        ("resources | summarize count() by type", "ParserFailure"),
        ("resources where type == 'x'", "ParserFailure"),
        ("resources | where type == 'x", "ParserFailure"),
        ("resources | where sha1(name) == 'x'", "ParserFailure"),
        ("servers", "DisallowedLogicalTableName"),
    ],
)
def test_queries_that_are_refused(raw: Raw, query: str, code: str) -> None:
    refused = ask(raw, query)
    assert (refused.status, refused.code, refused.json["error"]["details"][0]["code"]) == (400, "BadRequest", code)


def test_other_wrong_requests(azure: ArmSimulator, raw: Raw) -> None:
    assert raw("POST", GRAPH, {"subscriptions": []}, version="2022-10-01").status == 400
    assert raw("POST", GRAPH, data=b"{", version="2022-10-01").status == 400
    assert raw("GET", GRAPH, version="2022-10-01").status == 405
    assert raw("POST", GRAPH, {"query": SERVERS}, version="2025-01-01").code == "NoRegisteredProviderFound"


ROWS: list[kql.Row] = [
    {"name": "One", "kind": "a", "tags": {"illumio-role": "db"}, "n": {"deep": "x"}},
    {"name": "two", "kind": "b", "tags": None, "n": {}},
    {"name": "three", "kind": "A", "tags": {"env": "prod"}},
]


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ("where kind == 'a'", ["One"]),
        ('where kind =~ "a"', ["One", "three"]),
        ("where kind != 'a' and name contains 'T'", ["two", "three"]),
        ("where kind in ('a', 'b')", ["One", "two"]),
        ("where kind in~ ('a')", ["One", "three"]),
        ("where kind !in~ ('a')", ["two"]),
        ("where (kind == 'b' or name startswith 'thr') and name endswith 'EE'", ["three"]),
        ("where tags['illumio-role'] == 'db'", ["One"]),
        ("where isnotempty(tags.env)", ["three"]),
        ("where isempty(n.deep)", ["two", "three"]),
        ("where not(kind =~ 'a')", ["two"]),
        ("where tolower(name) == 'one'", ["One"]),
        ("where name has 'two'", ["two"]),
        ("order by name", ["two", "three", "One"]),
        ("sort by kind asc, name desc", ["three", "One", "two"]),
        ("order by name asc | take 2", ["One", "three"]),
        ("extend name = toupper(name) | where kind == 'b'", ["TWO"]),
    ],
)
def test_the_query_language(stages: str, expected: list[str]) -> None:
    assert [row["name"] for row in kql.parse(f"resources | {stages}").run(ROWS)] == expected


def test_counting() -> None:
    assert kql.parse("Resources | count").run(ROWS) == [{"Count": 3}]


def test_rows_each_once(azure: ArmSimulator, raw: Raw) -> None:
    azure.state.add_subscription(OTHER)
    for number in range(4):
        azure.state.add_server(f"s{number}", subscription=OTHER, resource_group="data")
    rows = ask(raw, f"{SERVERS} | distinct subscriptionId").json["data"]
    assert sorted(row["subscriptionId"] for row in rows) == [SUBSCRIPTION, OTHER]
