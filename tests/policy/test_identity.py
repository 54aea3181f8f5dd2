"""Where a server's labels and identity come from, and when they cannot be told."""

from typing import Any

from illumio_azsql_enforcer.model.firewall import LabelsFrom, Server
from illumio_azsql_enforcer.model.settings import ServerOverride, ServerSettings
from illumio_azsql_enforcer.policy.identity import identify
from tests.policy.world import FQDN, SERVER, Json, governed, href, label, snapshot, ungoverned, workload

NOWHERE = {"S": {"hostname": "elsewhere"}}
TAGS = ServerSettings(tag_labels={"role": "Illumio-Role", "env": "illumio-env"})


def tagged(**tags: str) -> Server:
    return Server("/subscriptions/s/orders-sql", "orders-sql", "s", "g", FQDN, tags=tags)


def service(name: str = "vs", *, fqdn: str = FQDN, labels: tuple[int, ...] = (11, 21)) -> Json:
    carried = [{"href": label(number)} for number in labels]
    return {
        "href": href("virtual_service", name),
        "name": name,
        "labels": carried,
        "service_addresses": [{"fqdn": fqdn, "port": 1433}],
    }


def override(**labels: str) -> ServerSettings:
    return ServerSettings(overrides={"orders-sql": ServerOverride(labels=labels)}, tag_labels=TAGS.tag_labels)


def world(*services: Json, **changed: Any) -> Any:
    return snapshot([], changed=changed, virtual_services=list(services))


def test_the_workload_with_the_hostname() -> None:
    found = governed(world())
    assert found.labels == {"role": "sql-server", "app": "orders", "env": "prod", "loc": "azure-weu"}
    assert found.label_hrefs == {label(number) for number in (11, 21, 31, 41)}
    assert found.labels_from is LabelsFrom.WORKLOAD
    assert found.workload == href("workload", "S")


def test_case_and_trailing_dot_do_not_matter() -> None:
    assert governed(world(S={"hostname": f"{FQDN.upper()}."})).workload == href("workload", "S")


def test_overridden_labels_replace_labels_not_identity() -> None:
    found = governed(world(service()), settings=override(role="web", env="dev"))
    assert found.labels == {"env": "dev", "role": "web"}
    assert found.labels_from is LabelsFrom.CONFIG
    assert found.workload == href("workload", "S")
    assert found.virtual_service == href("virtual_service", "vs")


def test_overridden_labels_that_are_empty_leave_the_server_alone() -> None:
    assert not ungoverned(world(), settings=override()).failed


def test_the_virtual_service_with_the_name() -> None:
    found = governed(world(service(fqdn=f"{FQDN}."), **NOWHERE))
    assert found.labels == {"app": "orders", "role": "sql-server"}
    assert found.labels_from is LabelsFrom.VIRTUAL_SERVICE
    assert (found.workload, found.virtual_service) == (None, href("virtual_service", "vs"))


def test_tags_with_names_in_any_case() -> None:
    found = governed(world(**NOWHERE), tagged(**{"ILLUMIO-ROLE": "web", "illumio-env": "prod"}), TAGS)
    assert found.labels == {"env": "prod", "role": "web"}
    assert found.labels_from is LabelsFrom.TAGS
    assert (found.workload, found.virtual_service) == (None, None)


def test_tag_values_are_exact() -> None:
    found = ungoverned(world(**NOWHERE), tagged(**{"illumio-role": "Web"}), TAGS)
    assert found.failed
    assert "role:Web" in found.reason


def test_no_labels_anywhere() -> None:
    assert not ungoverned(world(**NOWHERE), settings=TAGS).failed


def test_a_workload_without_labels_is_skipped_and_tags_are_not_asked() -> None:
    found = ungoverned(world(S={"labels": None}), tagged(**{"illumio-role": "web"}), TAGS)
    assert not found.failed
    assert href("workload", "S") in found.reason


def test_two_workloads_fail_the_server_even_with_overridden_labels() -> None:
    twin = workload("S2", [11], hostname=FQDN)
    found = ungoverned(world(S2=twin), settings=override(role="web"))
    assert found.failed
    assert href("workload", "S") in found.reason
    assert href("workload", "S2") in found.reason


def test_two_virtual_services_fail_the_server() -> None:
    found = ungoverned(world(service("vs1"), service("vs2")))
    assert found.failed
    assert "vs1" in found.reason
    assert "vs2" in found.reason


def test_one_virtual_service_that_names_the_server_twice_is_one() -> None:
    twice = service()
    twice["service_addresses"] *= 2
    assert governed(world(twice, **NOWHERE)).virtual_service == href("virtual_service", "vs")


def test_deleted_workloads_do_not_count() -> None:
    assert not ungoverned(world(S={"deleted": True})).failed
    assert governed(world(S2=workload("S2", [11], hostname=FQDN, deleted=True))).workload == href("workload", "S")


def test_a_label_that_the_pce_does_not_list() -> None:
    found = ungoverned(world(S={"labels": [{"href": label(11)}, {"href": label(99)}]}))
    assert found.failed
    assert label(99) in found.reason


def test_two_labels_of_one_type() -> None:
    found = ungoverned(world(S={"labels": [{"href": label(11)}, {"href": label(12)}]}))
    assert found.failed
    assert "role" in found.reason


def test_an_overridden_label_that_the_pce_does_not_have() -> None:
    found = ungoverned(world(), settings=override(role="nobody"))
    assert found.failed
    assert "role:nobody" in found.reason


def test_a_server_without_a_name_is_no_workload() -> None:
    nameless = Server("/subscriptions/s/x", "x", "s", "g", "")
    assert not ungoverned(world(W={"href": "/orgs/1/workloads/W", "hostname": ""}), nameless).failed


def test_the_order_is_kept() -> None:
    other = Server("/subscriptions/s/other", "other", "s", "g", "other.database.windows.net")
    found = identify([other, SERVER, other], world(), ServerSettings())
    assert [each.server.name for each in found] == ["other", "orders-sql", "other"]
