"""The kinds of objects that belong to a policy version: fields and limits of the published request schemas (25.2)."""

from illumio_azsql_enforcer.sandbox.pce.resource import NAMED, STAMPED, Resource
from illumio_azsql_enforcer.sandbox.pce.shapes import (
    EXTERNAL,
    FLAG,
    OPTIONAL_TEXT,
    PORT,
    REFERENCE,
    TEXT,
    Check,
    address,
    address_or_network,
    any_of,
    array,
    fqdn,
    integer,
    nullable,
    one_of,
    record,
    single,
)

EXCLUSION = {"exclusion": FLAG}
LABELLED = {"label": REFERENCE, "label_group": REFERENCE}

PROVIDER = single(
    {
        "actors": one_of("ams"),
        "label_dimension": one_of("app"),
        "workload": REFERENCE,
        "ip_list": REFERENCE,
        "virtual_service": REFERENCE,
        "virtual_server": REFERENCE,
        **LABELLED,
    },
    EXCLUSION,
)
CONSUMER = single(
    {
        "actors": one_of("ams", "container_host"),
        "label_dimension": one_of("app"),
        "workload": REFERENCE,
        "ip_list": REFERENCE,
        "virtual_service": REFERENCE,
        **LABELLED,
    },
    EXCLUSION,
)
DENIED = single({"actors": one_of("ams"), "workload": REFERENCE, "ip_list": REFERENCE, **LABELLED}, EXCLUSION)
SCOPES = array(array(single(LABELLED, EXCLUSION)))
INGRESS = array(
    any_of(REFERENCE, record({"proto": one_of(6, 17), "port": PORT, "to_port": PORT}, required=("proto",))), most=200
)
RESOLVE = array(one_of("workloads", "virtual_services"), least=1)

RULE: dict[str, Check] = {
    "enabled": FLAG,
    "description": OPTIONAL_TEXT,
    **EXTERNAL,
    "ingress_services": INGRESS,
    "egress_services": array(REFERENCE),
    "network_type": one_of("brn", "non_brn", "all"),
    "unscoped_consumers": FLAG,
    "all_ips_except_for_in_consumers": FLAG,
    "all_ips_except_for_in_providers": FLAG,
}
RULE_DEFAULTS: dict[str, object] = {
    "enabled": True,
    "description": None,
    "egress_services": [],
    "network_type": "brn",
    "unscoped_consumers": False,
    "all_ips_except_for_in_consumers": False,
    "all_ips_except_for_in_providers": False,
}

SEC_RULES = Resource(
    "sec_rules",
    "sec_rule",
    versioned=True,
    fields={
        **RULE,
        "providers": array(PROVIDER, least=1, most=200),
        "consumers": array(CONSUMER, least=1, most=200),
        "consuming_security_principals": array(REFERENCE),
        "resolve_labels_as": record({"providers": RESOLVE, "consumers": RESOLVE}, required=("providers", "consumers")),
        "sec_connect": FLAG,
        "stateless": FLAG,
        "machine_auth": FLAG,
        "use_workload_subnets": array(one_of("providers", "consumers"), most=2),
    },
    required=("enabled", "providers", "consumers", "ingress_services", "resolve_labels_as"),
    defaults={
        **RULE_DEFAULTS,
        **STAMPED,
        "consuming_security_principals": [],
        "resolve_labels_as": {"providers": ["workloads"], "consumers": ["workloads"]},
        "sec_connect": False,
        "stateless": False,
        "machine_auth": False,
        "use_workload_subnets": [],
    },
)

DENY_RULES = Resource(
    "deny_rules",
    "deny_rule",
    versioned=True,
    fields={
        **{name: check for name, check in RULE.items() if name not in EXTERNAL},
        "override": FLAG,
        "providers": array(DENIED, least=1, most=200),
        "consumers": array(DENIED, least=1, most=200),
    },
    required=("providers", "consumers", "ingress_services"),
    defaults={**RULE_DEFAULTS, "override": False},
)

RULE_SETS = Resource(
    "rule_sets",
    "rule_set",
    versioned=True,
    fields={**NAMED, "enabled": FLAG, "scopes": SCOPES},
    required=("name", "scopes"),
    defaults={"description": None, **STAMPED, "enabled": True, "scopes": [[]], "rules": [], "deny_rules": []},
    partial=("name", "description"),
    exact=tuple(EXTERNAL),
    unique=("name",),
    taken="rule_set_name_in_use",
)

IP_LISTS = Resource(
    "ip_lists",
    "ip_list",
    versioned=True,
    fields={
        **NAMED,
        "ip_ranges": array(
            record(
                {
                    "from_ip": address_or_network,
                    "to_ip": nullable(address),
                    "exclusion": FLAG,
                    "description": OPTIONAL_TEXT,
                },
                required=("from_ip",),
            )
        ),
        "fqdns": array(record({"fqdn": fqdn, "description": OPTIONAL_TEXT}, required=("fqdn",))),
    },
    required=("name",),
    defaults={"description": "", **STAMPED, "ip_ranges": [], "fqdns": []},
    partial=("name", "description"),
    exact=tuple(EXTERNAL),
    unique=("name",),
    taken="ip_list_name_not_unique",
)

_PORT_FIELDS: dict[str, Check] = {
    "port": PORT,
    "to_port": PORT,
    "icmp_type": nullable(integer(0, 255)),
    "icmp_code": nullable(integer(0, 15)),
}
SERVICES = Resource(
    "services",
    "service",
    versioned=True,
    fields={
        **NAMED,
        "process_name": OPTIONAL_TEXT,
        "service_ports": array(
            record({**_PORT_FIELDS, "proto": integer(-1, 255)}, required=("proto",)), least=1, most=50
        ),
        "windows_services": array(
            record(
                {
                    **_PORT_FIELDS,
                    "service_name": OPTIONAL_TEXT,
                    "process_name": OPTIONAL_TEXT,
                    "proto": nullable(integer(-1, 255)),
                }
            ),
            least=1,
            most=50,
        ),
        "windows_egress_services": array(record({"service_name": OPTIONAL_TEXT, "process_name": OPTIONAL_TEXT})),
    },
    required=("name",),
    defaults={"description": "", "description_url": None, "process_name": None, **STAMPED},
    partial=("name", "description"),
    exact=tuple(EXTERNAL),
    unique=("name",),
)

LABEL_GROUPS = Resource(
    "label_groups",
    "label_group",
    versioned=True,
    ids="uuid",
    fields={**NAMED, "key": TEXT, "labels": array(REFERENCE), "sub_groups": array(REFERENCE)},
    required=("name", "key"),
    fixed=("key",),
    defaults={"description": None, **STAMPED, "labels": [], "sub_groups": []},
    partial=("name", "description"),
    exact=("key", *EXTERNAL),
    unique=("name",),
)

VIRTUAL_SERVICES = Resource(
    "virtual_services",
    "virtual_service",
    versioned=True,
    ids="uuid",
    fields={
        **NAMED,
        "labels": array(REFERENCE),
        "service": nullable(REFERENCE),
        "service_ports": array(
            record({"proto": one_of(6, 17), "port": integer(-1, 65535), "to_port": PORT}, required=("proto",)), least=1
        ),
        "service_addresses": array(
            any_of(
                record({"ip": address, "network": REFERENCE, "port": PORT}, required=("ip",)),
                record({"fqdn": fqdn, "description": TEXT, "port": PORT}, required=("fqdn",)),
            )
        ),
        "ip_overrides": array(address_or_network),
        "apply_to": one_of("host_only", "internal_bridge_network"),
    },
    required=("name",),
    defaults={
        "description": None,
        **STAMPED,
        "pce_fqdn": None,
        "labels": [],
        "service_addresses": [],
        "ip_overrides": [],
        "apply_to": "host_only",
    },
    partial=("name", "description"),
    exact=tuple(EXTERNAL),
    unique=("name",),
)

ENFORCEMENT_BOUNDARIES = Resource(
    "enforcement_boundaries",
    "enforcement_boundary",
    versioned=True,
    fields={
        "name": TEXT,
        "enabled": FLAG,
        "providers": array(DENIED, least=1),
        "consumers": array(DENIED, least=1),
        "ingress_services": INGRESS,
        "network_type": one_of("brn", "non_brn", "all"),
    },
    required=("name", "providers", "consumers", "ingress_services"),
    defaults={"enabled": True, "network_type": "brn"},
    partial=("name",),
    unique=("name",),
)

FIREWALL_SETTINGS = Resource(
    "firewall_settings",
    "firewall_settings",
    versioned=True,
    fields={"network_detection_mode": TEXT, "static_policy_scopes": SCOPES},
)
