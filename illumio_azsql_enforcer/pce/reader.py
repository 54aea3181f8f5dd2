"""A complete-or-nothing read of one policy version into a Snapshot.

Collections are separate requests, so the version is read before and after; when it moved, all is read again. Everything
versioned is read from `sec_policy/active`: a draft is not policy.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import structlog

from illumio_azsql_enforcer.clock import Clock
from illumio_azsql_enforcer.errors import (
    PceError,
    PceForbidden,
    PceInvalidAnswer,
    PceNotFound,
    PceRejected,
    SnapshotIncomplete,
)
from illumio_azsql_enforcer.model.policy import (
    IpList,
    Label,
    LabelGroup,
    PolicyVersion,
    Reference,
    RuleSet,
    Service,
    ServiceBinding,
    Snapshot,
    VirtualService,
    Workload,
    counts_of,
    unversioned,
)
from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.pce.decoding import decode_one
from illumio_azsql_enforcer.pce.release import Release, release_of
from illumio_azsql_enforcer.pce.rules import with_all_rules
from illumio_azsql_enforcer.pce.wording import plain
from illumio_azsql_enforcer.retrying import Deadline

RESTARTS = 3  # of a read whose policy version moved

_log = structlog.get_logger(__name__)


class _HasHref(Protocol):
    @property
    def href(self) -> str: ...


T = TypeVar("T", bound=_HasHref)
P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class PolicyObjects:
    """What changes by provisioning only: one policy version's objects."""

    version: PolicyVersion
    label_groups: tuple[LabelGroup, ...]
    ip_lists: tuple[IpList, ...]
    services: tuple[Service, ...]
    rule_sets: tuple[RuleSet, ...]
    virtual_services: tuple[VirtualService, ...]


@dataclass(frozen=True, slots=True)
class Membership:
    """What changes at any moment, without a new policy version."""

    labels: tuple[Label, ...]
    workloads: tuple[Workload, ...]
    service_bindings: tuple[ServiceBinding, ...]


def read_snapshot(client: PceClient, *, org_id: int, clock: Clock, deadline: Deadline) -> Snapshot:
    """The whole active policy and its members, of one policy version.

    Raises SnapshotIncomplete when it cannot be read whole (truncated, moving, too late), and any other PceError.
    """
    started = clock.monotonic()
    release = read_release(client, deadline)
    version = read_version(client, org_id, deadline)

    def read(at: PolicyVersion) -> Snapshot:
        policy = read_policy_objects(client, org_id=org_id, release=release, version=at, deadline=deadline)
        return snapshot_of(release, policy, read_membership(client, org_id=org_id, deadline=deadline))

    snapshot = of_one_version(client, org_id, version, deadline, read)
    _log.debug("the policy was read", policy_version=snapshot.version, seconds=clock.monotonic() - started)
    return snapshot


def of_one_version(
    client: PceClient, org_id: int, version: PolicyVersion, deadline: Deadline, read: Callable[[PolicyVersion], P]
) -> P:
    """`read(version)`, once the policy version did not move meanwhile: where it did, it is read again at the new one.

    `version` was read just before. Raises SnapshotIncomplete when it never rests, and whatever `read` raises.
    """
    for _ in range(1 + RESTARTS):
        result, after = _attempt(client, org_id, version, deadline, read)
        if result is not None:
            return result
        _log.info(
            "the policy was provisioned while it was read; it is read again",
            before=version.version,
            after=after.version,
        )
        version = after
    raise SnapshotIncomplete(
        f"The policy of the PCE was provisioned again during each of {1 + RESTARTS} reads (now version "
        f"{version.version}): the next cycle reads it again."
    )


def read_release(client: PceClient, deadline: Deadline) -> Release:
    """The PCE's release, (25, 2, 20); empty when it does not tell this key. Raises PceError."""
    try:
        return client.fetch("/product_version", lambda answer: release_of(answer.body), deadline)
    except (PceNotFound, PceForbidden, PceRejected):
        return ()


def read_version(client: PceClient, org_id: int, deadline: Deadline) -> PolicyVersion:
    """The active policy version and its object counts. Raises PceError."""
    path = _active(org_id)
    return client.fetch(path, lambda answer: decode_one(answer.body, PolicyVersion, path), deadline)


def read_policy_objects(
    client: PceClient,
    *,
    org_id: int,
    release: Release,
    version: PolicyVersion,
    deadline: Deadline,
    before: PolicyObjects | None = None,
) -> PolicyObjects:
    """The versioned collections, each checked against the counts of `version`; the caller checks that it still holds.

    Where deny rules take a request for each rule set, those of `before` are kept if it is of the same version.
    Raises SnapshotIncomplete when the PCE gives fewer objects than it counts, and any other PceError.
    """

    known = before.rule_sets if before and before.version == version else ()

    def read(name: str, type_: type[T], *, optional: bool = False) -> tuple[T, ...]:
        found = read_all(client, f"{_active(org_id)}/{name}", type_, deadline, optional=optional)
        _compare(name, len(found), counts_of(version).get(name))
        return found

    return PolicyObjects(
        version=version,
        label_groups=read("label_groups", LabelGroup),
        ip_lists=read("ip_lists", IpList),
        services=read("services", Service),
        rule_sets=with_all_rules(client, read("rule_sets", RuleSet), release, deadline, known),
        virtual_services=read("virtual_services", VirtualService, optional=True),
    )


def read_membership(client: PceClient, *, org_id: int, deadline: Deadline) -> Membership:
    """Labels, workloads and service bindings as they are now. Raises PceError."""
    root = f"/orgs/{org_id}"
    # What refers comes before what it refers to: something new in between is then never a reference to nothing.
    bindings = read_all(client, f"{root}/service_bindings", ServiceBinding, deadline, optional=True)
    workloads = read_all(client, f"{root}/workloads", Workload, deadline)
    labels = read_all(client, f"{root}/labels", Label, deadline)
    share_references(workloads)
    return Membership(labels=labels, workloads=workloads, service_bindings=bindings)


def share_references(workloads: Iterable[Workload]) -> None:
    """One reference for each label, not one for each workload that carries it: that is much of a large estate."""
    known: dict[str, Reference] = {}
    for workload in workloads:
        if workload.labels:
            workload.labels[:] = [known.setdefault(each.href, each) for each in workload.labels]


def snapshot_of(release: Release, policy: PolicyObjects, members: Membership) -> Snapshot:
    """The two halves as one snapshot."""
    return Snapshot(
        version=policy.version.version,
        release=release,
        labels=members.labels,
        label_groups=policy.label_groups,
        ip_lists=policy.ip_lists,
        services=policy.services,
        rule_sets=policy.rule_sets,
        workloads=members.workloads,
        virtual_services=policy.virtual_services,
        service_bindings=members.service_bindings,
    )


def _attempt(
    client: PceClient, org_id: int, version: PolicyVersion, deadline: Deadline, read: Callable[[PolicyVersion], P]
) -> tuple[P | None, PolicyVersion]:
    """One read and the version after it; no result when that moved.

    An object that vanished, or a count that is short, may be the work of a provisioning in between: the version tells.
    """
    problem: PceError | None = None
    result: P | None = None
    try:
        result = read(version)
    except (PceNotFound, SnapshotIncomplete) as raised:
        if not deadline.remaining:
            raise
        problem = raised
    after = read_version(client, org_id, deadline)
    if after.version != version.version:
        return None, after
    if problem:
        raise problem
    return result, after


def _active(org_id: int) -> str:
    return f"/orgs/{org_id}/sec_policy/active"


def read_all(
    client: PceClient,
    path: str,
    type_: type[T],
    deadline: Deadline,
    *,
    params: Mapping[str, str] | None = None,
    optional: bool = False,
) -> tuple[T, ...]:
    """All objects at `path`, no two alike; none when the route is `optional` and this release does not have it."""
    try:
        found = client.collection(path, type_, deadline, params).items
    except PceNotFound:
        if not optional:
            raise
        return ()
    _check_hrefs(path, found)
    return tuple(found)


def _check_hrefs(path: str, found: list[T]) -> None:
    """Each object has an href of its own, draft and active forms taken as one."""
    versioned = "/sec_policy/" in path
    keys = [unversioned(each.href) if versioned else each.href for each in found]
    if len(set(keys)) == len(keys) and all(key.startswith("/") for key in keys):
        return
    times = Counter(keys)
    odd = next(key for key in keys if times[key] > 1 or not key.startswith("/"))
    raise PceInvalidAnswer(f"The PCE sent {path} with {plain(odd)!r} twice, or without a proper href.")


def _compare(name: str, read: int, counted: int | None) -> None:
    """Fewer objects than the version counts is a truncated or filtered read; more is only worth a word."""
    if counted is None or read == counted:
        return
    if read > counted:
        _log.warning(
            "the PCE gave more objects than its policy version counts", collection=name, read=read, counted=counted
        )
        return
    raise SnapshotIncomplete(
        f"The PCE gave {read} {name} where its policy version counts {counted}: check that the key's role is not "
        "limited to a scope (Global Viewer sees everything)."
    )
