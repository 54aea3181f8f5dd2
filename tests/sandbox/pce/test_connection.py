"""Credentials, global pages, errors, headers and the rate limit."""

import pytest
import requests

from illumio_azsql_enforcer.sandbox.pce import PceSimulator
from tests.sandbox.pce.conftest import Client
from tests.support.clock import VirtualClock


def test_a_wrong_key_is_401_and_no_key_too(pce: PceSimulator) -> None:
    page = f"{pce.url}/api/v2/noop"
    assert requests.get(page, auth=(pce.api_key, "wrong"), timeout=5).status_code == 401
    assert requests.get(page, timeout=5).status_code == 401
    assert requests.get(page, auth=(pce.api_key, pce.api_secret), timeout=5).json() == {}


def test_a_simulator_that_was_started_can_be_used_in_a_with_block() -> None:
    pce = PceSimulator().start()
    url = pce.url
    with pce:
        assert pce.url == url
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=5)


def test_the_load_balancer_needs_no_key(pce: PceSimulator) -> None:
    answer = requests.get(f"{pce.url}/api/v2/node_available", timeout=5)
    assert (answer.status_code, answer.content) == (200, b"")


def test_another_org_is_403(client: Client) -> None:
    answer = client.get("/orgs/2/labels")
    assert answer.status_code == 403
    assert answer.json()[0]["token"] == "forbidden_error"


def test_an_unknown_route_is_html(client: Client) -> None:
    for href in ("/orgs/1/nothing", "/orgs/1/sec_policy/draft/override_deny_rules", "/nothing", "/orgs/1/ip_lists"):
        answer = client.get(href)
        assert answer.status_code == 404, href
        assert answer.headers["Content-Type"].startswith("text/html")


def test_an_unknown_object_is_404_with_a_token(client: Client) -> None:
    answer = client.get("/orgs/1/labels/4711")
    assert (answer.status_code, answer.json()[0]["token"]) == (404, "not_found_error")


@pytest.mark.parametrize(
    ("method", "href"),
    [
        ("DELETE", "/orgs/1/labels"),
        ("POST", "/noop"),
        ("POST", "/orgs/1/sec_policy/active/ip_lists"),
        ("PUT", "/orgs/1/sec_policy/active/ip_lists/1"),
        ("POST", "/orgs/1/vens"),
    ],
)
def test_a_wrong_verb_is_405(client: Client, method: str, href: str) -> None:
    assert client.call(method, href, json={}).status_code == 405


def test_product_version_and_health(pce: PceSimulator, client: Client) -> None:
    assert client.json("/product_version")["version"] == "25.2.20"
    assert client.json("/health")[0]["status"] == "normal"
    pce.behaviour.wrap_product_version = True
    assert client.json("/product_version")["product_version"]["build"] == 117


def test_every_answer_has_a_request_id_and_is_not_to_be_stored(client: Client) -> None:
    first, second = client.get("/orgs/1/labels"), client.get("/orgs/1/labels")
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]
    assert first.headers["ETag"] == second.headers["ETag"]
    assert first.headers["ETag"].startswith('W/"')
    assert first.headers["Cache-Control"] == "no-store"


def test_large_answers_are_compressed_for_clients_that_take_it(client: Client) -> None:
    href = "/orgs/1/sec_policy/active/rule_sets"
    packed, plain = client.get(href), client.get(href, headers={"Accept-Encoding": "identity"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert packed.json() == plain.json()


def test_more_requests_than_a_minute_allows_are_429(pce: PceSimulator, client: Client, clock: VirtualClock) -> None:
    pce.behaviour.requests_per_minute = 2
    assert [client.get("/noop").status_code for _ in range(3)] == [200, 200, 429]
    refused = client.get("/noop")
    assert refused.json()[0]["token"] == "too_many_requests_error"
    assert refused.headers["Retry-After"] == "10"
    pce.behaviour.throttle_wait = None
    assert "Retry-After" not in client.get("/noop").headers
    clock.advance(61)
    assert client.get("/noop").status_code == 200


def test_the_secret_is_not_in_the_journal(pce: PceSimulator, client: Client) -> None:
    client.get("/noop")
    assert pce.api_secret not in repr(pce.journal)
    assert [(one.method, one.target, one.status) for one in pce.journal] == [("GET", "/api/v2/noop", 200)]
