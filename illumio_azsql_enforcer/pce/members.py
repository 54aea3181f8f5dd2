"""Labels, service bindings and workloads: of a large estate, just those that the policy of the servers looks at.

Which those are is decided by `policy.demand`. They are found by label (`labels=[["a","b"],["c"]]`: (a and b) or c), by
the servers' names (`hostname` finds parts of names, so one request does for each domain) and by href. Where that is
not surely complete, or hardly less than everything, all workloads are read.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

import msgspec
import structlog

from illumio_azsql_enforcer.errors import PceNotFound, SnapshotIncomplete
from illumio_azsql_enforcer.model.policy import Label, ServiceBinding, Workload
from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.pce.decoding import decode_one
from illumio_azsql_enforcer.pce.listing import count_objects
from illumio_azsql_enforcer.pce.reader import Membership, PolicyObjects, read_all, read_membership, snapshot_of
from illumio_azsql_enforcer.pce.release import Release
from illumio_azsql_enforcer.policy.demand import Interest, LabelSet, Needed
from illumio_azsql_enforcer.retrying import Deadline

SMALL = 2_000  # workloads; fewer are always read whole
WORTHWHILE = 0.5  # of all workloads; where more are needed, everything is read
MOST_QUERIES = 8  # by label
MOST_NAMED = 24  # by href
LONGEST_QUERY = 4_000  # characters of one query's label sets, encoded for the URL

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """Members, and what they were read for. `interest` None: all workloads are there."""

    members: Membership
    interest: Interest | None = None

    @property
    def whole(self) -> bool:
        """Whether all workloads are there."""
        return self.interest is None

    def serves(self, interest: Interest | None) -> bool:
        """Whether nothing is missing for this interest."""
        return self.whole or self.interest == interest


def read_members(
    client: PceClient,
    *,
    org_id: int,
    release: Release,
    policy: PolicyObjects,
    interest: Interest | None,
    deadline: Deadline,
) -> Reading:
    """Labels, service bindings and at least the workloads that the interest (None: everything) needs.

    Raises PceError.
    """
    if interest is not None:
        try:
            members = _Targeted(client, org_id, release, policy, interest, deadline).read()
        except SnapshotIncomplete as raised:
            if not deadline.remaining:
                raise
            _log.info("the workloads that matter cannot be told; all are read", reason=str(raised))
            members = None
        if members is not None:
            return Reading(members, interest)
    return Reading(read_membership(client, org_id=org_id, deadline=deadline))


@dataclass(frozen=True, slots=True)
class _Targeted:
    """One read of what is needed."""

    client: PceClient
    org_id: int
    release: Release
    policy: PolicyObjects
    interest: Interest
    deadline: Deadline

    def read(self) -> Membership | None:
        """The members, or None where everything has to be read. Raises PceError.

        What is needed is worked out from labels and bindings before the workloads are read, and checked against what is
        there afterwards: a server may just have got other labels.
        """
        total = self._count({})
        if total is None or total < SMALL:
            return None
        own = self._of_servers()
        needed = None if own is None else self._needed(self._with(own))
        queries = None if needed is None else self._queries(needed, total)
        if own is None or needed is None or queries is None:
            return None
        found = own | self._named(needed.workloads) | self._labelled(queries)
        members = self._with(found)
        after = self._needed(members)
        return members if after is not None and after.within(needed) else None

    def _with(self, found: Mapping[str, Workload]) -> Membership:
        """These workloads with the labels and bindings of now. What refers comes before what it refers to."""
        root = f"/orgs/{self.org_id}"
        bindings = read_all(self.client, f"{root}/service_bindings", ServiceBinding, self.deadline, optional=True)
        labels = read_all(self.client, f"{root}/labels", Label, self.deadline)
        return Membership(labels=labels, workloads=tuple(found.values()), service_bindings=bindings)

    def _needed(self, members: Membership) -> Needed | None:
        return self.interest.needed(snapshot_of(self.release, self.policy, members))

    def _of_servers(self) -> dict[str, Workload] | None:
        """Workloads that may stand for servers; None where they cannot surely be found by name.

        That `hostname` finds a name in whatever case is seen from the count for the same name in capitals.
        """
        found: dict[str, Workload] = {}
        for domain in sorted(self.interest.domains):
            asked = self._workloads({"hostname": domain})
            if not asked or self._count({"hostname": domain.upper()}) != len(asked):
                return None
            found |= asked
        return found

    def _named(self, hrefs: Iterable[str]) -> dict[str, Workload]:
        """The workloads with these hrefs, as far as they are there."""
        return {href: found for href in sorted(hrefs) if (found := self._one(href))}

    def _one(self, href: str) -> Workload | None:
        try:
            found = self.client.fetch(href, lambda answer: decode_one(answer.body, Workload, href), self.deadline)
        except PceNotFound:
            return None
        return None if found.deleted else found

    def _labelled(self, queries: list[str]) -> dict[str, Workload]:
        """The workloads that the queries find; all but the last are made again.

        So a workload that goes from the labels of a later query to those of an earlier one in between is not lost.
        """
        found: dict[str, Workload] = {}
        for query in (*queries, *queries[:-1]):
            found |= self._workloads({"labels": query})
        return found

    def _queries(self, needed: Needed, total: int) -> list[str] | None:
        """The label queries, if few are enough, and if they find clearly fewer workloads than there are."""
        queries = list(_queries(needed.label_sets))
        if len(queries) > MOST_QUERIES or len(needed.workloads) > MOST_NAMED:
            return None
        counts = [self._count({"labels": query}) for query in queries]
        known = [count for count in counts if count is not None]
        return queries if len(known) == len(counts) and sum(known) <= WORTHWHILE * total else None

    def _workloads(self, params: Mapping[str, str]) -> dict[str, Workload]:
        found = read_all(self.client, self._path, Workload, self.deadline, params=params)
        return {each.href: each for each in found}

    def _count(self, params: Mapping[str, str]) -> int | None:
        return count_objects(self.client, self._path, self.deadline, params)

    @property
    def _path(self) -> str:
        return f"/orgs/{self.org_id}/workloads"


def _queries(label_sets: Iterable[LabelSet]) -> Iterator[str]:
    """Values of `labels` that together ask for all these, each short enough for a URL."""
    parts: list[str] = []
    length = 0
    for one in sorted(sorted(each) for each in label_sets):
        part = msgspec.json.encode(one).decode()
        longer = len(quote(part + ",", safe=""))
        if parts and length + longer > LONGEST_QUERY:
            yield f"[{','.join(parts)}]"
            parts, length = [], 0
        parts.append(part)
        length += longer
    if parts:
        yield f"[{','.join(parts)}]"
