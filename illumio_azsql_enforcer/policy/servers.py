"""The governed servers as members of the policy: by ordinal, by label, by the PCE object that stands for them."""

from collections.abc import Mapping, Sequence

from pyroaring import BitMap

from illumio_azsql_enforcer.model.firewall import Governed
from illumio_azsql_enforcer.model.policy import Label, unversioned
from illumio_azsql_enforcer.policy.population import Population


def folded(name: str | None) -> str:
    """A DNS name for comparison: no case, no trailing dot."""
    return (name or "").rstrip(".").casefold()


class Servers:
    """Which server a rule means. The sets that are handed out are shared: read them, do not change them."""

    def __init__(self, servers: Sequence[Governed], labels: Mapping[str, Label]) -> None:
        self.all = tuple(servers)
        self.population = Population((server.label_hrefs for server in servers), labels)
        self._by_id = {server.server.id: at for at, server in enumerate(servers)}
        self._by_workload: dict[str, BitMap] = {}
        self._by_virtual_service: dict[str, BitMap] = {}
        for at, server in enumerate(servers):
            if server.workload is not None:
                self._by_workload.setdefault(server.workload, BitMap()).add(at)
            if server.virtual_service is not None:
                self._by_virtual_service.setdefault(unversioned(server.virtual_service), BitMap()).add(at)

    def ordinal(self, server: Governed) -> int:
        """The place of the server. Raises KeyError for one that was not given to the constructor."""
        return self._by_id[server.server.id]

    def of_workload(self, href: str | None) -> BitMap:
        """The server that this workload stands for: one or none."""
        return self._by_workload.get(href or "", BitMap())

    def of_virtual_service(self, href: str) -> BitMap:
        """The server whose name is a service address of this virtual service: one or none."""
        return self._by_virtual_service.get(unversioned(href), BitMap())
