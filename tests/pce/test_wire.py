"""What only a real connection shows: slow, cut and endless bodies, gzip, TLS and proxies."""

import gzip
import json
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from illumio_azsql_enforcer.errors import (
    PceForbidden,
    PceInvalidAnswer,
    PceUnavailable,
    PceUnreachable,
    SnapshotIncomplete,
)
from illumio_azsql_enforcer.model.policy import Label
from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.retrying import Deadline
from tests.pce.fake import SECRET, settings
from tests.pce.loopback import Authority, Loopback, relay, reply, serving
from tests.support.clock import VirtualClock

PATH = "/orgs/7/labels"
LABELS = json.dumps([{"href": "/orgs/7/labels/1", "key": "role", "value": "db"}]).encode()
PROXY_NAMES = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
)


class HurriedClock(VirtualClock):
    """Every look at it costs a second: a loop that looks comes to its deadline."""

    def monotonic(self) -> float:
        self.advance(1.0)
        return super().monotonic()


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXY_NAMES, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def open_() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


Ask = Callable[..., PceClient]


@pytest.fixture
def ask(open_: ExitStack, clock: VirtualClock) -> Ask:
    """A client of a server that runs `script`; keywords are settings."""

    def make(script: Any, **changed: Any) -> PceClient:
        server = open_.enter_context(serving(script))
        return client_of(open_, clock, f"http://127.0.0.1:{server.port}", **changed)

    return make


def client_of(stack: ExitStack, clock: VirtualClock, url: str, **changed: Any) -> PceClient:
    client = PceClient(settings(url=url, **changed), clock)
    stack.callback(client.close)
    return client


def sends(*answers: bytes) -> Callable[[socket.socket, bytes], None]:
    """Answer after answer, the last one again and again; then the connection is closed."""
    left = list(answers)

    def script(line: socket.socket, _: bytes) -> None:
        line.sendall(left.pop(0) if len(left) > 1 else left[0])

    return script


def labels(client: PceClient, deadline: Deadline) -> list[str]:
    return [each.value for each in client.collection(PATH, Label, deadline).items]


# --- bodies


@pytest.mark.parametrize(
    "answer",
    [
        reply(LABELS),
        reply(gzip.compress(LABELS), headers="Content-Encoding: gzip\r\n"),
        reply(gzip.compress(LABELS), headers="Content-Encoding: X-GZIP\r\n"),
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + LABELS,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n"
        + LABELS[:5]
        + b"\r\n%x\r\n" % len(LABELS[5:])
        + LABELS[5:]
        + b"\r\n0\r\n\r\n",
    ],
    ids=["length", "gzip", "x-gzip", "until close", "chunked"],
)
def test_every_framing_is_read(ask: Ask, deadline: Deadline, answer: bytes) -> None:
    assert labels(ask(sends(answer)), deadline) == ["db"]


SHORT_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + LABELS
CUT = [
    SHORT_LENGTH,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % (len(LABELS) + 9) + LABELS,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + LABELS[:-3],
    reply(gzip.compress(LABELS)[:-5], headers="Content-Encoding: gzip\r\n"),
    reply(LABELS, headers="Content-Encoding: gzip\r\n"),
    reply(gzip.compress(LABELS) + b"more", headers="Content-Encoding: gzip\r\n"),
    reply(gzip.compress(LABELS)[:20] + b"\0" * 20, headers="Content-Encoding: gzip\r\n"),
    b"HTTP/1.1 200 OK\r\nContent-Le",
    b"",
]


@pytest.mark.parametrize("cut", CUT, ids=range(len(CUT)))
def test_a_cut_or_damaged_answer_is_asked_for_again(ask: Ask, deadline: Deadline, cut: bytes) -> None:
    assert labels(ask(sends(cut, cut, reply(LABELS))), deadline) == ["db"]


@pytest.mark.parametrize("cut", CUT, ids=range(len(CUT)))
def test_it_never_counts_as_an_answer(ask: Ask, deadline: Deadline, cut: bytes) -> None:
    client = ask(sends(cut))
    with pytest.raises((PceUnreachable, PceInvalidAnswer)):
        labels(client, deadline)
    assert client.requests_made == 5


def test_a_reset_is_asked_again(ask: Ask, deadline: Deadline) -> None:
    answers = [b"", reply(LABELS)]

    def script(line: socket.socket, _: bytes) -> None:
        if answer := answers.pop(0):
            line.sendall(answer)
        else:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset instead of an end

    assert labels(ask(script), deadline) == ["db"]


def endless(first: bytes, more: bytes) -> Callable[[socket.socket, bytes], None]:
    def script(line: socket.socket, _: bytes) -> None:
        line.sendall(first)
        while True:
            line.sendall(more)

    return script


EMPTY_BLOCK = b"\0\0\0\xff\xff"  # deflate data that inflates to nothing
DRIPS = [
    endless(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n[", b" "),
    endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    endless(b"HTTP/1.1 200 OK\r\n\r\n[", b" "),
    endless(b"", b" "),
    endless(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
    endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    endless(b"HTTP/1.1 500 Busy\r\nContent-Length: 60000\r\n\r\n", b" "),
    endless(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"")[:10], EMPTY_BLOCK),
]


DRIP_NAMES = ["length", "chunked", "until close", "status", "header", "interim", "refusal", "gzip of nothing"]


@pytest.mark.parametrize("script", DRIPS, ids=DRIP_NAMES)
def test_an_answer_without_end_ends_at_the_deadline(open_: ExitStack, script: Any) -> None:
    clock = HurriedClock()
    server = open_.enter_context(serving(script))
    client = client_of(open_, clock, f"http://127.0.0.1:{server.port}", max_response=1 << 40)
    with pytest.raises(SnapshotIncomplete, match=r"not read within pce\.deadline"):
        client.get(PATH, Deadline.after(clock, 10.0))
    assert client.requests_made == 1


@pytest.mark.parametrize("script", DRIPS[:3], ids=["length", "chunked", "until close"])
def test_a_body_without_end_ends_at_the_limit(ask: Ask, deadline: Deadline, script: Any) -> None:
    client = ask(script, max_response=100_000)
    with pytest.raises(PceInvalidAnswer, match=r"pce\.max_response \(100,000 bytes"):
        client.get(PATH, deadline)
    assert client.requests_made == 1


def test_a_gzip_bomb_ends_at_the_limit(ask: Ask, deadline: Deadline) -> None:
    engine = zlib.compressobj(wbits=31)
    bomb = b"".join(engine.compress(b" " * (1 << 20)) for _ in range(200)) + engine.flush()
    client = ask(sends(reply(bomb, headers="Content-Encoding: gzip\r\n")), max_response=1 << 20)
    with pytest.raises(PceInvalidAnswer, match=r"pce\.max_response"):
        client.get(PATH, deadline)


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd"])
def test_an_encoding_that_was_not_asked_for_is_refused(ask: Ask, deadline: Deadline, encoding: str) -> None:
    client = ask(sends(reply(LABELS, headers=f"Content-Encoding: {encoding}\r\n")))
    with pytest.raises(PceInvalidAnswer, match="not asked for"):
        client.get(PATH, deadline)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5000\r\n\r\ncut",
        reply(b"not gzip", status="403 Forbidden", headers="Content-Encoding: gzip\r\n"),
        reply(b"x" * 1_000_000, status="403 Forbidden"),
        reply(b"x", status="403 Forbidden", headers="Content-Encoding: br\r\n"),
    ],
    ids=["cut", "damaged", "long", "encoding"],
)
def test_a_refusal_counts_whatever_its_body(ask: Ask, deadline: Deadline, answer: bytes) -> None:
    client = ask(sends(answer))
    with pytest.raises(PceForbidden):
        client.get(PATH, deadline)
    assert client.requests_made == 1


def test_the_body_of_a_redirect_is_not_read(ask: Ask, deadline: Deadline) -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: https://evil.example.net/\r\n\r\n"
    client = ask(endless(head, b"x" * 65536))
    with pytest.raises(PceInvalidAnswer, match=r"redirects to evil\.example\.net"):
        client.get(PATH, deadline)


def test_silence_ends_with_the_time_out(ask: Ask, deadline: Deadline, clock: VirtualClock) -> None:
    def script(line: socket.socket, _: bytes) -> None:
        line.recv(1)  # until the other side gives up

    client = ask(script, timeout=0.05)
    with pytest.raises(PceUnreachable, match=r"no answer within pce\.timeout \(0\.05 s\)"):
        client.get(PATH, deadline)
    assert client.requests_made == 5


def test_silence_in_the_middle_of_a_body_ends_with_the_time_out(ask: Ask, deadline: Deadline) -> None:
    def script(line: socket.socket, _: bytes) -> None:
        line.sendall(SHORT_LENGTH)
        line.recv(1)

    with pytest.raises(PceUnreachable, match=r"pce\.timeout"):
        ask(script, timeout=0.05).get(PATH, deadline)


# --- no connection


def test_a_closed_port_says_so(open_: ExitStack, clock: VirtualClock, deadline: Deadline) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client = client_of(open_, clock, f"http://127.0.0.1:{port}")
    with pytest.raises(PceUnreachable, match=rf"at 127\.0\.0\.1:{port} cannot be reached: it refuses connections"):
        client.get(PATH, deadline)


def test_an_unknown_name_says_so(
    open_: ExitStack, clock: VirtualClock, deadline: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    client = client_of(open_, clock, "https://nowhere.example.com:8443")
    with pytest.raises(PceUnreachable, match=r"name cannot be resolved \(Name or service not known\): check pce\.url"):
        client.get(PATH, deadline)


# --- TLS


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def secure(open_: ExitStack, authority: Authority) -> Loopback:
    return open_.enter_context(serving(sends(reply(LABELS)), authority.context()))


def test_ca_file_is_trusted(
    open_: ExitStack, clock: VirtualClock, deadline: Deadline, authority: Authority, secure: Loopback
) -> None:
    client = client_of(open_, clock, f"https://127.0.0.1:{secure.port}", ca_file=authority.file)
    assert labels(client, deadline) == ["db"]


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_ca_file_wins_over_the_environment(
    open_: ExitStack,
    deadline: Deadline,
    authority: Authority,
    secure: Loopback,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    tmp_path: Path,
) -> None:
    other = Authority(tmp_path, "other")
    url = f"https://127.0.0.1:{secure.port}"
    monkeypatch.setenv(name, str(other.file))
    assert labels(client_of(open_, VirtualClock(), url, ca_file=authority.file), deadline) == ["db"]
    monkeypatch.setenv(name, str(authority.file))
    assert labels(client_of(open_, VirtualClock(), url), deadline) == ["db"]
    with pytest.raises(PceUnreachable, match=r"certificate .* is not accepted.*check pce\.ca_file \(.*other\.pem\)"):
        labels(client_of(open_, VirtualClock(), url, ca_file=other.file), deadline)


def test_without_a_ca_file_the_system_is_trusted(
    open_: ExitStack, deadline: Deadline, authority: Authority, secure: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))  # where OpenSSL looks for the system's certificates
    assert labels(client_of(open_, VirtualClock(), f"https://127.0.0.1:{secure.port}"), deadline) == ["db"]


def test_an_unknown_issuer_is_refused_and_ca_file_named(
    open_: ExitStack, clock: VirtualClock, deadline: Deadline, secure: Loopback
) -> None:
    client = client_of(open_, clock, f"https://127.0.0.1:{secure.port}")
    with pytest.raises(PceUnreachable, match=r"certificate of the PCE .* is not accepted.*pce\.ca_file is not set"):
        client.get(PATH, deadline)
    assert client.requests_made == 1
    assert secure.requests == []


def test_a_certificate_of_another_host_is_refused(
    open_: ExitStack, clock: VirtualClock, deadline: Deadline, authority: Authority
) -> None:
    server = open_.enter_context(serving(sends(reply(LABELS)), authority.context(x509.DNSName("other.example.com"))))
    client = client_of(open_, clock, f"https://127.0.0.1:{server.port}", ca_file=authority.file)
    with pytest.raises(PceUnreachable, match=r"not valid for '127\.0\.0\.1'.*pce\.url"):
        client.get(PATH, deadline)
    assert server.requests == []


def test_a_ca_file_without_certificates_is_named(
    open_: ExitStack, clock: VirtualClock, deadline: Deadline, secure: Loopback, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing here")
    for file in (empty, tmp_path / "missing.pem"):
        client = client_of(open_, clock, f"https://127.0.0.1:{secure.port}", ca_file=file)
        with pytest.raises(PceUnreachable, match=file.name):
            client.get(PATH, deadline)


def test_plain_http_behind_an_https_url_is_told(open_: ExitStack, clock: VirtualClock, deadline: Deadline) -> None:
    server = open_.enter_context(serving(sends(b"HTTP/1.1 400 Bad Request\r\n\r\n")))
    client = client_of(open_, clock, f"https://127.0.0.1:{server.port}")
    with pytest.raises(PceUnreachable, match=r"TLS with the PCE .* fails .*check scheme and port of pce\.url"):
        client.get(PATH, deadline)


# --- proxies and .netrc


def test_an_http_proxy_of_the_environment_is_used(
    open_: ExitStack, clock: VirtualClock, deadline: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = open_.enter_context(serving(sends(reply(LABELS))))
    monkeypatch.setenv("HTTP_PROXY", f"http://user:proxy-pass@127.0.0.1:{proxy.port}")
    monkeypatch.setenv("http_proxy", f"http://user:proxy-pass@127.0.0.1:{proxy.port}")
    assert labels(client_of(open_, clock, "http://127.0.0.1:9"), deadline) == ["db"]
    assert proxy.requests[0].startswith(b"GET http://127.0.0.1:9/api/v2/orgs/7/labels")
    assert b"Proxy-Authorization: Basic" in proxy.requests[0]


def test_an_https_proxy_sees_a_tunnel_and_no_key(
    open_: ExitStack,
    clock: VirtualClock,
    deadline: Deadline,
    authority: Authority,
    secure: Loopback,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def tunnel(line: socket.socket, _: bytes) -> None:
        with socket.create_connection(("127.0.0.1", secure.port)) as target:
            line.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            relay(line, target)

    proxy = open_.enter_context(serving(tunnel))
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    client = client_of(open_, clock, f"https://127.0.0.1:{secure.port}", ca_file=authority.file)
    assert labels(client, deadline) == ["db"]
    client.close()
    assert proxy.requests[0].startswith(b"CONNECT 127.0.0.1:")
    assert b"\nAuthorization" not in proxy.requests[0]
    assert b"\nAuthorization: Basic" in secure.requests[0]


def test_a_proxy_that_refuses_is_blamed(
    open_: ExitStack, clock: VirtualClock, deadline: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = open_.enter_context(serving(sends(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")))
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:proxy-pass@127.0.0.1:{proxy.port}")
    with pytest.raises(PceUnreachable, match="the proxy named in the environment") as caught:
        client_of(open_, clock, "https://127.0.0.1:9").get(PATH, deadline)
    assert "proxy-pass" not in str(caught.value)


def test_a_key_in_clear_text_does_not_leave_the_machine_by_a_proxy(
    ask: Ask, deadline: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://proxy.example.com:3128")
    assert labels(ask(sends(reply(LABELS))), deadline) == ["db"]


def test_no_proxy_is_kept(ask: Ask, deadline: Deadline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert labels(ask(sends(reply(LABELS))), deadline) == ["db"]


def test_a_netrc_does_not_replace_the_key(
    open_: ExitStack, clock: VirtualClock, deadline: Deadline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login wrong password wrong\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server = open_.enter_context(serving(sends(reply(LABELS))))
    client_of(open_, clock, f"http://127.0.0.1:{server.port}", api_key="user").get(PATH, deadline)
    assert b"Authorization: Basic dXNlcjo1ZWNyZXQ" in server.requests[0]


@pytest.mark.parametrize("secret", ["pässword", "漢字", "with:colon", "raw\udcff"])
def test_any_secret_can_be_sent(open_: ExitStack, clock: VirtualClock, deadline: Deadline, secret: str) -> None:
    from base64 import b64decode  # noqa: PLC0415 - one test needs it

    from illumio_azsql_enforcer.secret import Secret  # noqa: PLC0415

    server = open_.enter_context(serving(sends(reply(LABELS))))
    client_of(open_, clock, f"http://127.0.0.1:{server.port}", api_secret=Secret(secret)).get(PATH, deadline)
    sent = server.requests[0].split(b"Authorization: Basic ")[1].split(b"\r\n")[0]
    assert b64decode(sent).decode(errors="surrogateescape").partition(":")[2] == secret


# --- nothing leaks


def test_cookies_are_not_kept(open_: ExitStack, clock: VirtualClock, deadline: Deadline) -> None:
    server = open_.enter_context(serving(sends(reply(LABELS, headers="Set-Cookie: session=abc; Path=/\r\n"))))
    client = client_of(open_, clock, f"http://127.0.0.1:{server.port}")
    client.get(PATH, deadline)
    client.get(PATH, deadline)
    assert b"Cookie" not in server.requests[1]


def test_an_unavailable_pce_that_echoes_the_secret_does_not_spread_it(ask: Ask, deadline: Deadline) -> None:
    echo = json.dumps([{"token": SECRET, "message": f"bad {SECRET[:5]}\u0000{SECRET}" + "x" * 250 + SECRET}]).encode()
    client = ask(sends(reply(echo, status="503 Busy", headers=f"X-Request-Id: {SECRET}\r\n")))
    with pytest.raises(PceUnavailable) as caught:
        client.get(PATH, deadline)
    told = f"{caught.value} {caught.value.token} {caught.value.request_id}"
    assert SECRET not in told
    assert "***" in told
