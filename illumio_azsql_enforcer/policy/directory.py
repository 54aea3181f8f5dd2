"""Every object of a snapshot, found by href. The draft and the active form of an object are the same object."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pyroaring import BitMap

from illumio_azsql_enforcer.model.firewall import ConsumerKind
from illumio_azsql_enforcer.model.policy import (
    IpList,
    Label,
    LabelGroup,
    Snapshot,
    VirtualService,
    Workload,
    name_of,
    unversioned,
)


@dataclass(frozen=True, slots=True)
class Group:
    """A label group with its sub-groups worked in (cases 12 to 14 of docs/policy-semantics.md)."""

    name: str
    key: str  # the label type of all members
    labels: frozenset[str]  # hrefs
    complete: bool  # every member and sub-group is known


class Directory:
    """Looks objects up by href. Workloads are known by ordinal: their place among those that are not deleted."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.labels: Mapping[str, Label] = {label.href: label for label in snapshot.labels if not label.deleted}
        self._ip_lists: Mapping[str, IpList] = {unversioned(each.href): each for each in snapshot.ip_lists}
        self._virtual_services = {unversioned(each.href): each for each in snapshot.virtual_services}
        self._groups = {unversioned(group.href): group for group in snapshot.label_groups}
        self._named: Mapping[str, Mapping[str, LabelGroup | IpList | VirtualService]] = {
            ConsumerKind.LABEL_GROUP: self._groups,
            ConsumerKind.IP_LIST: self._ip_lists,
            ConsumerKind.VIRTUAL_SERVICE: self._virtual_services,
        }
        self._expanded: dict[str, Group | None] = {}
        self.workloads: tuple[Workload, ...] = tuple(each for each in snapshot.workloads if not each.deleted)
        self._ordinals = {workload.href: at for at, workload in enumerate(self.workloads)}
        self._twins = _twins(self.workloads, self._ordinals)

    def ordinals(self, href: str | None) -> BitMap:
        """The workload with this href: one, or none; an href that was sent twice stands for both."""
        at = self._ordinals.get(href or "")
        return BitMap([*self._twins.get(href or "", ()), *([] if at is None else [at])])

    def ip_list(self, href: str) -> IpList | None:
        """The IP list, if the PCE has it."""
        return self._ip_lists.get(unversioned(href))

    def name(self, kind: str, href: str | None) -> str:
        """What an operator calls the object that a rule names; its href when it is not known."""
        if href is None:
            return "All Workloads"
        if kind == ConsumerKind.LABEL:
            return self.labels[href].value if href in self.labels else href
        if kind == ConsumerKind.WORKLOAD:
            at = self._ordinals.get(href)
            return href if at is None else name_of(self.workloads[at])
        found = self._named[kind].get(unversioned(href)) if kind in self._named else None
        return found.name or href if found else href

    def workload_name(self, ordinal: int) -> str:
        """What an operator calls the workload."""
        return name_of(self.workloads[ordinal])

    def key(self, href: str) -> str:
        """The type of a label; "" for one that is not known."""
        return self.labels[href].key if href in self.labels else ""

    def label_text(self, href: str) -> str:
        """`role:web`, or the href of a label that is not known."""
        label = self.labels.get(href)
        return f"{label.key}:{label.value}" if label else href

    def group(self, href: str) -> Group | None:
        """The group with all its labels. None: not known, or its members are not of one label type."""
        key = unversioned(href)
        if key not in self._expanded:
            self._expanded[key] = self._expand(key)
        return self._expanded[key]

    def _expand(self, root: str) -> Group | None:
        if root not in self._groups:
            return None
        groups, complete = self._nested(root)
        hrefs = {each.href for group in groups for each in group.labels or ()}
        known = {href for href in hrefs if href in self.labels}
        keys = {group.key for group in groups if group.key} | {self.labels[href].key for href in known}
        if len(keys) != 1:
            return None
        return Group(self._groups[root].name, keys.pop(), frozenset(known), complete and known == hrefs)

    def _nested(self, root: str) -> tuple[list[LabelGroup], bool]:
        """The group and all groups below it, each once, whatever the nesting; and whether all are known."""
        seen: set[str] = set()
        waiting = [root]
        while waiting:
            at = waiting.pop()
            if at not in seen:
                seen.add(at)
                waiting += _below(self._groups.get(at))
        return [self._groups[each] for each in seen if each in self._groups], seen <= self._groups.keys()


def _below(group: LabelGroup | None) -> Iterable[str]:
    return [unversioned(each.href) for each in group.sub_groups or ()] if group else []


def _twins(workloads: tuple[Workload, ...], ordinals: Mapping[str, int]) -> dict[str, list[int]]:
    """Ordinals of workloads whose href belongs to a later one too. The PCE does not send such; nothing may be lost."""
    twins: dict[str, list[int]] = {}
    if len(ordinals) < len(workloads):
        for at, workload in enumerate(workloads):
            if ordinals[workload.href] != at:
                twins.setdefault(workload.href, []).append(at)
    return twins
