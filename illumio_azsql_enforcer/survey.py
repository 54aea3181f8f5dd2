"""What the PCE and Azure say, side by side: the policy, the servers, who is governed. Read only."""

from dataclasses import dataclass

from illumio_azsql_enforcer.azure.access import AzureAccess
from illumio_azsql_enforcer.azure.servers import Discovered, discover
from illumio_azsql_enforcer.clock import Clock
from illumio_azsql_enforcer.model.firewall import Governed, Ungoverned
from illumio_azsql_enforcer.model.policy import Snapshot
from illumio_azsql_enforcer.model.settings import Config
from illumio_azsql_enforcer.pce.changes import PolicyWatch
from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.pce.reader import read_snapshot
from illumio_azsql_enforcer.policy.demand import Interest
from illumio_azsql_enforcer.policy.identity import identify
from illumio_azsql_enforcer.policy.translator import Translator
from illumio_azsql_enforcer.retrying import Deadline

Candidate = Governed | Ungoverned


@dataclass(frozen=True, slots=True)
class Survey:
    """One look at both sides."""

    snapshot: Snapshot
    found: Discovered
    candidates: tuple[Candidate, ...]
    translator: Translator


def read_policy(pce: PceClient, config: Config, clock: Clock) -> Snapshot:
    """The whole active policy. Raises PceError."""
    deadline = Deadline.after(clock, config.pce.deadline)
    return read_snapshot(pce, org_id=config.pce.org_id, clock=clock, deadline=deadline)


def watch_policy(watch: PolicyWatch, azure: AzureAccess, config: Config, clock: Clock) -> tuple[Snapshot, Discovered]:
    """The active policy, as far as the servers need it, and the servers. The same snapshot while nothing changes.

    Raises PceError, before Azure is asked for anything where the PCE cannot be reached, and ArmError.
    """
    found: list[Discovered] = []

    def interest() -> Interest:
        found.append(find_servers(azure, config, clock))
        return Interest(found[-1].servers, config.servers, config.policy)

    return watch.snapshot(Deadline.after(clock, config.pce.deadline), interest), found[-1]


def find_servers(azure: AzureAccess, config: Config, clock: Clock) -> Discovered:
    """The logical servers that Azure lists, as the config selects them. Raises ArmError."""
    deadline = Deadline.after(clock, config.azure.deadline)
    return discover(azure, config.servers, deadline, list_all_every=config.enforcement.full_sync_interval)


def look(snapshot: Snapshot, azure: AzureAccess, config: Config, clock: Clock) -> Survey:
    """The servers, and what the policy says about each. Raises PolicyUnresolvable when that cannot be told for any."""
    return survey_of(snapshot, find_servers(azure, config, clock), config)


def survey_of(snapshot: Snapshot, found: Discovered, config: Config) -> Survey:
    """What the policy says about each of these servers."""
    candidates = identify(found.servers, snapshot, config.servers)
    governed = [candidate for candidate in candidates if isinstance(candidate, Governed)]
    return Survey(snapshot, found, candidates, Translator(snapshot, config.policy, governed))


def unlisted(found: Discovered) -> tuple[str, ...]:
    """A sentence for each subscription whose servers are not known."""
    return tuple(
        f"Subscription {failure.subscription_id} could not be listed: {failure.error}" for failure in found.failures
    )
