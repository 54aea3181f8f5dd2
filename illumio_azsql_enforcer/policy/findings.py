"""What allow rules name but the firewall does not get, and why: notes for each rule and consumer."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pyroaring import BitMap

from illumio_azsql_enforcer.addresses import RangeSet
from illumio_azsql_enforcer.model.firewall import Note, NoteCode
from illumio_azsql_enforcer.policy.consumers import Part, parts_of
from illumio_azsql_enforcer.policy.ip_lists import PRIVATE
from illumio_azsql_enforcer.policy.notes import joined
from illumio_azsql_enforcer.policy.population import union
from illumio_azsql_enforcer.policy.rules import Grant
from illumio_azsql_enforcer.policy.workload_addresses import AddressBook, Counts
from illumio_azsql_enforcer.policy.world import World
from illumio_azsql_enforcer.text import plural

ADVICE = "they cannot arrive at a public endpoint; set policy.nat or policy.addresses"


@dataclass(frozen=True, slots=True)
class _View:
    """For whom a grant is looked at."""

    own: BitMap  # the workload of the server itself: nothing is missing when that is left out
    arrived: RangeSet | None = None  # private addresses that are not left out; None: none at all


class Findings:
    """Notes about the consumers of grants; most are the same for every server, and made once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[Grant, tuple[list[Note], BitMap]] = {}

    def about(self, grants: Iterable[Grant], own: BitMap, final: RangeSet, denied: Sequence[RangeSet]) -> list[Note]:
        """All notes about these grants, for a server whose workload is `own` and that gets the ranges `final`."""
        arrived = None
        if any(final.overlaps(block) for block in PRIVATE):
            arrived = RangeSet.of_packed([packed for each in (final, *denied) for packed in each.packed])
        notes: list[Note] = []
        for grant in grants:
            common, servers = self._common(grant)
            special = arrived is not None or own & servers
            notes += self._of_grant(grant, _View(own, arrived)) if special else common
        return notes

    def _common(self, grant: Grant) -> tuple[list[Note], BitMap]:
        """The notes for a server that is not among the consumers, and the servers' workloads that are."""
        if grant not in self._known:
            notes = self._of_grant(grant, _View(BitMap()))
            selected = [part.workloads & self._world.own_workloads for part in parts_of(grant.consumers, self._world)]
            self._known[grant] = (notes, union(selected))
        return self._known[grant]

    def _of_grant(self, grant: Grant, view: _View) -> list[Note]:
        book = self._world.subnets if grant.consumers.subnets else self._world.addresses
        parts = parts_of(grant.consumers, self._world)
        return [note for part in parts for note in self._of_part(grant, part, view, book)]

    def _of_part(self, grant: Grant, part: Part, view: _View, book: AddressBook) -> Iterator[Note]:
        yield from (fault.note(grant.name) for fault in part.faults)
        says = f"{grant.name} allows '{self._called(part)}'"
        workloads = part.workloads - view.own if view.own else part.workloads
        if workloads:
            yield from _of_workloads(says, book.counts(workloads))
            yield from self._private(says, workloads, view, book)
        for actor, each in part.listed:
            name = says if actor == part.actors[0] else f"{says}: '{self._world.name(actor)}'"
            if each.ipv6:
                yield Note(NoteCode.IPV6, each.ipv6, f"{name}: {_ipv6(each.ipv6, 'entry')}")
            if each.fqdns:
                text = f"{plural(each.fqdns, 'host name')} in it are for outbound rules and admit nothing"
                yield Note(NoteCode.FQDN, each.fqdns, f"{name}: {text}")
        yield from self._private_ranges(says, part.ranges, view)

    def _private(self, says: str, workloads: BitMap, view: _View, book: AddressBook) -> Iterator[Note]:
        if self._world.settings.keep_private_ranges:
            return
        found = book.counts(workloads)
        if view.arrived is not None:
            left = RangeSet.of_packed(book.private_ranges(workloads)) - view.arrived
            if left:
                yield Note(
                    NoteCode.PRIVATE_ADDRESS, left.size, f"{says}: {plural(left.size, 'private address')}; {ADVICE}"
                )
        elif found.private:
            only = f"{plural(found.private_only, 'workload')} with private addresses only"
            text = only if found.private_only else plural(found.private, "private address")
            yield Note(NoteCode.PRIVATE_ADDRESS, found.private, f"{says}: {text}; {ADVICE}")

    def _private_ranges(self, says: str, ranges: RangeSet, view: _View) -> Iterator[Note]:
        if self._world.settings.keep_private_ranges or not any(ranges.overlaps(block) for block in PRIVATE):
            return
        left = (ranges & PRIVATE) - (view.arrived or RangeSet())
        if left:
            text = f"{plural(left.size, 'private address')}; they cannot arrive at a public endpoint"
            yield Note(NoteCode.PRIVATE_ADDRESS, left.size, f"{says}: {text}")

    def _called(self, part: Part) -> str:
        return joined(f"not {self._world.name(a)}" if a.excluded else self._world.name(a) for a in part.actors)


def _of_workloads(says: str, found: Counts) -> Iterator[Note]:
    if found.offline:
        text = f"{plural(found.offline, 'workload')} left out while the agent is offline"
        yield Note(NoteCode.OFFLINE, found.offline, f"{says}: {text}")
    if found.ipv6:
        yield Note(NoteCode.IPV6, found.ipv6, f"{says}: {_ipv6(found.ipv6, 'address')}")
    if found.unreadable:
        text = f"{plural(found.unreadable, 'address')} of its workloads cannot be read"
        yield Note(NoteCode.UNREADABLE, found.unreadable, f"{says}: {text}")
    if found.without:
        yield Note(
            NoteCode.NO_ADDRESS, found.without, f"{says}: {plural(found.without, 'workload')} without an address"
        )


def _ipv6(count: int, noun: str) -> str:
    return f"{plural(count, f'IPv6 {noun}')} left out; the firewall rules of Azure SQL written here are IPv4 only"
