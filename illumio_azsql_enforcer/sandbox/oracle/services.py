"""Does a rule speak about one of the ports in question?"""

from collections.abc import Iterable
from typing import NamedTuple

from illumio_azsql_enforcer.sandbox.oracle.answers import Answer, yes_if
from illumio_azsql_enforcer.sandbox.oracle.world import Json, World, href_of, listed

TCP = 6
ANY = -1


class Port(NamedTuple):
    """A port that somebody wants to reach."""

    number: int
    proto: int = TCP


def rule_covers(world: World, services: object, ports: Iterable[Port]) -> Answer:
    """Whether one of a rule's `ingress_services`, inline or by href, covers one of the ports. None at all: NO."""
    return max((_item_covers(world, item, ports) for item in listed(services)), default=Answer.NO)


def _item_covers(world: World, item: Json, ports: Iterable[Port]) -> Answer:
    if "href" not in item or item["href"] is None:
        return entry_covers(item, ports)
    service = world.find(item)
    return Answer.UNKNOWN if service is None else service_covers(service, ports)


def service_covers(service: Json, ports: Iterable[Port]) -> Answer:
    """Whether one entry of a service object covers one of the ports."""
    entries = [*listed(service.get("service_ports")), *listed(service.get("windows_services"))]
    best = max((entry_covers(entry, ports) for entry in entries), default=Answer.NO)
    return min(best, Answer.UNKNOWN) if service.get("process_name") is not None else best


def entry_covers(entry: Json, ports: Iterable[Port]) -> Answer:
    """One protocol and port entry. One that only counts for a named program cannot be checked at a database."""
    best = max((port_in_entry(entry, port) for port in ports), default=Answer.NO)
    qualified = entry.get("process_name") is not None or entry.get("service_name") is not None
    return min(best, Answer.UNKNOWN) if qualified else best


def port_in_entry(entry: Json, port: Port) -> Answer:
    """The protocol or -1, and no port at all, that port, or a range of ports around it."""
    proto, first, last = entry.get("proto"), entry.get("port"), entry.get("to_port")
    if not _is_number(proto):
        return Answer.UNKNOWN
    if proto not in {port.proto, ANY}:
        return Answer.NO
    if first is None and last is None:
        return Answer.YES
    if not _is_number(first) or not (last is None or _is_number(last)):
        return Answer.UNKNOWN
    return _between(int(first or 0), int(last if last is not None else first or 0), port.number)


def _between(first: int, last: int, port: int) -> Answer:
    """Port 0 alone, a negative port and a range that is upside down mean nothing that we know."""
    if first < 0 or last < first or first == last == 0:
        return Answer.UNKNOWN
    return yes_if(first <= port <= last)


def virtual_service_covers(world: World, service: Json, binding: Json | None, ports: Iterable[Port]) -> Answer:
    """Whether the virtual service listens on one of the ports, after what its binding says about ports."""
    reference = service.get("service")
    if href_of(reference):
        found = world.find(reference)
        if found is None:
            return Answer.UNKNOWN
        entries, program = [*listed(found.get("service_ports")), *listed(found.get("windows_services"))], found
    else:
        entries, program = listed(service.get("service_ports")), service
    overrides = listed(binding.get("port_overrides")) if binding else []
    answers = [entry_covers(_moved(_any_port(entry), overrides), ports) for entry in entries]
    best = max(answers, default=Answer.NO)
    return min(best, Answer.UNKNOWN) if program.get("process_name") is not None else best


def _any_port(entry: Json) -> Json:
    """In a virtual service port -1 means any port."""
    return {**entry, "port": None, "to_port": None} if entry.get("port") == ANY else entry


def _moved(entry: Json, overrides: list[Json]) -> Json:
    """The entry on the port that the binding gives it instead."""
    for override in overrides:
        if override.get("port") == entry.get("port") and override.get("proto") in {entry.get("proto"), None}:
            return {**entry, "port": override.get("new_port") or "unknown", "to_port": override.get("new_to_port")}
    return entry


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
