"""What goes wrong with the PCE never reaches a firewall: no write in the cycle that meets it, and the change after it.

Each row is a daemon's life of three cycles against a PCE and an Azure that run here: all is well; then the policy and a
workload change, and a fault lasts for one cycle; then it is over.
"""

import math
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from illumio_azsql_enforcer.config import load
from illumio_azsql_enforcer.enforcer import Enforcer
from illumio_azsql_enforcer.report import Outcome, Report
from illumio_azsql_enforcer.sandbox.arm import ArmSimulator
from illumio_azsql_enforcer.sandbox.box import Sandbox, _write_config, environment_of
from illumio_azsql_enforcer.sandbox.estate import blog_estate
from illumio_azsql_enforcer.sandbox.pce import PceSimulator, faults
from illumio_azsql_enforcer.sandbox.pce.replies import JSON
from illumio_azsql_enforcer.sandbox.wire import Fault, Reply
from illumio_azsql_enforcer.server_cycle import Options
from tests.pce.loopback import relay, serving
from tests.support.clock import VirtualClock

MINUTE = 60.0
BEFORE = ("198.51.100.21", "198.51.100.22")  # two clients; the first is about to go
AFTER = ("198.51.100.22", "198.51.100.22")
LIST_AFTER = ("203.0.113.0", "203.0.113.127")  # and of its list, one address is about to go
LIST_GONE = ("203.0.113.200", "203.0.113.200")


@dataclass
class Life:
    """A daemon with its two worlds."""

    sandbox: Sandbox
    clock: VirtualClock
    enforcer: Enforcer = field(init=False)

    @property
    def pce(self) -> PceSimulator:
        return self.sandbox.pce

    def start(self, **changed: Any) -> None:
        """The daemon, with these PCE settings."""
        config = load(self.sandbox.config, {})
        config = replace(config, pce=replace(config.pce, **({"timeout": 2.0} | changed)))
        self.enforcer = Enforcer(config, Options(watch=True), self.clock)

    def restart(self, **changed: Any) -> None:
        """The daemon again, with these PCE settings, after its first cycle."""
        self.enforcer.close()
        self.start(**changed)
        assert self.cycle().outcome is Outcome.IN_SYNC

    def cycle(self) -> Report:
        self.clock.advance(MINUTE)
        return self.enforcer.cycle()

    def change(self) -> None:
        """A workload loses its label, and an IP list an address."""
        console, estate = self.pce.console, self.sandbox.estate
        console.update(estate.public_client, labels=[])
        console.update(estate.clients_list, ip_ranges=[{"from_ip": "203.0.113.0/25"}])
        console.provision("an address goes")

    @property
    def live(self) -> list[tuple[str, str]]:
        return sorted(self.sandbox.arm.state.rules("orders-sql").values())

    @property
    def writes(self) -> int:
        return len(self.sandbox.arm.requests("PUT", "DELETE", "POST", "PATCH"))

    def meets(self, *, cycles: int = 1) -> str:
        """What the cycles under the fault say; they must leave the firewall alone."""
        before, writes = self.live, self.writes
        for _ in range(cycles):
            report = self.cycle()
            assert report.outcome is Outcome.FAILED, report
            assert report.calls.azure_writes == 0
        assert (self.live, self.writes) == (before, writes)
        return report.error or ""

    def recovers(self) -> None:
        """The next cycle carries the change out."""
        report = self.cycle()
        assert report.error is None
        assert report.outcome is Outcome.CHANGED
        assert {AFTER, LIST_AFTER} <= set(self.live)
        assert not {BEFORE, LIST_GONE} & set(self.live)
        assert self.cycle().outcome is Outcome.IN_SYNC
        assert self.sandbox.arm.catastrophes == []


@contextmanager
def living(folder: Path, release: str = "25.2.20") -> Iterator[Life]:
    clock = VirtualClock()
    with ExitStack() as stack:
        pce = stack.enter_context(PceSimulator(clock=clock, release=release))
        arm = stack.enter_context(ArmSimulator())
        estate = blog_estate(pce, arm)
        sandbox = Sandbox(pce, arm, estate, _write_config(folder, pce, arm))
        stack.enter_context(environment_of(sandbox))
        life = Life(sandbox, clock)
        life.start()
        yield life
        life.enforcer.close()


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    with living(tmp_path) as made:
        assert made.cycle().outcome is Outcome.CHANGED
        assert BEFORE in made.live
        yield made


ELSEWHERE = Reply(302, b"", {"Location": "https://attacker.example.net/api/v2/orgs/1/workloads"})
POLICY, MEMBERS, VERSION, EVENTS = "*/active/rule_sets", "*/orgs/1/workloads", "*/sec_policy/active", "*/events"
ANYWHERE = (VERSION, POLICY, MEMBERS)


def _answers(name: str, status: int, body: bytes, **headers: str) -> Fault:
    return Fault(name, reply=Reply(status, body, {**JSON, **headers}))


LASTING = {
    "401": faults.UNAUTHORIZED,
    "403": faults.FORBIDDEN,
    "404 HTML": faults.NOT_FOUND,
    "429 with Retry-After": faults.throttled(7),
    "429 without": faults.throttled(None),
    "502 HTML": faults.BAD_GATEWAY,
    "503": faults.RESTARTING,
    "200 HTML": faults.LOGIN_PAGE,
    "302 elsewhere": Fault("redirect", reply=ELSEWHERE),
    "cut": faults.CUT,
    "reset": faults.RESET,
    "lost": faults.LOST,
    "empty body": _answers("empty body", 200, b""),
    "null": _answers("null", 200, b"null"),
    "204": Fault("no content", reply=Reply(204)),
    "wrong shape": _answers("wrong shape", 200, b'[{"href": 7}]', **{"X-Total-Count": "1"}),
    "HTML as JSON": Fault("html", reply=Reply(200, b"<html>" * 9, JSON)),
    "unknown encoding": _answers("br", 200, b"[]", **{"Content-Encoding": "br"}),
    "no gzip": _answers("damaged", 200, b"[]", **{"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("path", ANYWHERE, ids=["version", "policy", "members"])
@pytest.mark.parametrize("name", LASTING)
def test_a_fault_that_lasts_for_a_cycle(life: Life, name: str, path: str) -> None:
    life.change()
    life.pce.faults.add(LASTING[name], path=path, times=math.inf)
    said = life.meets()
    assert said.startswith(("The PCE", "The policy"))
    life.pce.faults.clear()
    life.recovers()


@pytest.mark.parametrize("path", [VERSION, EVENTS, POLICY, MEMBERS])
@pytest.mark.parametrize("name", ["502 HTML", "503", "reset", "cut", "429 with Retry-After"])
def test_a_fault_that_passes_is_survived_in_the_same_cycle(life: Life, name: str, path: str) -> None:
    life.change()
    life.pce.faults.add(LASTING[name], path=path, times=2)
    life.recovers()


@pytest.mark.parametrize("name", LASTING)
def test_events_that_fail_never_hide_a_change(life: Life, name: str) -> None:
    """The cycle fails, or does without events; it never takes no answer for no news."""
    life.change()
    life.pce.faults.add(LASTING[name], path=EVENTS, times=math.inf)
    before = life.writes
    report = life.cycle()
    if report.outcome is Outcome.FAILED:
        assert life.writes == before
        life.pce.faults.clear()
        life.recovers()
    else:
        assert {AFTER, LIST_AFTER} <= set(life.live)


@pytest.mark.parametrize("name", ["401", "403"])
def test_a_key_that_expires_keeps_the_firewalls_and_the_daemon(life: Life, name: str) -> None:
    life.change()
    life.pce.faults.add(LASTING[name], times=math.inf)
    said = life.meets(cycles=5)
    assert f"({name})" in said
    life.pce.faults.clear()
    life.recovers()


# --- bodies without end


@pytest.mark.parametrize("size", [1 << 21, 1 << 26])
def test_a_body_that_inflates_to_too_much(life: Life, size: int) -> None:
    """Sent as gzip: little on the wire."""
    life.restart(max_response=1 << 20)
    life.change()
    life.pce.faults.add(_answers("large", 200, b" " * size), path=MEMBERS, times=math.inf)
    assert "pce.max_response" in life.meets()
    life.pce.faults.clear()
    life.recovers()


def test_an_answer_that_never_comes(life: Life) -> None:
    life.restart(timeout=0.5)
    life.change()
    life.pce.faults.add(faults.slow(1.0), path=MEMBERS, times=5)
    assert "pce.timeout" in life.meets()
    life.pce.faults.clear()
    life.recovers()


@pytest.mark.parametrize("drip", [b" ", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["body", "header"])
def test_an_answer_that_never_ends(life: Life, drip: bytes) -> None:
    """One byte now and then is no time-out; the deadline ends it. A relay in front of the PCE plays it."""
    trouble: list[str] = []
    target = int(life.pce.url.rpartition(":")[2])

    def script(line: socket.socket, head: bytes) -> None:
        if trouble and trouble[0].encode() in head:
            if drip == b" ":
                line.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
            while True:
                line.sendall(drip)
                life.clock.advance(30.0)
        with socket.create_connection(("127.0.0.1", target)) as pce:
            pce.sendall(head.replace(b"Connection: keep-alive", b"Connection: close"))
            relay(line, pce)

    with serving(script) as front:
        life.restart(url=f"http://127.0.0.1:{front.port}")
        life.change()
        trouble.append("/workloads ")
        life.meets()
        trouble.clear()
        life.recovers()


# --- jobs, counts, versions


@pytest.fixture
def slow_lists(life: Life) -> Life:
    """A PCE whose synchronous answers hold two objects at most: everything takes a job."""
    life.pce.behaviour.cap, life.pce.behaviour.honour_max_results = 2, False
    life.pce.behaviour.total_count = lambda count: count
    return life


def _jobs_fail(life: Life) -> None:
    life.pce.behaviour.job_end = "failed"


def _jobs_never_end(life: Life) -> None:
    life.pce.behaviour.job_end = "never"


def _datafiles_vanish(life: Life) -> None:
    life.pce.behaviour.datafiles_kept = False


def _jobs_vanish(life: Life) -> None:
    life.pce.faults.add(faults.NOT_FOUND, path="*/jobs/*", times=math.inf)


def _datafiles_are_cut(life: Life) -> None:
    life.pce.faults.add(faults.CUT, path="*/datafiles/*", times=math.inf)


def _datafiles_are_short(life: Life) -> None:
    life.pce.faults.add(_answers("short", 200, b"[]"), path="*/datafiles/*", times=math.inf)


def _jobs_lead_elsewhere(life: Life) -> None:
    elsewhere = b'{"href": "/orgs/1/jobs/1", "status": "done", "result": {"href": "https://attacker.example.net/x"}}'
    life.pce.faults.add(_answers("elsewhere", 200, elsewhere), path="*/jobs/*", times=math.inf)


def _counts_say_more(life: Life) -> None:
    life.pce.behaviour.total_count = lambda count: count + 1


def _counts_say_much_more(life: Life) -> None:
    life.pce.behaviour.total_count = lambda count: count + 1000


def _versions_never_rest(life: Life) -> None:
    life.pce.faults.add(faults.version_moves(life.pce.console), path=POLICY, times=math.inf)


def _rule_sets_are_missing(life: Life) -> None:
    life.pce.faults.add(_answers("none", 200, b"[]", **{"X-Total-Count": "0"}), path=POLICY, times=math.inf)


def _deny_rules_cannot_be_read(life: Life) -> None:
    life.pce.faults.add(faults.FORBIDDEN, path="*/deny_rules", times=math.inf)


def _deny_rules_are_not_known(life: Life) -> None:
    life.pce.faults.add(faults.NOT_FOUND, path="*/deny_rules", times=math.inf)


STATES: list[Callable[[Life], None]] = [
    _jobs_fail,
    _jobs_never_end,
    _datafiles_vanish,
    _jobs_vanish,
    _datafiles_are_cut,
    _datafiles_are_short,
    _jobs_lead_elsewhere,
    _counts_say_more,
    _counts_say_much_more,
    _versions_never_rest,
    _rule_sets_are_missing,
    _deny_rules_cannot_be_read,
    _deny_rules_are_not_known,
]


@pytest.mark.parametrize("begins", STATES)
def test_a_pce_that_cannot_be_read_whole(slow_lists: Life, begins: Callable[[Life], None]) -> None:
    life = slow_lists
    life.change()
    begins(life)
    life.meets()
    life.pce.faults.clear()
    behaviour = life.pce.behaviour
    behaviour.job_end, behaviour.datafiles_kept, behaviour.total_count = "done", True, lambda count: count
    life.recovers()


@pytest.mark.parametrize(
    "told", [lambda count: None, lambda count: max(0, count - 1), lambda count: 0], ids=["nothing", "one less", "zero"]
)
def test_counts_that_say_nothing_or_too_little_lose_nothing(life: Life, told: Callable[[int], int | None]) -> None:
    life.pce.behaviour.total_count = told
    life.change()
    life.recovers()


def test_a_policy_that_moves_once_while_it_is_read(life: Life) -> None:
    life.change()
    life.pce.faults.add(faults.version_moves(life.pce.console), path=POLICY, times=1)
    life.recovers()


# --- the limit of requests a minute


def test_a_key_that_others_use_up(life: Life) -> None:
    """20 requests a minute are left: the cycle takes longer, and is whole."""
    life.pce.behaviour.requests_per_minute = 20
    life.change()
    life.recovers()


def test_never_more_than_the_pce_allows_in_a_minute(tmp_path: Path) -> None:
    """Each rule set takes a request for its deny rules here."""
    with living(tmp_path) as life:
        for number in range(600):
            life.pce.console.create("rule_sets", name=f"set {number}", scopes=[[]])
        life.pce.console.provision()
        assert life.cycle().error is None
        stamps = [request.at.timestamp() for request in life.pce.journal]
        assert len(stamps) > 600
        assert all(sum(1 for at in stamps if start <= at < start + 60.0) <= 500 for start in stamps)
        assert {request.status for request in life.pce.journal} == {200, 202}


# --- what a quiet cycle costs


def test_a_quiet_cycle_asks_the_pce_twice_and_keeps_the_translator(life: Life) -> None:
    report = life.cycle()
    survey = life.enforcer._survey
    assert (report.calls.pce, report.outcome) == (2, Outcome.IN_SYNC)
    life.cycle()
    assert survey is not None
    assert life.enforcer._survey is not None
    assert life.enforcer._survey.translator is survey.translator
    life.change()
    life.recovers()
