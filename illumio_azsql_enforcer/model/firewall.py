"""What Azure has, what the policy wants, and what is to be done about the difference."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.model.names import folded
from illumio_azsql_enforcer.model.settings import Mode
from illumio_azsql_enforcer.retrying import Deadline

ALL_AZURE_SERVICES = Range(0, 0)  # 0.0.0.0-0.0.0.0 admits every Azure tenant, whatever the rule's name


class PublicAccess(StrEnum):
    """`publicNetworkAccess` of a logical server."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"
    SECURED_BY_PERIMETER = "SecuredByPerimeter"


@dataclass(frozen=True, slots=True)
class Server:
    """A logical server of Azure SQL Database, as discovery saw it."""

    id: str  # resource id, as Azure spells it
    name: str
    subscription_id: str
    resource_group: str
    fqdn: str
    public_access: PublicAccess = PublicAccess.ENABLED
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FirewallRule:
    """One server-level IPv4 firewall rule."""

    name: str
    range: Range


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What else admits traffic to a server: read, reported, never written. Names of the rules; None: not readable."""

    ipv6_rules: tuple[str, ...] | None = ()
    virtual_network_rules: tuple[str, ...] | None = ()


# --- what the policy wants


class ConsumerKind(StrEnum):
    """The kind of actor that a rule names as its consumer."""

    LABEL = "label"
    LABEL_GROUP = "label_group"
    ALL_WORKLOADS = "ams"
    WORKLOAD = "workload"
    IP_LIST = "ip_list"
    VIRTUAL_SERVICE = "virtual_service"


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """Why a range is desired: one consumer of one rule. Hrefs are active hrefs as the PCE gave them."""

    rule_set: str
    rule_set_name: str
    rule: str
    consumer: ConsumerKind
    consumer_href: str | None  # None for all workloads
    consumer_name: str
    workload_href: str | None = None  # for label kinds: whose address it is
    workload_name: str | None = None


@dataclass(frozen=True, slots=True)
class Desired:
    """A range that the policy admits, with every source that asks for a part of it."""

    range: Range
    sources: Sequence[Source]  # may be looked up on first use: a range can have very many


class NoteCode(StrEnum):
    """Kinds of things that were left out or noticed."""

    PRIVATE_ADDRESS = "private_address"
    IPV6 = "ipv6"
    FQDN = "fqdn"
    USER_GROUP = "user_group"
    MACHINE_AUTH = "machine_auth"
    SEC_CONNECT = "sec_connect"
    PROCESS_SERVICE = "process_service"
    NON_CORPORATE_NETWORK = "non_corporate_network"
    NO_ADDRESS = "no_address"
    OFFLINE = "offline"
    DANGLING_REFERENCE = "dangling_reference"
    UNKNOWN_ACTOR = "unknown_actor"
    UNREADABLE = "unreadable"
    SCOPE = "scope"
    SPECIAL_ADDRESS = "special_address"
    FOREIGN_RULE = "foreign_rule"
    AZURE_SERVICES_RULE = "azure_services_rule"
    PUBLIC_NETWORK_DISABLED = "public_network_disabled"
    IPV6_RULE = "ipv6_rule"
    VIRTUAL_NETWORK_RULE = "virtual_network_rule"
    NOT_READABLE = "not_readable"
    SUPERFLUOUS_RULE = "superfluous_rule"
    UNSAFE_NAME = "unsafe_name"
    GAP = "gap"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """Something an operator should know about a server; `count` counts objects, or addresses for address codes."""

    code: NoteCode
    count: int
    detail: str


@dataclass(frozen=True, slots=True)
class Translation:
    """What the policy says about one server: disjoint, sorted ranges and what was left out."""

    desired: tuple[Desired, ...]
    notes: tuple[Note, ...]


# --- which servers are governed


class LabelsFrom(StrEnum):
    """Where a server's labels were found."""

    CONFIG = "config"
    WORKLOAD = "workload"
    VIRTUAL_SERVICE = "virtual_service"
    TAGS = "tags"


@dataclass(frozen=True, slots=True)
class Governed:
    """A server with labels: the policy decides about its firewall."""

    server: Server
    labels: Mapping[str, str]  # label key -> value
    label_hrefs: frozenset[str]
    labels_from: LabelsFrom
    workload: str | None = None  # href of the PCE workload with the server's hostname
    virtual_service: str | None = None  # href of the PCE virtual service with the server's FQDN


@dataclass(frozen=True, slots=True)
class Ungoverned:
    """A candidate that the policy does not decide about; `failed` when that cannot be told, else it is skipped."""

    server: Server
    reason: str
    failed: bool = False


# --- what is live, and what is to be done


@dataclass(frozen=True, slots=True)
class LiveRule:
    """A rule that the server has, and whether it is ours."""

    rule: FirewallRule
    owned: bool
    protected: bool


class Action(StrEnum):
    """What a step does to one firewall rule."""

    ADD = "add"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Step:
    """One write. Steps of one phase may run in any order, and any subset of them is safe."""

    action: Action
    name: str
    range: Range  # what the rule holds after an add or update; what it held before a delete
    phase: int
    reason: str  # why this step is there, for people
    previous: Range | None = None  # update: what the rule held before
    needs: frozenset[str] = frozenset()  # names of steps that must have been done first: cover, or a slot


@dataclass(frozen=True, slots=True)
class Refusal:
    """A guard that said no."""

    guard: str  # never_empty, max_revoked, widest_range, max_rules
    detail: str  # what would go or come, and why that is refused; begins with the guard's name


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is known and intended about one server in one cycle. Made before anything is written."""

    id: str  # digest of server, live rules and steps
    server: Server
    mode: Mode
    live: tuple[LiveRule, ...]
    desired: tuple[Desired, ...]
    steps: tuple[Step, ...]  # what the mode allows, in an order in which every prefix is safe
    left: int  # differences that the mode leaves (upsert, observe)
    refusals: tuple[Refusal, ...] = ()
    gap: tuple[Range, ...] = ()  # wanted addresses that are not admitted for a moment, because no other order fits
    notes: tuple[Note, ...] = ()


class StepStatus(StrEnum):
    """How far a step got."""

    PLANNED = "planned"
    DONE = "done"
    FAILED = "failed"
    NOT_RUN = "not_run"


@dataclass(frozen=True, slots=True)
class StepResult:
    """A step and what became of it."""

    step: Step
    status: StepStatus
    error: str | None = None


def rules_after(live: Iterable[LiveRule], steps: Iterable[Step]) -> dict[str, LiveRule]:
    """The rules that a server holds once these steps are done, by folded name. What a step writes is ours."""
    rules = {folded(one.rule.name): one for one in live}
    for step in steps:
        if step.action is Action.DELETE:
            rules.pop(folded(step.name), None)
        else:
            rules[folded(step.name)] = LiveRule(FirewallRule(step.name, step.range), owned=True, protected=False)
    return rules


class RuleReader(Protocol):
    """Reads the firewall of a server. Raises ArmError, also when the deadline leaves no time for another try."""

    def rules(self, server: Server, deadline: Deadline) -> tuple[FirewallRule, ...]:
        """Every server-level IPv4 rule, all pages read before any is returned."""
        ...

    def neighbours(self, server: Server, deadline: Deadline) -> Neighbours:
        """IPv6 rules and virtual network rules."""
        ...


class RuleWriter(Protocol):
    """Writes one rule of a server. Raises ArmError, UnsafeName; returns only when Azure said that it is done."""

    def put(self, server: Server, rule: FirewallRule, deadline: Deadline) -> None:
        """Create the rule, or replace its range."""
        ...

    def delete(self, server: Server, name: str, deadline: Deadline) -> None:
        """Delete the rule; one that is not there is fine."""
        ...
