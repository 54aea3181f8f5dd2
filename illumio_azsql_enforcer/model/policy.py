"""Typed structs of just the PCE fields that are read, and the Snapshot that holds them (PCE REST API guide, 25.2).

Wire names, wire shapes. Fields that decide about addresses or ports are typed `object` where releases or hostile data
may send something else: the rooms of `policy/` read them strictly and say what they could not read. Hrefs are kept as
sent; `unversioned()` gives the key under which the draft and the active form of an object are the same.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

_VERSION = re.compile(r"/sec_policy/[^/]+/")


def unversioned(href: str) -> str:
    """The href without its `/sec_policy/<version>/` part: one key for the draft and the active form of an object."""
    return _VERSION.sub("/", href, count=1)


class _Wire(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A PCE object: unknown fields are ignored, and the cycle collector has nothing to do with it."""


class Reference(_Wire, frozen=True, gc=False, kw_only=True):
    """An object named by href."""

    href: str


class Label(_Wire, frozen=True, gc=False, kw_only=True):
    """`GET /orgs/N/labels`."""

    href: str
    key: str
    value: str
    deleted: bool | None = None


class LabelGroup(_Wire, frozen=True, gc=False, kw_only=True):
    """`GET /orgs/N/sec_policy/active/label_groups`."""

    href: str
    name: str = ""
    key: str = ""
    labels: list[Reference] | None = None
    sub_groups: list[Reference] | None = None


class IpRange(_Wire, frozen=True, gc=False, kw_only=True):
    """One entry of an IP list."""

    from_ip: object = None
    to_ip: object = None
    exclusion: object = None


class IpList(_Wire, frozen=True, gc=False, kw_only=True):
    """`GET /orgs/N/sec_policy/active/ip_lists`."""

    href: str
    name: str = ""
    ip_ranges: list[IpRange] | None = None
    fqdns: list[Any] | None = None


class ServicePort(_Wire, frozen=True, gc=False, kw_only=True):
    """A port of a service, inline or by reference; also a `windows_services` entry."""

    href: str | None = None
    proto: object = None
    port: object = None
    to_port: object = None
    process_name: object = None
    service_name: object = None


class Service(_Wire, frozen=True, gc=False, kw_only=True):
    """`GET /orgs/N/sec_policy/active/services`."""

    href: str
    name: str = ""
    process_name: object = None
    service_ports: list[ServicePort] | None = None
    windows_services: list[ServicePort] | None = None


class ResolveLabelsAs(_Wire, frozen=True, gc=False, kw_only=True):
    """What label, label group and all-workloads items stand for, per side: `workloads`, `virtual_services`."""

    providers: list[str] | None = None
    consumers: list[str] | None = None


Item = dict[str, Any]  # an actor or scope item, whole: a key that we do not know may narrow it


class Rule(_Wire, frozen=True, gc=False, kw_only=True):
    """A sec_rule (allow)."""

    href: str
    enabled: bool | None = None
    providers: list[Item] | None = None
    consumers: list[Item] | None = None
    consuming_security_principals: list[Any] | None = None
    ingress_services: list[ServicePort] | None = None
    egress_services: list[Any] | None = None
    resolve_labels_as: ResolveLabelsAs | None = None
    unscoped_consumers: bool | None = None
    sec_connect: bool | None = None
    machine_auth: bool | None = None
    network_type: str | None = None
    use_workload_subnets: list[str] | None = None
    all_ips_except_for_in_consumers: bool | None = None
    all_ips_except_for_in_providers: bool | None = None


class DenyRule(_Wire, frozen=True, gc=False, kw_only=True):
    """A deny rule; with `override` it beats every allow rule."""

    href: str
    enabled: bool | None = None
    override: bool | None = None
    providers: list[Item] | None = None
    consumers: list[Item] | None = None
    ingress_services: list[ServicePort] | None = None
    egress_services: list[Any] | None = None
    unscoped_consumers: bool | None = None
    network_type: str | None = None
    all_ips_except_for_in_consumers: bool | None = None
    all_ips_except_for_in_providers: bool | None = None


class RuleSet(_Wire, frozen=True, gc=False, kw_only=True):
    """`GET /orgs/N/sec_policy/active/rule_sets`: rules come inline; `deny_rules` inline in some releases only."""

    href: str
    name: str = ""
    enabled: bool | None = None
    scopes: list[list[Item]] | None = None
    rules: list[Rule] | msgspec.UnsetType | None = msgspec.UNSET
    deny_rules: list[DenyRule] | msgspec.UnsetType | None = msgspec.UNSET


class Interface(_Wire, frozen=True, gc=False, kw_only=True):
    """One address of a workload: a name with two addresses appears twice."""

    name: str | None = None
    address: str | None = None
    cidr_block: object = None


class Agent(_Wire, frozen=True, gc=False, kw_only=True):
    """`ven`, or its older twin `agent`: only whether the workload has one is read, not its large status."""

    href: str | None = None


class Workload(_Wire, frozen=True, gc=False, kw_only=True):
    """`GET /orgs/N/workloads`, managed and unmanaged."""

    href: str
    name: str | None = None
    hostname: str | None = None
    deleted: bool | None = None
    managed: bool | None = None
    online: bool | None = None
    public_ip: str | None = None
    interfaces: list[Interface] | None = None
    ignored_interface_names: list[str] | None = None
    labels: list[Reference] | None = None
    ven: Agent | None = None
    agent: Agent | None = None


class ServiceAddress(_Wire, frozen=True, gc=False, kw_only=True):
    """An extra destination address of a virtual service; of use here is the name alone."""

    fqdn: str | None = None
    port: object = None


class VirtualService(_Wire, frozen=True, gc=False, kw_only=True):
    """`GET /orgs/N/sec_policy/active/virtual_services`."""

    href: str
    name: str = ""
    labels: list[Reference] | None = None
    service: Reference | None = None
    service_ports: list[ServicePort] | None = None
    service_addresses: list[ServiceAddress] | None = None
    ip_overrides: list[Any] | None = None


class PortOverride(_Wire, frozen=True, gc=False, kw_only=True):
    """A binding's own port for a virtual service."""

    proto: object = None
    port: object = None
    new_port: object = None
    new_to_port: object = None


class ServiceBinding(_Wire, frozen=True, gc=False, kw_only=True):
    """`GET /orgs/N/service_bindings`: a virtual service on a workload. Releases name the service in either field."""

    href: str
    workload: Reference | None = None
    virtual_service: Reference | None = None
    bound_service: Reference | None = None
    port_overrides: list[PortOverride] | None = None


class PolicyVersion(_Wire, frozen=True, gc=False, kw_only=True):
    """`GET /orgs/N/sec_policy/active`."""

    version: int
    object_counts: dict[str, int] | None = None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The whole active policy and every object it can refer to, of one policy version.

    Only `pce.reader` makes one, from a read that was proven complete. Deny rules are inside their rule sets.
    """

    version: int
    release: tuple[int, ...]  # (25, 2, 20); empty when the PCE does not tell
    labels: tuple[Label, ...] = ()
    label_groups: tuple[LabelGroup, ...] = ()
    ip_lists: tuple[IpList, ...] = ()
    services: tuple[Service, ...] = ()
    rule_sets: tuple[RuleSet, ...] = ()
    workloads: tuple[Workload, ...] = ()
    virtual_services: tuple[VirtualService, ...] = ()
    service_bindings: tuple[ServiceBinding, ...] = ()


def name_of(workload: Workload) -> str:
    """What an operator calls the workload: its name, else its hostname, else its href."""
    return workload.name or workload.hostname or workload.href


def counts_of(version: PolicyVersion) -> Mapping[str, int]:
    """`object_counts`, or nothing on a release that does not send it."""
    return version.object_counts or {}
