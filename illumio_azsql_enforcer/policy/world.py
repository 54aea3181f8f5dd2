"""Everything that rules are evaluated against, indexed once for a snapshot."""

from collections.abc import Sequence
from functools import cached_property

from pyroaring import BitMap

from illumio_azsql_enforcer.addresses import RangeSet
from illumio_azsql_enforcer.model.firewall import Governed
from illumio_azsql_enforcer.model.policy import Snapshot
from illumio_azsql_enforcer.model.settings import PolicySettings
from illumio_azsql_enforcer.policy.directory import Directory
from illumio_azsql_enforcer.policy.ip_lists import Listed, read_ip_list
from illumio_azsql_enforcer.policy.nat import Nat
from illumio_azsql_enforcer.policy.population import Population, union
from illumio_azsql_enforcer.policy.selectors import Actor
from illumio_azsql_enforcer.policy.servers import Servers
from illumio_azsql_enforcer.policy.services import Services
from illumio_azsql_enforcer.policy.virtual_services import VirtualServices
from illumio_azsql_enforcer.policy.workload_addresses import AddressBook, KnownAddresses


class World:
    """A snapshot, ready to be asked."""

    def __init__(self, snapshot: Snapshot, settings: PolicySettings, governed: Sequence[Governed]) -> None:
        self.settings = settings
        self.directory = Directory(snapshot)
        self.servers = Servers(governed, self.directory.labels)
        self.services = Services(snapshot.services, settings.ports)
        self.virtual_services = VirtualServices(snapshot, self.directory, self.services, settings.ports, self.servers)
        self.nat = Nat(settings.nat)
        self._known = KnownAddresses(self.directory.workloads, self.nat)
        self._lists: dict[str, Listed | None] = {}

    @cached_property
    def workloads(self) -> Population:
        """The workloads by label."""
        carried = ([each.href for each in workload.labels or ()] for workload in self.directory.workloads)
        return Population(carried, self.directory.labels)

    @cached_property
    def own_workloads(self) -> BitMap:
        """The workloads that stand for governed servers."""
        return union(self.directory.ordinals(server.workload) for server in self.servers.all)

    @cached_property
    def addresses(self) -> AddressBook:
        """What workloads connect from."""
        return AddressBook(self.directory.workloads, self.settings, self.nat, subnets=False)

    @cached_property
    def subnets(self) -> AddressBook:
        """The same for rules that use the subnets of workloads; few do, so it is made when the first one asks."""
        return AddressBook(self.directory.workloads, self.settings, self.nat, subnets=True)

    def ip_list(self, href: str) -> Listed | None:
        """An IP list, read once. None when the PCE does not have it."""
        found = self.directory.ip_list(href)
        if found is None:
            return None
        listed = self._lists.get(found.href)
        if listed is None:
            listed = self._lists[found.href] = read_ip_list(found)
        return listed

    def known_addresses(self, ordinals: BitMap) -> RangeSet:
        """Every address that these workloads may be seen from. Raises ValueError naming one that cannot be read."""
        return self._known.of(ordinals)

    def name(self, actor: Actor) -> str:
        """What an operator calls the actor of a rule."""
        return self.directory.name(actor.kind, actor.href)
