"""Asynchronous collection requests: a job that is asked about, then a datafile with the whole answer."""

from dataclasses import dataclass

from illumio_azsql_enforcer.sandbox.pce.behaviour import Behaviour
from illumio_azsql_enforcer.sandbox.pce.org import USER, Org
from illumio_azsql_enforcer.sandbox.pce.shapes import Json

KEPT = 20  # datafiles; older ones expire


@dataclass(slots=True)
class Job:
    """One accepted request, and the href of the datafile that will hold its answer."""

    href: str
    description: str
    requested_at: str
    datafile: str
    polls: int = 0
    terminated_at: str | None = None


class Jobs:
    """The jobs and datafiles of an organization."""

    def __init__(self, org: Org, behaviour: Behaviour) -> None:
        self._org, self._behaviour = org, behaviour
        self._jobs: dict[str, Job] = {}
        self._datafiles: dict[str, bytes] = {}
        self._made = 0

    def accept(self, path: str, body: bytes) -> Job:
        """A new job for a collection's path."""
        self._made += 1
        name = self._org.new_uuid(f"jobs/{self._made}")
        stem = f"/orgs/{self._org.org_id}"
        datafile = self._org.new_uuid(f"datafiles/{self._made}")
        job = Job(f"{stem}/jobs/{name}", path, self._stamp(), f"{stem}/datafiles/{datafile}")
        self._jobs[name] = job
        self._datafiles[datafile] = body
        while len(self._datafiles) > KEPT:
            del self._datafiles[next(iter(self._datafiles))]
        return job

    def ask(self, name: str) -> Json | None:
        """The job as it is now, or None. It ends after `job_polls` such questions."""
        job = self._jobs.get(name)
        if job is None:
            return None
        job.polls += 1
        if job.polls <= self._behaviour.job_polls or self._behaviour.job_end == "never":
            return self._shown(job, "pending" if job.polls == 1 else "running", {})
        job.terminated_at = job.terminated_at or self._stamp()
        if self._behaviour.job_end == "failed":
            return self._shown(job, "failed", {"token": "job_failed", "message": "The collection could not be read"})
        return self._shown(job, "done", {"href": job.datafile})

    def forget(self, name: str) -> bool:
        """Delete a job; whether there was one."""
        return self._jobs.pop(name, None) is not None

    def datafile(self, name: str) -> bytes | None:
        """The answer that a job has collected, or None."""
        return self._datafiles.get(name) if self._behaviour.datafiles_kept else None

    def _shown(self, job: Job, status: str, result: Json) -> Json:
        shown: Json = {
            "href": job.href,
            "job_type": ":illumio/async_requests",
            "description": job.description,
            "status": status,
            "result": result,
            "requested_at": job.requested_at,
            "requested_by": USER,
        }
        return shown if job.terminated_at is None else {**shown, "terminated_at": job.terminated_at}

    def _stamp(self) -> str:
        """Not RFC 3339: a space, microseconds and no zone, as real jobs have it."""
        return self._org.clock.now().strftime("%Y-%m-%d %H:%M:%S.%f")
