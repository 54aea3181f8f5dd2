"""The simulators' HTTP server: what goes over the wire, what the journal says, what goes wrong on demand."""

import gc
import http.client
import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from illumio_azsql_enforcer.sandbox.wire import Fault, Reply, Request, WireServer


def echo(request: Request) -> Reply:
    request.effect = f"echoed {len(request.body)} bytes"
    return Reply.json(200, {"path": request.path, "body": request.body.decode()})


@pytest.fixture
def server() -> Iterator[WireServer]:
    with WireServer(echo) as started:
        yield started


def test_the_raw_path_reaches_the_answer_and_the_journal(server: WireServer) -> None:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=5)
    connection.request("GET", "//a/../b%2Fc/?x=1&x=2&y=%20", headers={"Authorization": "Bearer secret-token"})
    assert connection.getresponse().read() == b'{"path":"//a/../b%2Fc/","body":""}'
    connection.close()
    (entry,) = server.journal
    assert (entry.decoded, entry.query, entry.status) == ("//a/../b/c/", {"x": "2", "y": " "}, 200)
    assert entry.query_items == [("x", "1"), ("x", "2"), ("y", " ")]
    assert "secret-token" not in f"{entry!r} {entry.as_dict()}"
    assert entry.authorization is not None
    assert entry.authorization.reveal() == "Bearer secret-token"


def test_one_connection_carries_many_requests_of_either_body_form(server: WireServer) -> None:
    with requests.Session() as session:
        first = session.post(server.url + "/", data=b"plain", timeout=5)
        second = session.put(server.url + "/", data=iter([b"in ", b"chunks"]), timeout=5)
        assert [first.json()["body"], second.json()["body"]] == ["plain", "in chunks"]
        assert session.head(server.url + "/", timeout=5).headers["Content-Length"] == "22"
    assert [r.effect for r in server.journal] == ["echoed 5 bytes", "echoed 9 bytes", "echoed 0 bytes"]


@pytest.mark.parametrize(("effect", "carried_out"), [(False, ""), (True, "echoed 1 bytes")])
def test_a_reset_before_or_after_the_effect(server: WireServer, *, effect: bool, carried_out: str) -> None:
    server.faults.add(Fault("reset", effect=effect, reset=True), method="PUT", path="/A/*")
    requests.put(server.url + "/b", data="1", timeout=5)
    with pytest.raises(requests.ConnectionError):
        requests.put(server.url + "/a/b", data="1", timeout=5)
    assert requests.put(server.url + "/a/b", data="1", timeout=5).status_code == 200
    assert [(r.status, r.fault) for r in server.journal] == [(200, ""), (None, "reset"), (200, "")]
    assert server.journal[1].effect == carried_out


def test_a_cut_body_a_replaced_answer_and_a_changing_world(server: WireServer) -> None:
    seen: list[str] = []
    server.faults.add(Fault("cut", truncate=True))
    server.faults.add(Fault("busy", Reply(503, b"<html>", {"Content-Type": "text/html"})), skip=1, times=2)
    server.faults.add(Fault("meanwhile", act=lambda r: seen.append(r.path)), times=math.inf)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.get(server.url + "/1", timeout=5)
    assert [requests.get(f"{server.url}/{n}", timeout=5).status_code for n in range(4)] == [200, 503, 503, 200]
    assert seen == ["/0", "/3"]


def test_a_stall_outlasts_the_client_and_ends_with_the_server() -> None:
    with WireServer(echo) as server:
        server.faults.add(Fault("stall", stall=30, reset=True))
        with pytest.raises(requests.ReadTimeout):
            requests.get(server.url, timeout=0.05)
        started = time.monotonic()
    assert time.monotonic() - started < 5


def test_an_exception_in_the_answer_is_a_500_and_is_raised_at_the_end() -> None:
    def broken(_request: Request) -> Reply:
        raise KeyError("oops")

    server = WireServer(broken).start()
    assert requests.get(server.url, timeout=5).status_code == 500
    with pytest.raises(KeyError, match="oops"):
        server.stop()


def test_stop_ends_idle_connections_and_their_threads() -> None:
    before = threading.active_count()
    with WireServer(echo, latency=0.01) as server, requests.Session() as session:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: session.get(f"{server.url}/{n}", timeout=5).status_code, range(40)))
        assert answers == [200] * 40
        assert sorted(r.number for r in server.journal) == [
            r.number for r in sorted(server.journal, key=lambda r: r.number)
        ]
        server.stop()
        with pytest.raises(requests.ConnectionError):
            session.get("http://127.0.0.1:1/", timeout=5)
    gc.collect()
    assert threading.active_count() == before
