"""Query parameters of a collection: partial matches, exact values, label lists, deleted objects (REST API guide)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from illumio_azsql_enforcer.sandbox.pce.refusals import invalid
from illumio_azsql_enforcer.sandbox.pce.resource import Resource
from illumio_azsql_enforcer.sandbox.pce.shapes import Json

Test = Callable[[Json], bool]


def select(resource: Resource, objects: Iterable[Json], query: Mapping[str, str]) -> list[Json]:
    """The objects that a query finds; unknown parameters are ignored. Raises Refused 406 for unreadable values."""
    tests = list(_tests(resource, query))
    return [one for one in objects if all(test(one) for test in tests)]


def limit(query: Mapping[str, str]) -> int | None:
    """`max_results`, if there is one. Raises Refused 406."""
    text = query.get("max_results")
    if text is None:
        return None
    if not text.isdecimal():
        raise invalid(["The property '#/max_results' of type string did not match the following type: integer"], "get")
    return int(text)


def _tests(resource: Resource, query: Mapping[str, str]) -> Iterator[Test]:
    if "deleted" in resource.defaults and query.get("include_deleted") != "true":
        yield lambda one: not one.get("deleted")
    for name, text in query.items():
        if name in resource.partial:
            yield _contains(name, text.lower())
        elif name in resource.exact:
            yield _equals(name, text.lower())
        elif (resource.collection, name) in _SPECIAL:
            yield _SPECIAL[resource.collection, name](text)


def _contains(name: str, part: str) -> Test:
    return lambda one: part in str(one.get(name) or "").lower()


def _equals(name: str, text: str) -> Test:
    return lambda one: _text(one.get(name)).lower() == text


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _groups(text: str) -> list[set[str]]:
    """`[["a","b"],["c"]]`: (a and b) or c."""
    try:
        lists = msgspec.json.decode(text, type=list[list[str]])
    except msgspec.DecodeError:
        fault = f"The property '#/labels' with value {text} is not a list of lists of label hrefs"
        raise invalid([fault], "get") from None
    return [set(one) for one in lists]


def _carries(text: str) -> Test:
    groups = _groups(text)
    return lambda one: any(group <= {label["href"] for label in one.get("labels") or []} for group in groups)


def _scoped(text: str) -> Test:
    groups = _groups(text)

    def test(one: Json) -> bool:
        scopes = [{item.get("label", {}).get("href") for item in scope} for scope in one["scopes"]]
        return any(group <= scope for group in groups for scope in scopes)

    return test


def _has_address(text: str) -> Test:
    return lambda one: any(text in str(interface.get("address")) for interface in one.get("interfaces") or [])


def _has_range(text: str) -> Test:
    return lambda one: any(text in f"{entry.get('from_ip')} {entry.get('to_ip')}" for entry in one["ip_ranges"])


def _has_fqdn(text: str) -> Test:
    return lambda one: any(text.lower() in str(entry.get("fqdn")).lower() for entry in one["fqdns"])


def _modes(text: str) -> Test:
    wanted: Any = msgspec.json.decode(text)
    return lambda one: one.get("enforcement_mode") in wanted


def _refers_to(name: str) -> Callable[[str], Test]:
    return lambda text: lambda one: _last(_bound(one, name)) == _last(text)


def _bound(binding: Json, name: str) -> str:
    reference = binding.get(name) or (binding.get("bound_service") if name == "virtual_service" else None) or {}
    return str(reference.get("href"))


def _last(href: str) -> str:
    return href.rpartition("/")[2]


_SPECIAL: dict[tuple[str, str], Callable[[str], Test]] = {
    ("workloads", "labels"): _carries,
    ("workloads", "ip_address"): _has_address,
    ("workloads", "enforcement_modes"): _modes,
    ("virtual_services", "labels"): _carries,
    ("rule_sets", "labels"): _scoped,
    ("ip_lists", "ip_address"): _has_range,
    ("ip_lists", "fqdn"): _has_fqdn,
    ("service_bindings", "virtual_service"): _refers_to("virtual_service"),
    ("service_bindings", "workload"): _refers_to("workload"),
}
