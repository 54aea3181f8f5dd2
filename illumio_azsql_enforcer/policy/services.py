"""Whether services cover one of our ports over TCP (cases 64 to 72 of docs/policy-semantics.md)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from illumio_azsql_enforcer.model.firewall import NoteCode
from illumio_azsql_enforcer.model.policy import Service, ServicePort, unversioned
from illumio_azsql_enforcer.policy.notes import Fault, missing

TCP = 6
ANY_PROTOCOL = -1
ALL_PORTS = range(65536)


@dataclass(frozen=True, slots=True)
class Coverage:
    """How far a list of services covers our ports."""

    plain: bool = False  # an entry that asks for nothing but the port covers one
    qualified: int = 0  # entries that cover one for a named program only, which Azure SQL cannot tell
    faults: tuple[Fault, ...] = ()

    def __or__(self, other: "Coverage") -> "Coverage":
        return Coverage(
            self.plain or other.plain,
            self.qualified + other.qualified,
            tuple({**dict.fromkeys(self.faults + other.faults)}),
        )


def integer(value: object) -> int | None:
    """An integer as it is, None as it is. Raises ValueError for anything else: what is not a number is not guessed."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise ValueError(f"{value!r} is not a number")


def port_span(port: object, to_port: object) -> range:
    """The ports of an entry. No port, or -1, is all of them. Raises ValueError."""
    first, last = integer(port), integer(to_port)
    if first in (None, -1):
        if last not in (None, -1):
            raise ValueError(f"there is an end port {last} without a first port")
        return ALL_PORTS
    if first == 0 and last is None:
        raise ValueError("port 0 alone is not defined")
    last = first if last is None else last
    if first is None or not 0 <= first <= last <= 65535:
        raise ValueError(f"{first} to {last} is not a range of ports")
    return range(first, last + 1)


def covers(entry: ServicePort, ports: Iterable[int]) -> bool:
    """Whether the entry covers one of the ports over TCP. Raises ValueError when that cannot be read."""
    protocol = integer(entry.proto)
    if protocol is None:
        raise ValueError("there is no protocol")
    if protocol not in (TCP, ANY_PROTOCOL):
        return False
    span = port_span(entry.port, entry.to_port)
    return any(port in span for port in ports)


class Services:
    """The services of a snapshot against our ports."""

    def __init__(self, services: Iterable[Service], ports: Sequence[int]) -> None:
        self._services: Mapping[str, Service] = {unversioned(service.href): service for service in services}
        self._ports = ports
        self._known: dict[str, Coverage] = {}

    def coverage(self, items: Sequence[ServicePort] | None) -> Coverage:
        """What any of the items covers: inline entries, and references to services."""
        total = Coverage()
        for item in items or ():
            total |= self.by_href(item.href) if item.href is not None else self.entry(item, "has a service entry")
        return total

    def by_href(self, href: str) -> Coverage:
        """What a service covers. One that the PCE does not have covers nothing."""
        key = unversioned(href)
        if key not in self._known:
            self._known[key] = self._of_service(href, self._services.get(key))
        return self._known[key]

    def entries(self, href: str) -> tuple[list[ServicePort], bool] | None:
        """The entries of a service and whether all ask for a process; None when the PCE does not have it."""
        service = self._services.get(unversioned(href))
        return (_entries(service), _asks_for_process(service)) if service else None

    def entry(
        self, entry: ServicePort, where: str, *, qualified: bool = False, ports: Sequence[int] | None = None
    ) -> Coverage:
        """What one entry covers; a process or Windows service in it asks for more than a port (case 70)."""
        named = qualified or any(name not in (None, "") for name in (entry.process_name, entry.service_name))
        if named and entry.proto is None and entry.port is None:
            return Coverage(qualified=1)
        try:
            found = covers(entry, self._ports if ports is None else ports)
        except ValueError as error:
            return Coverage(faults=(Fault(NoteCode.UNREADABLE, f"{where} that cannot be read: {error}"),))
        return Coverage(plain=found and not named, qualified=int(found and named))

    def _of_service(self, href: str, service: Service | None) -> Coverage:
        if service is None:
            return Coverage(faults=(missing("service", href),))
        total = Coverage()
        for entry in _entries(service):
            where = f"names service '{service.name}' ({service.href}) with an entry"
            total |= self.entry(entry, where, qualified=_asks_for_process(service))
        return total


def _entries(service: Service) -> list[ServicePort]:
    return [*(service.service_ports or ()), *(service.windows_services or ())]


def _asks_for_process(service: Service) -> bool:
    return service.process_name not in (None, "")
