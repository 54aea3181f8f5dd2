"""Posting notices, over loopback."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from illumio_azsql_enforcer.notify import MOST_WAITING, TRIES, Webhook
from illumio_azsql_enforcer.sandbox.exchange import Fault, Reply, Request
from illumio_azsql_enforcer.sandbox.wire import WireServer
from illumio_azsql_enforcer.secret import Secret
from tests.support.clock import VirtualClock

PATH = "/services/T0/s3cr3t"


class Hook:
    """A webhook that answers as told."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.wire = WireServer(self.answer)

    def answer(self, request: Request) -> Reply:
        status = self.answers.pop(0) if self.answers else 200
        return Reply(status, b"ok", {"Location": f"{self.wire.url}/elsewhere"} if status == 302 else {})

    @property
    def got(self) -> list[Any]:
        return [json.loads(request.body) for request in self.wire.journal]


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    with hook.wire:
        yield hook


@pytest.fixture
def said() -> Iterator[list[Any]]:
    with capture_logs() as entries:
        yield entries


def post(hook: Hook, *bodies: dict[str, Any], path: str = PATH) -> VirtualClock:
    clock = VirtualClock()
    webhook = Webhook(Secret(hook.wire.url + path), clock)
    for body in bodies:
        webhook.send(body)
    webhook.close(patience=10)
    assert not webhook._thread.is_alive()
    return clock


def test_a_notice_arrives_as_json(hook: Hook, said: list[Any]) -> None:
    post(hook, {"text": "orders-sql: never_empty"})
    (request,) = hook.wire.journal
    assert (request.method, request.path, hook.got) == ("POST", PATH, [{"text": "orders-sql: never_empty"}])
    assert request.headers["content-type"] == "application/json"
    assert said == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_again(hook: Hook, said: list[Any], status: int) -> None:
    hook.answers = [status, status]
    clock = post(hook, {"text": "a"})
    assert hook.got == [{"text": "a"}] * 3
    assert len(clock.waits) == 2
    assert said == []


@pytest.mark.parametrize("status", [302, 307, 400, 403, 404, 410])
def test_what_will_not_pass_is_not_and_redirects_are_not_followed(hook: Hook, said: list[Any], status: int) -> None:
    hook.answers = [status]
    post(hook, {"text": "a"})
    assert [request.path for request in hook.wire.journal] == [PATH]
    assert [entry["reason"].startswith(f"HTTP status {status}") for entry in said] == [True]


def test_a_cut_connection_is_tried_again(hook: Hook, said: list[Any]) -> None:
    hook.wire.faults.add(Fault("cut", reset=True), method="POST", path="/*", times=1)
    post(hook, {"text": "a"})
    assert len(hook.wire.journal) == 2
    assert said == []


def test_failure_is_said_once_until_something_arrives(hook: Hook, said: list[Any]) -> None:
    hook.answers = [404, 404, 404, 200, 404]
    post(hook, *[{"text": str(n)} for n in range(5)])
    assert [(entry["log_level"], entry["event"].split(";")[0]) for entry in said] == [
        ("warning", "a notice was not delivered"),
        ("info", "notices arrive again"),
        ("warning", "a notice was not delivered"),
    ]


def test_nobody_there_harms_nothing_and_names_no_secret(said: list[Any]) -> None:
    hook = Hook()
    with hook.wire:
        address = hook.wire.url
    clock = VirtualClock()
    webhook = Webhook(Secret(address + PATH), clock)
    webhook.send({"text": "a"})
    webhook.close(patience=10)
    assert len(clock.waits) == TRIES - 1
    assert len(said) == 1
    assert "s3cr3t" not in repr(said)
    assert "no answer (ConnectionError)" in said[0]["reason"]


def test_a_webhook_that_hangs_holds_nobody_up(hook: Hook, said: list[Any]) -> None:
    release = threading.Event()
    hook.wire.faults.add(Fault("hang", act=lambda _: _wait(release)), method="POST", path="/*", times=1)
    webhook = Webhook(Secret(hook.wire.url + PATH), VirtualClock())
    webhook.send({"text": "first"})
    _until(lambda: hook.wire.journal)
    for number in range(MOST_WAITING + 5):
        webhook.send({"text": str(number)})  # returns at once; what is too much is dropped
    assert [entry["reason"] for entry in said] == [f"{MOST_WAITING} notices are waiting already"]
    webhook.close(patience=0)  # no room for its own sign in the queue
    release.set()
    webhook._thread.join(10)
    assert not webhook._thread.is_alive()
    assert len(hook.wire.journal) == MOST_WAITING + 1


def _wait(release: threading.Event) -> None:
    release.wait(10)


def _until(done: Callable[[], object]) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if done():
            return
        pause.wait(0.01)
    pytest.fail("it did not happen within 10 s")


def test_the_address_is_in_no_text(hook: Hook) -> None:
    webhook = Webhook(Secret(hook.wire.url + PATH), VirtualClock())
    webhook.close(patience=10)
    assert "s3cr3t" not in f"{webhook!r} {webhook.__dict__!r}"
