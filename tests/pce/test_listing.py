"""Above 500 objects: the asynchronous GET in all its forms, and never a truncated list."""

import json
from typing import Any

import pytest
from requests import PreparedRequest

from illumio_azsql_enforcer.errors import PceError, PceForbidden, PceInvalidAnswer, SnapshotIncomplete
from illumio_azsql_enforcer.model.policy import Label
from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.retrying import Deadline
from tests.pce.fake import FakePce, Reply, gone, listed
from tests.support.clock import VirtualClock

PATH = "/orgs/7/labels"
JOB = "/orgs/7/jobs/0d2f3a10-5f1e-4b68-9f7b-3e6a1a1c0001"
DATAFILE = "/orgs/7/datafiles/5f1e4b68-0000-4000-8000-000000000001"


def labels(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {"href": f"/orgs/7/labels/{number}", "key": "role", "value": f"r{number}"}
        for number in range(start, start + count)
    ]


def job(status: str, result: Any = None, **headers: str) -> Reply:
    body = {"href": JOB, "status": status, "result": result, "requested_at": "2026-02-03 10:11:12.345678"}
    return 200, {key.replace("_", "-"): value for key, value in headers.items()}, json.dumps(body)


class BigPce:
    """Serves `count` labels: capped when asked plainly, whole through a job."""

    def __init__(self, pce: FakePce, count: int = 1200) -> None:
        self.pce = pce
        self.counts = [count]  # what each plain answer counts, the last one stays
        self.accepted: Reply = (202, {"Location": JOB, "Retry-After": "5"}, "")
        self.held = [labels(count)]  # what each datafile holds, the last one stays
        pce.answers[PATH] = self.answer
        pce.answers[JOB] = job("done", {"href": DATAFILE})
        pce.answers[DATAFILE] = self.datafile

    def answer(self, request: PreparedRequest) -> Reply:
        if request.headers.get("Prefer") == "respond-async":
            return self.accepted
        count = self.counts.pop(0) if len(self.counts) > 1 else self.counts[0]
        cap = 1 if "max_results=1" in str(request.url) else 500
        return listed(labels(min(count, 500)), total=count, cap=cap)

    def datafile(self, _: PreparedRequest) -> Reply:
        return 200, {}, json.dumps(self.held.pop(0) if len(self.held) > 1 else self.held[0])


@pytest.fixture
def big(pce: FakePce) -> BigPce:
    return BigPce(pce)


def test_exactly_500_are_one_request(client: PceClient, pce: FakePce, deadline: Deadline) -> None:
    pce.answers[PATH] = listed(labels(500))
    assert client.collection(PATH, Label, deadline).total == 500
    assert len(pce.asked) == 1


def test_501_go_through_a_job(client: PceClient, pce: FakePce, deadline: Deadline, clock: VirtualClock) -> None:
    BigPce(pce, 501)
    found = client.collection(PATH, Label, deadline)
    assert (len(found.items), found.total) == (501, 501)
    assert found.items[500].value == "r500"
    assert pce.paths == [PATH, PATH, JOB, DATAFILE]
    assert clock.waits == [5.0]


def test_a_larger_cap_is_one_request(client: PceClient, pce: FakePce, deadline: Deadline) -> None:
    pce.answers[PATH] = listed(labels(1200), cap=5000)
    assert len(client.collection(PATH, Label, deadline).items) == 1200
    assert len(pce.asked) == 1


@pytest.mark.parametrize("count", ["", "many", "-1", "9" * 5000])
def test_without_a_count_500_are_too_many_to_trust(
    client: PceClient, pce: FakePce, deadline: Deadline, big: BigPce, count: str
) -> None:
    def answer(request: PreparedRequest) -> Reply:
        reply = big.answer(request)
        return reply if reply[0] == 202 else (200, {"X-Total-Count": count}, reply[2])

    pce.answers[PATH] = answer
    assert len(client.collection(PATH, Label, deadline).items) == 1200
    big.held = [labels(499)]
    with pytest.raises(SnapshotIncomplete):
        client.collection(PATH, Label, deadline)


def test_without_a_count_fewer_than_500_are_all(client: PceClient, pce: FakePce, deadline: Deadline) -> None:
    pce.answers[PATH] = (200, {}, json.dumps(labels(499)))
    assert client.collection(PATH, Label, deadline) == (client.collection(PATH, Label, deadline).items, None)
    assert len(pce.asked) == 2


# --- Location


@pytest.mark.parametrize(
    "location",
    [
        JOB,
        f"/api/v2{JOB}",
        f"https://pce.example.com:8443/api/v2{JOB}",
        f"https://pce.example.com:8443{JOB}",
        f"https://evil.example.net/api/v2{JOB}",
        f"http://pce.example.com:8443/api/v2{JOB}",
        f"https://user:pass@evil.example.net:1/api/v2{JOB}?a=b#c",
        f"//evil.example.net{JOB}",
    ],
)
@pytest.mark.parametrize("where", ["Location", "result.href"])
def test_only_the_path_of_a_location_counts(
    client: PceClient, deadline: Deadline, big: BigPce, location: str, where: str
) -> None:
    if where == "Location":
        big.accepted = (202, {"Location": location, "Retry-After": "1"}, "")
    else:
        big.pce.answers[JOB] = job("done", {"href": location.replace(JOB, DATAFILE)})
    assert len(client.collection(PATH, Label, deadline).items) == 1200
    assert {str(each.url).split("/api/v2/")[0] for each in big.pce.asked} == {"https://pce.example.com:8443"}


@pytest.mark.parametrize(
    "location",
    [
        "",
        "jobs/1",
        "/jobs/1",
        "https://evil.example.net",
        "http://[",
        "/orgs/7/../8/jobs/1",
        "/orgs//jobs",
        "/orgs/7/a b",
        "/api/v1/orgs/7/jobs/1",
    ],
)
def test_a_location_that_is_none_is_refused(client: PceClient, deadline: Deadline, big: BigPce, location: str) -> None:
    big.accepted = (202, {"Location": location}, "")
    with pytest.raises(PceInvalidAnswer, match="cannot be followed"):
        client.collection(PATH, Label, deadline)
    assert len(big.pce.asked) == 2


def test_no_location_at_all_is_refused(client: PceClient, deadline: Deadline, big: BigPce) -> None:
    big.accepted = (202, {}, "")
    with pytest.raises(PceInvalidAnswer, match="cannot be followed"):
        client.collection(PATH, Label, deadline)


# --- states


@pytest.mark.parametrize("status", ["pending", "running", "cancel_requested", "queued", ""])
@pytest.mark.parametrize("done", ["done", "completed"])
def test_a_job_is_awaited(
    client: PceClient, deadline: Deadline, big: BigPce, clock: VirtualClock, status: str, done: str
) -> None:
    big.pce.answers[JOB] = [job("pending", {}), job(status), job(done, {"href": DATAFILE})]
    assert len(client.collection(PATH, Label, deadline).items) == 1200
    assert clock.waits == [5.0, 5.0, 5.0]


def test_without_retry_after_the_pauses_grow(
    client: PceClient, deadline: Deadline, big: BigPce, clock: VirtualClock
) -> None:
    big.accepted = (202, {"Location": JOB}, "")
    big.pce.answers[JOB] = [*[job("running")] * 12, job("done", {"href": DATAFILE})]
    client.collection(PATH, Label, deadline)
    assert clock.waits[:3] == [0.5, 0.75, 1.125]
    assert clock.waits == sorted(clock.waits)
    assert clock.waits[-1] == 10.0


def test_a_job_may_ask_for_another_pause(
    client: PceClient, deadline: Deadline, big: BigPce, clock: VirtualClock
) -> None:
    big.pce.answers[JOB] = [
        job("running", Retry_After="9"),
        job("running", Retry_After="0"),
        job("done", {"href": DATAFILE}),
    ]
    client.collection(PATH, Label, deadline)
    assert clock.waits == [5.0, 9.0, 0.5]


@pytest.mark.parametrize("status", ["failed", "cancelled", "canceled"])
@pytest.mark.parametrize("result", [None, {}, {"message": "out of\x07 space"}, "out of\x07 space", []])
def test_a_job_that_ends_without_result_fails(
    client: PceClient, deadline: Deadline, big: BigPce, status: str, result: Any
) -> None:
    big.pce.answers[JOB] = job(status, result)
    with pytest.raises(SnapshotIncomplete, match=f"job for {PATH} ended as {status}") as caught:
        client.collection(PATH, Label, deadline)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("status", ["running", "mystery"])
def test_a_job_that_never_ends_fails_at_the_deadline(
    client: PceClient, deadline: Deadline, big: BigPce, clock: VirtualClock, status: str
) -> None:
    big.pce.answers[JOB] = job(status)
    with pytest.raises(SnapshotIncomplete, match=r"did not end before pce.deadline"):
        client.collection(PATH, Label, deadline)
    assert 590.0 <= clock.monotonic() < 600.0


def test_a_retry_after_beyond_the_deadline_fails_at_once(
    client: PceClient, deadline: Deadline, big: BigPce, clock: VirtualClock
) -> None:
    big.accepted = (202, {"Location": JOB, "Retry-After": "3600"}, "")
    with pytest.raises(SnapshotIncomplete, match="deadline"):
        client.collection(PATH, Label, deadline)
    assert clock.waits == []


@pytest.mark.parametrize("result", [None, {}, {"href": None}, "x", []])
def test_done_without_a_result_is_refused(client: PceClient, deadline: Deadline, big: BigPce, result: Any) -> None:
    big.pce.answers[JOB] = job("done", result)
    with pytest.raises(PceInvalidAnswer, match="names no result"):
        client.collection(PATH, Label, deadline)


@pytest.mark.parametrize("body", ["{}", "[]", '{"status": 7}', "null"])
def test_a_job_in_a_wrong_shape_is_refused(client: PceClient, deadline: Deadline, big: BigPce, body: str) -> None:
    big.pce.answers[JOB] = (200, {}, body)
    with pytest.raises(PceInvalidAnswer, match="the job for /orgs/7/labels in a wrong shape"):
        client.collection(PATH, Label, deadline)


@pytest.mark.parametrize(("path", "what"), [(JOB, "its job"), (DATAFILE, "the result of its job")])
def test_a_job_or_datafile_that_is_gone_fails(
    client: PceClient, deadline: Deadline, big: BigPce, path: str, what: str
) -> None:
    big.pce.answers[path] = gone()
    with pytest.raises(SnapshotIncomplete, match=f"no longer has {what}"):
        client.collection(PATH, Label, deadline)


@pytest.mark.parametrize("path", [JOB, DATAFILE])
def test_faults_on_the_way_are_survived(client: PceClient, deadline: Deadline, big: BigPce, path: str) -> None:
    healthy = big.pce.answers[path]
    faults = [(503, {}, ""), (429, {"Retry-After": "2"}, ""), (200, {}, "")]

    def answer(request: PreparedRequest) -> Reply:
        if faults:
            return faults.pop(0)
        assert not isinstance(healthy, list)
        return healthy(request) if callable(healthy) else healthy

    big.pce.answers[path] = answer
    assert len(client.collection(PATH, Label, deadline).items) == 1200


def test_a_refused_job_fails(client: PceClient, deadline: Deadline, big: BigPce) -> None:
    big.pce.answers[JOB] = (403, {}, "[]")
    with pytest.raises(PceForbidden):
        client.collection(PATH, Label, deadline)


def test_the_job_is_left_to_the_pce(client: PceClient, deadline: Deadline, big: BigPce) -> None:
    client.collection(PATH, Label, deadline)
    assert {each.method for each in big.pce.asked} == {"GET"}


# --- truncation and churn


def test_a_pce_that_answers_at_once_is_taken_when_whole(client: PceClient, deadline: Deadline, big: BigPce) -> None:
    big.accepted = listed(labels(1200), cap=5000)
    assert len(client.collection(PATH, Label, deadline).items) == 1200


def test_a_pce_that_caps_the_asynchronous_answer_too_fails(client: PceClient, deadline: Deadline, big: BigPce) -> None:
    big.accepted = listed(labels(500), total=1200)
    with pytest.raises(SnapshotIncomplete, match="gave 500 objects of /orgs/7/labels where it counts 1200"):
        client.collection(PATH, Label, deadline)


@pytest.mark.parametrize("held", [0, 1, 500, 1199, 1201])
def test_a_datafile_of_another_length_fails(client: PceClient, deadline: Deadline, big: BigPce, held: int) -> None:
    big.held = [labels(held)]
    with pytest.raises(SnapshotIncomplete, match=f"gave {held} objects"):
        client.collection(PATH, Label, deadline)
    assert big.pce.paths.count(DATAFILE) == 3


@pytest.mark.parametrize(("after", "held"), [(1210, 1205), (1210, 1210), (1190, 1195), (1190, 1190)])
def test_a_length_between_the_counts_before_and_after_is_whole(
    client: PceClient, deadline: Deadline, big: BigPce, after: int, held: int
) -> None:
    big.counts = [1200, after]
    big.held = [labels(held)]
    assert len(client.collection(PATH, Label, deadline).items) == held
    assert big.pce.paths.count(DATAFILE) == 1
    assert "max_results=1" in str(big.pce.asked[-1].url)


def test_a_length_outside_the_counts_is_read_again(client: PceClient, deadline: Deadline, big: BigPce) -> None:
    big.counts = [1200, 1205, 1206]
    big.held = [labels(1100), labels(1206)]
    assert len(client.collection(PATH, Label, deadline).items) == 1206


def test_a_collection_that_shrinks_below_the_cap_is_read_plainly(
    client: PceClient, deadline: Deadline, big: BigPce
) -> None:
    big.counts = [501, 300, 300]
    big.held = [labels(10)]
    assert len(client.collection(PATH, Label, deadline).items) == 300


def test_an_asynchronous_answer_in_a_wrong_shape_names_the_object(
    client: PceClient, deadline: Deadline, big: BigPce
) -> None:
    big.held = [[*labels(1199), {"href": "/orgs/7/labels/9999", "key": "role", "value": 7}]]
    with pytest.raises(PceError, match=r"labels/9999.*value"):
        client.collection(PATH, Label, deadline)
