"""Finds the logical servers that are candidates."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import structlog

from illumio_azsql_enforcer.azure.access import API_VERSION, AzureAccess
from illumio_azsql_enforcer.azure.failures import Operation, invalid
from illumio_azsql_enforcer.azure.graph import subscriptions_with_servers
from illumio_azsql_enforcer.azure.pages import Page
from illumio_azsql_enforcer.azure.paths import checked_subscription, parse_server_id
from illumio_azsql_enforcer.errors import ArmError, UnsafeName
from illumio_azsql_enforcer.model.firewall import PublicAccess, Server
from illumio_azsql_enforcer.model.settings import ServerSettings
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.text import fits_any, printable

MANY = 64  # subscriptions; docs/azure-scale.md has the measurement
LIST_ALL_EVERY = 900.0  # seconds

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SubscriptionFailure:
    """A subscription whose servers cannot be listed."""

    subscription_id: str
    error: ArmError


@dataclass(frozen=True, slots=True)
class Discovered:
    """The candidates of all subscriptions that could be listed, sorted by id, and the subscriptions that could not."""

    servers: tuple[Server, ...]
    failures: tuple[SubscriptionFailure, ...]


class ServerProperties(msgspec.Struct, rename="camel"):
    """What is read of a server's properties."""

    fully_qualified_domain_name: str | None = None
    public_network_access: str | None = None


class ServerItem(msgspec.Struct):
    """An item of the list of servers."""

    id: str
    name: str
    kind: str | None = None
    tags: dict[str, str | None] | None = None
    properties: ServerProperties = msgspec.field(default_factory=ServerProperties)


_SERVERS = msgspec.json.Decoder(Page[ServerItem])


def discover(
    access: AzureAccess, settings: ServerSettings, deadline: Deadline, *, list_all_every: float = LIST_ALL_EVERY
) -> Discovered:
    """The candidates in every subscription, listed side by side.

    Raises ArmError when the subscriptions themselves cannot be told. Servers that belong to a Synapse workspace are
    left out: their rules are set through the workspace. Of many subscriptions, those without servers are listed the
    first time, and again when `list_all_every` seconds have passed; in between, Resource Graph tells of new servers.
    """
    subscriptions = access.subscriptions(deadline)
    chosen = _worth_listing(access, subscriptions, deadline, list_all_every)
    found = list(access.threads.map(lambda subscription: _listed(access, subscription, deadline), chosen))
    listed = [servers for servers in found if not isinstance(servers, SubscriptionFailure)]
    failures = tuple(failed for failed in found if isinstance(failed, SubscriptionFailure))
    once = {server.id.lower(): server for servers in listed for server in servers}  # pages of two moments may overlap
    _remember(access, once.values(), failures, complete=len(chosen) == len(subscriptions))
    return Discovered(
        tuple(sorted((s for s in once.values() if is_candidate(s.name, settings)), key=lambda s: s.id)), failures
    )


def _worth_listing(
    access: AzureAccess, subscriptions: Sequence[str], deadline: Deadline, list_all_every: float
) -> Sequence[str]:
    """All of them; or those that may hold servers, or whose failure must not be passed over in silence."""
    known = access.holdings
    if len(subscriptions) < MANY or access.clock.monotonic() - known.listed_at >= list_all_every:
        return subscriptions
    try:
        visible = set(access.visible(deadline))
        asked = [s for s in subscriptions if s.lower() in visible]
        holding = subscriptions_with_servers(access, asked, deadline)
    except ArmError as error:
        _log.warning("Resource Graph cannot be asked; all subscriptions are listed", reason=str(error))
        return subscriptions
    quiet = visible - holding - known.hold - known.failed
    return [s for s in subscriptions if s.lower() not in quiet]


def _remember(
    access: AzureAccess, servers: Iterable[Server], failures: Iterable[SubscriptionFailure], *, complete: bool
) -> None:
    known = access.holdings
    known.hold |= {server.subscription_id.lower() for server in servers}
    known.failed = {failure.subscription_id.lower() for failure in failures}
    if complete:
        known.listed_at = access.clock.monotonic()


def is_candidate(name: str, settings: ServerSettings) -> bool:
    """Whether a server's name passes include and exclude, which are shell patterns; case does not count."""
    return fits_any(name, settings.include) and not fits_any(name, settings.exclude)


def _listed(access: AzureAccess, subscription_id: str, deadline: Deadline) -> list[Server] | SubscriptionFailure:
    scope = f"/subscriptions/{subscription_id}"
    operation = Operation(
        f"list the servers of subscription {printable(subscription_id, 80)}", "Microsoft.Sql/servers/read", scope
    )
    try:
        key = checked_subscription(subscription_id)
        path = f"/subscriptions/{key}/providers/Microsoft.Sql/servers?api-version={API_VERSION}"
        items = access.read(path, _SERVERS, operation, deadline)
        return [_server(item, operation) for item in items if "analytics" not in (item.kind or "").lower()]
    except ArmError as error:
        return SubscriptionFailure(subscription_id, error)
    except UnsafeName as error:
        return SubscriptionFailure(subscription_id, invalid(operation, str(error)))


def _server(item: ServerItem, operation: Operation) -> Server:
    """Raises UnsafeName, ArmInvalidAnswer."""
    parts = parse_server_id(item.id)
    if parts.name.lower() != item.name.lower() or parts.subscription_id.lower() not in operation.scope.lower():
        raise invalid(operation, f"server {printable(item.name, 80)!r} has the id {printable(item.id, 200)!r}")
    return Server(
        id=item.id,
        name=item.name,
        subscription_id=parts.subscription_id,
        resource_group=parts.resource_group,
        fqdn=item.properties.fully_qualified_domain_name or "",
        public_access=_public_access(item.properties.public_network_access),
        tags={name: value for name, value in (item.tags or {}).items() if value is not None},
    )


def _public_access(said: str | None) -> PublicAccess:
    """Enabled where Azure says nothing, or something new: the writes themselves will tell."""
    known = {value.lower(): value for value in PublicAccess}
    return known.get((said or "").lower(), PublicAccess.ENABLED)
