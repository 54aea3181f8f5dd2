"""Each answer is bounded in size and in time, and what is left of one is never taken for the next."""

import gzip
import json
import socket
from collections.abc import Callable, Iterator

import pytest

from illumio_azsql_enforcer.azure import transport
from illumio_azsql_enforcer.azure.access import AzureAccess
from illumio_azsql_enforcer.azure.firewall import FirewallReader
from illumio_azsql_enforcer.errors import ArmInvalidAnswer, ArmUnreachable
from illumio_azsql_enforcer.model.firewall import Server
from illumio_azsql_enforcer.model.settings import AzureSettings, Cloud, CredentialKind
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.sandbox.arm import ArmSimulator
from tests.azure.conftest import SUBSCRIPTION
from tests.pce.loopback import Loopback, Script, reply
from tests.support.clock import VirtualClock

RULES = json.dumps({"value": []}).encode()

Ask = Callable[[Script], tuple[FirewallReader, Loopback]]


@pytest.fixture
def ask(azure: ArmSimulator, clock: VirtualClock) -> Iterator[Ask]:
    """A reader of a server that runs a script; its tokens come from the simulator."""
    opened: list[tuple[AzureAccess, Loopback]] = []

    def make(script: Script) -> tuple[FirewallReader, Loopback]:
        server = Loopback(script)
        cloud = Cloud(f"http://127.0.0.1:{server.port}", None, "https://management.azure.com", custom=True)
        access = AzureAccess(AzureSettings(cloud, (SUBSCRIPTION,), CredentialKind.MANAGED_IDENTITY), clock)
        opened.append((access, server))
        return FirewallReader(access), server

    yield make
    for access, server in opened:
        access.close()
        server.close()


def sends(*answers: bytes) -> Script:
    """Answer after answer, the last one again and again."""
    left = list(answers)
    return lambda line, _: line.sendall(left.pop(0) if len(left) > 1 else left[0])


def test_compressed_and_plain_answers_are_read(ask: Ask, server: Server, deadline: Deadline) -> None:
    zipped = reply(gzip.compress(RULES), headers="Content-Encoding: gzip\r\n")
    reader, loopback = ask(sends(zipped, reply(RULES)))
    assert (reader.rules(server, deadline), reader.rules(server, deadline)) == ((), ())
    assert b"Accept-Encoding: gzip\r\n" in loopback.requests[0]


@pytest.mark.parametrize(
    "answer",
    [
        reply(b" " * 5000),
        b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 5000,
        reply(gzip.compress(b" " * 10_000_000), headers="Content-Encoding: gzip\r\n"),
        reply(b" " * 5000, status="503 Unavailable"),
    ],
    ids=["length", "until close", "inflated", "error"],
)
def test_an_answer_that_is_too_large(
    ask: Ask, server: Server, deadline: Deadline, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(transport, "LARGEST", 4096)
    reader, loopback = ask(sends(answer))
    with pytest.raises(ArmInvalidAnswer, match="it is larger than"):
        reader.rules(server, deadline)
    assert len(loopback.requests) == 1


@pytest.mark.parametrize("begun", [b"HTTP/1.1 200 OK\r\nX-A: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
def test_an_answer_that_drips(ask: Ask, server: Server, clock: VirtualClock, begun: bytes) -> None:
    """Each byte comes in time, but they never come to an end."""

    def drip(line: socket.socket, _: bytes) -> None:
        line.sendall(begun)
        while True:
            clock.advance(1.0)
            line.sendall(b"x")

    reader, loopback = ask(drip)
    with pytest.raises(ArmUnreachable, match="time-out"):
        reader.rules(server, Deadline.after(clock, 45.0))
    assert len(loopback.requests) >= 1


@pytest.mark.parametrize(
    "bad",
    [
        reply(RULES[:-3], headers="Content-Encoding: gzip\r\n"),
        reply(gzip.compress(RULES)[:-4], headers="Content-Encoding: gzip\r\n"),
        reply(RULES, headers="Content-Encoding: br\r\n"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + RULES,
    ],
    ids=["no gzip", "cut gzip", "brotli", "cut"],
)
def test_a_damaged_answer_is_asked_for_again(ask: Ask, server: Server, deadline: Deadline, bad: bytes) -> None:
    reader, loopback = ask(sends(bad, reply(RULES)))
    assert reader.rules(server, deadline) == ()
    assert len(loopback.requests) == 2


def test_a_connection_is_not_used_again_after_half_an_answer(
    azure: ArmSimulator, access: AzureAccess, server: Server, deadline: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(40):
        azure.state.set_rule("orders-sql", f"r{n:02}", "192.0.2.1", "192.0.2.1")
    reader = FirewallReader(access)
    with monkeypatch.context() as small:
        small.setattr(transport, "LARGEST", 1000)
        with pytest.raises(ArmInvalidAnswer):
            reader.rules(server, deadline)
    assert len(reader.rules(server, deadline)) == 40
