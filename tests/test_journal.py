"""The journal survives a crash at any byte, and the lock names who holds it."""

import json
import os
import threading
from pathlib import Path

import pytest

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.errors import LockHeld, StateUnwritable
from illumio_azsql_enforcer.journal import FILE_NAME, Entry, Journal, NullJournal, writer_lock
from illumio_azsql_enforcer.model.firewall import ConsumerKind, Desired, Plan, Source, StepResult, StepStatus
from illumio_azsql_enforcer.model.journal import RunContext
from tests.reconcile.target import ours, planned
from tests.support.clock import VirtualClock

SOURCE = Source("/rs/1", "Payments", "/rs/1/r/2", ConsumerKind.IP_LIST, "/ipl/3", "Offices")
CONTEXT = RunContext("run-1", 80)


@pytest.fixture
def plan() -> Plan:
    return planned([ours(20, 29)], [Desired(Range(5, 9), (SOURCE,))])


def say(journal: Journal, plan: Plan, at: int = 0) -> None:
    journal.intent(CONTEXT, plan, plan.steps[at])
    journal.outcome(CONTEXT, plan, StepResult(plan.steps[at], StepStatus.FAILED, "No answer.\n"))


def read_journal(state_dir: Path) -> list[Entry]:
    """The entries of the present file, oldest first, without a line that was cut off."""
    path = state_dir / FILE_NAME
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [entry for line in lines if (entry := decoded(line)) is not None]


def decoded(line: bytes) -> Entry | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def test_a_step_leaves_what_was_meant_and_what_became_of_it(tmp_path: Path, plan: Plan) -> None:
    say(Journal(tmp_path, VirtualClock()), plan)
    intent, outcome = read_journal(tmp_path)
    common = {
        "time": "2026-11-23T10:00:00+00:00",
        "run_id": "run-1",
        "plan_id": plan.id,
        "policy_version": 80,
        "server": plan.server.id,
        "action": "add",
        "name": "illumio-0.0.0.5-0.0.0.9",
        "start": "0.0.0.5",
        "end": "0.0.0.9",
        "previous": None,
    }
    assert intent == {
        "kind": "intent",
        **common,
        "reason": plan.steps[0].reason,
        "sources": [
            {
                "rule_set": "/rs/1",
                "rule_set_name": "Payments",
                "rule": "/rs/1/r/2",
                "consumer": "ip_list",
                "consumer_href": "/ipl/3",
                "consumer_name": "Offices",
                "workload": None,
            }
        ],
        "sources_in_all": 1,
    }
    assert outcome == {"kind": "outcome", **common, "status": "failed", "error": "No answer.\n"}


def test_every_line_is_on_disk_before_the_call_returns(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.append(os.fstat(handle).st_size)
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    Journal(tmp_path, VirtualClock()).intent(CONTEXT, plan, plan.steps[0])
    assert (tmp_path / FILE_NAME).stat().st_size in synced


def test_a_line_cut_off_at_any_byte_spoils_no_other(tmp_path: Path, plan: Plan) -> None:
    journal = Journal(tmp_path, VirtualClock())
    path = tmp_path / FILE_NAME
    say(journal, plan)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole) + 1, 7):
        path.write_bytes(whole[:cut])
        read = len(read_journal(tmp_path))
        say(journal, plan, at=1)
        entries = read_journal(tmp_path)
        assert [entry["action"] for entry in entries[read:]] == ["delete", "delete"]
        assert entries[0]["kind"] == "intent"


def test_text_from_outside_cannot_forge_a_line(tmp_path: Path, plan: Plan) -> None:
    journal = Journal(tmp_path, VirtualClock())
    journal.outcome(CONTEXT, plan, StepResult(plan.steps[0], StepStatus.FAILED, 'x"}\n{"kind": "outcome"\u2028\x1b'))
    assert len((tmp_path / FILE_NAME).read_bytes().splitlines()) == 1
    assert len(read_journal(tmp_path)) == 1


def test_a_large_file_is_put_aside_and_the_oldest_goes(tmp_path: Path, plan: Plan) -> None:
    journal = Journal(tmp_path, VirtualClock(), largest=1500, kept=2)
    for _ in range(12):
        say(journal, plan)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [FILE_NAME, f"{FILE_NAME}.1", f"{FILE_NAME}.2"]
    for name in names:
        data = (tmp_path / name).read_bytes()
        assert len(data) <= 1500
        assert all(json.loads(line) for line in data.splitlines())


def test_threads_do_not_mix_their_lines(tmp_path: Path, plan: Plan) -> None:
    journal = Journal(tmp_path, VirtualClock(), largest=20_000, kept=9)

    def say_ten() -> None:
        for _ in range(10):
            say(journal, plan)

    threads = [threading.Thread(target=say_ten) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [line for path in tmp_path.iterdir() for line in path.read_bytes().splitlines()]
    assert len([json.loads(line) for line in lines]) == 80


def test_a_directory_that_is_not_there_is_a_sentence(tmp_path: Path, plan: Plan) -> None:
    with pytest.raises(StateUnwritable, match="cannot be written: No such file or directory"):
        Journal(tmp_path / "gone", VirtualClock()).intent(CONTEXT, plan, plan.steps[0])


def test_the_lock_makes_its_directory(tmp_path: Path) -> None:
    with writer_lock(tmp_path / "var" / "state", holder="x", wait=0, clock=VirtualClock()):
        assert (tmp_path / "var" / "state").is_dir()


def test_a_directory_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StateUnwritable, match=r"file/state \(state_dir\) cannot be made: Not a directory"),
        writer_lock(tmp_path / "file" / "state", holder="x", wait=0, clock=VirtualClock()),
    ):
        pass


def test_no_journal_is_no_entries(tmp_path: Path, plan: Plan) -> None:
    NullJournal().intent(CONTEXT, plan, plan.steps[0])
    assert read_journal(tmp_path) == []


def test_the_lock_names_its_holder_to_the_one_that_waited_in_vain(tmp_path: Path) -> None:
    clock = VirtualClock()
    with (
        writer_lock(tmp_path, holder="daemon run-1", wait=0, clock=clock),
        pytest.raises(LockHeld) as caught,
        writer_lock(tmp_path, holder="once", wait=120, clock=clock),
    ):
        pass
    assert str(caught.value).endswith(
        f"daemon run-1, process {os.getpid()}, since 2026-11-23T10:00:00+00:00. Waited 120 s for it."
    )
    assert sum(clock.waits) == pytest.approx(120)


def test_the_lock_is_free_again_afterwards_also_after_an_error(tmp_path: Path) -> None:
    clock = VirtualClock()
    with pytest.raises(ZeroDivisionError), writer_lock(tmp_path, holder="one", wait=0, clock=clock):
        raise ZeroDivisionError
    with writer_lock(tmp_path, holder="two", wait=0, clock=clock):
        pass
    assert clock.waits == []


def test_the_lock_is_taken_as_soon_as_it_is_free(tmp_path: Path) -> None:
    clock = VirtualClock()
    first = writer_lock(tmp_path, holder="one", wait=0, clock=clock)
    first.__enter__()

    class Releasing(VirtualClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if len(self.waits) == 3:
                first.__exit__(None, None, None)

    waiting = Releasing()
    with writer_lock(tmp_path, holder="two", wait=120, clock=waiting):
        assert len(waiting.waits) == 3
