"""The kinds of objects that count at once: fields and limits of the published request schemas (release 25.2)."""

from illumio_azsql_enforcer.sandbox.pce.resource import STAMPED, Resource
from illumio_azsql_enforcer.sandbox.pce.shapes import (
    EXTERNAL,
    FLAG,
    OPTIONAL_TEXT,
    PORT,
    REFERENCE,
    TEXT,
    address,
    array,
    integer,
    nullable,
    one_of,
    record,
    typed,
)

LABELS = Resource(
    "labels",
    "label",
    fields={"key": TEXT, "value": TEXT, **EXTERNAL},
    required=("key", "value"),
    fixed=("key",),
    defaults={"deleted": False, **STAMPED},
    partial=("value",),
    exact=("key", *EXTERNAL),
    unique=("key", "value"),
    taken="label_key_and_value_must_be_unique",
)

LABEL_DIMENSIONS = Resource(
    "label_dimensions",
    "label_dimension",
    ids="uuid",
    fields={"key": TEXT, "display_name": TEXT, "display_info": typed(dict), **EXTERNAL},
    required=("key", "display_name"),
    fixed=("key",),
    defaults={"deleted": False, "display_info": {}, **STAMPED},
    partial=("key", "display_name"),
    unique=("key",),
)

WORKLOADS = Resource(
    "workloads",
    "workload",
    ids="uuid",
    fields={
        "name": OPTIONAL_TEXT,
        "hostname": OPTIONAL_TEXT,
        "description": OPTIONAL_TEXT,
        **EXTERNAL,
        "service_principal_name": OPTIONAL_TEXT,
        "distinguished_name": OPTIONAL_TEXT,
        "public_ip": nullable(address),
        "interfaces": array(
            record(
                {
                    "name": TEXT,
                    "address": address,
                    "cidr_block": nullable(integer(0, 128)),
                    "link_state": nullable(one_of("up", "down", "unknown")),
                    "default_gateway_address": nullable(address),
                    "friendly_name": OPTIONAL_TEXT,
                    "network": REFERENCE,
                },
                required=("name", "address"),
            ),
            most=128,
        ),
        "service_provider": OPTIONAL_TEXT,
        "data_center": OPTIONAL_TEXT,
        "data_center_zone": OPTIONAL_TEXT,
        "os_id": OPTIONAL_TEXT,
        "os_detail": OPTIONAL_TEXT,
        "online": FLAG,
        "labels": array(REFERENCE),
        "enforcement_mode": one_of("idle", "visibility_only", "full", "selective"),
        "visibility_level": one_of("flow_full_detail", "flow_summary", "flow_drops", "flow_off"),
        "ignored_interface_names": array(TEXT),
    },
    defaults={
        "deleted": False,
        "managed": False,
        "name": None,
        "hostname": None,
        "description": None,
        **STAMPED,
        "service_principal_name": None,
        "distinguished_name": None,
        "public_ip": None,
        "interfaces": [],
        "ignored_interface_names": [],
        "service_provider": None,
        "data_center": None,
        "data_center_zone": None,
        "os_id": None,
        "os_detail": None,
        "online": True,
        "labels": [],
        "enforcement_mode": "visibility_only",
        "visibility_level": "flow_summary",
        "ven": None,
    },
    partial=("name", "hostname", "description"),
    exact=("managed", "online", "enforcement_mode", *EXTERNAL),
)

SERVICE_BINDINGS = Resource(
    "service_bindings",
    "service_binding",
    ids="uuid",
    fields={
        "virtual_service": REFERENCE,
        "workload": REFERENCE,
        "port_overrides": array(
            record(
                {"port": PORT, "proto": one_of(6, 17), "new_port": PORT, "new_to_port": PORT}, required=("new_port",)
            )
        ),
        **EXTERNAL,
    },
    required=("virtual_service", "workload"),
    defaults={"port_overrides": [], **STAMPED},
    exact=tuple(EXTERNAL),
)
