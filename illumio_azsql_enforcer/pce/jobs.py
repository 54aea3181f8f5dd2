"""The asynchronous form of a GET: the only one that gives more than 500 objects (PCE REST API guide)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from illumio_azsql_enforcer.errors import PceInvalidAnswer, PceNotFound, SnapshotIncomplete
from illumio_azsql_enforcer.pce.answer import Answer, Fetcher, own_path
from illumio_azsql_enforcer.pce.decoding import decode_one
from illumio_azsql_enforcer.retrying import Deadline

T = TypeVar("T")

FIRST_PAUSE = 0.5  # seconds between two looks at a job, when the PCE does not say
LONGEST_PAUSE = 10.0
DONE = frozenset({"done", "completed"})
ENDED = frozenset({"failed", "cancelled", "canceled"})  # any other state is still running


class Job(msgspec.Struct, frozen=True):
    """`GET /orgs/N/jobs/UUID`. Its time stamps are no RFC 3339 and are not read."""

    status: str
    result: Any = None


@dataclass(frozen=True, slots=True)
class _Seen:
    job: Job
    wait: float | None  # Retry-After, seconds


def read_asynchronously(
    client: Fetcher,
    path: str,
    read: Callable[[Answer], T],
    deadline: Deadline,
    params: Mapping[str, str] | None = None,
) -> T:
    """`read` of the whole collection at `path`, however long: job, then datafile.

    The job is left to the PCE, which expires it: a read-only key may not delete it. Raises SnapshotIncomplete when the
    job fails, vanishes or does not end before the deadline, PceInvalidAnswer when it cannot be followed.
    """
    accepted = client.fetch(path, lambda answer: answer, deadline, params=params, asynchronous=True)
    if accepted.status == 200:  # a PCE that answers at once
        return read(accepted)
    job = own_path(accepted.headers.get("Location"))
    result = _wait(client, path, job, accepted.retry_after(client.clock), deadline)
    try:
        return client.fetch(_datafile(result), read, deadline)
    except PceNotFound:
        gone = SnapshotIncomplete(f"The PCE no longer has the result of its job for {path}.", status=404)
    raise gone


def _wait(client: Fetcher, path: str, job: str, asked: float | None, deadline: Deadline) -> object:
    """The `result` of the job, once it is done."""
    pause = FIRST_PAUSE if asked is None else asked
    while True:
        _sleep(client, path, max(pause, FIRST_PAUSE), deadline)
        seen = _look(client, path, job, deadline)
        if seen.job.status in DONE:
            return seen.job.result
        if seen.job.status in ENDED:
            raise _ended(client, path, seen.job)
        pause = _next_pause(pause, asked, seen.wait)


def _next_pause(pause: float, asked: float | None, wait: float | None) -> float:
    """What the job says, else what the first answer said, else a little longer each time."""
    if wait is not None:
        return wait
    return asked if asked is not None else min(LONGEST_PAUSE, pause * 1.5)


def _sleep(client: Fetcher, path: str, pause: float, deadline: Deadline) -> None:
    if pause >= deadline.remaining:
        raise SnapshotIncomplete(
            f"The PCE's job for {path} did not end before pce.deadline: raise it, or try again later."
        )
    client.clock.sleep(pause)


def _look(client: Fetcher, path: str, job: str, deadline: Deadline) -> _Seen:
    def read(answer: Answer) -> _Seen:
        return _Seen(decode_one(answer.body, Job, f"the job for {path}"), answer.retry_after(client.clock))

    try:
        return client.fetch(job, read, deadline)
    except PceNotFound:
        gone = SnapshotIncomplete(f"The PCE no longer has its job for {path}; it may have been restarted.", status=404)
    raise gone


def _ended(client: Fetcher, path: str, job: Job) -> SnapshotIncomplete:
    told = job.result.get("message") if isinstance(job.result, dict) else job.result
    said = f": {client.quote(told)}" if isinstance(told, str) and told else ""
    return SnapshotIncomplete(f"The PCE's job for {path} ended as {job.status}{said}.")


def _datafile(result: object) -> str:
    href = result.get("href") if isinstance(result, dict) else None
    if href is None:
        raise PceInvalidAnswer("The PCE says that a job is done but names no result (result.href).")
    return own_path(href)
