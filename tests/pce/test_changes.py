"""The watch against a PCE that runs here: what it asks for, what it keeps, and what it never misses."""

from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from illumio_azsql_enforcer.errors import ArmUnavailable, PceError, PceUnauthorized, SnapshotIncomplete
from illumio_azsql_enforcer.model.policy import Snapshot
from illumio_azsql_enforcer.model.settings import PceSettings
from illumio_azsql_enforcer.pce.changes import PolicyWatch
from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.pce.reader import read_snapshot
from illumio_azsql_enforcer.policy.demand import Interest
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.sandbox.exchange import Reply, Request
from illumio_azsql_enforcer.sandbox.pce import PceSimulator, faults
from illumio_azsql_enforcer.sandbox.pce.replies import JSON
from illumio_azsql_enforcer.sandbox.wire import Fault
from illumio_azsql_enforcer.secret import Secret
from tests.support.clock import VirtualClock

FULL_SYNC = 900.0


class Watched:
    """A simulator, a watch of it, and what each look asked for."""

    def __init__(self, pce: PceSimulator, clock: VirtualClock) -> None:
        self.pce, self.clock = pce, clock
        self.org = f"/orgs/{pce.org_id}"
        settings = PceSettings(
            url=pce.url, org_id=pce.org_id, api_key=pce.api_key, api_secret=Secret(pce.api_secret), timeout=5.0
        )
        self.client = PceClient(settings, clock)
        self.watch = PolicyWatch(self.client, pce.org_id, clock, FULL_SYNC)
        self.role = pce.console.create("labels", key="role", value="db")["href"]
        self.workload = pce.console.create("workloads", name="w1", hostname="w1.example.com")["href"]
        self.rule_set = pce.console.create("rule_sets", name="orders", scopes=[[]])["href"]
        pce.console.provision()

    def look(self) -> Snapshot:
        """The next cycle's snapshot, a minute later."""
        self.clock.advance(60.0)
        self.pce.journal.clear()
        return self.watch.snapshot(Deadline.after(self.clock, 600.0))

    def whole(self) -> Snapshot:
        """What a full read gives."""
        deadline = Deadline.after(self.clock, 600.0)
        return read_snapshot(self.client, org_id=self.pce.org_id, clock=self.clock, deadline=deadline)

    @property
    def asked(self) -> list[str]:
        """The last part of each path that the last look asked for."""
        return [request.path.rsplit("/", 1)[-1] for request in self.pce.journal]

    def provision(self) -> None:
        self.pce.console.update(self.rule_set, description=f"at {self.clock.now()}")
        self.pce.console.provision()


@pytest.fixture
def watched(clock: VirtualClock) -> Iterator[Watched]:
    with PceSimulator(clock=clock, release="26.3") as pce:
        made = Watched(pce, clock)
        yield made
        made.client.close()


MEMBERS = ["service_bindings", "workloads", "labels"]
QUIET = ["active", "events"]


def test_the_first_look_reads_everything(watched: Watched) -> None:
    assert watched.look() == watched.whole()


def test_a_quiet_look_makes_two_requests_and_gives_the_same_object(watched: Watched) -> None:
    first = watched.look()
    for _ in range(10):
        assert watched.look() is first
        assert watched.asked == QUIET


def test_what_happened_before_the_first_look_is_no_news(watched: Watched) -> None:
    watched.look()
    watched.clock.advance(200.0)
    watched.look()
    assert watched.asked == QUIET


def test_brackets_in_the_query_are_encoded(watched: Watched) -> None:
    watched.look()
    watched.look()
    assert "timestamp%5Bgte%5D=" in watched.pce.journal[1].target
    assert "max_results=10000" in watched.pce.journal[1].target


def _relabel(watched: Watched) -> None:
    watched.pce.console.update(watched.workload, labels=[{"href": watched.role}])


def _move(watched: Watched) -> None:
    watched.pce.console.update(watched.workload, interfaces=[{"name": "eth0", "address": "192.0.2.7"}])


def _create(watched: Watched) -> None:
    watched.pce.console.create("workloads", name="w2")


def _delete(watched: Watched) -> None:
    watched.pce.console.delete(watched.workload)


def _go_offline(watched: Watched) -> None:
    watched.pce.console.update(watched.workload, online=False)


def _new_label(watched: Watched) -> None:
    watched.pce.console.create("labels", key="role", value="new")


@pytest.mark.parametrize("happens", [_relabel, _move, _create, _delete, _go_offline, _new_label])
def test_a_change_of_members_is_seen_at_the_next_look(watched: Watched, happens: Any) -> None:
    before = watched.look()
    happens(watched)
    after = watched.look()
    assert watched.asked == [*QUIET, *MEMBERS, "active"]
    assert after != before
    assert after == watched.whole()
    assert watched.look() is after
    assert watched.asked == QUIET


def test_a_provisioned_policy_is_read_without_the_members(watched: Watched) -> None:
    before = watched.look()
    watched.provision()
    after = watched.look()
    policy = ["label_groups", "ip_lists", "services", "rule_sets", "virtual_services"]
    assert watched.asked == [*QUIET, *policy, "active"]
    assert after == watched.whole()
    assert after.workloads is before.workloads


def test_edits_of_a_draft_cost_nothing(watched: Watched) -> None:
    first = watched.look()
    watched.pce.console.update(watched.rule_set, description="a draft")
    assert watched.look() is first
    assert watched.asked == QUIET


def test_a_label_and_a_policy_that_uses_it_come_together(watched: Watched) -> None:
    watched.look()
    _new_label(watched)
    watched.provision()
    assert watched.look() == watched.whole()


def test_everything_is_read_again_in_time(watched: Watched) -> None:
    first = watched.look()
    watched.clock.advance(FULL_SYNC - 60.0)
    assert watched.look() is first  # read, and found to say the same
    assert "rule_sets" in watched.asked
    assert "workloads" in watched.asked


def test_a_change_without_an_event_is_seen_within_the_full_sync_interval(watched: Watched) -> None:
    watched.look()
    watched.pce.console.plant({})
    _relabel(watched)
    watched.pce._org.events.clear()
    watched.look()
    watched.clock.advance(FULL_SYNC)
    assert watched.look() == watched.whole()


def test_an_event_of_an_unknown_type_counts(watched: Watched) -> None:
    watched.look()
    _relabel(watched)
    watched.pce._org.events[-1]["event_type"] = "planet.align"
    assert watched.look() == watched.whole()
    assert watched.asked[2:5] == MEMBERS


def test_an_event_that_comes_late_is_seen(watched: Watched) -> None:
    watched.look()
    _relabel(watched)
    late = watched.pce._org.events.pop()
    watched.clock.advance(100.0)
    newer = {**late, "href": "/orgs/1/events/newer", "event_type": "user.login", "timestamp": watched.pce._org.stamp()}
    watched.pce._org.events.append(newer)
    watched.look()
    assert watched.asked == QUIET
    watched.pce._org.events.append(late)  # its time stamp lies before the last event that was seen
    assert watched.look() == watched.whole()
    assert watched.asked[2:5] == MEMBERS


def test_clocks_may_differ(clock: VirtualClock) -> None:
    ours = VirtualClock()
    ours.advance(7 * 3600.0)  # we are ahead of the PCE by hours
    with PceSimulator(clock=clock, release="26.3") as pce:
        watched = Watched(pce, clock)
        watched.watch = PolicyWatch(watched.client, pce.org_id, ours, FULL_SYNC)
        watched.look()
        watched.look()
        watched.look()
        _relabel(watched)
        assert watched.look() == watched.whole()
        watched.client.close()


@pytest.mark.parametrize("status", [403, 404, 406])
def test_without_events_members_are_read_every_time(watched: Watched, status: int) -> None:
    refusal = Fault("no events", reply=Reply(status, b'[{"token": "no", "message": "no"}]', JSON))
    watched.pce.faults.add(refusal, path="*/events", times=100)
    with capture_logs() as logged:
        first = watched.look()
        for _ in range(3):
            assert watched.look() is first
            assert watched.asked == ["active", *MEMBERS, "active"]
    told = [line for line in logged if line["log_level"] == "warning"]
    assert len(told) == 1
    assert "Global Viewer" in told[0]["event"]
    _relabel(watched)
    assert watched.look() == watched.whole()


def test_events_are_tried_again_when_everything_is_read(watched: Watched) -> None:
    watched.pce.behaviour.events_permitted = False
    watched.look()
    watched.pce.behaviour.events_permitted = True
    watched.clock.advance(FULL_SYNC)
    watched.look()
    watched.look()
    assert watched.asked == QUIET


def test_events_that_are_no_events_do_not_matter(watched: Watched) -> None:
    odd = Fault("odd events", reply=Reply(200, b'[{"when": 7}]', JSON))
    watched.pce.faults.add(odd, path="*/events", times=100)
    watched.look()
    _relabel(watched)
    assert watched.look() == watched.whole()


def test_more_events_than_an_answer_holds_mean_a_new_read(watched: Watched) -> None:
    watched.look()
    _relabel(watched)
    harmless = b'[{"href": "/orgs/1/events/x", "timestamp": "2026-11-23T10:01:00.000Z", "event_type": "user.login"}]'
    short = Fault("cut events", reply=Reply(200, harmless, {**JSON, "X-Total-Count": "10001"}))
    watched.pce.faults.add(short, path="*/events", times=1)
    assert watched.look() == watched.whole()


def test_without_the_clock_of_the_pce_members_are_read_every_time(watched: Watched) -> None:
    undated = Fault("no date", reply=Reply(200, b"[]", {**JSON, "Date": "once upon a time"}))
    watched.pce.faults.add(undated, path="*/events", times=100)
    first = watched.look()
    assert watched.look() is first
    assert watched.asked[2:5] == MEMBERS
    _relabel(watched)
    assert watched.look() == watched.whole()


def test_a_time_stamp_of_the_future_does_not_hide_what_comes(watched: Watched) -> None:
    watched.look()
    _new_label(watched)
    watched.pce._org.events[-1]["timestamp"] = "2999-01-01T00:00:00.000Z"
    watched.look()
    watched.clock.advance(400.0)
    _relabel(watched)
    assert watched.look() == watched.whole()
    assert watched.asked[2:5] == MEMBERS


# --- the version moves


def _when(watched: Watched, act: Any) -> Fault:
    def happen(_request: Request) -> None:
        act(watched)

    return Fault("something happens", act=happen)


def test_a_policy_that_moves_while_members_are_read_is_read_too(watched: Watched) -> None:
    watched.look()
    _relabel(watched)
    watched.pce.faults.add(_when(watched, Watched.provision), path="*/workloads", times=1)
    after = watched.look()
    assert after.version == watched.pce.console.version
    assert after == watched.whole()


def test_members_that_change_while_they_are_read_are_read_again_at_the_next_look(watched: Watched) -> None:
    watched.look()
    _new_label(watched)
    watched.pce.faults.add(_when(watched, _relabel), path="*/labels", times=1)  # the workloads have been read
    watched.look()
    assert watched.look() == watched.whole()


def test_members_that_change_while_the_policy_moves_are_read_too(watched: Watched) -> None:
    watched.look()
    watched.provision()

    def both(_watched: Watched) -> None:
        _relabel(watched)
        watched.provision()

    watched.pce.faults.add(_when(watched, both), path="*/rule_sets", times=1)
    assert watched.look() == watched.whole()


def test_a_policy_that_never_rests_is_no_policy(watched: Watched) -> None:
    watched.look()
    watched.provision()
    watched.pce.faults.add(_when(watched, Watched.provision), path="*/rule_sets", times=4)
    with pytest.raises(SnapshotIncomplete, match="during each of 4 reads"):
        watched.look()
    assert watched.look() == watched.whole()


def test_a_policy_version_that_goes_back_means_that_everything_is_read(watched: Watched) -> None:
    watched.provision()
    watched.look()
    latest = max(watched.pce._org.versions)
    del watched.pce._org.versions[latest]
    assert watched.look() == watched.whole()
    assert "workloads" in watched.asked


# --- after an error


@pytest.mark.parametrize("path", ["*/active", "*/events"])
def test_after_an_error_everything_is_read_again(watched: Watched, path: str) -> None:
    first = watched.look()
    watched.pce.faults.add(faults.UNAUTHORIZED, path=path, times=1)
    with pytest.raises(PceUnauthorized):
        watched.look()
    assert watched.look() is first
    assert "workloads" in watched.asked
    assert watched.look() is first
    assert watched.asked == QUIET


@pytest.mark.parametrize("path", ["*/workloads", "*/labels", "*/service_bindings"])
def test_a_change_that_could_not_be_read_is_not_forgotten(watched: Watched, path: str) -> None:
    watched.look()
    _relabel(watched)
    watched.pce.faults.add(faults.LOGIN_PAGE, path=path, times=1)
    with pytest.raises(PceError):
        watched.look()
    assert watched.look() == watched.whole()


def test_a_policy_that_could_not_be_read_is_not_forgotten(watched: Watched) -> None:
    watched.look()
    watched.provision()
    watched.pce.faults.add(faults.CUT, path="*/rule_sets", times=5)
    with pytest.raises(PceError):
        watched.look()
    assert watched.look() == watched.whole()


def test_servers_that_cannot_be_listed_cost_no_read(watched: Watched) -> None:
    """That the policy is needed for no servers, because Azure is down, does not make what was read doubtful."""
    watched.look()
    _relabel(watched)

    def azure_is_down() -> Interest:
        raise ArmUnavailable("Azure is down.")

    with pytest.raises(ArmUnavailable):
        watched.watch.snapshot(Deadline.after(watched.clock, 600.0), azure_is_down)
    assert watched.look() == watched.whole()
    assert watched.asked[:6] == [*QUIET, *MEMBERS, "active"]


def test_the_servers_are_not_asked_for_while_the_pce_is_down(watched: Watched) -> None:
    watched.pce.faults.add(faults.UNAUTHORIZED, times=1)

    def never() -> Interest:
        raise AssertionError

    with pytest.raises(PceUnauthorized):
        watched.watch.snapshot(Deadline.after(watched.clock, 600.0), never)


# --- deny rules


def test_deny_rules_are_read_again_only_when_the_version_moved(clock: VirtualClock) -> None:
    with PceSimulator(clock=clock, release="25.2.20") as pce:
        watched = Watched(pce, clock)
        watched.look()
        asked = watched.asked.count("deny_rules")
        watched.clock.advance(FULL_SYNC)
        watched.look()
        assert ("workloads" in watched.asked, watched.asked.count("deny_rules")) == (True, 0)
        everyone = [{"actors": "ams"}]
        sides: dict[str, Any] = {"providers": everyone, "consumers": everyone, "ingress_services": [{"proto": 6}]}
        pce.console.add_deny_rule(watched.rule_set, override=True, **sides)
        pce.console.provision()
        after = watched.look()
        assert watched.asked.count("deny_rules") == asked == len(after.rule_sets)
        orders = next(each for each in after.rule_sets if each.name == "orders")
        assert isinstance(orders.deny_rules, list)
        assert [each.override for each in orders.deny_rules] == [True]
        watched.client.close()
