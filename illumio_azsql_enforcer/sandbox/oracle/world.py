"""The PCE as plain JSON, and finding things in it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Self

Json = dict[str, Any]

COLLECTIONS = (
    "labels",
    "label_groups",
    "ip_lists",
    "services",
    "rule_sets",
    "workloads",
    "virtual_services",
    "service_bindings",
)


def plain(href: object) -> str:
    """The href without its policy version: the draft and the active form of an object are the same object."""
    return _without_version(href) if isinstance(href, str) else ""


@lru_cache(maxsize=10_000)
def _without_version(href: str) -> str:
    return re.sub(r"/sec_policy/[^/]+/", "/", href, count=1)


def href_of(reference: object) -> str:
    """The plain href in `{"href": …}`; empty when there is none."""
    return plain(reference.get("href")) if isinstance(reference, dict) else ""


def listed(value: object) -> list[Any]:
    """A list that may be missing or null."""
    return value if isinstance(value, list) else []


@dataclass(frozen=True)
class World:
    """Everything that the PCE's REST API returns about one organisation, each collection as it came."""

    labels: Sequence[Json] = ()
    label_groups: Sequence[Json] = ()
    ip_lists: Sequence[Json] = ()
    services: Sequence[Json] = ()
    rule_sets: Sequence[Json] = ()
    workloads: Sequence[Json] = ()
    virtual_services: Sequence[Json] = ()
    service_bindings: Sequence[Json] = ()

    @classmethod
    def of(cls, collections: Mapping[str, Sequence[Json]]) -> Self:
        """A world of collections by name; what is not there is empty."""
        return cls(**{name: collections.get(name, ()) for name in COLLECTIONS})

    @cached_property
    def _objects(self) -> dict[str, Json]:
        kinds = (self.labels, self.label_groups, self.ip_lists, self.services, self.workloads, self.virtual_services)
        return {plain(thing["href"]): thing for kind in kinds for thing in kind if not thing.get("deleted")}

    def find(self, reference: object) -> Json | None:
        """What `{"href": …}` refers to; None when it dangles or was deleted."""
        return self._objects.get(href_of(reference))

    def living_workloads(self) -> Iterator[Json]:
        """All workloads that are not deleted."""
        return (workload for workload in self.workloads if not workload.get("deleted"))

    def label_keys(self, references: object) -> dict[str, set[str]]:
        """The labels that something carries: label key -> plain hrefs. Labels that dangle are not carried."""
        carried: dict[str, set[str]] = {}
        for reference in listed(references):
            label = self.find(reference)
            if label is not None:
                carried.setdefault(label["key"], set()).add(plain(label["href"]))
        return carried


def host(name: object) -> str:
    """A host name for comparing: without case, without the dot at the end."""
    return name.lower().removesuffix(".") if isinstance(name, str) else ""


@dataclass(frozen=True)
class ServerView:
    """One SQL server as the policy sees it: its labels, its name, and the workload that stands for it, if any."""

    fqdn: str
    labels: frozenset[str] = field(default_factory=frozenset)  # label hrefs
    workload: str | None = None  # href

    def references(self) -> list[Json]:
        """The labels in the PCE's own form."""
        return [{"href": href} for href in sorted(self.labels)]

    def is_workload(self, reference: object) -> bool:
        """Whether `{"href": …}` is the workload that stands for this server."""
        return self.workload is not None and href_of(reference) == plain(self.workload)


def virtual_services_on(world: World, server: ServerView) -> Iterator[tuple[Json, Json | None]]:
    """Each virtual service bound to the server, with its binding; one that has the server's FQDN needs no binding."""
    for binding in world.service_bindings:
        service = bound_service(world, binding)
        if service is not None and server.is_workload(binding.get("workload")):
            yield service, binding
    for service in world.virtual_services:
        if any(host(address.get("fqdn")) == host(server.fqdn) for address in listed(service.get("service_addresses"))):
            yield service, None


def bound_service(world: World, binding: Json) -> Json | None:
    """The virtual service of a binding: releases name it in either of two fields."""
    return world.find(binding.get("virtual_service")) or world.find(binding.get("bound_service"))
