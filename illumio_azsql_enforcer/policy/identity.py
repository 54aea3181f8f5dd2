"""Which labels a logical server has, and which PCE object stands for it (docs/policy-semantics.md, section 5).

The first of these decides: `servers.overrides.NAME.labels`; the PCE workload whose hostname is the server's fully
qualified name; the virtual service with that name as a service address; the server's Azure tags.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from illumio_azsql_enforcer.model.firewall import Governed, LabelsFrom, Server, Ungoverned
from illumio_azsql_enforcer.model.policy import Label, Reference, Snapshot, VirtualService, Workload, name_of
from illumio_azsql_enforcer.model.settings import ServerSettings
from illumio_azsql_enforcer.policy.notes import joined
from illumio_azsql_enforcer.policy.servers import folded


class _Unknown(Exception):
    """Who the server is cannot be told; the text says why."""


@dataclass(frozen=True, slots=True)
class _Labels:
    """Labels of one server, and where they were found."""

    found: Sequence[Label]
    origin: LabelsFrom
    owner: str  # what carries them, for people


def identify(
    servers: Sequence[Server], snapshot: Snapshot, settings: ServerSettings
) -> tuple[Governed | Ungoverned, ...]:
    """For each server, in the order given, its labels and identity, or why it has none.

    Ungoverned with `failed`: that cannot be told (two PCE objects for one server, a label that the PCE does not know).
    """
    lookup = _Lookup(servers, snapshot, settings)
    return tuple(lookup.identity(server) for server in servers)


class _Lookup:
    """The parts of a snapshot that names of servers are looked up in."""

    def __init__(self, servers: Sequence[Server], snapshot: Snapshot, settings: ServerSettings) -> None:
        self._settings = settings
        self._labels = {label.href: label for label in snapshot.labels if not label.deleted}
        self._by_value: dict[tuple[str, str], list[Label]] = {}
        for label in self._labels.values():
            self._by_value.setdefault((label.key, label.value), []).append(label)
        names = {folded(server.fqdn) for server in servers} - {""}
        self._workloads = _by_hostname(snapshot.workloads, names)
        self._virtual_services = _by_address(snapshot.virtual_services, names)

    def identity(self, server: Server) -> Governed | Ungoverned:
        """The identity of one server."""
        name = folded(server.fqdn)
        try:
            workload = _only(self._workloads.get(name, ()), "workloads", "this hostname")
            virtual_service = _only(self._virtual_services.get(name, ()), "virtual services", "this service address")
            labels = self._labels_of(server, workload, virtual_service)
        except _Unknown as error:
            return Ungoverned(server, str(error), failed=True)
        if not labels.found:
            return Ungoverned(server, f"{labels.owner} no labels.")
        return Governed(
            server=server,
            labels={label.key: label.value for label in sorted(labels.found, key=lambda label: label.key)},
            label_hrefs=frozenset(label.href for label in labels.found),
            labels_from=labels.origin,
            workload=workload.href if workload else None,
            virtual_service=virtual_service.href if virtual_service else None,
        )

    def _labels_of(self, server: Server, workload: Workload | None, virtual_service: VirtualService | None) -> _Labels:
        override = self._settings.overrides.get(server.name.lower())
        if override is not None and override.labels is not None:
            owner = f"The config (servers.overrides.{server.name}.labels)"
            return _Labels(self._valued(override.labels, owner), LabelsFrom.CONFIG, f"{owner} holds")
        if workload is not None:
            owner = f"Workload '{name_of(workload)}' ({workload.href})"
            return _Labels(self._carried(workload.labels, owner), LabelsFrom.WORKLOAD, f"{owner} has")
        if virtual_service is not None:
            owner = f"Virtual service '{virtual_service.name}' ({virtual_service.href})"
            return _Labels(self._carried(virtual_service.labels, owner), LabelsFrom.VIRTUAL_SERVICE, f"{owner} has")
        owner = "No workload or virtual service of the PCE has the name of this server, and its tags give"
        return _Labels(self._valued(self._tagged(server), "A tag of the server"), LabelsFrom.TAGS, owner)

    def _tagged(self, server: Server) -> Mapping[str, str]:
        """Labels by the configured tags. Azure compares tag names without case, values exactly."""
        tags = {name.casefold(): value for name, value in server.tags.items()}
        wanted = {key: tag.casefold() for key, tag in self._settings.tag_labels.items()}
        return {key: tags[tag] for key, tag in wanted.items() if tag in tags}

    def _valued(self, labels: Mapping[str, str], owner: str) -> list[Label]:
        return [self._by_key_and_value(key, value, owner) for key, value in labels.items()]

    def _by_key_and_value(self, key: str, value: str, owner: str) -> Label:
        found = self._by_value.get((key, value), [])
        if len(found) != 1:
            problem = "more than one label" if found else "no label"
            raise _Unknown(f"{owner} names the label {key}:{value}, but the PCE has {problem} of that type and value.")
        return found[0]

    def _carried(self, references: Iterable[Reference] | None, owner: str) -> list[Label]:
        hrefs = dict.fromkeys(each.href for each in references or ())
        if unknown := [href for href in hrefs if href not in self._labels]:
            raise _Unknown(f"{owner} carries the label {unknown[0]}, which the PCE does not list.")
        labels = [self._labels[href] for href in hrefs]
        keys = [label.key for label in labels]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise _Unknown(f"{owner} carries more than one label of type {twice[0]}.")
        return labels


def _by_hostname(workloads: Iterable[Workload], names: set[str]) -> dict[str, list[Workload]]:
    found: dict[str, list[Workload]] = {}
    for workload in workloads:
        if workload.hostname and not workload.deleted and (name := folded(workload.hostname)) in names:
            found.setdefault(name, []).append(workload)
    return found


def _by_address(services: Iterable[VirtualService], names: set[str]) -> dict[str, list[VirtualService]]:
    found: dict[str, list[VirtualService]] = {}
    for service in services:
        for name in {folded(each.fqdn) for each in service.service_addresses or ()} & names:
            found.setdefault(name, []).append(service)
    return found


_Named = TypeVar("_Named", Workload, VirtualService)


def _only(found: Sequence[_Named], nouns: str, what: str) -> _Named | None:
    if len(found) > 1:
        raise _Unknown(f"{len(found)} {nouns} of the PCE have {what}: {joined(each.href for each in found)}.")
    return found[0] if found else None
