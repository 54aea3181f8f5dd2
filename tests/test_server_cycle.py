"""What a server's cycle keeps from the one before, and when it must not."""

from dataclasses import replace

import pytest

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.journal import NullJournal
from illumio_azsql_enforcer.model.firewall import (
    FirewallRule,
    Governed,
    LabelsFrom,
    NoteCode,
    PublicAccess,
    Translation,
    Ungoverned,
)
from illumio_azsql_enforcer.model.journal import RunContext
from illumio_azsql_enforcer.model.settings import Config, EnforcementSettings, Mode
from illumio_azsql_enforcer.reconcile.lanes import OneLane
from illumio_azsql_enforcer.report import Outcome, ServerReport
from illumio_azsql_enforcer.server_cycle import Memory, Options, ServerCycle
from tests.reconcile.target import NO_GUARDS, SERVER, wants
from tests.reconcile.target import Memory as Target
from tests.support.clock import VirtualClock

GOVERNED = Governed(SERVER, {}, frozenset(), LabelsFrom.CONFIG)
SETTINGS = EnforcementSettings(Mode.SYNC, guards=NO_GUARDS)


class World:
    """One server, its policy, and cycle after cycle over both."""

    def __init__(self) -> None:
        self.target = Target()
        self.policy = Translation(wants((5, 9), (20, 29)), ())
        self.memory = Memory()
        self.governed: Governed | Ungoverned = GOVERNED
        self.settings = SETTINGS
        self._read: tuple[FirewallRule, ...] = ()

    def rules(self, *_: object) -> tuple[FirewallRule, ...]:
        """Like the reader of Azure: the same rules are the same tuple."""
        if self.target.now != self._read:
            self._read = self.target.now
        return self._read

    def cycle(self) -> ServerReport:
        reader = self.target
        reader.rules = self.rules  # type: ignore[method-assign, assignment]
        return ServerCycle(
            config=Config(pce=None, azure=_Azure(), enforcement=self.settings),  # type: ignore[arg-type]
            options=Options(),
            context=RunContext("run"),
            translate=lambda _: self.policy,
            reader=reader,
            writer=self.target,
            lanes=OneLane,
            journal=NullJournal(),
            memory=self.memory,
            clock=VirtualClock(),
            stopping=lambda: False,
        ).one(self.governed)


class _Azure:
    deadline = 300.0


@pytest.fixture
def world() -> World:
    made = World()
    assert made.cycle().outcome is Outcome.CHANGED
    assert made.cycle().outcome is Outcome.IN_SYNC
    return made


def test_nothing_new_gives_the_same_plan(world: World) -> None:
    before = world.memory.plans[SERVER.id].plan
    assert world.cycle().outcome is Outcome.IN_SYNC
    assert world.memory.plans[SERVER.id].plan is before


def test_a_hand_edit_between_two_quiet_cycles_is_drift_and_is_put_right(world: World) -> None:
    world.cycle()
    del world.target.rules_held["illumio-0.0.0.5-0.0.0.9"]
    report = world.cycle()
    assert report.outcome is Outcome.CHANGED
    assert [note.code for note in report.notes] == [NoteCode.DRIFT]
    after = world.cycle()
    assert (after.outcome, after.notes) == (Outcome.IN_SYNC, ())


def test_a_foreign_rule_that_comes_and_goes_is_drift_twice(world: World) -> None:
    world.target.rules_held["x"] = FirewallRule("x", Range(50, 50))
    assert NoteCode.DRIFT in [note.code for note in world.cycle().notes]
    assert NoteCode.DRIFT not in [note.code for note in world.cycle().notes]
    del world.target.rules_held["x"]
    assert [note.code for note in world.cycle().notes] == [NoteCode.DRIFT]
    assert world.cycle().notes == ()


def test_another_policy_is_another_plan(world: World) -> None:
    world.policy = Translation(wants((5, 9)), ())
    assert [str(result.step.action) for result in world.cycle().steps] == ["delete"]


def test_another_limit_is_another_plan(world: World) -> None:
    world.policy = Translation(wants((5, 9), (20, 29), (40, 49)), ())
    world.memory.limits[SERVER.id] = 2
    assert world.cycle().outcome is Outcome.REFUSED
    world.memory.limits[SERVER.id] = 3
    assert world.cycle().outcome is Outcome.CHANGED


def test_another_state_of_the_server_is_another_plan(world: World) -> None:
    world.governed = replace(GOVERNED, server=replace(SERVER, public_access=PublicAccess.DISABLED))
    assert NoteCode.PUBLIC_NETWORK_DISABLED in [note.code for note in world.cycle().notes]
    assert world.memory.plans[SERVER.id].plan.server.public_access is PublicAccess.DISABLED


def test_plans_can_be_forgotten(world: World) -> None:
    world.memory.forget_plans()
    assert world.memory.plans == {}
    assert world.cycle().outcome is Outcome.IN_SYNC


def test_a_server_that_is_gone_is_forgotten(world: World) -> None:
    world.memory.limits[SERVER.id] = 3
    world.memory.keep({SERVER.id})
    assert world.memory.limits == {SERVER.id: 3}
    world.memory.keep({"another"})
    assert world.memory == Memory()


def test_what_a_server_without_labels_still_holds_is_told_in_whole_sentences(world: World) -> None:
    world.governed = Ungoverned(SERVER, "Workload 'a' has no labels.")
    report = world.cycle()
    assert report.outcome is Outcome.FAILED
    assert (report.reason or "").startswith(
        "Workload 'a' has no labels. It still holds 2 firewall rules of this program,"
    )


@pytest.mark.parametrize(
    ("policy", "most", "way_out"),
    [
        (((5, 9), (20, 29), (40, 49)), 2, None),  # max_rules alone: there is no room, and nothing to accept
        (((40, 49), (60, 69)), 2, "exactly this plan"),
        (((40, 49), (60, 69), (80, 89)), 2, "the deletes"),  # accepted, max_rules still keeps the adds back
    ],
)
def test_a_refusal_tells_how_to_let_through_what_accepting_lets_through(
    world: World, policy: tuple[tuple[int, int], ...], most: int, way_out: str | None
) -> None:
    world.settings = replace(SETTINGS, guards=replace(NO_GUARDS, max_revoked=1, max_revoked_percent=50))
    world.policy = Translation(wants(*policy), ())
    world.memory.limits[SERVER.id] = most
    report = world.cycle()
    assert report.outcome is Outcome.REFUSED
    told = f"To let {way_out} through once: illumio-azsql-enforcer --once --accept {report.plan_id}"
    assert (told in (report.reason or "")) is (way_out is not None)
    assert ("--accept" in (report.reason or "")) is (way_out is not None)
