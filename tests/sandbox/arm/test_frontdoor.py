"""The checks at ARM's front door, in their order, with their texts and headers."""

import re
from dataclasses import dataclass

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.mgmt.sql import SqlManagementClient

from illumio_azsql_enforcer.sandbox.arm import ArmSimulator, Throttle
from tests.sandbox.arm.conftest import HTTP, RULES, SERVER_ID, SUBSCRIPTION, VERSION, Raw, make_sdk
from tests.support.clock import VirtualClock

SERVERS = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Sql/servers"
OTHER = "22222222-2222-4222-8222-222222222222"


# --- api-version


def test_without_an_api_version(raw: Raw) -> None:
    refused = raw("GET", SERVERS, version=None, token=None)
    assert (refused.status, refused.code, refused.by_gateway) == (400, "MissingApiVersionParameter", True)
    assert refused.message == "The api-version query parameter (?api-version=) is required for all requests."


@pytest.mark.parametrize("version", ["latest", "2025-1-1", "2025-01-01-", "20250101"])
def test_a_malformed_api_version(raw: Raw, version: str) -> None:
    refused = raw("GET", SERVERS, version=version)
    assert (refused.status, refused.code) == (400, "InvalidApiVersionParameter")


@pytest.mark.parametrize("version", ["2024-01-01", "2014-04-01", "2019-06-01-preview"])
def test_an_api_version_that_the_type_does_not_have(raw: Raw, version: str) -> None:
    refused = raw("GET", RULES, version=version)
    assert (refused.status, refused.code) == (400, "NoRegisteredProviderFound")
    assert f"API version '{version}' for type 'servers/firewallRules'" in refused.message
    assert "2023-08-01, " in refused.message


@pytest.mark.parametrize("version", ["2025-01-01", "2021-11-01", "2020-11-01-PREVIEW", "2015-05-01-preview"])
def test_known_api_versions(raw: Raw, version: str) -> None:
    assert raw("GET", RULES, version=version).status == 200


def test_the_retired_api_version_can_be_switched_on(raw: Raw, azure: ArmSimulator) -> None:
    azure.switches.retired_version = True
    azure.state.set_rule("orders-sql", "r", "192.0.2.1", "192.0.2.1")
    (rule,) = raw("GET", RULES, version="2014-04-01").json["value"]
    assert (rule["location"], rule["kind"]) == ("West Europe", "v12.0")


# --- authentication


def test_without_a_token(raw: Raw, azure: ArmSimulator) -> None:
    refused = raw("GET", SERVERS, token=None)
    assert (refused.status, refused.code, refused.by_gateway) == (401, "AuthenticationFailed", True)
    assert refused.message == "Authentication failed. The 'Authorization' header is missing."
    assert f'authorization_uri="https://login.windows.net/{azure.tenant_id}"' in refused.headers["WWW-Authenticate"]


@pytest.mark.parametrize("header", ["Bearer made-up", "Basic abc", "Bearer"])
def test_a_wrong_token(raw: Raw, header: str) -> None:
    refused = raw("GET", SERVERS, headers={"Authorization": header}, token=None)
    assert (refused.status, refused.code) == (401, "InvalidAuthenticationToken")


def test_the_sdk_drops_an_expired_token_and_fetches_another_for_the_next_call(
    azure: ArmSimulator, sdk: SqlManagementClient
) -> None:
    list(sdk.servers.list(**HTTP))
    azure.tokens.expire_all()
    with pytest.raises(ClientAuthenticationError):
        list(sdk.servers.list(**HTTP))
    assert len(list(sdk.servers.list(**HTTP))) == 1
    assert [r.status for r in azure.requests()] == [200, 401, 200]


def test_a_claims_challenge_is_answered_with_a_new_token(
    azure: ArmSimulator, sdk: SqlManagementClient, clock: VirtualClock
) -> None:
    list(sdk.servers.list(**HTTP))
    clock.advance(1)
    azure.tokens.challenge_before = clock.monotonic()
    assert len(list(sdk.servers.list(**HTTP))) == 1
    assert [r.status for r in azure.requests()] == [200, 401, 200]
    assert azure.tokens.issued == 2


# --- subscription, registration, authorization


@pytest.mark.parametrize("bad", ["production", SUBSCRIPTION.replace("-", ""), "%7b" + SUBSCRIPTION + "%7d"])
def test_a_subscription_that_is_no_guid(raw: Raw, bad: str) -> None:
    refused = raw("GET", f"/subscriptions/{bad}/providers/Microsoft.Sql/servers")
    assert (refused.status, refused.code) == (400, "InvalidSubscriptionId")


def test_an_unknown_subscription(raw: Raw) -> None:
    refused = raw("GET", f"/subscriptions/{OTHER}/providers/Microsoft.Sql/servers")
    assert (refused.status, refused.code) == (404, "SubscriptionNotFound")
    assert refused.message == f"The subscription '{OTHER}' could not be found."


@pytest.mark.parametrize("azure", ["https"], indirect=True)
def test_the_sdk_tries_to_register_an_unregistered_provider_and_is_caught(
    azure: ArmSimulator, sdk: SqlManagementClient
) -> None:
    azure.state.register_provider(SUBSCRIPTION, registered=False)
    with pytest.raises(HttpResponseError):
        list(sdk.servers.list(**HTTP))
    (entry,) = azure.catastrophes
    assert (entry.method, entry.status, entry.query) == ("POST", 403, {"api-version": "2016-02-01"})
    assert azure.requests()[0].status == 409


def test_registration_can_be_allowed(azure: ArmSimulator, raw: Raw) -> None:
    azure.switches.registration_allowed = True
    azure.state.grants.allow("Microsoft.Sql/register/action", "Microsoft.Resources/subscriptions/providers/read")
    azure.state.register_provider(SUBSCRIPTION, registered=False)
    provider = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Sql"
    assert raw("GET", RULES).code == "MissingSubscriptionRegistration"
    assert raw("GET", provider, version="2016-02-01").json["registrationState"] == "NotRegistered"
    assert raw("POST", f"{provider}/register", version="2016-02-01").json["registrationState"] == "Registered"
    assert raw("GET", RULES).status == 200
    assert len(azure.catastrophes) == 1


def test_a_principal_without_the_right(azure: ArmSimulator, raw: Raw) -> None:
    azure.state.grants.deny("Microsoft.Sql/servers/firewallRules/write")
    refused = raw.put("r")
    identity = azure.system_identity
    assert (refused.status, refused.code, refused.by_gateway) == (403, "AuthorizationFailed", True)
    assert refused.message.startswith(
        f"The client '{identity.client_id}' with object id '{identity.object_id}' does not have authorization to "
        f"perform action 'Microsoft.Sql/servers/firewallRules/write' over scope '{RULES}/r'"
    )
    assert raw("DELETE", f"{RULES}/r").status == 204


def test_a_grant_at_a_scope_takes_effect_after_a_while(azure: ArmSimulator, raw: Raw, clock: VirtualClock) -> None:
    azure.state.add_server("other-sql", subscription=SUBSCRIPTION, resource_group="data")
    azure.state.grants.only("Microsoft.Sql/servers/read", scope="/subscriptions/" + SUBSCRIPTION)
    azure.state.grants.allow("*/firewallRules/*", scope=SERVER_ID.upper(), delay=120)
    assert raw.put("r").status == 403
    clock.advance(121)
    assert raw.put("r").status == 200
    assert raw("GET", RULES.replace("orders", "other")).status == 403


def test_a_principal_of_its_own(azure: ArmSimulator, raw: Raw) -> None:
    reader = azure.add_identity()
    azure.state.grants.deny("*/write", "*/delete", principal=reader.object_id)
    token, _ = azure.tokens.issue(reader, "https://management.azure.com")
    body = {"properties": {"startIpAddress": "192.0.2.1", "endIpAddress": "192.0.2.1"}}
    assert raw("PUT", f"{RULES}/r", body, token=token).status == 403
    assert raw("GET", RULES, token=token).status == 200
    assert raw.put("r").status == 200


def test_policy_denies_the_rule_for_all_azure_services(azure: ArmSimulator, raw: Raw) -> None:
    azure.state.add_policy("no-azure", scope=f"/subscriptions/{SUBSCRIPTION}")
    refused = raw.put("AllowAllWindowsAzureIps", "0.0.0.0", "0.0.0.0")
    assert (refused.status, refused.code) == (403, "RequestDisallowedByPolicy")
    (info,) = refused.json["error"]["additionalInfo"]
    assert info["info"]["policyAssignmentId"].endswith("/policyAssignments/no-azure")
    assert raw.put("fine", "0.0.0.0", "0.0.0.1").status == 200


# --- disabled, locked


@pytest.mark.parametrize("status", [409, 403])
def test_a_disabled_subscription_is_read_only(azure: ArmSimulator, raw: Raw, status: int) -> None:
    azure.switches.disabled_subscription_status = status
    azure.state.set_rule("orders-sql", "r", "192.0.2.1", "192.0.2.1")
    azure.state.disable_subscription(SUBSCRIPTION)
    assert raw("GET", RULES).status == 200
    for refused in (raw.put("r"), raw("DELETE", f"{RULES}/r")):
        assert (refused.status, refused.code) == (status, "ReadOnlyDisabledSubscription")


@pytest.mark.parametrize(
    "scope", ["orders-sql", SERVER_ID.rpartition("/providers")[0], f"/subscriptions/{SUBSCRIPTION}"]
)
def test_a_lock_against_deletion_at_any_scope(azure: ArmSimulator, raw: Raw, scope: str) -> None:
    azure.state.lock(scope)
    assert raw.put("r").status == 200
    refused = raw("DELETE", f"{RULES}/r")
    where = SERVER_ID if scope == "orders-sql" else scope
    assert (refused.status, refused.code) == (409, "ScopeLocked")
    assert refused.message == (
        f"The scope '{RULES}/r' cannot perform delete operation because following scope(s) are locked: '{where}'. "
        "Please remove the lock and try again."
    )
    azure.state.unlock(scope)
    assert raw("DELETE", f"{RULES}/r").status == 200


def test_a_read_only_lock(azure: ArmSimulator, raw: Raw) -> None:
    azure.state.lock("orders-sql", "ReadOnly")
    assert "cannot perform write operation" in raw.put("r").message
    assert raw("DELETE", f"{RULES}/r").code == "ScopeLocked"
    assert raw("GET", RULES).status == 200


# --- the order of the checks


@dataclass
class Trouble:
    """Everything is wrong at once; each thing put right shows the next."""

    azure: ArmSimulator
    raw: Raw

    def code(self, version: str | None = VERSION, token: str | None = "", group: str = "no-group") -> str:
        path = f"{RULES}/r".replace("/data/", f"/{group}/").replace("orders-sql", "nope")
        return self.raw("PUT", path, {"properties": {}}, version=version, token=token).code


def test_the_order_of_the_checks(azure: ArmSimulator, raw: Raw) -> None:
    state, trouble = azure.state, Trouble(azure, raw)
    state.remove_subscription(SUBSCRIPTION)
    state.grants.deny("*/write")
    azure.buckets.drain(SUBSCRIPTION, azure.system_identity.object_id, "writes")
    assert trouble.code(version=None, token=None) == "MissingApiVersionParameter"
    assert trouble.code(token=None) == "AuthenticationFailed"
    assert trouble.code() == "SubscriptionNotFound"
    state.add_subscription(SUBSCRIPTION)
    state.register_provider(SUBSCRIPTION, registered=False)
    state.lock(f"/subscriptions/{SUBSCRIPTION}", "ReadOnly")
    assert trouble.code() == "MissingSubscriptionRegistration"
    state.register_provider(SUBSCRIPTION)
    assert trouble.code() == "AuthorizationFailed"
    azure.switches.throttle.before_authorization = True
    assert trouble.code() == "SubscriptionRequestsThrottled"
    azure.switches.throttle.enabled = False
    state.grants.allow("*/write")
    assert trouble.code() == "ScopeLocked"
    state.unlock(f"/subscriptions/{SUBSCRIPTION}")
    assert trouble.code() == "ResourceGroupNotFound"
    assert trouble.code(group="data") == "ResourceGroupNotFound"
    state.add_group(SUBSCRIPTION, "data")
    assert trouble.code(group="data") == "ParentResourceNotFound"


# --- headers


def test_the_headers_of_every_answer(raw: Raw) -> None:
    answers = [raw("GET", SERVERS), raw("GET", SERVERS, version=None), raw("GET", "/nowhere")]
    for answer in answers:
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        assert re.fullmatch(r"WESTEUROPE:20261123T100000Z:[0-9a-f-]{36}", answer.headers["x-ms-routing-request-id"])
        assert "Server" not in answer.headers
        assert "x-ms-client-request-id" not in answer.headers
    assert len({a.headers["x-ms-request-id"] for a in answers}) == 3
    assert answers[0].headers["Date"] == "Mon, 23 Nov 2026 10:00:00 GMT"


def test_ids_are_echoed_when_asked_for(raw: Raw) -> None:
    sent = {
        "x-ms-client-request-id": "mine",
        "x-ms-return-client-request-id": "true",
        "x-ms-correlation-request-id": "c",
    }
    answer = raw("GET", SERVERS, headers=sent)
    assert (answer.headers["x-ms-client-request-id"], answer.headers["x-ms-correlation-request-id"]) == ("mine", "c")


def test_only_the_gateway_says_that_it_is_the_gateway(azure: ArmSimulator, raw: Raw) -> None:
    assert raw("GET", f"{RULES}/missing").by_gateway is False
    assert raw.put("r", "192.0.2.9", "192.0.2.1").by_gateway is False
    assert raw("GET", RULES.replace("orders", "no")).by_gateway is True


# --- token buckets


def test_an_empty_bucket_throttles_until_retry_after_has_passed(
    azure: ArmSimulator, raw: Raw, clock: VirtualClock
) -> None:
    azure.switches.throttle.reads = (3, 0.5)
    answers = [raw("GET", SERVERS) for _ in range(4)]
    assert [a.status for a in answers] == [200, 200, 200, 429]
    assert [a.headers["x-ms-ratelimit-remaining-subscription-reads"] for a in answers] == ["2", "1", "0", "0"]
    assert [a.headers["x-ms-ratelimit-remaining-subscription-global-reads"] for a in answers] == [
        "44",
        "43",
        "42",
        "42",
    ]
    assert "x-ms-ratelimit-remaining-subscription-writes" not in answers[0].headers
    refused = answers[-1]
    actor = azure.system_identity.object_id
    assert (refused.code, refused.headers["Retry-After"], refused.by_gateway) == (
        "SubscriptionRequestsThrottled",
        "2",
        True,
    )
    assert refused.message.startswith(
        f"Number of 'read' requests for subscription '{SUBSCRIPTION}' actor '{actor}' exceeded. "
        "Please try again after '2' seconds"
    )
    clock.advance(1)
    assert (raw("GET", SERVERS).status, raw("GET", SERVERS).headers["Retry-After"]) == (429, "1")
    clock.advance(1)
    assert raw("GET", SERVERS).status == 200


def test_each_class_principal_and_subscription_has_its_bucket(azure: ArmSimulator, raw: Raw) -> None:
    azure.switches.throttle.writes = (1, 1)
    azure.state.add_subscription(OTHER)
    azure.state.add_server("far-sql", subscription=OTHER, resource_group="data")
    other_token, _ = azure.tokens.issue(azure.add_identity(), "https://management.azure.com")
    assert [raw.put("r").status, raw.put("r").status] == [200, 429]
    assert raw("DELETE", f"{RULES}/r").headers["x-ms-ratelimit-remaining-subscription-deletes"] == "199"
    far = f"/subscriptions/{OTHER}/resourceGroups/data/providers/Microsoft.Sql/servers/far-sql/firewallRules/r"
    body = {"properties": {"startIpAddress": "192.0.2.1", "endIpAddress": "192.0.2.1"}}
    assert raw("PUT", far, body).status == 200
    assert raw("PUT", f"{RULES}/r", body, token=other_token).status == 200


def test_the_sdk_waits_as_long_as_it_is_told(
    azure: ArmSimulator, monkeypatch: pytest.MonkeyPatch, clock: VirtualClock
) -> None:
    azure.switches.throttle.reads = (1, 0.2)
    monkeypatch.setattr("time.sleep", clock.sleep)
    with make_sdk(azure, retry_total=3) as client:
        for _ in range(3):
            list(client.servers.list(**HTTP))
    assert clock.waits == [5.0, 5.0]
    assert [r.status for r in azure.requests()] == [200, 429, 200, 429, 200]


def test_a_throttle_may_be_silent_about_when(azure: ArmSimulator, raw: Raw) -> None:
    azure.switches.throttle_retry_after = False
    azure.switches.throttle.reads = (0, 1)
    refused = raw("GET", SERVERS)
    assert refused.status == 429
    assert "Retry-After" not in refused.headers


# --- paths


@pytest.mark.parametrize(
    "path",
    [
        RULES.upper(),
        RULES + "/",
        "/" + RULES,
        RULES + "/x/..",
        RULES + "/x/%2e%2E",
        RULES.replace("/servers/", "/./servers//"),
    ],
)
def test_spellings_of_one_path(raw: Raw, path: str) -> None:
    assert raw("GET", path).json == {"value": []}


def test_a_trailing_slash_may_be_an_unknown_route(azure: ArmSimulator, raw: Raw) -> None:
    azure.switches.trailing_slash = False
    assert raw("GET", RULES + "/").status == 404


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"{SERVER_ID}/databases", "InvalidResourceType"),
        (f"{SERVER_ID}/firewallRules/a/b", "NotFound"),
        (f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Web/sites", "NotFound"),
        ("/", "NotFound"),
    ],
)
def test_unknown_routes(azure: ArmSimulator, raw: Raw, path: str, code: str) -> None:
    azure.state.grants.allow("*")
    refused = raw("GET", path)
    assert (refused.status, refused.code) == (404, code)


def test_all_principals_together_share_a_larger_bucket(azure: ArmSimulator, raw: Raw) -> None:
    azure.switches.throttle = Throttle(reads=(2, 0.01), shared=2)
    tokens = [azure.tokens.issue(azure.add_identity(), "https://management.azure.com")[0] for _ in range(3)]
    statuses = [[raw("GET", SERVERS, token=token).status for _ in range(2)] for token in tokens]
    assert statuses == [[200, 200], [200, 200], [429, 429]]


def test_a_seed_gives_the_same_ids_again() -> None:
    one, two, other = (ArmSimulator(seed=seed) for seed in (1, 1, 2))
    assert (one.tenant_id, one.application.client_secret) == (two.tenant_id, two.application.client_secret)
    assert one.tenant_id != other.tenant_id
    for never_started in (one, two, other):
        never_started.stop()


def test_a_scope_covers_what_is_below_it_and_not_what_begins_alike(azure: ArmSimulator, raw: Raw) -> None:
    other = azure.state.add_server("far-sql", subscription=SUBSCRIPTION, resource_group="data-2")
    azure.state.lock(SERVER_ID.rpartition("/providers")[0], "ReadOnly")
    body = {"properties": {"startIpAddress": "192.0.2.1", "endIpAddress": "192.0.2.1"}}
    assert raw("PUT", f"{other}/firewallRules/r", body).status == 200
    assert raw("PUT", f"{RULES}/r", body).status == 409


def test_asking_too_early_does_not_prolong_the_wait(azure: ArmSimulator, raw: Raw, clock: VirtualClock) -> None:
    azure.switches.throttle = Throttle(reads=(1, 0.5), least_wait=5)
    statuses = [raw("GET", SERVERS).status]
    for seconds in (0, 1, 3, 1):
        clock.advance(seconds)
        statuses.append(raw("GET", SERVERS).status)
    assert statuses == [200, 429, 429, 429, 200]
