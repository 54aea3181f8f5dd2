"""Which server is governed, by which labels: the contract's sentences, one condition each."""

from dataclasses import dataclass
from typing import Any

from illumio_azsql_enforcer.model.firewall import LabelsFrom, Server
from illumio_azsql_enforcer.sandbox.oracle.world import World, host, listed
from tests.worlds.generator import Case

Json = dict[str, Any]


@dataclass(frozen=True)
class Known:
    """A governed server: its labels as hrefs, where they come from, and what stands for it in the PCE."""

    labels: frozenset[str]
    labels_from: LabelsFrom
    workload: str | None
    virtual_service: str | None


def naive_identity(case: Case, server: Server) -> Known | str:
    """What governs the server, or `skipped`, or `failed`."""
    world = World.of(case.collections)
    workloads = [w["href"] for w in world.living_workloads() if host(w.get("hostname")) == host(server.fqdn)]
    services = [service["href"] for service in world.virtual_services if _has_fqdn(service, server)]
    if len(workloads) > 1 or len(services) > 1:
        return "failed"
    workload, service = next(iter(workloads), None), next(iter(services), None)
    wanted, labels_from = _labels(case, server, world.find({"href": workload}), world.find({"href": service}))
    keys = [label["key"] for label in _labels_of(case) if label["href"] in wanted]
    if None in wanted or len(keys) > len(set(keys)):
        return "failed"
    labels = frozenset(href for href in wanted if href is not None)
    return Known(labels, labels_from, workload, service) if labels else "skipped"


def _has_fqdn(service: Json, server: Server) -> bool:
    return any(host(address.get("fqdn")) == host(server.fqdn) for address in listed(service.get("service_addresses")))


def _labels(
    case: Case, server: Server, workload: Json | None, service: Json | None
) -> tuple[list[str | None], LabelsFrom]:
    """Label hrefs from the first place that has something to say; None for a label that the PCE does not know."""
    override = case.naming.overrides.get(server.name.lower())
    if override is not None and override.labels is not None:
        return [_by_value(case, key, value) for key, value in override.labels.items()], LabelsFrom.CONFIG
    if workload is not None:
        return [_by_href(case, reference) for reference in listed(workload.get("labels"))], LabelsFrom.WORKLOAD
    if service is not None:
        return [_by_href(case, reference) for reference in listed(service.get("labels"))], LabelsFrom.VIRTUAL_SERVICE
    tags = {name.lower(): value for name, value in server.tags.items()}
    wanted = [(key, tags.get(tag.lower())) for key, tag in case.naming.tag_labels.items()]
    return [_by_value(case, key, value) for key, value in wanted if value is not None], LabelsFrom.TAGS


def _by_value(case: Case, key: str, value: str) -> str | None:
    return next((each["href"] for each in _labels_of(case) if (each["key"], each["value"]) == (key, value)), None)


def _by_href(case: Case, reference: Json) -> str | None:
    return next((each["href"] for each in _labels_of(case) if each["href"] == reference["href"]), None)


def _labels_of(case: Case) -> list[Json]:
    return [label for label in case.collections.get("labels", ()) if not label.get("deleted")]
