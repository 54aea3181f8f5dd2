"""What was done and why: an append-only file of JSON lines, safe on disk before a write is sent. And the writer's lock.

Both live in `state_dir`. The program needs neither to know what is its own: the journal is for people, the lock keeps a
second writer out.
"""

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from illumio_azsql_enforcer.clock import Clock
from illumio_azsql_enforcer.errors import LockHeld, StateUnwritable
from illumio_azsql_enforcer.model.firewall import Plan, Source, Step, StepResult
from illumio_azsql_enforcer.model.journal import RunContext

FILE_NAME = "journal.jsonl"
LOCK_NAME = "lock"
LARGEST = 16 << 20  # bytes; a larger file is put aside before the next line
MOST_SOURCES = 50  # of one range, in a line: behind one public address there may be thousands of workloads
KEPT = 4  # files put aside
LOCK_PAUSE = 0.5  # seconds between two tries for the lock

Entry = dict[str, Any]


class Journal:
    """Appends to `state_dir/journal.jsonl`; may be used from several threads. Raises StateUnwritable.

    Each step leaves two lines: `intent`, on disk before the write is sent, and `outcome`. An intent without an outcome
    tells that the program was cut off in between.
    """

    def __init__(self, state_dir: Path, clock: Clock, *, largest: int = LARGEST, kept: int = KEPT) -> None:
        self._path = state_dir / FILE_NAME
        self._clock = clock
        self._largest = largest
        self._kept = kept
        self._mutex = threading.Lock()

    def intent(self, context: RunContext, plan: Plan, step: Step) -> None:
        """Say what is about to be written."""
        sources = [source for one in plan.desired if one.range == step.range for source in one.sources]
        told = {"sources": [_source(source) for source in sources[:MOST_SOURCES]], "sources_in_all": len(sources)}
        self._append({**self._entry("intent", context, plan, step), "reason": step.reason, **told})

    def outcome(self, context: RunContext, plan: Plan, result: StepResult) -> None:
        """Say how it ended."""
        said = {"status": str(result.status), "error": result.error}
        self._append({**self._entry("outcome", context, plan, result.step), **said})

    def _entry(self, kind: str, context: RunContext, plan: Plan, step: Step) -> Entry:
        return {
            "time": self._clock.now().isoformat(),
            "kind": kind,
            "run_id": context.run_id,
            "plan_id": plan.id,
            "policy_version": context.policy_version,
            "server": plan.server.id,
            "action": str(step.action),
            "name": step.name,
            "start": step.range.start,
            "end": step.range.end,
            "previous": str(step.previous) if step.previous else None,
        }

    def _append(self, entry: Entry) -> None:
        line = json.dumps(entry).encode() + b"\n"
        try:
            with self._mutex:
                self._rotate(len(line))
                _append_synced(self._path, line)
        except OSError as error:
            raise StateUnwritable(f"The journal {self._path} cannot be written: {error.strerror}.") from error

    def _rotate(self, coming: int) -> None:
        if not self._path.exists() or self._path.stat().st_size + coming <= self._largest:
            return
        for number in range(self._kept, 0, -1):
            older = self._path.with_name(f"{FILE_NAME}.{number}")
            newer = self._path.with_name(f"{FILE_NAME}.{number - 1}") if number > 1 else self._path
            if newer.exists():
                newer.replace(older)


class NullJournal:
    """Where there is no state_dir: keeps nothing."""

    def intent(self, context: RunContext, plan: Plan, step: Step) -> None:
        """Nothing to say."""

    def outcome(self, context: RunContext, plan: Plan, result: StepResult) -> None:
        """Nothing to say."""


def _source(source: Source) -> Entry:
    return {
        "rule_set": source.rule_set,
        "rule_set_name": source.rule_set_name,
        "rule": source.rule,
        "consumer": str(source.consumer),
        "consumer_href": source.consumer_href,
        "consumer_name": source.consumer_name,
        "workload": source.workload_href,
    }


def _append_synced(path: Path, line: bytes) -> None:
    """Append and wait until it is on disk. A last line without its end is closed first, so that it spoils no other."""
    fresh = not path.exists()
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        _write_all(handle, b"\n" + line if torn else line)
        os.fsync(handle)
    finally:
        os.close(handle)
    if fresh:
        _sync_directory(path.parent)


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- the lock


@contextmanager
def writer_lock(state_dir: Path, *, holder: str, wait: float, clock: Clock) -> Iterator[None]:
    """Be the only writer while the block runs; `holder` says who, for the one that has to wait.

    Makes a `state_dir` that is not there. Raises LockHeld, naming the holder, when the lock is not free within `wait`
    seconds; StateUnwritable; Stopped. The lock ends with the process, however that ends.
    """
    _make_directory(state_dir)
    path = state_dir / LOCK_NAME
    with _lock_errors(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        with _lock_errors(path):
            _acquire(handle, path, wait, clock)
            _write_holder(handle, holder, clock.now())
        yield
    finally:
        os.close(handle)


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise StateUnwritable(f"The directory {path} (state_dir) cannot be made: {error.strerror}.") from error


@contextmanager
def _lock_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateUnwritable(f"The lock {path} cannot be used: {error.strerror}.") from error


def _acquire(handle: int, path: Path, wait: float, clock: Clock) -> None:
    give_up = clock.monotonic() + wait
    while not _try_lock(handle):
        left = give_up - clock.monotonic()
        if left <= 0:
            raise LockHeld(f"Another writer holds {path}: {_read_holder(handle)}. Waited {wait:g} s for it.")
        clock.sleep(min(LOCK_PAUSE, left))


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_holder(handle: int, holder: str, since: datetime) -> None:
    told = json.dumps({"pid": os.getpid(), "since": since.isoformat(timespec="seconds"), "holder": holder})
    os.ftruncate(handle, 0)
    os.pwrite(handle, told.encode(), 0)


def _read_holder(handle: int) -> str:
    try:
        told = json.loads(os.pread(handle, 4096, 0))
        return f"{told['holder']}, process {told['pid']}, since {told['since']}"
    except (ValueError, KeyError, TypeError):
        return "it does not say who it is"
