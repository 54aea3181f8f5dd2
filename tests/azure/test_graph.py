"""Discovery with the help of Resource Graph, and what must stay right although it is late and silent."""

from collections.abc import Callable

import pytest

from illumio_azsql_enforcer.azure import graph, servers
from illumio_azsql_enforcer.azure.access import AzureAccess
from illumio_azsql_enforcer.azure.graph import subscriptions_with_servers
from illumio_azsql_enforcer.azure.servers import Discovered, discover
from illumio_azsql_enforcer.errors import ArmForbidden, ArmInvalidAnswer, ArmNotFound, ArmThrottled
from illumio_azsql_enforcer.model.firewall import PublicAccess
from illumio_azsql_enforcer.model.settings import ServerSettings
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.sandbox.arm import ArmSimulator
from illumio_azsql_enforcer.sandbox.wire import Fault, Reply
from tests.support.clock import VirtualClock

Access = Callable[..., AzureAccess]
GRAPH = "/providers/Microsoft.ResourceGraph/resources"
SERVERS = "*/Microsoft.Sql/servers"


def subscription(number: int) -> str:
    return f"6f1b3a52-0c7e-4d1b-9a55-{number:012d}"


@pytest.fixture
def many(azure: ArmSimulator, open_access: Access) -> AzureAccess:
    """An access to a hundred subscriptions; each tenth holds a server `sNN`."""
    for number in range(100):
        azure.state.add_subscription(subscription(number))
    for number in range(0, 100, 10):
        add(azure, number)
    return open_access(subscriptions=tuple(map(subscription, range(100))))


def add(azure: ArmSimulator, number: int) -> None:
    azure.state.add_server(f"s{number:02}", subscription=subscription(number), resource_group="Data")


def look(access: AzureAccess) -> Discovered:
    return discover(access, ServerSettings(), Deadline.after(access.clock, 300.0))


def names(found: Discovered) -> list[str]:
    return [server.name for server in found.servers]


def asked(azure: ArmSimulator) -> dict[str, int]:
    """Requests since the last call, by what they ask for."""
    requests = azure.requests()
    told = {
        "lists": sum(r.decoded.endswith("/servers") for r in requests),
        "graph": sum(r.method == "POST" for r in requests),
        "visible": sum(r.decoded == "/subscriptions" for r in requests),
    }
    azure.journal.clear()
    return told


def test_the_first_look_lists_every_subscription(azure: ArmSimulator, many: AzureAccess) -> None:
    assert len(look(many).servers) == 10
    assert asked(azure) == {"lists": 100, "graph": 0, "visible": 0}


def test_the_next_ones_list_those_that_hold_servers(azure: ArmSimulator, many: AzureAccess) -> None:
    first = look(many)
    asked(azure)
    assert look(many) == first
    assert asked(azure) == {"lists": 10, "graph": 1, "visible": 1}
    assert many.writes == 0


def test_few_subscriptions_are_listed_each_time(azure: ArmSimulator, many: AzureAccess, open_access: Access) -> None:
    few = open_access(subscriptions=tuple(map(subscription, range(servers.MANY - 1))))
    for _ in range(2):
        look(few)
        assert asked(azure) == {"lists": servers.MANY - 1, "graph": 0, "visible": 0}


def test_a_new_server_is_found_once_resource_graph_knows_it(azure: ArmSimulator, many: AzureAccess) -> None:
    look(many)
    azure.switches.graph_lag = 60.0
    many.clock.sleep(100.0)
    add(azure, 7)
    assert "s07" not in names(look(many))
    many.clock.sleep(60.0)
    assert "s07" in names(look(many))


def test_a_new_server_beside_a_known_one_is_found_at_once(azure: ArmSimulator, many: AzureAccess) -> None:
    look(many)
    azure.switches.graph_lag = 60.0
    azure.state.add_server("beside", subscription=subscription(10), resource_group="Data")
    assert "beside" in names(look(many))


def test_what_a_server_is_comes_from_arm(azure: ArmSimulator, many: AzureAccess) -> None:
    look(many)
    azure.switches.graph_lag = 3600.0
    azure.state.set_public_access("s10", "Disabled")
    azure.state.set_tags("s10", {"role": "db"})
    known = {server.name: server for server in look(many).servers}
    assert known["s10"].public_access is PublicAccess.DISABLED
    assert known["s10"].tags == {"role": "db"}


def test_a_server_that_resource_graph_forgot_is_still_seen(azure: ArmSimulator, many: AzureAccess) -> None:
    first = look(many)
    azure.state.graph_history.clear()
    assert look(many) == first


def test_everything_is_listed_again_after_a_while(azure: ArmSimulator, many: AzureAccess) -> None:
    look(many)
    add(azure, 7)
    azure.state.graph_history.clear()
    assert "s07" not in names(look(many))
    many.clock.sleep(servers.LIST_ALL_EVERY)
    asked(azure)
    assert "s07" in names(look(many))
    assert asked(azure)["lists"] == 100


def test_a_subscription_that_is_not_seen_any_more_is_a_failure(azure: ArmSimulator, many: AzureAccess) -> None:
    """Resource Graph leaves it out in silence, and it held no server."""
    look(many)
    azure.state.remove_subscription(subscription(3))
    found = look(many)
    assert len(found.servers) == 10
    (failure,) = found.failures
    assert failure.subscription_id == subscription(3)
    assert isinstance(failure.error, ArmNotFound)


def test_a_subscription_that_may_not_be_listed_stays_a_failure(azure: ArmSimulator, many: AzureAccess) -> None:
    azure.switches.filter_lists = False
    azure.state.grants.deny("Microsoft.Sql/servers/read", scope=f"/subscriptions/{subscription(3)}")
    for _ in range(2):
        found = look(many)
        assert len(found.servers) == 10
        assert [type(failure.error) for failure in found.failures] == [ArmForbidden]
    azure.state.grants.allow("Microsoft.Sql/servers/read", scope=f"/subscriptions/{subscription(3)}")
    assert look(many).failures == ()
    asked(azure)
    look(many)
    assert asked(azure)["lists"] == 10


@pytest.mark.parametrize("path", [GRAPH, "/subscriptions"])
def test_without_resource_graph_every_subscription_is_listed(azure: ArmSimulator, many: AzureAccess, path: str) -> None:
    first = look(many)
    asked(azure)
    azure.faults.add(Fault("no", reply=Reply.json(403, {"error": {"code": "AuthorizationFailed"}})), path=path, times=9)
    assert look(many) == first
    assert asked(azure)["lists"] == 100


def test_all_that_are_seen(azure: ArmSimulator, many: AzureAccess, open_access: Access) -> None:
    everything = open_access(subscriptions=None)
    first = look(everything)
    assert len(first.servers) == 11  # with the one of the fixture's own subscription
    assert look(everything) == first
    azure.state.remove_subscription(subscription(10))
    found = look(everything)
    assert (len(found.servers), found.failures) == (10, ())


# --- the question itself


def test_groups_of_three_hundred(azure: ArmSimulator, access: AzureAccess, deadline: Deadline) -> None:
    ids = [subscription(number) for number in range(700)]
    for one in ids:
        azure.state.add_subscription(one)
    for number in (0, 299, 300, 699):
        add(azure, number)
    found = subscriptions_with_servers(access, ids, deadline)
    assert found == {ids[0], ids[299], ids[300], ids[699]}
    bodies = [request.json() for request in azure.requests("POST")]
    assert [len(body["subscriptions"]) for body in bodies] == [300, 300, 100]  # type: ignore[index]


def answer(**changes: object) -> Reply:
    row = {"subscriptionId": subscription(1).upper()}
    return Reply.json(200, {"data": [row], "resultTruncated": "false"} | changes)


def test_every_page_is_read(azure: ArmSimulator, access: AzureAccess, deadline: Deadline) -> None:
    token = {"resultTruncated": "true", "$skipToken": "to+the/next="}
    azure.faults.add(Fault("one", reply=answer(**token)), path=GRAPH)
    azure.faults.add(Fault("two", reply=answer(data=[{"subscriptionId": subscription(2)}])), path=GRAPH)
    assert subscriptions_with_servers(access, ["x"], deadline) == {subscription(1), subscription(2)}
    options = [request.json()["options"] for request in azure.requests("POST")]  # type: ignore[index]
    assert [each.get("$skipToken") for each in options] == [None, "to+the/next="]


@pytest.mark.parametrize(
    "bad",
    [answer(resultTruncated="true"), answer(data=None), answer(data=[{}]), answer(data={"rows": []}), Reply(200)],
)
def test_an_answer_that_is_cut_or_strange(
    azure: ArmSimulator, access: AzureAccess, deadline: Deadline, bad: Reply
) -> None:
    azure.faults.add(Fault("odd", reply=bad), path=GRAPH)
    with pytest.raises(ArmInvalidAnswer):
        subscriptions_with_servers(access, ["x"], deadline)


def test_pages_that_do_not_end(
    azure: ArmSimulator, access: AzureAccess, deadline: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "MOST_PAGES", 5)
    azure.faults.add(Fault("more", reply=answer(**{"$skipToken": "x"})), path=GRAPH, times=9)
    with pytest.raises(ArmInvalidAnswer):
        subscriptions_with_servers(access, ["x"], deadline)
    assert len(azure.requests("POST")) == 5


@pytest.mark.parametrize("retry_after", [False, True])
def test_the_quota_is_kept(azure: ArmSimulator, access: AzureAccess, *, retry_after: bool) -> None:
    azure.switches.graph_retry_after = retry_after
    ids = [next(iter(azure.state.subscriptions))]
    deadline = Deadline.after(access.clock, 300.0)
    for _ in range(40):
        subscriptions_with_servers(access, ids, deadline)
    assert [request.status for request in azure.requests("POST")] == [200] * 40
    assert access.clock.monotonic() == 10.0


def test_a_quota_that_somebody_else_used_up(azure: ArmSimulator, access: AzureAccess, clock: VirtualClock) -> None:
    """The first question is refused; the answer says how long to wait."""
    azure.switches.graph_quota = 0
    ids = list(azure.state.subscriptions)
    with pytest.raises(ArmThrottled) as refused:
        subscriptions_with_servers(access, ids, Deadline.after(clock, 3.0))
    assert refused.value.retry_after == 5.0
    clock.advance(5.0)
    azure.switches.graph_quota = 15
    assert subscriptions_with_servers(access, ids, Deadline.after(clock, 3.0)) == set(ids)


def test_reads_that_are_posted_count_as_reads(azure: ArmSimulator, access: AzureAccess, deadline: Deadline) -> None:
    subscriptions_with_servers(access, list(azure.state.subscriptions), deadline)
    assert (access.reads, access.writes) == (1, 0)
