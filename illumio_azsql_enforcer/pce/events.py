"""The PCE's audit events as a hint: whether labels, workloads or service bindings may have changed.

The policy version does not move when a workload is relabelled, changes its address or goes away; events tell. They are
a hint only: late ones, lost ones and missing permission must never keep a change from being enforced for good.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import structlog

from illumio_azsql_enforcer.clock import rfc3339
from illumio_azsql_enforcer.errors import PceError, PceForbidden, PceInvalidAnswer, PceNotFound, PceRejected
from illumio_azsql_enforcer.pce.answer import Answer, Fetcher
from illumio_azsql_enforcer.pce.decoding import decode_list
from illumio_azsql_enforcer.retrying import Deadline

MOST = 10_000  # events in one answer (PCE REST API guide)
OVERLAP = timedelta(minutes=5)  # each look begins so much before the last event seen: clocks differ, events come late

_log = structlog.get_logger(__name__)

# What is edited in a draft counts when it is provisioned, and then the policy version moves. The others are about
# people and the PCE itself. Whatever is not named here may be about members.
_HARMLESS = frozenset(
    {
        *("rule_set", "rule_sets", "sec_rule", "sec_rules", "deny_rule", "deny_rules", "ip_list", "ip_lists"),
        *("service", "services", "label_group", "label_groups", "virtual_service", "virtual_services"),
        *("virtual_server", "virtual_servers", "enforcement_boundary", "enforcement_boundaries", "firewall_settings"),
        *("sec_policy", "sec_policy_pending"),
        *("user", "users", "user_local_profile", "api_key", "access_restriction", "authentication_settings"),
        *("password_policy", "ldap_config", "saml_acs", "saml_config", "saml_sp_config", "event_settings"),
        *("remote_syslog_destination", "syslog_destination", "request"),
    }
)


class Event(msgspec.Struct, frozen=True, gc=False):
    """`GET /orgs/N/events`: just what tells whether it matters."""

    href: str
    timestamp: str  # RFC 3339, by the PCE's clock
    event_type: str

    @property
    def moment(self) -> datetime | None:
        """The time stamp; None when it cannot be read."""
        try:
            moment = datetime.fromisoformat(self.timestamp)
        except ValueError:
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def may_change_members(event_type: str) -> bool:
    """Whether an event of this type may be about labels, workloads or service bindings."""
    return event_type.partition(".")[0] not in _HARMLESS


@dataclass(frozen=True, slots=True)
class _Found:
    events: Sequence[Event]
    total: int | None
    date: datetime | None  # the PCE's clock

    @property
    def cut(self) -> bool:
        """Whether there may be more events than the answer holds, or it cannot be told when it was given."""
        return (
            self.date is None or len(self.events) >= MOST or (self.total is not None and self.total > len(self.events))
        )


class EventFeed:
    """Asks for the events since the last look, with one request each time."""

    def __init__(self, client: Fetcher, org_id: int) -> None:
        self._client = client
        self._path = f"/orgs/{org_id}/events"
        self._since: datetime | None = None  # None: nothing has been asked yet
        self._seen: frozenset[str] = frozenset()
        self._usable = True
        self._complained = False

    def restart(self) -> None:
        """Everything is about to be read: look from now on, and try again where events could not be had."""
        self._since = None
        self._usable = True

    def members_may_have_changed(self, deadline: Deadline) -> bool:
        """Whether anything since the last look may have changed members; True when that cannot be told.

        Only what happened before this call counts: read the members after it. Raises PceError when the PCE is in
        trouble, as opposed to not offering events to this key.
        """
        if not self._usable:
            return True
        try:
            found = self._look(deadline)
        except (PceForbidden, PceNotFound, PceRejected, PceInvalidAnswer) as raised:
            self._give_up(raised)
            return True
        self._complained = False
        fresh = [event for event in found.events if event.href not in self._seen]
        if found.date is not None:
            self._advance(found.events, found.date)
        return found.cut or any(may_change_members(event.event_type) for event in fresh)

    def _look(self, deadline: Deadline) -> _Found:
        def read(answer: Answer) -> _Found:
            events = decode_list(answer.body, Event, self._path)
            return _Found(events, answer.total, answer.date)

        since = self._since or self._client.clock.now() - OVERLAP
        params = {"timestamp[gte]": rfc3339(since), "max_results": str(MOST)}
        return self._client.fetch(self._path, read, deadline, params=params)

    def _advance(self, events: Sequence[Event], date: datetime) -> None:
        """The next look begins before the newest event: by the PCE's clock alone, which ours may differ from."""
        if self._since is None:
            self._since = date - OVERLAP
        newest = max(_moments(events), default=self._since)
        self._since = max(self._since, min(newest, date) - OVERLAP)
        self._seen = frozenset(event.href for event in events)

    def _give_up(self, raised: PceError) -> None:
        """Until everything is read the next time; said once."""
        self._usable = False
        if not self._complained:
            self._complained = True
            _log.warning(
                "The PCE's events cannot be read, so workloads, labels and service bindings are read whole in every "
                "cycle: give the key's role Global Viewer, without a scope.",
                reason=str(raised),
            )


def _moments(events: Iterable[Event]) -> Iterable[datetime]:
    return (moment for event in events if (moment := event.moment))
