"""What an operator can set: the typed form of the config file, in its order. `config` builds it from YAML."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.secret import Secret


class Mode(StrEnum):
    """What may be done with a difference; see docs/reconciling.md."""

    OBSERVE = "observe"
    UPSERT = "upsert"
    SYNC = "sync"
    AUTHORITATIVE = "authoritative"


class AddressSource(StrEnum):
    """Which addresses of a consumer workload count."""

    INTERFACES = "interfaces"
    PUBLIC_IP = "public_ip"


class CredentialKind(StrEnum):
    """How the program proves its identity to Azure."""

    DEFAULT = "default"
    MANAGED_IDENTITY = "managed_identity"
    WORKLOAD_IDENTITY = "workload_identity"
    ENVIRONMENT = "environment"
    CLI = "cli"


@dataclass(frozen=True, slots=True)
class PceSettings:
    """Where the PCE is and how to talk to it. Durations in seconds, sizes in bytes."""

    url: str  # scheme://host:port, no path
    org_id: int
    api_key: str  # always with its api_ prefix
    api_secret: Secret
    ca_file: Path | None = None
    timeout: float = 30.0
    deadline: float = 600.0
    max_response: int = 1 << 30


@dataclass(frozen=True, slots=True)
class Cloud:
    """The endpoints of one Azure cloud."""

    resource_manager: str  # https://management.azure.com
    authority: str | None  # https://login.microsoftonline.com; None for a custom cloud that names none
    audience: str  # https://management.azure.com; the token scope is this + /.default
    custom: bool = False


@dataclass(frozen=True, slots=True)
class AzureSettings:
    """Which part of Azure is looked at, and as whom. Durations in seconds."""

    cloud: Cloud
    subscriptions: tuple[str, ...] | None  # None: all that the identity can see
    credential: CredentialKind = CredentialKind.DEFAULT
    client_id: str | None = None
    ca_file: Path | None = None
    timeout: float = 30.0
    deadline: float = 300.0
    concurrency: int = 16


@dataclass(frozen=True, slots=True)
class ServerOverride:
    """What is set for one server by name."""

    mode: Mode | None = None
    labels: Mapping[str, str] | None = None  # label key -> value


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Which logical servers are candidates, and where labels come from when the PCE has none."""

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    tag_labels: Mapping[str, str] = field(default_factory=dict)  # label key -> Azure tag name
    overrides: Mapping[str, ServerOverride] = field(default_factory=dict)  # keyed by lower-case server name


@dataclass(frozen=True, slots=True)
class NatEntry:
    """Workload addresses in `private` arrive at Azure from `public`."""

    private: Range  # one CIDR block
    public: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """How the policy is read."""

    ports: tuple[int, ...] = (1433,)
    addresses: frozenset[AddressSource] = frozenset({AddressSource.INTERFACES})
    nat: tuple[NatEntry, ...] = ()
    keep_private_ranges: bool = False
    skip_offline: bool = True


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """When a plan is refused."""

    max_revoked: int = 10
    max_revoked_percent: int = 50
    never_empty: bool = True
    widest_range: int = 8  # prefix length


@dataclass(frozen=True, slots=True)
class EnforcementSettings:
    """What is done, how often, and what is never touched. Durations in seconds."""

    mode: Mode
    owner: str = "illumio"
    interval: float = 60.0
    full_sync_interval: float = 900.0
    protected_rules: tuple[str, ...] = ()
    remove_azure_services: bool = False
    max_rules: int = 256
    guards: GuardSettings = GuardSettings()


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Where health, metrics and the report are served; None: nowhere."""

    listen: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """Where notices go. A webhook address is itself a credential."""

    webhook: Secret | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """One config file, complete and checked."""

    pce: PceSettings
    azure: AzureSettings
    enforcement: EnforcementSettings
    servers: ServerSettings = ServerSettings()
    policy: PolicySettings = PolicySettings()
    http: HttpSettings = HttpSettings()
    notify: NotifySettings = NotifySettings()
    state_dir: Path | None = None
