"""What every organization starts with: four label types, Any, All Services and the rule set Default."""

from illumio_azsql_enforcer.sandbox.pce.editing import create
from illumio_azsql_enforcer.sandbox.pce.events import Origin
from illumio_azsql_enforcer.sandbox.pce.live_kinds import LABEL_DIMENSIONS
from illumio_azsql_enforcer.sandbox.pce.org import USER, Objects, Org
from illumio_azsql_enforcer.sandbox.pce.policy_kinds import IP_LISTS, RULE_SETS, SEC_RULES, SERVICES
from illumio_azsql_enforcer.sandbox.pce.provisioning import provision
from illumio_azsql_enforcer.sandbox.pce.resources import VERSIONED

ANY = "Any (0.0.0.0/0 and ::/0)"
TYPES = {"role": "Role", "app": "Application", "env": "Environment", "loc": "Location"}


def seed(org: Org) -> None:
    """Fill a new organization and provision it as version 1."""
    system = Origin(by_system=True)
    empty: Objects = {name: {} for name in VERSIONED}
    org.add_version("", empty, {})  # version 0: what the first provisioning is compared with
    for key, name in TYPES.items():
        create(org, LABEL_DIMENSIONS, {"key": key, "display_name": name}, system)
    ranges = [{"from_ip": "0.0.0.0/0", "exclusion": False}, {"from_ip": "::/0", "exclusion": False}]
    anywhere = create(org, IP_LISTS, {"name": ANY, "ip_ranges": ranges}, system)
    everything = create(org, SERVICES, {"name": "All Services", "service_ports": [{"proto": -1}]}, system)
    default = create(org, RULE_SETS, {"name": "Default", "scopes": [[]]}, system)
    rule = {
        "enabled": True,
        "description": "Allow outbound connections",
        "providers": [{"ip_list": {"href": anywhere["href"]}}],
        "consumers": [{"actors": "ams"}],
        "ingress_services": [{"href": everything["href"]}],
        "resolve_labels_as": {"providers": ["workloads"], "consumers": ["workloads"]},
    }
    create(org, SEC_RULES, rule, system, default)
    org.draft["firewall_settings"]["firewall_settings"] = _firewall_settings(org)
    provision(org, "Initial policy", None, system)
    del org.versions[0]


def _firewall_settings(org: Org) -> dict[str, object]:
    return {
        "href": f"/orgs/{org.org_id}/sec_policy/draft/firewall_settings",
        "update_type": "create",
        "updated_at": org.stamp(),
        "updated_by": USER,
        "static_policy_scopes": [[]],
        "loopback_interfaces_in_policy_scopes": [],
        "network_detection_mode": "single_private_brn",
    }
