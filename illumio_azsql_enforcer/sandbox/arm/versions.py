"""The api-versions that the simulated ARM knows, by resource type (as published in the specifications)."""

from illumio_azsql_enforcer.sandbox.arm.records import IPV6_RULES, NETWORK_RULES, RULES
from illumio_azsql_enforcer.sandbox.arm.routes import Kind, Route

RETIRED = "2014-04-01"
OF_RULES = (
    "2015-05-01-preview",
    "2020-02-02-preview",
    "2020-08-01-preview",
    "2020-11-01-preview",
    "2021-02-01-preview",
    "2021-05-01-preview",
    "2021-08-01-preview",
    "2021-11-01-preview",
    "2021-11-01",
    "2022-02-01-preview",
    "2022-05-01-preview",
    "2022-08-01-preview",
    "2022-11-01-preview",
    "2023-02-01-preview",
    "2023-05-01-preview",
    "2023-08-01-preview",
    "2023-08-01",
    "2024-05-01-preview",
    "2024-11-01-preview",
    "2025-01-01",
    "2025-02-01-preview",
    "2025-08-01-preview",
)
OF_SUBSCRIPTIONS = (
    "2014-04-01",
    "2015-01-01",
    "2015-11-01",
    "2016-02-01",
    "2016-06-01",
    "2018-05-01",
    "2019-06-01",
    "2019-10-01",
    "2019-11-01",
    "2020-01-01",
    "2020-06-01",
    "2020-10-01",
    "2021-01-01",
    "2021-04-01",
    "2022-09-01",
    "2022-12-01",
    "2023-07-01",
    "2024-03-01",
    "2024-11-01",
    "2025-03-01",
    "2025-04-01",
)
OF_PERMISSIONS = ("2015-07-01", "2018-01-01-preview", "2018-07-01", "2022-04-01")
OF_GRAPH = ("2018-09-01-preview", "2019-04-01", "2020-04-01-preview", "2021-03-01", "2022-10-01", "2024-04-01")
OF_RESOURCES = frozenset(
    {Kind.SUBSCRIPTIONS, Kind.SUBSCRIPTION, Kind.TENANTS, Kind.GROUPS, Kind.GROUP, Kind.PROVIDER, Kind.REGISTER}
)


def supported(target: Route, *, retired: bool) -> tuple[str, ...]:
    """The api-versions for what a path addresses; empty when any is as good as another."""
    if target.kind in OF_RESOURCES:
        return OF_SUBSCRIPTIONS
    if target.kind is Kind.GRAPH:
        return OF_GRAPH
    if target.kind is Kind.PERMISSIONS:
        return OF_PERMISSIONS
    if target.kind in (Kind.SERVERS, Kind.SERVER):
        return (*_with_retired(retired=retired), "2019-06-01-preview", *OF_RULES)
    return {
        RULES: (*_with_retired(retired=retired), *OF_RULES),
        IPV6_RULES: tuple(v for v in OF_RULES if v >= "2021-08-01-preview"),
        NETWORK_RULES: OF_RULES,
    }.get(target.child, ())


def _with_retired(*, retired: bool) -> tuple[str, ...]:
    return (RETIRED,) if retired else ()
