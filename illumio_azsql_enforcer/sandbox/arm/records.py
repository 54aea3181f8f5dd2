"""What the simulated Azure remembers: subscriptions, logical servers, their rules, and who did what."""

from dataclasses import dataclass, field
from datetime import datetime

RULES = "firewallRules"
IPV6_RULES = "ipv6FirewallRules"
NETWORK_RULES = "virtualNetworkRules"
SERVER_TYPE = "Microsoft.Sql/servers"
LOCATIONS = {"westeurope": "West Europe", "eastus": "East US", "westus": "West US", "northeurope": "North Europe"}

Range = tuple[str, str]  # start and end, both inclusive, as dotted quads


@dataclass(frozen=True, slots=True)
class Rule:
    """One firewall rule; the addresses are text, since IPv6 rules are kept the same way."""

    name: str
    start: str
    end: str

    @property
    def range(self) -> Range:
        return self.start, self.end


@dataclass(frozen=True, slots=True)
class NetworkRule:
    """One virtual network rule."""

    name: str
    subnet: str  # resource id
    state: str = "Ready"


Rules = dict[str, Rule]  # by case-folded name


@dataclass(slots=True)
class SqlServer:
    """A logical server. `history` holds what the rules were, and since when (monotonic seconds)."""

    name: str
    subscription: str
    resource_group: str
    location: str
    kind: str
    fqdn: str
    tags: dict[str, str]
    public_access: str
    state: str = "Ready"
    enabled_at: float = float("-inf")  # when public access was last switched to Enabled
    rule_limit: int | None = None  # None: the switch decides
    rules: Rules = field(default_factory=dict)
    ipv6_rules: dict[str, Rule] = field(default_factory=dict)
    network_rules: dict[str, NetworkRule] = field(default_factory=dict)
    history: list[tuple[float, Rules]] = field(default_factory=list)

    @property
    def id(self) -> str:
        group = f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"
        return f"{group}/providers/{SERVER_TYPE}/{self.name}"

    @property
    def is_synapse(self) -> bool:
        """Whether the server is the hidden one of a Synapse workspace."""
        return "analytics" in self.kind

    def body(self) -> dict[str, object]:
        """The server as api-version 2025-01-01 shows it; `tags` is absent when there are none."""
        properties = {
            "administratorLogin": "sqladmin",
            "version": "12.0",
            "state": self.state,
            "fullyQualifiedDomainName": self.fqdn,
            "privateEndpointConnections": [],
            "minimalTlsVersion": "1.2",
            "publicNetworkAccess": self.public_access,
            "restrictOutboundNetworkAccess": "Disabled",
            "externalGovernanceStatus": "Disabled",
            "isIPv6Enabled": "Enabled" if self.ipv6_rules else "Disabled",
            "retentionDays": -1,
        }
        tags = {"tags": dict(self.tags)} if self.tags else {}
        own = {"id": self.id, "name": self.name, "type": SERVER_TYPE}
        return {"kind": self.kind, "properties": properties, "location": self.location, **tags, **own}


@dataclass(slots=True)
class Subscription:
    """A subscription of the simulated tenant."""

    id: str
    name: str
    tenant: str
    disabled: bool = False
    registered: bool = True  # for Microsoft.Sql
    groups: dict[str, str] = field(default_factory=dict)  # case-folded name -> name

    def body(self) -> dict[str, object]:
        """The subscription as `GET /subscriptions` shows it."""
        return {
            "id": f"/subscriptions/{self.id}",
            "authorizationSource": "RoleBased",
            "managedByTenants": [],
            "subscriptionId": self.id,
            "tenantId": self.tenant,
            "displayName": self.name,
            "state": "Disabled" if self.disabled else "Enabled",
            "subscriptionPolicies": {"quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off"},
        }


@dataclass(frozen=True, slots=True)
class Activity:
    """One record of the activity log: an ARM write of a rule. What is done behind ARM's back leaves none."""

    at: datetime
    operation: str  # Microsoft.Sql/servers/firewallRules/write
    scope: str  # resource id of the rule
    caller: str  # object id
    correlation_id: str
    status: int
