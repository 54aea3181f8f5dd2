"""One cycle: snapshot -> translate -> plan -> apply -> report. It only orchestrates."""

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from illumio_azsql_enforcer.azure.access import AzureAccess
from illumio_azsql_enforcer.azure.firewall import FirewallReader, FirewallWriter
from illumio_azsql_enforcer.azure.servers import Discovered
from illumio_azsql_enforcer.clock import BeatingClock, Clock
from illumio_azsql_enforcer.errors import EnforcerError
from illumio_azsql_enforcer.journal import Journal, NullJournal, writer_lock
from illumio_azsql_enforcer.model.firewall import Governed, Translation
from illumio_azsql_enforcer.model.journal import RunContext
from illumio_azsql_enforcer.model.policy import Snapshot
from illumio_azsql_enforcer.model.settings import Config
from illumio_azsql_enforcer.pce.changes import PolicyWatch
from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.pce.visibility import ADVICE, signs_in
from illumio_azsql_enforcer.policy.translator import Translator
from illumio_azsql_enforcer.reconcile.lanes import ManyLanes
from illumio_azsql_enforcer.report import Calls, Outcome, Report, ServerReport, gravest
from illumio_azsql_enforcer.server_cycle import Memory, Options, ServerCycle
from illumio_azsql_enforcer.survey import (
    Candidate,
    Survey,
    find_servers,
    read_policy,
    survey_of,
    unlisted,
    watch_policy,
)
from illumio_azsql_enforcer.text import fits_any

LOCK_WAIT = 120.0  # seconds that a cycle waits for another writer

log = structlog.get_logger()


@dataclass(slots=True)
class _Draft:
    """The report while the cycle runs."""

    run_id: str
    started_at: datetime
    policy_version: int | None = None
    servers: tuple[ServerReport, ...] = ()
    error: str | None = None


class Enforcer:
    """Holds the connections, and what is remembered between cycles. Not for two threads at once."""

    def __init__(
        self,
        config: Config,
        options: Options,
        clock: Clock,
        stopping: Callable[[], bool] = lambda: False,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """`beat` is called from several threads whenever a cycle gets on: an answer, a server done, a wait."""
        self.config = config
        self._options = options
        self._clock = clock = BeatingClock(clock, beat, every=config.enforcement.interval)
        self._stopping = stopping
        self._beat = beat
        self._pce = PceClient(config.pce, clock, beat)
        self._watch = PolicyWatch(self._pce, config.pce.org_id, clock, config.enforcement.full_sync_interval)
        self._survey: Survey | None = None
        self._azure = AzureAccess(config.azure, clock, beat)
        self._reader = FirewallReader(self._azure)
        self._writer = None if options.dry_run else FirewallWriter(self._azure)
        self._writes = ThreadPoolExecutor(config.azure.concurrency, thread_name_prefix="write")  # of all servers
        # Writers alone keep a journal and take the lock.
        self._state_dir = None if options.dry_run else config.state_dir
        self._journal = Journal(self._state_dir, clock) if self._state_dir else NullJournal()
        self._memory = Memory()

    def close(self) -> None:
        """Close every connection."""
        self._writes.shutdown()
        self._pce.close()
        self._azure.close()

    def cycle(self) -> Report:
        """Everything once. Never raises for what the outside world, or a defect here, can cause: the report says it."""
        draft = _Draft(uuid.uuid4().hex[:12], self._clock.now())
        before = self._calls()
        with structlog.contextvars.bound_contextvars(run_id=draft.run_id):
            try:
                with self._lock():
                    self._fill(draft)
            except EnforcerError as error:
                draft.error = str(error)
            except Exception as error:  # noqa: BLE001 - the cycle boundary: a defect costs one cycle, not the daemon
                draft.error = unexpected(error)
        return self._finish(draft, before)

    def _fill(self, draft: _Draft) -> None:
        snapshot, found = self._both_sides(draft)
        survey = self._survey = self._kept(snapshot, found) or survey_of(snapshot, found, self.config)
        chosen = [candidate for candidate in survey.candidates if self._selected(candidate)]
        context = RunContext(draft.run_id, snapshot.version)
        draft.servers = self._work(self._server_cycle(context, survey.translator), chosen)
        draft.error = " ".join([*unlisted(survey.found), *self._unmatched(survey.candidates)]) or None

    def _both_sides(self, draft: _Draft) -> tuple[Snapshot, Discovered]:
        """The policy and the servers."""
        if self._options.watch:
            snapshot, found = watch_policy(self._watch, self._azure, self.config, self._clock)
            draft.policy_version = snapshot.version
            return snapshot, found
        snapshot = read_policy(self._pce, self.config, self._clock)
        for sign in signs_in(snapshot):
            log.warning(f"{sign} {ADVICE}")
        draft.policy_version = snapshot.version
        return snapshot, find_servers(self._azure, self.config, self._clock)

    def _kept(self, snapshot: Snapshot, found: Discovered) -> Survey | None:
        """The last survey, with its translator, if it is about the same policy and the same servers."""
        known, self._survey = self._survey, None  # let go of first: two at once would take twice the memory
        if known is None or known.snapshot is not snapshot or known.found.servers != found.servers:
            self._memory.forget_plans()
            self._forget_gone(found)
            return None
        return replace(known, found=found)

    def _forget_gone(self, found: Discovered) -> None:
        """While a subscription cannot be listed, it is not known which servers are gone."""
        if not found.failures:
            there = {server.id for server in found.servers}
            self._memory.keep(there)
            self._reader.keep(there)

    def _server_cycle(self, context: RunContext, translator: Translator) -> ServerCycle:
        return ServerCycle(
            config=self.config,
            options=self._options,
            context=context,
            translate=_one_at_a_time(translator),
            reader=self._reader,
            writer=self._writer,
            lanes=lambda: ManyLanes(self._writes),
            journal=self._journal,
            memory=self._memory,
            clock=self._clock,
            stopping=self._stopping,
        )

    def _work(self, work: ServerCycle, candidates: Sequence[Candidate]) -> tuple[ServerReport, ...]:
        """Every server on its own: the failure of one leaves the others' work alone."""
        tasks = [(candidate, self._azure.threads.submit(work.one, candidate)) for candidate in candidates]
        for _, task in tasks:
            task.add_done_callback(lambda _: self._beat())
        return tuple(_result(work, candidate, task) for candidate, task in tasks)

    def _selected(self, candidate: Candidate) -> bool:
        only = self._options.only
        return not only or fits_any(candidate.server.name, only)

    def _unmatched(self, candidates: Sequence[Candidate]) -> Iterator[str]:
        for pattern in self._options.only:
            if not any(fits_any(candidate.server.name, [pattern]) for candidate in candidates):
                yield f"--server {pattern} matches none of the {len(candidates)} servers that were found."

    def _lock(self) -> AbstractContextManager[object]:
        if self._state_dir is None:
            return nullcontext()
        return writer_lock(self._state_dir, holder="a cycle", wait=LOCK_WAIT, clock=self._clock)

    def _calls(self) -> Calls:
        return Calls(
            pce=self._pce.requests_made,
            azure_reads=self._azure.reads,
            azure_writes=self._azure.writes,
            pce_by=self._pce.requests_by_endpoint,
            azure_by=self._azure.requests,
        )

    def _finish(self, draft: _Draft, before: Calls) -> Report:
        return Report(
            run_id=draft.run_id,
            dry_run=self._options.dry_run,
            started_at=draft.started_at,
            finished_at=self._clock.now(),
            outcome=Outcome.FAILED if draft.error else gravest(server.outcome for server in draft.servers),
            error=draft.error,
            policy_version=draft.policy_version,
            calls=self._calls() - before,
            servers=draft.servers,
        )


def _one_at_a_time(translator: Translator) -> Callable[[Governed], Translation]:
    """The translator for several threads: it shares what it works out between servers."""
    mutex = threading.Lock()

    def translate(governed: Governed) -> Translation:
        with mutex:
            return translator.translate(governed)

    return translate


def _result(work: ServerCycle, candidate: Candidate, task: "Future[ServerReport]") -> ServerReport:
    error = task.exception()
    if error is None:
        return task.result()
    reason = str(error) if isinstance(error, EnforcerError) else unexpected(error)
    return work.failed(candidate.server, reason)


def unexpected(error: BaseException) -> str:
    """A sentence for a defect of this program; where it happened goes to the log at debug level."""
    log.debug("unexpected error", exc_info=error)
    return f"Unexpected {type(error).__name__} in this program; nothing more was done (--log-level debug shows where)."
