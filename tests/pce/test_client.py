"""What each answer of the PCE becomes: a value, another try, or a sentence for an operator."""

import json

import pytest
import requests

from illumio_azsql_enforcer.errors import (
    PceError,
    PceForbidden,
    PceInvalidAnswer,
    PceNotFound,
    PceRejected,
    PceThrottled,
    PceUnauthorized,
    PceUnavailable,
    PceUnreachable,
    SnapshotIncomplete,
)
from illumio_azsql_enforcer.model.policy import Label
from illumio_azsql_enforcer.pce import client as client_module
from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.retrying import Deadline
from tests.pce.fake import FakePce, Reply, listed
from tests.support.clock import VirtualClock

PATH = "/orgs/7/labels"
OK: Reply = listed([{"href": "/orgs/7/labels/1", "key": "role", "value": "db"}])
TOKENS = json.dumps([{"token": "some_token", "message": "what\nhappened\x1b[31m"}])


PAST = "Mon, 23 Nov 2026 09:00:00 GMT"


def said(status: int, body: str | bytes = TOKENS, **headers: str) -> Reply:
    return status, {key.replace("_", "-"): value for key, value in headers.items()}, body


def test_request_carries_what_the_pce_expects(client: PceClient, pce: FakePce, deadline: Deadline) -> None:
    answer = client.get(PATH, deadline, {"key": "role"})
    request = pce.asked[0]
    assert answer.status == 200
    assert answer.headers["x-total-count"] == "1"
    assert request.url == "https://pce.example.com:8443/api/v2/orgs/7/labels?key=role"
    assert str(request.headers["Authorization"]).startswith("Basic ")
    assert request.headers["Accept"] == "application/json"
    assert request.headers["Accept-Encoding"] == "gzip"
    assert str(request.headers["User-Agent"]).startswith("illumio-azsql-enforcer/")


@pytest.mark.parametrize(
    ("status", "kind", "advice"),
    [
        (400, PceRejected, r"did not accept the request \(400 to GET /orgs/7/labels\)"),
        (
            401,
            PceUnauthorized,
            r"at pce.example.com:8443 refused the API key \(401\): check pce.api_key and pce.api_secret",
        ),
        (403, PceForbidden, r"\(403\): the key's role lacks a permission .*or pce.org_id 7 is not this key's org"),
        (404, PceNotFound, r"has no /orgs/7/labels \(404\): check pce.url"),
        (405, PceRejected, "405"),
        (406, PceRejected, "406"),
        (407, PceRejected, "The proxy wants a user"),
        (202, PceInvalidAnswer, "202"),
    ],
)
def test_a_refusal_is_not_tried_again(
    client: PceClient, pce: FakePce, deadline: Deadline, status: int, kind: type[PceError], advice: str
) -> None:
    pce.answers[PATH] = said(status, X_Request_Id="req-1")
    with pytest.raises(kind, match=advice) as caught:
        client.get(PATH, deadline)
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.token, caught.value.request_id) == (status, "some_token", "req-1")
    assert "It says: some_token: what happened [31m." in str(caught.value)
    assert "Request id req-1." in str(caught.value)
    assert len(pce.asked) == 1


@pytest.mark.parametrize(
    ("status", "body", "kind", "tries"),
    [
        (429, TOKENS, PceThrottled, 7),
        (500, TOKENS, PceUnavailable, 5),
        (502, "<html>Bad Gateway</html>", PceUnavailable, 5),
        (503, '[{"error": "restarting"}]', PceUnavailable, 5),
        (504, "", PceUnavailable, 5),
        (406, '[{"token": "x", "message": "Could not get a database lock"}]', PceRejected, 5),
    ],
)
def test_what_may_pass_is_tried_again(
    client: PceClient, pce: FakePce, deadline: Deadline, status: int, body: str, kind: type[PceError], tries: int
) -> None:
    pce.answers[PATH] = said(status, body)
    with pytest.raises(kind):
        client.get(PATH, deadline)
    assert len(pce.asked) == client.requests_made == tries
    pce.answers[PATH] = [said(status, body), said(status, body), OK]
    assert client.get(PATH, deadline).status == 200


def test_a_throttled_key_is_left_alone_for_longer_than_its_minute(
    client: PceClient, pce: FakePce, deadline: Deadline, clock: VirtualClock
) -> None:
    pce.answers[PATH] = said(429)
    with pytest.raises(PceThrottled):
        client.get(PATH, deadline)
    assert all(1.0 <= wait <= 30.0 for wait in clock.waits)
    assert clock.waits[3] >= 8.0
    assert 40.0 <= sum(clock.waits) <= 90.0


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("retry_after", "wait"),
    [
        ("7", 7.0),
        ("Mon, 23 Nov 2026 10:00:12 GMT", 12.0),
    ],
)
def test_retry_after_is_kept_in_seconds_and_as_a_date(
    client: PceClient, pce: FakePce, clock: VirtualClock, status: int, retry_after: str, wait: float
) -> None:
    pce.answers[PATH] = [said(status, Retry_After=retry_after), OK]
    assert client.get(PATH, Deadline.after(clock, 600.0)).status == 200
    assert clock.waits == [wait]


@pytest.mark.parametrize(
    "retry_after", ["soon", "-5", "1e9", "nan", "", "0", "9" * 5000, "Mon, 99 Nov 2026 10:00:12 GMT", PAST]
)
def test_a_retry_after_that_is_none_is_passed_over(
    client: PceClient, pce: FakePce, deadline: Deadline, clock: VirtualClock, retry_after: str
) -> None:
    pce.answers[PATH] = [said(503, Retry_After=retry_after), OK]
    assert client.get(PATH, deadline).status == 200
    assert 0.0 <= clock.waits[0] <= 1.0


def test_a_retry_after_beyond_the_deadline_is_not_waited_for(
    client: PceClient, pce: FakePce, deadline: Deadline, clock: VirtualClock
) -> None:
    pce.answers[PATH] = said(429, Retry_After="3600")
    with pytest.raises(PceThrottled, match="It asks to wait 3600 s"):
        client.get(PATH, deadline)
    assert clock.waits == []


def test_nothing_is_sent_after_the_deadline(
    client: PceClient, pce: FakePce, deadline: Deadline, clock: VirtualClock
) -> None:
    clock.advance(600.0)
    with pytest.raises(SnapshotIncomplete, match=r"pce.deadline"):
        client.get(PATH, deadline)
    assert pce.asked == []
    assert client.requests_made == 0


def test_requests_stay_below_the_limit_of_the_pce(
    client: PceClient, pce: FakePce, deadline: Deadline, clock: VirtualClock
) -> None:
    moments = []
    for _ in range(2 * client_module.WINDOW_REQUESTS + 10):
        client.get(PATH, deadline)
        moments.append(clock.monotonic())
        clock.advance(0.01)
    busiest = max(sum(start <= each < start + 60 for each in moments) for start in moments)
    assert busiest <= 450
    assert clock.monotonic() < 130


def test_pacing_does_not_wait_past_the_deadline(client: PceClient, pce: FakePce, clock: VirtualClock) -> None:
    soon = Deadline.after(clock, 30.0)
    for _ in range(client_module.WINDOW_REQUESTS):
        client.get(PATH, soon)
    with pytest.raises(SnapshotIncomplete):
        client.get(PATH, soon)
    assert clock.waits == []


@pytest.mark.parametrize(
    "raised",
    [
        requests.ConnectionError("reset"),
        requests.ConnectionError(ConnectionResetError(104, "Connection reset by peer")),
        requests.ReadTimeout("slow"),
        requests.ConnectTimeout("slow"),
        requests.exceptions.ChunkedEncodingError("cut"),
    ],
)
def test_a_broken_connection_is_tried_again(
    client: PceClient, pce: FakePce, deadline: Deadline, raised: requests.RequestException
) -> None:
    def fail(_: object) -> Reply:
        raise raised

    pce.answers[PATH] = fail
    with pytest.raises(PceUnreachable, match=r"The PCE at pce\.example\.com:8443 cannot be reached"):
        client.get(PATH, deadline)
    assert len(pce.asked) == client.requests_made == 5


def test_no_answer_within_what_is_left_of_the_deadline_is_told_as_that(
    client: PceClient, pce: FakePce, deadline: Deadline, clock: VirtualClock
) -> None:
    def stall(_: object) -> Reply:
        clock.advance(600)
        raise requests.ReadTimeout("slow")

    pce.answers[PATH] = stall
    with pytest.raises(SnapshotIncomplete, match=r"was not read within pce\.deadline; it passed at /orgs/7/labels"):
        client.get(PATH, deadline)
    assert len(pce.asked) == 1


def test_an_empty_success_is_none(client: PceClient, pce: FakePce, deadline: Deadline) -> None:
    pce.answers[PATH] = said(204, "")
    with pytest.raises(PceInvalidAnswer, match="204"):
        client.get(PATH, deadline)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "named"),
    [
        ("https://evil.example.net/api/v2/orgs/7/labels", "to evil.example.net "),
        ("//evil.example.net:444/x", "to evil.example.net:444 "),
        ("https://user:pass@evil.example.net/", "to evil.example.net "),
        ("/login", "elsewhere on the same host"),
        ("http://[", "elsewhere"),
        ("", "elsewhere"),
    ],
)
def test_a_redirect_is_never_followed(
    client: PceClient, pce: FakePce, deadline: Deadline, status: int, location: str, named: str
) -> None:
    pce.answers[PATH] = said(status, Location=location)
    with pytest.raises(PceInvalidAnswer, match=f"redirects {named}.*check pce.url") as caught:
        client.get(PATH, deadline)
    assert caught.value.status == status
    assert len(pce.asked) == 1


def test_html_instead_of_json_is_told_apart(client: PceClient, pce: FakePce, deadline: Deadline) -> None:
    pce.answers[PATH] = (200, {"Content-Type": "text/html"}, "\n <!DOCTYPE html><html>Sign in</html>")
    with pytest.raises(PceInvalidAnswer, match=r"HTML instead of JSON for /orgs/7/labels: check that pce.url"):
        client.collection(PATH, Label, deadline)
    assert len(pce.asked) == 1


@pytest.mark.parametrize("body", ["", "[", '[{"href": "/orgs/7/lab'])
def test_json_that_ends_too_early_is_asked_for_again(
    client: PceClient, pce: FakePce, deadline: Deadline, body: str
) -> None:
    pce.answers[PATH] = [(200, {}, body), (200, {}, body), OK]
    assert [each.value for each in client.collection(PATH, Label, deadline).items] == ["db"]
    pce.answers[PATH] = (200, {}, body)
    with pytest.raises(PceInvalidAnswer, match="cut off"):
        client.collection(PATH, Label, deadline)


@pytest.mark.parametrize("body", [b"\xff\xfe", b"[nope]", b'["\xff"]', b"[" * 100_000 + b"]" * 100_000])
def test_other_nonsense_is_not(client: PceClient, pce: FakePce, deadline: Deadline, body: bytes) -> None:
    pce.answers[PATH] = (200, {}, body)
    with pytest.raises(PceInvalidAnswer, match="/orgs/7/labels"):
        client.collection(PATH, Label, deadline)
    assert len(pce.asked) == 1


@pytest.mark.parametrize("body", ["{", "[]", "[1]", '{"token": 7}', '[{"message": null}]', "7", "<html>"])
def test_any_body_of_a_refusal_will_do(client: PceClient, pce: FakePce, deadline: Deadline, body: str) -> None:
    pce.answers[PATH] = (403, {}, body)
    with pytest.raises(PceForbidden) as caught:
        client.get(PATH, deadline)
    assert caught.value.token is None
    assert "It says" not in str(caught.value)


def test_words_of_the_pce_are_bounded(client: PceClient, pce: FakePce, deadline: Deadline) -> None:
    pce.answers[PATH] = said(400, json.dumps([{"token": "t" * 9000, "message": "\u202e" + "m" * 9000}]))
    with pytest.raises(PceRejected) as caught:
        client.get(PATH, deadline)
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()


def test_an_answer_beyond_the_limit_is_refused(pce: FakePce, clock: VirtualClock, deadline: Deadline) -> None:
    from tests.pce.fake import settings  # noqa: PLC0415 - one test needs it

    small = PceClient(settings(max_response=100), clock)
    pce.answers[PATH] = (200, {}, "[" + " " * 98 + "]")
    assert small.collection(PATH, Label, deadline).items == []
    pce.answers[PATH] = (200, {}, "[" + " " * 99 + "]")
    with pytest.raises(PceInvalidAnswer, match=r"more than pce.max_response \(100 bytes"):
        small.get(PATH, deadline)


def test_requests_are_counted_by_endpoint_and_status(client: PceClient, pce: FakePce, deadline: Deadline) -> None:
    pce.answers[PATH] = [said(503), OK]
    client.get(PATH, deadline)
    client.get("/product_version", deadline)
    with pytest.raises(PceNotFound):
        client.get("/orgs/7/elsewhere", deadline)
    assert client.requests_by_endpoint == {
        ("labels", "503"): 1,
        ("labels", "200"): 1,
        ("product_version", "200"): 1,
        ("other", "404"): 1,
    }
    assert client.requests_made == 4


@pytest.mark.parametrize(
    "path", ["", "orgs/7", "/orgs/7/../8", "/a//b", "/a?b", "/a#b", "/a b", "/a\n", "/a%2e", "/" + "a" * 2000]
)
def test_a_path_that_is_none_is_never_sent(client: PceClient, pce: FakePce, deadline: Deadline, path: str) -> None:
    with pytest.raises(PceInvalidAnswer, match="no path of the API"):
        client.get(path, deadline)
    assert client.requests_made == len(pce.asked) == 0
