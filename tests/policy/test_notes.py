"""What is left out is said, in words to act on; bad data makes an allow rule narrower, and never is a crash."""

import pytest

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.errors import PolicyUnresolvable
from illumio_azsql_enforcer.model.firewall import ConsumerKind, NoteCode, Source
from illumio_azsql_enforcer.model.policy import Snapshot
from illumio_azsql_enforcer.model.settings import AddressSource, NatEntry, PolicySettings
from tests.policy.world import (
    ACTIVE,
    MSSQL,
    PCE_LEVEL,
    Json,
    deny,
    href,
    label,
    label_group,
    ranges,
    rule,
    rule_set,
    snapshot,
    translated,
    workload,
)

AZURE = PolicySettings()


def notes(world: Snapshot, settings: PolicySettings = AZURE) -> list[tuple[str, int, str]]:
    return [(str(note.code), note.count, note.detail) for note in translated(world, settings).notes]


def only(world: Snapshot, code: str, settings: PolicySettings = AZURE) -> tuple[int, str]:
    """The one note with this code."""
    found = [(count, detail) for each, count, detail in notes(world, settings) if each == code]
    assert len(found) == 1, notes(world, settings)
    return found[0]


def test_private_addresses() -> None:
    world = snapshot([rule_set([rule(U=True)])])
    assert translated(world, AZURE).desired == ()
    count, detail = only(world, "private_address")
    assert count == 4
    assert detail == (
        "rule 1 of 'orders-db' allows 'web': 4 workloads with private addresses only; "
        "they cannot arrive at a public endpoint; set policy.nat or policy.addresses"
    )


def test_nat_makes_them_arrive_and_leaves_no_note() -> None:
    entry = NatEntry(Range.parse("10.0.0.0", "10.255.255.255"), (Range.parse("203.0.113.7", "203.0.113.8"),))
    world = snapshot([rule_set([rule()])])
    settings = PolicySettings(nat=(entry,))
    assert ranges(translated(world, settings)) == "203.0.113.7-203.0.113.8"
    assert [code for code, _, _ in notes(world, settings)] == ["offline"]


def test_of_nested_nat_blocks_the_smallest_decides() -> None:
    nat = (
        NatEntry(Range.parse("10.0.0.0", "10.255.255.255"), (Range.parse("203.0.113.7", "203.0.113.7"),)),
        NatEntry(Range.parse("10.20.1.0", "10.20.1.255"), (Range.parse("203.0.113.9", "203.0.113.9"),)),
    )
    world = snapshot([rule_set([rule(U=True)])])
    assert ranges(translated(world, PolicySettings(nat=nat))) == "203.0.113.7 203.0.113.9"
    assert ranges(translated(snapshot([rule_set([rule()])]), PolicySettings(nat=nat))) == "203.0.113.9"


def test_nat_of_part_of_a_subnet_leaves_the_rest() -> None:
    entry = NatEntry(Range.parse("10.20.1.128", "10.20.1.255"), (Range.parse("203.0.113.7", "203.0.113.7"),))
    world = snapshot([rule_set([rule(use_workload_subnets=["consumers"])])])
    settings = PolicySettings(nat=(entry,), keep_private_ranges=True)
    assert ranges(translated(world, settings)) == "10.20.1.0-10.20.1.127 203.0.113.7"


def test_nat_does_not_touch_ip_lists() -> None:
    entry = NatEntry(Range.parse("192.0.2.0", "192.0.2.255"), (Range.parse("203.0.113.9", "203.0.113.9"),))
    world = snapshot([rule_set([rule(C=["a"])])], ip_lists={"a": [{"from_ip": "192.0.2.1"}]})
    assert ranges(translated(world, PolicySettings(nat=(entry,)))) == "192.0.2.1"


def test_a_range_that_only_overlaps_a_private_block_stays_whole() -> None:
    lists = {"a": [{"from_ip": "9.255.255.255", "to_ip": "10.0.0.1"}]}
    world = snapshot([rule_set([rule(C=["a", 12])])], ip_lists=lists)
    assert ranges(translated(world, AZURE)) == "9.255.255.255-10.0.0.1"
    assert only(world, "private_address")[0] == 1


def test_a_private_workload_address_next_to_a_public_one_stays() -> None:
    edge = {"W1": workload("W1", [12, 21, 31, 41], "10.255.255.255", "11.0.0.0")}
    world = snapshot([rule_set([rule()])], changed=edge)
    assert ranges(translated(world, AZURE)) == "10.255.255.255-11.0.0.0"
    assert [code for code, _, _ in notes(world)] == ["offline"]


def test_workloads_inside_a_list_that_stays_are_not_left_out() -> None:
    world = snapshot([rule_set([rule(C=["any", 12])])])
    assert [code for code, _, _ in notes(world)] == ["ipv6", "offline"]


def test_the_server_itself_is_nothing_that_is_missing() -> None:
    bare: dict[str, Json] = {"S": {"interfaces": []}}
    world = snapshot([rule_set([rule(C=["ams"], U=True)])], changed=bare)
    assert "no_address" not in [code for code, _, _ in notes(world)]


def test_the_server_is_no_consumer_of_itself_but_of_others() -> None:
    public = {"W1": workload("W1", [12, 21, 31, 41], "203.0.113.10")}
    assert ranges(translated(snapshot([rule_set([rule(C=["S"])])]))) == ""
    assert ranges(translated(snapshot([rule_set([rule(C=["S", "W1"])])], changed=public))) == "203.0.113.10"


def test_ipv6_addresses_of_workloads_are_counted() -> None:
    dual = {"W1": workload("W1", [12, 21, 31, 41], "198.51.100.11", "2001:db8::1", "2001:db8::2", "fe80::1")}
    count, detail = only(snapshot([rule_set([rule()])], changed=dual), "ipv6")
    assert count == 2
    assert "2 IPv6 addresses" in detail


def test_host_names_of_ip_lists_are_counted() -> None:
    names = {"ip_ranges": None, "fqdns": [{"fqdn": "*.example.com"}, {"fqdn": "example.com"}]}
    world = snapshot([rule_set([rule(C=["names"])])], ip_lists={"names": names})
    count, detail = only(world, "fqdn")
    assert count == 2
    assert "'names'" in detail


def test_user_groups_are_counted() -> None:
    groups = [{"href": f"/orgs/1/security_principals/{number}"} for number in (1, 2)]
    count, detail = only(snapshot([rule_set([rule(consuming_security_principals=groups)])]), "user_group")
    assert (count, detail[:44]) == (2, "rule 1 of 'orders-db' is for 2 user groups o")


def test_notes_about_rules_for_other_servers_are_not_shown() -> None:
    other = rule_set([rule(402, P=[13], C=["X", "container_host"])], scope=[[22]], href=f"{ACTIVE}/rule_sets/41")
    assert [code for code, _, _ in notes(snapshot([rule_set([rule()]), other]), PCE_LEVEL)] == ["offline"]


# --- bad data

BAD_ENTRIES: list[Json] = [
    {"from_ip": "192.0.2.9", "to_ip": "192.0.2.1"},
    {"from_ip": "192.0.2.0/33"},
    {"from_ip": "192.0.2.0/24", "to_ip": "192.0.2.9"},
    {"from_ip": "192.0.2.1", "to_ip": "::1"},
    {"from_ip": "everything"},
    {"from_ip": None},
    {"from_ip": 3221225985},
    {"from_ip": "192.0.2.1", "to_ip": 24},
    {"from_ip": "192.0.2.1", "to_ip": "99"},
    {"from_ip": "192.0.2.1", "exclusion": "false"},
    {"from_ip": "2001:db8::/129"},
    {"from_ip": "20:01:db8:::"},
]


@pytest.mark.parametrize("entry", BAD_ENTRIES, ids=str)
def test_an_ip_list_with_an_entry_that_cannot_be_read_is_not_used(entry: Json) -> None:
    world = snapshot([rule_set([rule(C=["a", "B1"])])], ip_lists={"a": [{"from_ip": "198.51.100.0/24"}, entry]})
    assert ranges(translated(world)) == "192.0.2.50"
    count, detail = only(world, "unreadable")
    assert count == 1
    assert href("ip_list", "a") in detail


@pytest.mark.parametrize("entry", BAD_ENTRIES, ids=str)
def test_and_fails_the_server_in_an_override_deny(entry: Json) -> None:
    world = snapshot([rule_set([rule()], [deny(C=["a"])])], ip_lists={"a": [entry]})
    with pytest.raises(PolicyUnresolvable, match="Override-deny 1 of 'orders-db'"):
        translated(world)


def test_a_range_that_is_upside_down_is_told_as_it_is_written() -> None:
    world = snapshot([rule_set([rule(C=["a"])])], ip_lists={"a": [{"from_ip": "192.0.2.9", "to_ip": "192.0.2.1"}]})
    _, detail = only(world, "unreadable")
    assert detail.endswith("192.0.2.9 to 192.0.2.1 is not a range")


@pytest.mark.parametrize("length", ["24", "/24"])
def test_an_end_that_is_a_mask_length(length: str) -> None:
    world = snapshot([rule_set([rule(C=["a"])])], ip_lists={"a": [{"from_ip": "192.0.2.0", "to_ip": length}]})
    assert ranges(translated(world)) == "192.0.2.0-192.0.2.255"


@pytest.mark.parametrize(
    "service",
    [
        {"proto": "6", "port": 1433},
        {"proto": 6, "port": "1433"},
        {"proto": 6, "port": 1433, "to_port": "1500"},
        {"proto": 6, "port": 1500, "to_port": 1400},
        {"proto": 6, "port": 0},
        {"proto": True, "port": 1433},
        {"port": 1433},
        {"proto": 6, "to_port": 1500},
        {"proto": 6, "port": 1433.0},
        {},
    ],
    ids=str,
)
def test_a_service_that_cannot_be_read_covers_nothing(service: Json) -> None:
    assert ranges(translated(snapshot([rule_set([rule(ingress_services=[service])])]))) == ""
    assert only(snapshot([rule_set([rule(ingress_services=[service])])]), "unreadable")[0] == 1
    with pytest.raises(PolicyUnresolvable, match="cannot be read"):
        translated(snapshot([rule_set([rule()], [deny(ingress_services=[service])])]))


def test_a_service_that_is_not_there_covers_nothing() -> None:
    gone = {"href": f"{ACTIVE}/services/gone"}
    assert "services/gone" in only(snapshot([rule_set([rule(ingress_services=[gone])])]), "dangling_reference")[1]
    assert ranges(translated(snapshot([rule_set([rule(ingress_services=[gone, MSSQL])])]))) == "10.20.1.11"
    with pytest.raises(PolicyUnresolvable, match="services/gone"):
        translated(snapshot([rule_set([rule()], [deny(ingress_services=[gone])])]))


def test_null_everywhere() -> None:
    empty = {"href": f"{ACTIVE}/rule_sets/1", "enabled": None, "scopes": None, "rules": None}
    bare = {"href": f"{ACTIVE}/rule_sets/2", "scopes": [[]], "rules": [{"href": f"{ACTIVE}/rule_sets/2/sec_rules/1"}]}
    empty.pop("rules")
    world = snapshot(
        [empty, bare], changed={"W1": {"interfaces": None, "labels": None, "ignored_interface_names": None}}
    )
    assert translated(world).desired == ()


def test_a_dangling_label_makes_its_term_select_nobody_and_leaves_the_rest() -> None:
    world = snapshot([rule_set([rule(C=[12, 99, "B1"])])])
    assert ranges(translated(world)) == "192.0.2.50"
    assert label(99) in only(world, "dangling_reference")[1]


def test_a_dangling_exclusion_drops_the_rule() -> None:
    assert ranges(translated(snapshot([rule_set([rule(C=[12, -99, "B1"])])]))) == ""
    assert ranges(translated(snapshot([rule_set([rule(P=["ams", -99], C=["B1"])])]))) == ""


def test_a_scope_with_a_dangling_label_selects_nothing_and_the_others_stay() -> None:
    assert ranges(translated(snapshot([rule_set([rule()], scope=[[21, 99], [21, 31]])]))) == "10.20.1.11"
    assert ranges(translated(snapshot([rule_set([rule()], scope=[[21, 99]])]))) == ""
    assert label(99) in only(snapshot([rule_set([rule()], scope=[[21, 99]])]), "dangling_reference")[1]


def test_a_group_with_a_missing_member_holds_the_others_but_excludes_nothing_safely() -> None:
    groups: Json = {"label_groups": [label_group("lower", [32, 99])]}
    assert ranges(translated(snapshot([rule_set([rule(U=True, C=[12, "lower"])])], **groups))) == "10.20.9.13"
    excluded = {"label_group": {"href": href("label_group", "lower")}, "exclusion": True}
    assert ranges(translated(snapshot([rule_set([rule(U=True, C=[12, excluded])])], **groups))) == ""


def test_a_group_of_mixed_types_selects_nobody() -> None:
    groups: Json = {"label_groups": [label_group("lower", [32, 12])]}
    assert ranges(translated(snapshot([rule_set([rule(U=True, C=["lower"])])], **groups))) == ""


def test_draft_and_active_hrefs_are_the_same_object() -> None:
    draft = {"ip_list": {"href": "/orgs/1/sec_policy/draft/ip_lists/a"}}
    world = snapshot([rule_set([rule(C=[draft])])], ip_lists={"a": [{"from_ip": "192.0.2.1"}]})
    assert ranges(translated(world)) == "192.0.2.1"


def test_an_address_of_a_workload_that_cannot_be_read() -> None:
    bad = {"W1": workload("W1", [12, 21, 31, 41], "10.20.1.11", "10.20.1", "nonsense")}
    world = snapshot([rule_set([rule()])], changed=bad)
    assert ranges(translated(world)) == "10.20.1.11"
    assert only(world, "unreadable")[0] == 2
    with pytest.raises(PolicyUnresolvable, match=r"workload 'W1' .*10\.20\.1'"):
        translated(snapshot([rule_set([rule()], [deny(C=[12])])], changed=bad))


def test_a_workload_that_is_sent_twice_is_denied_with_both_its_addresses() -> None:
    world = snapshot([rule_set([rule(C=["any"])], [deny(C=["W2"])])])
    twin = snapshot([], changed={"W2": {"interfaces": [{"name": "eth0", "address": "8.8.8.8"}]}}).workloads
    both = Snapshot(
        version=1,
        release=(),
        labels=world.labels,
        ip_lists=world.ip_lists,
        rule_sets=world.rule_sets,
        workloads=(*world.workloads, *[each for each in twin if each.name == "W2"]),
    )
    found = ranges(translated(both))
    assert "10.30.1.11 10.30.1.13" in found.replace("-", " ")
    assert "8.8.8.7 8.8.8.9" in found.replace("-", " ")


def test_a_deny_reaches_only_the_servers_that_it_may_touch() -> None:
    elsewhere = rule_set([], [deny(P=[13], C=["X"])])
    assert ranges(translated(snapshot([rule_set([rule()]), elsewhere]))) == "10.20.1.11"
    out_of_scope = rule_set([], [deny(C=["X"])], scope=[[22]])
    assert ranges(translated(snapshot([rule_set([rule()]), out_of_scope]))) == "10.20.1.11"


def test_a_deny_takes_translated_addresses_too() -> None:
    entry = NatEntry(Range.parse("10.20.0.0", "10.20.255.255"), (Range.parse("192.0.2.9", "192.0.2.9"),))
    lists = {"a": [{"from_ip": "192.0.2.8", "to_ip": "192.0.2.10"}]}
    world = snapshot([rule_set([rule(C=["a"])], [deny(C=["W1"], U=False)])], ip_lists=lists)
    assert ranges(translated(world, PolicySettings(nat=(entry,)))) == "192.0.2.8 192.0.2.10"


def test_public_addresses_alone() -> None:
    settings = PolicySettings(addresses=frozenset({AddressSource.PUBLIC_IP}))
    assert ranges(translated(snapshot([rule_set([rule()])]), settings)) == "198.51.100.11"


# --- sources


def test_sources_name_rule_consumer_and_workload() -> None:
    world = snapshot([rule_set([rule(), rule(402, C=["a"])])], ip_lists={"a": [{"from_ip": "10.20.1.12"}]})
    (desired,) = translated(world).desired
    where = {"rule_set": f"{ACTIVE}/rule_sets/40", "rule_set_name": "orders-db"}
    found = [
        Source(
            **where,
            rule=f"{ACTIVE}/rule_sets/40/sec_rules/401",
            consumer=ConsumerKind.LABEL,
            consumer_href=label(12),
            consumer_name="web",
            workload_href=href("workload", "W1"),
            workload_name="W1",
        ),
        Source(
            **where,
            rule=f"{ACTIVE}/rule_sets/40/sec_rules/402",
            consumer=ConsumerKind.IP_LIST,
            consumer_href=href("ip_list", "a"),
            consumer_name="a",
        ),
    ]
    assert list(desired.sources) == found
    assert desired.sources == tuple(found)
    assert (len(desired.sources), desired.sources[0], hash(desired.sources)) == (2, found[0], hash(tuple(found)))


def test_of_several_labels_those_that_the_workload_carries_are_named() -> None:
    (desired,) = translated(snapshot([rule_set([rule(U=True, C=[12, 13, 32])])])).desired
    assert [(source.consumer_name, source.workload_name) for source in desired.sources] == [
        ("web", "W3"),
        ("dev", "W3"),
    ]


def test_an_exclusion_is_named_as_one() -> None:
    (desired,) = translated(snapshot([rule_set([rule(U=True, C=[-12])])])).desired
    assert [(source.consumer_name, source.workload_name) for source in desired.sources] == [("not web", "B1")]


def test_many_workloads_behind_one_address_are_one_range_with_many_sources() -> None:
    crowd = {f"C{number}": workload(f"C{number}", [12, 21, 31], f"10.50.0.{number}") for number in range(200)}
    entry = NatEntry(Range.parse("10.50.0.0", "10.50.255.255"), (Range.parse("203.0.113.7", "203.0.113.7"),))
    translation = translated(snapshot([rule_set([rule()])], changed=crowd), PolicySettings(nat=(entry,)))
    assert ranges(translation) == "203.0.113.7"
    assert len(translation.desired[0].sources) == 200


def test_codes_are_known() -> None:
    world = snapshot([rule_set([rule(C=["ams", "any", "X"], U=True)])])
    assert {code for code, _, _ in notes(world)} <= set(NoteCode)
