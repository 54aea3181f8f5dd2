"""All kinds of objects that this PCE keeps, by the name of their collection."""

from illumio_azsql_enforcer.sandbox.pce.live_kinds import LABEL_DIMENSIONS, LABELS, SERVICE_BINDINGS, WORKLOADS
from illumio_azsql_enforcer.sandbox.pce.policy_kinds import (
    DENY_RULES,
    ENFORCEMENT_BOUNDARIES,
    FIREWALL_SETTINGS,
    IP_LISTS,
    LABEL_GROUPS,
    RULE_SETS,
    SEC_RULES,
    SERVICES,
    VIRTUAL_SERVICES,
)
from illumio_azsql_enforcer.sandbox.pce.resource import Resource


def _shown_only(collection: str, noun: str, *, versioned: bool = False) -> Resource:
    return Resource(collection, noun, versioned=versioned, ids="uuid", partial=("name",), writable=False)


RESOURCES: dict[str, Resource] = {
    resource.collection: resource
    for resource in (
        RULE_SETS,
        IP_LISTS,
        SERVICES,
        LABEL_GROUPS,
        VIRTUAL_SERVICES,
        ENFORCEMENT_BOUNDARIES,
        FIREWALL_SETTINGS,
        LABELS,
        LABEL_DIMENSIONS,
        WORKLOADS,
        SERVICE_BINDINGS,
        _shown_only("virtual_servers", "virtual_server", versioned=True),
        _shown_only("secure_connect_gateways", "secure_connect_gateway", versioned=True),
        _shown_only("networks", "network"),
        _shown_only("vens", "ven"),
        _shown_only("security_principals", "security_principal"),
        _shown_only("container_workloads", "container_workload"),
        _shown_only("kubernetes_workloads", "kubernetes_workload"),
    )
}
RULE_KINDS: dict[str, Resource] = {"sec_rules": SEC_RULES, "deny_rules": DENY_RULES}
HELD_AS = {"sec_rules": "rules", "deny_rules": "deny_rules"}  # collection -> its key in a rule set
VERSIONED = tuple(name for name, resource in RESOURCES.items() if resource.versioned)
