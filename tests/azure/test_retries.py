"""What may pass by itself is tried again, in virtual time, within the deadline; what may not is not."""

from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime

import pytest

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.azure.access import AzureAccess
from illumio_azsql_enforcer.azure.firewall import FirewallReader, FirewallWriter
from illumio_azsql_enforcer.errors import (
    ArmConflict,
    ArmThrottled,
    ArmUnauthenticated,
    ArmUnavailable,
    ArmUnreachable,
)
from illumio_azsql_enforcer.model.firewall import FirewallRule, Server
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.sandbox.arm import ArmSimulator
from illumio_azsql_enforcer.sandbox.wire import Fault, Reply
from tests.azure.conftest import SUBSCRIPTION
from tests.support.clock import VirtualClock

ARM = "/subscriptions/*"
RULE = FirewallRule("illumio-192.0.2.1-192.0.2.1", Range.parse("192.0.2.1", "192.0.2.1"))


def refusal(status: int, code: str, **headers: str) -> Reply:
    return Reply.json(
        status,
        {"error": {"code": code, "message": "Later, perhaps."}},
        {name.replace("_", "-"): value for name, value in headers.items()},
    )


PASSING = [
    Fault("408", reply=Reply(408)),
    Fault("429", reply=refusal(429, "SubscriptionTooManyCreateUpdateRequests")),
    Fault("500", reply=refusal(500, "InternalServerError")),
    Fault("502", reply=Reply(502, b"<html>Bad gateway</html>", {"Content-Type": "text/html"})),
    Fault("503", reply=refusal(503, "TooManyRequests")),
    Fault("504", reply=Reply(504)),
    Fault("409", reply=refusal(409, "OperationInterrupted")),
    Fault("409 without a body", reply=Reply(409)),
    Fault("reset before", reset=True),
    Fault("reset after", reset=True, effect=True),
    Fault("cut", truncate=True),
]


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.name)
def test_two_faults_of_a_kind_are_survived(
    azure: ArmSimulator,
    access: AzureAccess,
    server: Server,
    deadline: Deadline,
    clock: VirtualClock,
    fault: Fault,
) -> None:
    reader, writer = FirewallReader(access), FirewallWriter(access)
    azure.faults.add(fault, path=ARM, method="GET", times=2)
    assert reader.rules(server, deadline) == ()
    azure.faults.add(fault, path=ARM, method="PUT", times=2)
    writer.put(server, RULE, deadline)
    assert reader.rules(server, deadline) == (RULE,)
    if fault.name != "cut":  # a DELETE has no body that could be cut
        azure.faults.add(fault, path=ARM, method="DELETE", times=2)
    writer.delete(server, RULE.name, deadline)
    assert azure.state.rules("orders-sql") == {}
    assert len(clock.waits) >= 4
    assert max(clock.waits) <= 1.0  # random, at most 0.5 and 1 second
    assert (access.reads, access.writes) == (len(azure.requests("GET")), len(azure.requests("PUT", "DELETE")))


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry_After": "7"}, 7.0),
        ({"Retry_After": "0"}, 0.0),
        ({"retry_after_ms": "1500"}, 1.5),
        ({"x_ms_retry_after_ms": "2500", "Retry_After": "9"}, 2.5),
    ],
)
def test_the_wait_that_is_asked_is_kept(
    azure: ArmSimulator,
    reader: FirewallReader,
    server: Server,
    deadline: Deadline,
    clock: VirtualClock,
    headers: dict[str, str],
    wait: float,
) -> None:
    for status in (429, 503, 409):
        azure.faults.add(Fault("later", reply=refusal(status, "Busy", **headers)), path=ARM)
    reader.rules(server, deadline)
    assert clock.waits == [wait, wait, wait]


def test_a_wait_until_a_date_is_kept(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline, clock: VirtualClock
) -> None:
    until = format_datetime(clock.now() + timedelta(seconds=40), usegmt=True)
    azure.faults.add(Fault("later", reply=refusal(429, "Busy", Retry_After=until)), path=ARM)
    reader.rules(server, deadline)
    assert clock.waits == [40.0]


def test_a_wait_beyond_the_deadline_fails_at_once(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline, clock: VirtualClock
) -> None:
    azure.faults.add(Fault("later", reply=refusal(429, "Busy", Retry_After="3600")), path=ARM)
    with pytest.raises(ArmThrottled, match="asks to wait 3600 seconds") as caught:
        reader.rules(server, deadline)
    assert caught.value.retry_after == 3600.0
    assert clock.waits == []


@pytest.mark.parametrize("code", ["ScopeLocked", "ReadOnlyDisabledSubscription", "MissingSubscriptionRegistration"])
def test_a_conflict_that_lasts_is_not_tried_again(
    azure: ArmSimulator, writer: FirewallWriter, server: Server, deadline: Deadline, code: str
) -> None:
    azure.faults.add(Fault("lasting", reply=refusal(409, code, Retry_After="1")), path=ARM)
    with pytest.raises(ArmConflict):
        writer.put(server, RULE, deadline)
    assert len(azure.requests()) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 405, 410, 412])
def test_a_refusal_is_not_tried_again_even_with_retry_after(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline, status: int
) -> None:
    azure.faults.add(Fault("no", reply=refusal(status, "No", Retry_After="1")), path=ARM)
    with pytest.raises(Exception, match="Cannot read the firewall rules"):
        reader.rules(server, deadline)
    assert len(azure.requests()) == 1


def test_it_gives_up_after_five_tries(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline
) -> None:
    azure.faults.add(Fault("down", reply=Reply(503)), path=ARM, times=99)
    with pytest.raises(ArmUnavailable):
        reader.rules(server, deadline)
    assert len(azure.requests()) == 5


def test_it_gives_up_at_the_deadline(
    azure: ArmSimulator, reader: FirewallReader, server: Server, clock: VirtualClock
) -> None:
    azure.faults.add(Fault("busy", reply=refusal(429, "Busy", Retry_After="4")), path=ARM, times=99)
    with pytest.raises(ArmThrottled):
        reader.rules(server, Deadline.after(clock, 10.0))
    assert clock.waits == [4.0, 4.0]


def test_nothing_is_started_after_the_deadline(
    azure: ArmSimulator, reader: FirewallReader, server: Server, clock: VirtualClock
) -> None:
    deadline = Deadline.after(clock, 10.0)
    clock.advance(11.0)
    with pytest.raises(ArmUnreachable, match="no time is left"):
        reader.rules(server, deadline)
    assert azure.journal == []


def test_empty_buckets_are_waited_for(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline, clock: VirtualClock
) -> None:
    reader.rules(server, deadline)
    azure.buckets.drain(SUBSCRIPTION, azure.system_identity.object_id, "reads")
    reader.rules(server, deadline)
    assert clock.waits == [1.0]


def test_a_time_out_is_an_error_that_may_pass(
    azure: ArmSimulator, open_access: Callable[..., AzureAccess], server: Server, deadline: Deadline
) -> None:
    reader = FirewallReader(open_access(timeout=0.15))
    azure.faults.add(Fault("stall", stall=30.0), path=ARM)
    assert reader.rules(server, deadline) == ()
    azure.faults.add(Fault("stall", stall=30.0), path=ARM, times=9)
    with pytest.raises(ArmUnreachable, match="time-out"):
        reader.rules(server, deadline)


def test_nobody_listens(azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline) -> None:
    azure.faults.add(Fault("reset", reset=True), path=ARM, times=9)
    with pytest.raises(ArmUnreachable, match=r"no answer from Azure \(.*(reset|closed)"):
        reader.rules(server, deadline)


def test_an_expired_token_is_replaced(
    azure: ArmSimulator, access: AzureAccess, server: Server, deadline: Deadline, clock: VirtualClock
) -> None:
    reader = FirewallReader(access)
    reader.rules(server, deadline)
    azure.tokens.expire_all()
    reader.rules(server, deadline)
    assert [r.status for r in azure.requests()] == [200, 401, 200]
    assert azure.tokens.issued == 2
    assert clock.waits == [0.0]
    assert access.requests == {("GET", "200"): 2, ("GET", "401"): 1}


def test_a_token_that_arm_never_takes(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline
) -> None:
    azure.audiences.clear()
    with pytest.raises(ArmUnauthenticated, match="Azure does not take the identity's token") as caught:
        reader.rules(server, deadline)
    assert caught.value.status == 401
    assert len(azure.requests()) == 2


def test_a_challenge_for_claims_is_answered(
    azure: ArmSimulator, access: AzureAccess, server: Server, deadline: Deadline, clock: VirtualClock
) -> None:
    reader = FirewallReader(access)
    reader.rules(server, deadline)
    clock.advance(1.0)
    azure.tokens.challenge_before = clock.monotonic()
    reader.rules(server, deadline)
    assert [r.status for r in azure.requests()] == [200, 401, 200]
    assert clock.waits == []


@pytest.mark.parametrize("claims", ["!", "\xff", "", "/w=="])
def test_a_challenge_that_cannot_be_read(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline, claims: str
) -> None:
    challenge = {"WWW-Authenticate": f'Bearer error="insufficient_claims", claims="{claims}"'}
    azure.faults.add(Fault("odd", reply=Reply(401, headers=challenge)), path=ARM, times=2)
    with pytest.raises(ArmUnauthenticated, match="does not take"):
        reader.rules(server, deadline)
