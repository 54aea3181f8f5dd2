"""The snapshot from one cycle to the next: two small requests tell whether anything moved, and only what did is read.

1. The active policy version, and the audit events since the last look.
2. What is versioned is read again when the version moved; labels, workloads and service bindings when an event may be
   about them, and every time where there are no events.
3. Everything is read again every `full_sync_interval`, and after any error.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from illumio_azsql_enforcer.clock import Clock
from illumio_azsql_enforcer.model.policy import PolicyVersion, Snapshot
from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.pce.events import EventFeed
from illumio_azsql_enforcer.pce.members import Reading, read_members
from illumio_azsql_enforcer.pce.reader import (
    Membership,
    PolicyObjects,
    of_one_version,
    read_policy_objects,
    read_release,
    read_version,
    snapshot_of,
)
from illumio_azsql_enforcer.pce.release import Release
from illumio_azsql_enforcer.pce.visibility import ADVICE, signs_in
from illumio_azsql_enforcer.policy.demand import Interest
from illumio_azsql_enforcer.retrying import Deadline

Find = Callable[[], Interest]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a snapshot is made of: complete, and of one policy version."""

    release: Release
    policy: PolicyObjects
    reading: Reading

    @property
    def members(self) -> Membership:
        return self.reading.members


class PolicyWatch:
    """Keeps the last complete parts in memory. Used by one thread at a time."""

    def __init__(self, client: PceClient, org_id: int, clock: Clock, full_sync_interval: float) -> None:
        """`full_sync_interval` in seconds."""
        self._client = client
        self._org_id = org_id
        self._clock = clock
        self._full_sync_interval = full_sync_interval
        self._events = EventFeed(client, org_id)
        self._parts: _Parts | None = None
        self._snapshot: Snapshot | None = None
        self._members_stale = True
        self._told: frozenset[str] = frozenset()
        self._trusted = False  # the last read succeeded
        self._read_at = 0.0  # when everything was read, by the clock

    def snapshot(self, deadline: Deadline, interest: Find | None = None) -> Snapshot:
        """The policy as it is now: the same object as the last time when nothing has changed.

        With an `interest`, workloads that it has no use for may be left out; it is asked for once the PCE has answered.
        Raises PceError; what was read before is then not used again until everything has been read anew. Raises
        whatever `interest` raises.
        """
        known = self._parts if self._trusted and not self._is_due() else None
        self._trusted = False
        snapshot = self._changed(known, interest, deadline) if known else self._everything(interest, deadline)
        self._trusted = True
        return snapshot

    def _is_due(self) -> bool:
        return self._clock.monotonic() - self._read_at >= self._full_sync_interval

    def _everything(self, find: Find | None, deadline: Deadline) -> Snapshot:
        started = self._clock.monotonic()
        before = self._parts
        release = read_release(self._client, deadline)
        version = read_version(self._client, self._org_id, deadline)
        interest = find() if find else None
        self._events.restart()

        def read(at: PolicyVersion) -> _Parts:
            self._events.members_may_have_changed(deadline)  # what happened until here is about to be read
            policy = self._policy(release, at, before, deadline)
            return _Parts(release, policy, self._members(release, policy, interest, deadline))

        parts = of_one_version(self._client, self._org_id, version, deadline, read)
        self._read_at = started
        _log.debug("the policy was read", policy_version=parts.policy.version.version, whole=parts.reading.whole)
        snapshot = self._keep(parts)
        self._warn(signs_in(snapshot, whole=parts.reading.whole))
        return snapshot

    def _warn(self, signs: list[str]) -> None:
        """Says once what says that the key does not see everything."""
        for sign in signs:
            if sign not in self._told:
                _log.warning(f"{sign} {ADVICE}")
        self._told = frozenset(signs)

    def _changed(self, known: _Parts, find: Find | None, deadline: Deadline) -> Snapshot:
        """What moved since the parts were read. The version first: members that it needs are then among the events."""
        version = read_version(self._client, self._org_id, deadline)
        self._look_at_events(deadline)
        if version.version < known.policy.version.version:  # a PCE that was restored from a backup
            return self._everything(find, deadline)
        self._trusted = True  # no failure in there is one of the PCE, and what may be stale is known to be
        interest = find() if find else None
        self._trusted = False
        if self._snapshot and not self._is_stale(known, version, interest):
            return self._snapshot
        polled = version

        def read(at: PolicyVersion) -> _Parts:
            if at is not polled:
                self._look_at_events(deadline)
            return self._refreshed(known, at, interest, deadline)

        return self._keep(of_one_version(self._client, self._org_id, version, deadline, read))

    def _look_at_events(self, deadline: Deadline) -> None:
        """Once stale, members stay stale until they have been read."""
        self._members_stale |= self._events.members_may_have_changed(deadline)

    def _is_stale(self, known: _Parts, version: PolicyVersion, interest: Interest | None) -> bool:
        moved = version.version != known.policy.version.version
        return moved or self._members_stale or not known.reading.serves(interest)

    def _refreshed(self, known: _Parts, at: PolicyVersion, interest: Interest | None, deadline: Deadline) -> _Parts:
        """The parts with what is stale read again."""
        moved = at.version != known.policy.version.version
        policy = self._policy(known.release, at, None, deadline) if moved else known.policy
        keep = not self._members_stale and known.reading.serves(interest) and (known.reading.whole or not moved)
        reading = known.reading if keep else self._members(known.release, policy, interest, deadline)
        return replace(known, policy=policy, reading=reading)

    def _policy(self, release: Release, at: PolicyVersion, before: _Parts | None, deadline: Deadline) -> PolicyObjects:
        return read_policy_objects(
            self._client,
            org_id=self._org_id,
            release=release,
            version=at,
            deadline=deadline,
            before=before.policy if before else None,
        )

    def _members(
        self, release: Release, policy: PolicyObjects, interest: Interest | None, deadline: Deadline
    ) -> Reading:
        return read_members(
            self._client, org_id=self._org_id, release=release, policy=policy, interest=interest, deadline=deadline
        )

    def _keep(self, parts: _Parts) -> Snapshot:
        """Takes the parts over, and the old snapshot with them where it says the same."""
        found = snapshot_of(parts.release, parts.policy, parts.members)
        self._parts, self._members_stale = parts, False
        if self._snapshot is None or self._snapshot != found:
            self._snapshot = found
        return self._snapshot
