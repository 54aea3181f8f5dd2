"""Does a rule speak about one of the ports in question?"""

from collections.abc import Iterable
from typing import NamedTuple

from illumio_azsql_enforcer.sandbox.oracle.answers import Answer, yes_if
from illumio_azsql_enforcer.sandbox.oracle.world import Json, ServerView, World, host, href_of, listed

TCP = 6
ANY = -1


class Port(NamedTuple):
    """A port that somebody wants to reach."""

    number: int
    proto: int = TCP


class Wanted(NamedTuple):
    """The ports in question, and whether an entry counts that is for a named program only.

    At a database nobody can see the program: such an entry opens nothing, and denies everything.
    """

    ports: tuple[Port, ...]
    for_programs: bool = False


def rule_covers(world: World, services: object, wanted: Wanted) -> Answer:
    """Whether one of a rule's `ingress_services`, inline or by href, covers one of the ports. None at all: NO."""
    return max((_item_covers(world, item, wanted) for item in listed(services)), default=Answer.NO)


def _item_covers(world: World, item: Json, wanted: Wanted) -> Answer:
    if item.get("href") is None:
        return entry_covers(item, wanted)
    service = world.find(item)
    return Answer.UNKNOWN if service is None else max(_entries_cover(service, wanted), default=Answer.NO)


def _entries_cover(service: Json, wanted: Wanted) -> Iterable[Answer]:
    return (entry_covers(entry, wanted) for entry in entries_of(service))


def entries_of(service: Json) -> list[Json]:
    """The entries of a service; a program that the service names as a whole is named by each entry."""
    entries = [*listed(service.get("service_ports")), *listed(service.get("windows_services"))]
    program = service.get("process_name")
    return [{**entry, "process_name": program} if program else entry for entry in entries]


def entry_covers(entry: Json, wanted: Wanted) -> Answer:
    """One protocol and port entry."""
    for_program = bool(entry.get("process_name") or entry.get("service_name"))
    if for_program and entry.get("proto") is None and entry.get("port") is None:
        return yes_if(wanted.for_programs)
    best = max((port_in_entry(entry, port) for port in wanted.ports), default=Answer.NO)
    return Answer.NO if for_program and best is Answer.YES and not wanted.for_programs else best


def port_in_entry(entry: Json, port: Port) -> Answer:
    """The protocol or -1, and no port at all (or -1), that port, or a range of ports around it."""
    proto, first, last = entry.get("proto"), entry.get("port"), entry.get("to_port")
    if not _is_number(proto):
        return Answer.UNKNOWN
    if proto not in {port.proto, ANY}:
        return Answer.NO
    if not all(value is None or _is_number(value) for value in (first, last)):
        return Answer.UNKNOWN
    if first in {None, ANY}:
        return Answer.YES if last in {None, ANY} else Answer.UNKNOWN
    return _between(int(first or 0), int(first or 0) if last is None else int(last), port.number, alone=last is None)


def _between(first: int, last: int, port: int, *, alone: bool) -> Answer:
    """Port 0 alone, a number that is no port, and a range that is upside down mean nothing that we know."""
    if not 0 <= first <= last <= 65535 or (first == 0 and alone):
        return Answer.UNKNOWN
    return yes_if(first <= port <= last)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# --- virtual services


def virtual_service_covers(
    world: World, server: ServerView, service: Json, binding: Json | None, wanted: Wanted
) -> Answer:
    """Whether the virtual service listens on one of the ports of the server.

    Where a binding ties the two, the binding may give it other ports. Where the server's name does, as a service
    address, a port there must be one of those in question too.
    """
    named = href_of(service.get("service"))
    found = world.find(service["service"]) if named else {"service_ports": service.get("service_ports")}
    if found is None:
        return Answer.UNKNOWN
    if binding is None and not _address_fits(server, service, wanted):
        return Answer.NO
    overrides = listed(binding.get("port_overrides")) if binding else []
    return max((_on_server(entry, overrides, wanted) for entry in entries_of(found)), default=Answer.NO)


def _address_fits(server: ServerView, service: Json, wanted: Wanted) -> bool:
    named = [each for each in listed(service.get("service_addresses")) if host(each.get("fqdn")) == host(server.fqdn)]
    return any(each.get("port") in [None, ANY, *(port.number for port in wanted.ports)] for each in named)


def _on_server(entry: Json, overrides: list[Json], wanted: Wanted) -> Answer:
    """An entry at its new port if the binding moves it, else at its own, less single ports that are moved away."""
    if not all(_is_number(each.get(field)) for each in overrides for field in ("proto", "port", "new_port")):
        return Answer.UNKNOWN
    for override in overrides:
        if (override["proto"], override["port"]) == (entry.get("proto"), entry.get("port")):
            return entry_covers({**entry, "port": override["new_port"], "to_port": override.get("new_to_port")}, wanted)
    left = [port for port in wanted.ports if not any(_moves(override, entry, port) for override in overrides)]
    return entry_covers(entry, wanted._replace(ports=tuple(left)))


def _moves(override: Json, entry: Json, port: Port) -> bool:
    return override["port"] == port.number and entry.get("proto") in [override["proto"], ANY]
