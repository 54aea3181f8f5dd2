"""Virtual services: who offers them, on which port, and from which addresses they connect (cases 80 to 85).

As a provider a virtual service stands for the servers that it is bound to, on its own port. As a consumer it stands for
the addresses of the workloads that it is bound to, or for its `ip_overrides`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pyroaring import BitMap

from illumio_azsql_enforcer.model.firewall import Governed, NoteCode
from illumio_azsql_enforcer.model.policy import (
    PortOverride,
    ServiceBinding,
    ServicePort,
    Snapshot,
    VirtualService,
    unversioned,
)
from illumio_azsql_enforcer.policy.directory import Directory
from illumio_azsql_enforcer.policy.ip_lists import Listed, read_overrides
from illumio_azsql_enforcer.policy.notes import Fault
from illumio_azsql_enforcer.policy.population import Population
from illumio_azsql_enforcer.policy.selectors import Side
from illumio_azsql_enforcer.policy.servers import Servers, folded
from illumio_azsql_enforcer.policy.services import ANY_PROTOCOL, Coverage, Services, integer


@dataclass(frozen=True, slots=True)
class Offer:
    """A virtual service on a server."""

    server: int  # ordinal
    coverage: Coverage


class VirtualServices:
    """The virtual services of a snapshot, by ordinal."""

    def __init__(
        self, snapshot: Snapshot, directory: Directory, services: Services, ports: Sequence[int], servers: Servers
    ) -> None:
        self.all = snapshot.virtual_services
        self.population = Population(([each.href for each in vs.labels or ()] for vs in self.all), directory.labels)
        self._ordinals = _by_href(self.all)
        self._services, self._ports = services, ports
        self._bindings = _by_service(snapshot.service_bindings)
        self._directory = directory
        self._overrides: dict[int, Listed] = {}
        self._offers = {at: offers for at, vs in enumerate(self.all) if (offers := self._offers_of(vs, servers))}

    def ordinals(self, href: str | None) -> BitMap:
        """The virtual service with this href: one or none."""
        return BitMap(self._ordinals.get(unversioned(href or ""), ()))

    @property
    def any_offers(self) -> bool:
        """Whether any virtual service is bound to a server."""
        return bool(self._offers)

    def everyone_or_labelled(self, side: Side) -> BitMap:
        """The virtual services that a side selects by label or as one of all, in any scope."""
        if side.everyone:
            return self.population.everyone
        if side.labels is None or side.labels.conjunction is None:
            return BitMap()
        return self.population.select(side.labels.conjunction)

    def offers(self, ordinals: BitMap) -> list[tuple[VirtualService, Offer]]:
        """The servers on which any of these is offered, whatever the port."""
        return [(self.all[at], offer) for at, offers in self._offers.items() if at in ordinals for offer in offers]

    def bound(self, ordinals: BitMap) -> BitMap:
        """The workloads from which these connect: those bound to the ones without overrides."""
        bound = BitMap()
        for at in ordinals:
            if not self.all[at].ip_overrides:
                bound |= self.bound_workloads(at)
        return bound

    def bound_workloads(self, ordinal: int) -> BitMap:
        """The workloads that one is bound to."""
        bound = BitMap()
        for binding in self._bindings.get(unversioned(self.all[ordinal].href), ()):
            bound |= self._directory.ordinals(binding.workload.href if binding.workload else None)
        return bound

    def overrides(self, ordinal: int) -> Listed:
        """The `ip_overrides` of one, read."""
        if ordinal not in self._overrides:
            self._overrides[ordinal] = read_overrides(self.all[ordinal].ip_overrides or ())
        return self._overrides[ordinal]

    def _offers_of(self, service: VirtualService, servers: Servers) -> list[Offer]:
        named = servers.of_virtual_service(service.href)
        offers = [Offer(at, self._at_address(service, servers.all[at])) for at in named]
        for binding in self._bindings.get(unversioned(service.href), ()):
            bound = servers.of_workload(binding.workload.href if binding.workload else None)
            offers += [Offer(at, self._coverage(service, binding.port_overrides or ())) for at in bound]
        return offers

    def _at_address(self, service: VirtualService, server: Governed) -> Coverage:
        """What is covered where the server's name is a service address; a port there has to be one of ours too."""
        name = folded(server.server.fqdn)
        ports = [each.port for each in service.service_addresses or () if folded(each.fqdn) == name]
        coverage = self._coverage(service, ())
        fits = any(port in (None, ANY_PROTOCOL, *self._ports) for port in ports)
        return coverage if fits else replace(coverage, plain=False)

    def _coverage(self, service: VirtualService, overrides: Sequence[PortOverride]) -> Coverage:
        where = f"reaches virtual service '{service.name}' ({service.href}) with a port"
        entries, qualified = service.service_ports or [], False
        if service.service is not None:
            found = self._services.entries(service.service.href)
            if found is None:
                return self._services.by_href(service.service.href)
            entries, qualified = found
        total = Coverage()
        for entry in entries:
            try:
                moved, ports = _moved(entry, overrides, self._ports)
            except ValueError as error:
                return Coverage(faults=(Fault(NoteCode.UNREADABLE, f"{where} override that cannot be read: {error}"),))
            total |= self._services.entry(moved, where, qualified=qualified, ports=ports)
        return total


def _moved(
    entry: ServicePort, overrides: Iterable[PortOverride], ports: Sequence[int]
) -> tuple[ServicePort, Sequence[int]]:
    """The entry after the binding's port overrides, and those of our ports that no override moved away (case 82).

    Raises ValueError when an override cannot be read.
    """
    left = list(ports)
    for override in overrides:
        protocol, port = integer(override.proto), integer(override.port)
        new, new_to = integer(override.new_port), integer(override.new_to_port)
        if protocol is None or port is None or new is None:
            raise ValueError("protocol, port or new port is missing")
        if protocol == entry.proto and port == entry.port:
            return ServicePort(
                proto=entry.proto,
                port=new,
                to_port=new_to,
                process_name=entry.process_name,
                service_name=entry.service_name,
            ), ports
        if entry.proto in (protocol, ANY_PROTOCOL):
            left = [each for each in left if each != port]
    return entry, left


def _by_href(services: Iterable[VirtualService]) -> dict[str, list[int]]:
    ordinals: dict[str, list[int]] = {}
    for at, service in enumerate(services):
        ordinals.setdefault(unversioned(service.href), []).append(at)
    return ordinals


def _by_service(bindings: Iterable[ServiceBinding]) -> dict[str, list[ServiceBinding]]:
    found: dict[str, list[ServiceBinding]] = {}
    for binding in bindings:
        service = binding.virtual_service or binding.bound_service
        if service is not None:
            found.setdefault(unversioned(service.href), []).append(binding)
    return found
