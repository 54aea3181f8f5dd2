"""What the PCE checks of a request body: its shape, its references, unique names, and whether it makes sense."""

import ipaddress
from collections.abc import Callable, Iterable, Iterator

from illumio_azsql_enforcer.sandbox.pce.org import Org
from illumio_azsql_enforcer.sandbox.pce.refusals import Refused, invalid
from illumio_azsql_enforcer.sandbox.pce.release import Release
from illumio_azsql_enforcer.sandbox.pce.resource import Resource
from illumio_azsql_enforcer.sandbox.pce.shapes import Json, JsonValue, additional

Span = tuple[int, int, int]  # IP version, first, last


def check_shape(org: Org, resource: Resource, body: object, *, creating: bool) -> Json:
    """The body, when it fits. Raises Refused 406 `input_validation_error` with every fault, or 405."""
    if not resource.writable:
        raise Refused(405, "method_not_allowed_error", f"This sandbox does not edit {resource.collection}")
    check = resource.create if creating else resource.change
    schema = f"{'sec_policy_' if resource.versioned else ''}{resource.collection}_{'post' if creating else 'put'}"
    faults = [*check(body, "#/"), *_not_yet_known(org.release, resource, body)]
    if faults or not isinstance(body, dict):
        raise invalid(faults, schema)
    return body


def _not_yet_known(release: Release, resource: Resource, body: object) -> Iterator[str]:
    """Fields that this release does not have."""
    hidden = {
        "enforcement_mode": release.modern_agents,
        "visibility_level": release.modern_agents,
        "network_type": release.label_values,
        "all_ips_except_for_in_consumers": release.inline_deny_rules,
        "all_ips_except_for_in_providers": release.inline_deny_rules,
        "exclusion": release.policy_check if resource.noun == "deny_rule" else release.exclusions,
    }
    absent = {name for name, known in hidden.items() if not known}
    if resource.collection == "ip_lists":
        absent.discard("exclusion")
    unknown = sorted(absent & set(_keys(body)))
    if unknown:
        yield additional(unknown, "#/")


def _keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)


def resolve(org: Org, value: JsonValue) -> JsonValue:
    """The value with each reference in its draft form. Raises Refused 406 `invalid_uri` for one that leads nowhere."""
    if isinstance(value, list):
        return [resolve(org, one) for one in value]
    if isinstance(value, dict):
        return {key: _reference(org, one) if key == "href" else resolve(org, one) for key, one in value.items()}
    return value


def _reference(org: Org, href: str) -> str:
    try:
        place = org.place(href)
        found = org.objects(place.collection, "draft" if place.view else None)[place.id or ""]
    except (Refused, KeyError):
        raise Refused(406, "invalid_uri", f"Invalid URI: {{{href}}}") from None
    if found.get("deleted") or found.get("update_type") == "delete":
        raise Refused(406, "invalid_uri", f"Invalid URI: {{{href}}} (deleted)")
    return str(found["href"])


def check_unique(org: Org, resource: Resource, whole: Json) -> None:
    """No two living objects share the fields that must be unique. Raises Refused 406."""
    if not resource.unique:
        return
    key = [str(whole.get(name)).lower() for name in resource.unique]
    for other in org.living(resource.collection):
        if other["href"] != whole["href"] and [str(other.get(name)).lower() for name in resource.unique] == key:
            raise Refused(406, resource.taken, f"{' and '.join(resource.unique)} must be unique: {', '.join(key)}")


def check_sense(org: Org, resource: Resource, whole: Json) -> None:
    """The object as a whole, after the change. Raises Refused 406."""
    judge = _JUDGES.get(resource.collection)
    faults = list(judge(org, whole)) if judge else []
    if faults:
        raise invalid(faults, resource.collection)


def _ip_list(_org: Org, whole: Json) -> Iterator[str]:
    spans: dict[bool, list[Span]] = {False: [], True: []}
    for entry in whole["ip_ranges"]:
        span = _span(entry)
        if span is None:
            yield f"The range {entry['from_ip']} to {entry.get('to_ip')} does not go upwards within one address family"
        else:
            spans[bool(entry.get("exclusion"))].append(span)
    included, excluded = _merged(spans[False]), _merged(spans[True])
    for version, first, last in excluded:
        if not any(kind == version and low <= first and last <= high for kind, low, high in included):
            yield "Exclusions must be a strict subset of inclusive IP addresses"
    if excluded and excluded == included:
        yield "Exclusions must be a strict subset of inclusive IP addresses"


def _span(entry: Json) -> Span | None:
    network = ipaddress.ip_interface(entry["from_ip"]).network
    first, last, version = int(network.network_address), int(network.broadcast_address), network.version
    if entry.get("to_ip") is not None:
        end = ipaddress.ip_address(entry["to_ip"])
        if "/" in entry["from_ip"] or end.version != version or int(end) < first:
            return None
        last = int(end)
    return version, first, last


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for version, first, last in sorted(spans):
        if merged and merged[-1][0] == version and first <= merged[-1][2] + 1:
            merged[-1] = (version, merged[-1][1], max(last, merged[-1][2]))
        else:
            merged.append((version, first, last))
    return merged


def _label(org: Org, whole: Json) -> Iterator[str]:
    if whole["key"] not in {dimension["key"] for dimension in org.living("label_dimensions")}:
        yield f"The property '#/key' value \"{whole['key']}\" is not a label type of this PCE"


def _label_dimension(org: Org, _whole: Json) -> Iterator[str]:
    if sum(1 for _ in org.living("label_dimensions")) > 20:
        yield "There are at most 20 label types"


def _label_group(org: Org, whole: Json) -> Iterator[str]:
    keys = {org.live["labels"][_id(one)]["key"] for one in whole["labels"]}
    keys |= {org.draft["label_groups"][_id(one)]["key"] for one in whole["sub_groups"]}
    if keys - {whole["key"]}:
        yield "All members of a label group have its key"


def _workload(org: Org, whole: Json) -> Iterator[str]:
    if not (whole.get("name") or whole.get("hostname")):
        yield "The property '#/' did not contain a required property of 'name' or 'hostname'"
    yield from _one_label_a_type(org, whole)


def _one_label_a_type(org: Org, whole: Json) -> Iterator[str]:
    keys = [org.live["labels"].get(_id(one), one).get("key") for one in whole.get("labels") or []]
    if len(keys) != len(set(keys)):
        yield "The property '#/labels' holds more than one label of a type"


def _virtual_service(org: Org, whole: Json) -> Iterator[str]:
    if bool(whole.get("service")) == bool(whole.get("service_ports")):
        yield "The property '#/' must contain either 'service' or 'service_ports'"
    yield from _one_label_a_type(org, whole)


def _service(_org: Org, whole: Json) -> Iterator[str]:
    if bool(whole.get("service_ports")) == bool(whole.get("windows_services")):
        yield "The property '#/' must contain either 'service_ports' or 'windows_services'"


def _rule(_org: Org, whole: Json) -> Iterator[str]:
    for item in [*whole["providers"], *whole["consumers"]]:
        if item.get("exclusion") and not item.keys() & {"label", "label_group"}:
            yield "Only labels and label groups can be exclusions"
    ports = "workloads" in whole.get("resolve_labels_as", {}).get("providers", ["workloads"])
    if ports and not whole["ingress_services"]:
        yield "The property '#/ingress_services' did not contain a minimum number of items 1"


def _id(reference: Json) -> str:
    return str(reference["href"]).rpartition("/")[2]


_JUDGES: dict[str, Callable[[Org, Json], Iterator[str]]] = {
    "ip_lists": _ip_list,
    "labels": _label,
    "label_dimensions": _label_dimension,
    "label_groups": _label_group,
    "workloads": _workload,
    "virtual_services": _virtual_service,
    "services": _service,
    "sec_rules": _rule,
    "deny_rules": _rule,
}
