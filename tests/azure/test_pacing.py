"""All threads together stay within ARM's buckets of requests."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.azure.access import AzureAccess
from illumio_azsql_enforcer.azure.firewall import FirewallReader, FirewallWriter
from illumio_azsql_enforcer.errors import ArmThrottled
from illumio_azsql_enforcer.model.firewall import FirewallRule, Server
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.sandbox.arm import ArmSimulator
from illumio_azsql_enforcer.sandbox.wire import Fault, Reply
from tests.azure.conftest import OTHER_SUBSCRIPTION, SUBSCRIPTION
from tests.support.clock import VirtualClock

ARM = "/subscriptions/*"
RULE = FirewallRule("illumio-192.0.2.1-192.0.2.1", Range.parse("192.0.2.1", "192.0.2.1"))


def throttle(azure: ArmSimulator, seconds: int) -> None:
    azure.faults.add(Fault("429", reply=Reply(429, headers={"Retry-After": str(seconds)})), path=ARM)


@pytest.fixture
def throttled(azure: ArmSimulator, access: AzureAccess, server: Server, clock: VirtualClock) -> AzureAccess:
    """An access that was told to wait for 30 seconds, and had no time to."""
    throttle(azure, 30)
    with pytest.raises(ArmThrottled):
        FirewallReader(access).rules(server, Deadline.after(clock, 5.0))
    azure.journal.clear()
    return access


def test_nobody_asks_again_before_the_wait_is_over(
    azure: ArmSimulator, throttled: AzureAccess, server: Server, deadline: Deadline, clock: VirtualClock
) -> None:
    clock.advance(10.0)
    with pytest.raises(
        ArmThrottled, match=r"no further GET through for subscription 6f1b.* before 20\.0 seconds"
    ) as caught:
        FirewallReader(throttled).rules(server, Deadline.after(clock, 5.0))
    assert caught.value.retry_after == 20.0
    assert azure.requests() == []
    assert FirewallReader(throttled).rules(server, deadline) == ()
    assert clock.waits == [20.0]
    assert throttled.requests == {("GET", "429"): 1, ("GET", "200"): 1}


def test_other_kinds_and_other_subscriptions_go_on(
    azure: ArmSimulator, throttled: AzureAccess, server: Server, deadline: Deadline, clock: VirtualClock
) -> None:
    FirewallWriter(throttled).put(server, RULE, deadline)
    azure.state.add_subscription(OTHER_SUBSCRIPTION)
    azure.state.add_server("bills-sql", subscription=OTHER_SUBSCRIPTION, resource_group="Data")
    elsewhere = replace(
        server, name="bills-sql", id=azure.state.server("bills-sql").id, subscription_id=OTHER_SUBSCRIPTION
    )
    assert FirewallReader(throttled).rules(elsewhere, deadline) == ()
    assert clock.waits == []


def test_a_silly_wait_does_not_blind_us_for_long(
    azure: ArmSimulator, access: AzureAccess, server: Server, deadline: Deadline, clock: VirtualClock
) -> None:
    throttle(azure, 86_400)
    with pytest.raises(ArmThrottled):
        FirewallReader(access).rules(server, deadline)
    clock.advance(60.0)
    assert FirewallReader(access).rules(server, deadline) == ()


def test_a_bucket_that_is_used_up_is_not_asked(
    azure: ArmSimulator,
    open_access: Callable[..., AzureAccess],
    server: Server,
    deadline: Deadline,
    clock: VirtualClock,
) -> None:
    azure.switches.throttle.reads = (3, 2)
    reader = FirewallReader(open_access())
    for _ in range(9):
        reader.rules(server, deadline)
    assert {r.status for r in azure.requests()} == {200}
    assert clock.waits == [1.0, 1.0, 1.0]


def test_writes_and_deletes_have_buckets_of_their_own(
    azure: ArmSimulator, access: AzureAccess, server: Server, deadline: Deadline, clock: VirtualClock
) -> None:
    azure.switches.throttle.writes = (1, 1)
    writer = FirewallWriter(access)
    for _ in range(3):
        writer.put(server, RULE, deadline)
    writer.delete(server, RULE.name, deadline)
    assert {r.status for r in azure.requests()} == {200}
    assert clock.waits == [1.0, 1.0]


def test_counts_that_are_no_numbers_hold_nobody_back(
    azure: ArmSimulator, access: AzureAccess, server: Server, deadline: Deadline, clock: VirtualClock
) -> None:
    headers = {"x-ms-ratelimit-remaining-subscription-reads": "few", "Retry-After": "soon"}
    azure.faults.add(Fault("odd", reply=Reply.json(200, {"value": []}, headers)), path=ARM)
    azure.faults.add(Fault("odd", reply=Reply(429, headers=headers)), path=ARM)
    for _ in range(2):
        FirewallReader(access).rules(server, deadline)
    assert len(clock.waits) == 1
    assert clock.waits[0] <= 0.5


def test_the_subscription_of_a_bucket_has_no_case(
    azure: ArmSimulator, throttled: AzureAccess, server: Server, clock: VirtualClock
) -> None:
    shouted = replace(server, subscription_id=SUBSCRIPTION.upper())
    with pytest.raises(ArmThrottled):
        FirewallReader(throttled).rules(shouted, Deadline.after(clock, 5.0))
    assert azure.requests() == []
