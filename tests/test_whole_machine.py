"""The whole program against both simulators, at random: policy edits, hand edits, faults, crashes.

A monitor inside the simulated ARM looks at each write that is accepted and holds it against the firewall of before the
cycle and against the naive model of policy meaning. A quiet cycle at the end must bring everything in line.
"""

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import requests
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from illumio_azsql_enforcer.addresses import format_address, parse_address
from illumio_azsql_enforcer.config import load
from illumio_azsql_enforcer.enforcer import Enforcer
from illumio_azsql_enforcer.model.firewall import NoteCode
from illumio_azsql_enforcer.model.settings import GuardSettings, PolicySettings
from illumio_azsql_enforcer.report import Outcome, Report
from illumio_azsql_enforcer.sandbox.arm import faults as azure
from illumio_azsql_enforcer.sandbox.arm.records import Range as Span
from illumio_azsql_enforcer.sandbox.box import environment_of, open_sandbox
from illumio_azsql_enforcer.sandbox.exchange import Fault, Request
from illumio_azsql_enforcer.sandbox.oracle import Decision, Judge, ServerView, World
from illumio_azsql_enforcer.sandbox.pce import faults as pce
from illumio_azsql_enforcer.server_cycle import Options
from tests.support.clock import VirtualClock

FIRST = parse_address("192.0.2.0")
WINDOW = range(FIRST - 1, FIRST + 33)  # the addresses that policy and people play with, and one beside them
LIMIT = 7
NO_GUARDS = GuardSettings(max_revoked=10**6, max_revoked_percent=100, never_empty=False, widest_range=0)
COLLECTIONS = ("labels", "workloads", "service_bindings")
ACTIVE = ("label_groups", "ip_lists", "services", "rule_sets", "virtual_services")
AZURE_FAULTS: dict[str, Callable[[], Fault]] = {
    "lost answer": partial(azure.reset, effect=True),
    "reset": azure.reset,
    "throttled": partial(azure.throttled, 2),
    "500": azure.internal_error,
    "500 with effect": partial(azure.internal_error, effect=True),
    "409": azure.conflict,
    "bad gateway": azure.bad_gateway,
    "not by policy": partial(azure.refused, 403, "RequestDisallowedByPolicy", "Disallowed by policy."),
    "locked": partial(azure.refused, 409, "ScopeLocked", "The scope is locked."),
}
PCE_FAULTS = {"502": pce.BAD_GATEWAY, "cut": pce.CUT, "login page": pce.LOGIN_PAGE, "401": pce.UNAUTHORIZED}
offsets = st.integers(0, 31)


def spans(rules: dict[str, Span]) -> frozenset[int]:
    """The addresses of the window that these rules admit."""
    ends = [(parse_address(start), parse_address(end)) for start, end in rules.values()]
    return frozenset(at for at in WINDOW if any(first <= at <= last for first, last in ends))


# No shrinking: each step is HTTP, and twenty steps can be read as they are.
@settings(
    max_examples=40,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
class WholeMachine(RuleBasedStateMachine):
    """One server of the article's estate, `orders-sql`, in mode authoritative or sync."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._sandbox = self._stack.enter_context(open_sandbox(self._folder))
        self._stack.enter_context(environment_of(self._sandbox))
        self._sandbox.pce.behaviour.requests_per_minute = 10**6  # the walk's minutes are virtual, the simulator's real
        self._clock = VirtualClock()
        self._lists = 0
        self._writes_left: int | None = None
        self._before: frozenset[int] = frozenset()
        self._wanted: frozenset[int] = frozenset()
        self._lost: frozenset[int] = frozenset()  # addresses that both admit, and a write took away
        self._foreign: dict[str, Span] = {}
        self._authoritative = False
        self._enforcer: Enforcer | None = None

    @initialize(authoritative=st.booleans())
    def start(self, authoritative: bool) -> None:
        console, estate = self._sandbox.pce.console, self._sandbox.estate
        console.update(estate.clients_list, ip_ranges=[{"from_ip": "192.0.2.4", "to_ip": "192.0.2.9"}])
        console.update(estate.apps_list, ip_ranges=[{"from_ip": "192.0.2.16/29"}])
        console.provision("small")
        self._sandbox.arm.state.set_rule_limit(estate.orders, LIMIT)
        self._sandbox.arm.monitor = self._watch
        self._authoritative = authoritative
        self._run()

    # --- what people do

    @rule(
        which=st.sampled_from(["clients_list", "apps_list"]),
        at=offsets,
        size=st.integers(1, 12),
        hole=offsets,
        draft=st.sampled_from([False, False, True]),
    )
    def edit_a_list(self, which: str, at: int, size: int, hole: int, draft: bool) -> None:
        last = FIRST + min(31, at + size)
        entries: list[Any] = [{"from_ip": format_address(FIRST + at), "to_ip": format_address(last)}]
        if FIRST + at < FIRST + hole < last:
            entries.append({"from_ip": format_address(FIRST + hole), "exclusion": True})
        self._sandbox.pce.console.update(getattr(self._sandbox.estate, which), ip_ranges=entries)
        if not draft:
            self.provision()

    @rule()
    def provision(self) -> None:
        if requests.get(self._url("/sec_policy/pending"), auth=self._key, timeout=10).json():
            self._sandbox.pce.console.provision("edited")

    @rule(client=st.sampled_from(["public_client", "cloud_client"]), keep=st.booleans(), at=offsets)
    def move_a_client(self, client: str, keep: bool, at: int) -> None:
        role = self._sandbox.estate.labels["sql_client" if keep else "web"]
        interfaces = [{"name": "eth0", "address": format_address(FIRST + at), "cidr_block": 32}]
        href = getattr(self._sandbox.estate, client)
        self._sandbox.pce.console.update(href, labels=[{"href": role}], interfaces=interfaces)

    @rule(name=st.sampled_from(["by-hand", "illumio-192.0.2.1-192.0.2.3", "ILLUMIO-192.0.2.16-192.0.2.23"]), at=offsets)
    def edit_the_firewall_by_hand(self, name: str, at: int) -> None:
        if len(self._rules()) < LIMIT:
            self._sandbox.arm.state.set_rule("orders-sql", name, format_address(FIRST + at), format_address(FIRST + 31))

    @precondition(lambda self: self._rules())
    @rule(data=st.data())
    def delete_a_rule_by_hand(self, data: st.DataObject) -> None:
        self._sandbox.arm.state.delete_rule("orders-sql", data.draw(st.sampled_from(sorted(self._rules()))))

    # --- what goes wrong

    @rule(
        kind=st.sampled_from(sorted(AZURE_FAULTS)),
        method=st.sampled_from(["GET", "PUT", "PUT", "DELETE"]),
        skip=st.integers(0, 2),
        times=st.integers(1, 7),
    )
    def cycle_with_trouble_in_azure(self, kind: str, method: str, skip: int, times: int) -> None:
        self._sandbox.arm.faults.add(AZURE_FAULTS[kind](), server="arm", method=method, skip=skip, times=times)
        self._run()

    @rule(kind=st.sampled_from(sorted(PCE_FAULTS)), skip=st.integers(0, 14), times=st.integers(1, 7))
    def trouble_at_the_pce(self, kind: str, skip: int, times: int) -> None:
        self._sandbox.pce.faults.add(PCE_FAULTS[kind], skip=skip, times=times, when=is_from_the_program)

    # --- what the program does

    @rule()
    def cycle(self) -> None:
        self._run()

    @rule(writes=st.integers(0, 4))
    def cycle_cut_by_a_crash(self, writes: int) -> None:
        self._writes_left = writes
        self._run(stopping=lambda: self._writes_left is not None and self._writes_left <= 0)
        self._writes_left = None
        self._restart()

    @rule()
    def restart(self) -> None:
        self._restart()

    @rule()
    def quiet_cycle_converges(self) -> None:
        self._sandbox.arm.faults.clear()
        self._sandbox.pce.faults.clear()
        self._clock.advance(120)
        report = self._run()
        server = next(one for one in report.servers if one.server.name == "orders-sql")
        assert report.error is None
        if server.outcome is Outcome.REFUSED:
            assert (server.reason or "").startswith("max_rules")
            return
        assert server.outcome in (Outcome.IN_SYNC, Outcome.CHANGED), server.reason
        assert spans(self._rules()) == self._wanted | spans(self._foreign_rules())
        again = self._run()
        assert again.calls.azure_writes == 0

    @invariant()
    def nothing_catastrophic_was_sent(self) -> None:
        assert self._sandbox.arm.catastrophes == []

    def teardown(self) -> None:
        try:
            self.quiet_cycle_converges()
        finally:
            if self._enforcer:
                self._enforcer.close()
            self._stack.close()

    # --- inside

    def _run(self, stopping: Callable[[], bool] = lambda: False) -> Report:
        self._before, self._wanted = spans(self._rules()), self._policy()
        self._foreign, self._lost = self._foreign_rules(), frozenset()
        if self._enforcer is None:
            self._enforcer = self._new_enforcer(stopping)
        self._enforcer._stopping = stopping
        report = self._enforcer.cycle()
        notes = {note.code for server in report.servers for note in server.notes}
        assert not self._lost or NoteCode.GAP in notes, f"lost {sorted(map(format_address, self._lost))} undeclared"
        return report

    def _restart(self) -> None:
        if self._enforcer:
            self._enforcer.close()
        self._enforcer = None

    def _new_enforcer(self, stopping: Callable[[], bool]) -> Enforcer:
        config = load(self._sandbox.config, os.environ)
        overrides = config.servers.overrides if self._authoritative else {}
        config = replace(
            config,
            servers=replace(config.servers, include=("orders-sql",), overrides=overrides),
            enforcement=replace(config.enforcement, max_rules=LIMIT, guards=NO_GUARDS),
        )
        return Enforcer(config, Options(), self._clock, stopping)

    def _watch(self, _server: str, _before: dict[str, Span], after: dict[str, Span]) -> None:
        """After each accepted write: nothing outside old-or-new, everything in old-and-new, never past the limit."""
        if self._writes_left is not None:
            self._writes_left -= 1
        admitted, foreign = spans(after), spans(self._foreign)
        assert admitted <= self._before | self._wanted | foreign, "an address that neither set admits"
        assert len(after) <= LIMIT
        self._lost |= (self._before & (self._wanted | foreign)) - admitted

    def _foreign_rules(self) -> dict[str, Span]:
        """Rules that the mode keeps."""
        return {} if self._authoritative else {n: r for n, r in self._rules().items() if not is_ours(n)}

    def _rules(self) -> dict[str, Span]:
        return self._sandbox.arm.state.rules("orders-sql")

    def _policy(self) -> frozenset[int]:
        """What the naive model says of the active policy, read over the simulator's own REST API."""
        world = World.of({name: self._collection(name) for name in (*COLLECTIONS, *ACTIVE)})
        workload = next(w for w in world.workloads if w["href"] == self._sandbox.estate.orders_workload)
        labels = frozenset(label["href"] for label in workload["labels"])
        judge = Judge(world, ServerView(workload["hostname"], labels, workload["href"]), PolicySettings())
        return frozenset(at for at in WINDOW if judge.verdict(at).decision is Decision.ALLOWED)

    def _collection(self, name: str) -> list[Any]:
        path = f"/{name}" if name in COLLECTIONS else f"/sec_policy/active/{name}"
        found: list[Any] = requests.get(self._url(path), auth=self._key, timeout=10).json()
        return found

    def _url(self, path: str) -> str:
        return f"{self._sandbox.pce.url}/api/v2/orgs/1{path}"

    @property
    def _key(self) -> tuple[str, str]:
        return self._sandbox.pce.api_key, self._sandbox.pce.api_secret


def is_ours(name: str) -> bool:
    return name.casefold().startswith("illumio-")


def is_from_the_program(request: Request) -> bool:
    return "illumio-azsql-enforcer" in request.headers.get("user-agent", "")


TestWholeMachine = WholeMachine.TestCase
