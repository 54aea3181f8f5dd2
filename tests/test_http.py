"""The HTTP server over loopback: what it says, what it refuses, and clients that mean no good."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from html.parser import HTMLParser
from typing import Any

import pytest
import requests

from illumio_azsql_enforcer import http
from illumio_azsql_enforcer.errors import ListenFailed
from illumio_azsql_enforcer.health import Health
from illumio_azsql_enforcer.http import MOST_CONNECTIONS, Server, Site
from illumio_azsql_enforcer.metrics import Metrics
from illumio_azsql_enforcer.report import Outcome, Report, to_json
from tests.support.clock import VirtualClock
from tests.support.plans import a_report, a_server_report

EVIL = '<script>alert("1")</script>\x1b[31m\u202e\ud800'
PATHS = ["/", "/livez", "/readyz", "/metrics", "/api/report"]


class Stage:
    """A server on a free port, with the loop that feeds it played by the test."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.clock = VirtualClock()
        self.health = Health(self.clock, 60)
        self.metrics = Metrics()
        self.site = Site(self.health, self.metrics.render)
        self.server = Server((host, 0), self.site)
        self.address = (host, self.server.port)

    def tell(self, report: Report) -> None:
        self.metrics.tell(report)
        self.health.tell(report)
        self.site.show(report)

    def ask(self, path: str, method: str = "GET", **extra: Any) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                method, f"http://127.0.0.1:{self.server.port}{path}", timeout=10, allow_redirects=False, **extra
            )

    def raw(self, sent: bytes) -> bytes:
        with socket.create_connection(self.address, timeout=10) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "POLL", 0.01)


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.server.close()


def test_before_the_first_cycle(stage: Stage) -> None:
    assert {path: stage.ask(path).status_code for path in PATHS} == {
        "/": 200,
        "/livez": 200,
        "/readyz": 503,
        "/metrics": 200,
        "/api/report": 503,
    }
    assert "No complete cycle yet" in stage.ask("/readyz").text
    assert "No cycle has ended yet" in stage.ask("/").text
    assert stage.ask("/api/report").json()["error"]


def test_after_a_good_cycle(stage: Stage) -> None:
    stage.tell(a_report())
    assert [stage.ask(path).status_code for path in PATHS] == [200] * len(PATHS)
    assert 'illumio_azsql_cycles_total{outcome="changed"} 1.0' in stage.ask("/metrics").text
    assert stage.ask("/metrics").headers["Content-Type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize("servers", [0, 1, 3])
def test_the_report_is_the_one_that_once_prints(stage: Stage, servers: int) -> None:
    report = a_report(servers=(a_server_report(),) * servers)
    stage.tell(report)
    answer = stage.ask("/api/report")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == to_json(report)


def test_the_last_report_replaces_the_one_before_everywhere(stage: Stage) -> None:
    stage.tell(a_report())
    before = [stage.ask(path).text for path in ("/", "/metrics", "/api/report")]
    stage.tell(a_report(run_id="second", policy_version=81))
    after = [stage.ask(path).text for path in ("/", "/metrics", "/api/report")]
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert "second" in after[0]


def test_a_wedged_loop_is_not_live_and_a_beat_revives_it(stage: Stage) -> None:
    stage.tell(a_report())
    stage.clock.advance(181)
    assert (stage.ask("/livez").status_code, stage.ask("/readyz").status_code) == (503, 503)
    assert "181 s ago" in stage.ask("/livez").text
    stage.health.beat()
    assert (stage.ask("/livez").status_code, stage.ask("/readyz").status_code) == (200, 503)


def test_a_failed_server_is_the_reason(stage: Stage) -> None:
    stage.tell(a_report(a_server_report(outcome=Outcome.FAILED, reason="Azure is down."), outcome=Outcome.FAILED))
    answer = stage.ask("/readyz")
    assert (answer.status_code, answer.text) == (
        503,
        "not ok: 1 server failed in the last cycle. orders-sql: Azure is down.\n",
    )


@pytest.mark.parametrize("path", [*PATHS, "/nowhere"])
def test_head_is_get_without_a_body(stage: Stage, path: str) -> None:
    stage.tell(a_report())
    got, head = stage.ask(path), stage.ask(path, "HEAD")
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["Content-Length"] == str(len(got.content))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_nothing_but_get_and_head(stage: Stage, method: str) -> None:
    answer = stage.ask("/api/report", method, data=b"x" * 100)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/nowhere", "/livez/", "/../etc/passwd", "/%2e%2e/", "/api", "/favicon.ico", "*"])
def test_nothing_else_is_there(stage: Stage, path: str) -> None:
    answer = stage.raw(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 ")


def test_a_query_changes_nothing(stage: Stage) -> None:
    assert stage.ask("/livez?verbose=1").status_code == 200


@pytest.mark.parametrize("path", [*PATHS, "/nowhere"])
def test_every_answer_is_locked_up(stage: Stage, path: str) -> None:
    headers = stage.ask(path).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert headers["Server"] == "illumio-azsql-enforcer"
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"400"),
        (b"GET\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
        (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 70000 + b"\r\n\r\n", b"431"),
        (b"GET http://[ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"404"),
        (b"GET / HTTP/1.1\r\nHost: [\r\n\r\n", b"421"),
    ],
)
def test_garbage_gets_a_status_and_nothing_of_itself_back(stage: Stage, sent: bytes, status: bytes) -> None:
    answer = stage.raw(sent)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"nosniff" in answer
    assert b"aaaa" not in answer
    assert stage.ask("/livez").status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1:9464", "localhost", "[::1]:9464", "10.1.2.3"])
def test_a_local_server_is_asked_by_address(stage: Stage, host: str) -> None:
    assert stage.ask("/livez", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["rebound.example.com", "127.0.0.1.example.com:9464", "localhost.example.com"])
def test_a_local_server_is_not_reached_under_a_foreign_name(stage: Stage, host: str) -> None:
    assert stage.ask("/api/report", headers={"Host": host}).status_code == 421


def test_any_name_will_do_where_the_server_is_there_for_others() -> None:
    stage = Stage("0.0.0.0")
    try:
        assert stage.ask("/livez", headers={"Host": "enforcer.example.com"}).status_code == 200
    finally:
        stage.server.close()


# --- clients that mean no good


def test_idle_clients_do_not_keep_others_out(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http._Handler, "timeout", 60)  # they would not leave by themselves
    with ExitStack() as idle:
        for _ in range(3 * MOST_CONNECTIONS):
            idle.enter_context(socket.create_connection(stage.address, timeout=10)).sendall(b"GET / HT")
        _wait_for(lambda: _is_live(stage))  # at the latest when those that had to go are gone
        assert len(stage.server._listener._open) <= 2 * MOST_CONNECTIONS


def _is_live(stage: Stage) -> bool:
    with suppress(requests.ConnectionError):
        return stage.ask("/livez").status_code == 200
    return False


@pytest.mark.parametrize("sent", [b"", b"GET /livez HTTP/1.1\r\nX: "])
def test_a_silent_client_is_shown_the_door(stage: Stage, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(http._Handler, "timeout", 0.05)
    with socket.create_connection(stage.address, timeout=10) as connection:
        connection.sendall(sent)
        assert connection.recv(1) == b""


def test_a_client_that_dribbles_is_shown_the_door(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LIFETIME", 0.1)
    pause = threading.Event()
    sent = 0
    with socket.create_connection(stage.address, timeout=10) as connection, suppress(ConnectionError):
        while sent < 1000 and not pause.wait(0.01):
            sent += connection.send(b"X")
    assert 0 < sent < 1000


def test_a_client_that_does_not_read_holds_nobody_up(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http._Handler, "timeout", 0.2)
    stage.tell(a_report(*[a_server_report(reason="x" * 2000)] * 3000))
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(stage.address)
        slow.sendall(b"GET /api/report HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        stage.tell(a_report())  # the loop goes on ...
        assert stage.ask("/livez").status_code == 200  # ... and so do others
        _wait_for(lambda: not stage.server._listener._open)


def _wait_for(done: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if done():
            return
        pause.wait(0.01)
    pytest.fail("it did not happen within 10 s")


def test_a_view_is_drawn_once_however_often_it_is_asked_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[bytes] = []

    def render() -> bytes:
        drawn.append(b"metrics\n")
        return drawn[-1]

    monkeypatch.setattr(stage.site, "_metrics", render)
    stage.tell(a_report())
    threads = [threading.Thread(target=stage.ask, args=("/metrics",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert drawn == [b"metrics\n"]


# --- listening


def test_a_port_in_use_is_a_sentence(stage: Stage) -> None:
    with pytest.raises(ListenFailed, match=rf"Cannot listen on 127\.0\.0\.1:{stage.server.port} .*in use"):
        Server(stage.address, stage.site)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_machine_is_a_sentence(stage: Stage, host: str) -> None:
    with pytest.raises(ListenFailed, match=f"Cannot listen on {host}:9464"):
        Server((host, 9464), stage.site)


def test_after_close_nobody_answers_and_the_port_is_free() -> None:
    stage = Stage()
    stage.server.close()
    with pytest.raises(requests.ConnectionError):
        stage.ask("/livez")
    Server(stage.address, stage.site).close()


def test_ipv6() -> None:
    try:
        stage = Stage("::1")
    except ListenFailed:
        pytest.skip("this machine has no IPv6")
    try:
        with requests.Session() as session:
            session.trust_env = False
            assert session.get(f"http://[::1]:{stage.server.port}/livez", timeout=10).status_code == 200
    finally:
        stage.server.close()


# --- the page


class Reader(HTMLParser):
    """Every tag and attribute, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def test_the_page_shows_servers_reasons_steps_and_notes(stage: Stage) -> None:
    stage.tell(a_report(a_server_report(outcome=Outcome.REFUSED, reason="never_empty: no"), outcome=Outcome.REFUSED))
    text = read(stage.ask("/").text).text
    for told in ("orders-sql", "refused", "never_empty: no", "illumio-192.0.2.7-192.0.2.7", "private_address"):
        assert told in text
    assert "'Azure DB access': IP list 'Illumio clients'" in text


def test_text_from_outside_is_text_and_nothing_else(stage: Stage) -> None:
    server = a_server_report(reason=EVIL, labels={EVIL: EVIL}, plan_id=EVIL)
    stage.tell(a_report(server, error=EVIL, run_id=EVIL, outcome=Outcome.FAILED))
    page = stage.ask("/").text
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "<script>" in read(page).text


def test_the_page_loads_nothing_from_anywhere(stage: Stage) -> None:
    stage.tell(a_report())
    reader = read(stage.ask("/").text)
    assert reader.tags.isdisjoint({"script", "link", "img", "iframe", "form", "object", "embed"})
    assert {value for name, value in reader.attributes if name in {"href", "src"}} == set(PATHS) - {"/"}
    assert not [name for name, _ in reader.attributes if name.startswith("on") or name == "style"]


def test_a_large_estate_makes_a_page_of_bounded_size(stage: Stage) -> None:
    stage.tell(a_report(*[a_server_report()] * 1000))
    page = stage.ask("/").text
    assert "900 more servers" in page
    assert len(page) < 1_000_000
    assert len(json.loads(stage.ask("/api/report").text)["servers"]) == 1000
