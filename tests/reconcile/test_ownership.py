"""Whose a rule is, by its name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from illumio_azsql_enforcer.addresses import LAST_ADDRESS, Range
from illumio_azsql_enforcer.model.names import is_safe_name
from illumio_azsql_enforcer.reconcile.ownership import Ownership

OURS = Ownership("illumio", ("break-*", "Fixed?"))


@pytest.mark.parametrize(
    "name",
    [
        "illumio-1.2.3.4-1.2.3.9",
        "ILLUMIO-1.2.3.4-1.2.3.9",
        "illumio-9.9.9.9-1.1.1.1",
        "illumio-0.0.0.0-0.0.0.0",
        "illumio-1.2.3.4-1.2.3.9-2",
        "illumio-1.2.3.4-1.2.3.9-17",
    ],
)
def test_ours(name: str) -> None:
    assert OURS.owns(name)
    assert not OURS.resembles(name)


@pytest.mark.parametrize(
    "name",
    [
        "illumio-office",
        "illumio-1.2.3.4",
        "illumio-1.2.3.4-1.2.3.256",
        "illumio-01.2.3.4-1.2.3.9",
        "illumio-1.2.3.4-1.2.3.9-",
        "illumio-1.2.3.4-1.2.3.9-0",
        "illumio-1.2.3.4-1.2.3.9-x",
        "illumio-1.2.3.4-1.2.3.9\n",
        "illumio-１.2.3.4-1.2.3.9",
        "illumio-prod-1.2.3.4-1.2.3.9",
    ],
)
def test_named_almost_like_ours(name: str) -> None:
    assert not OURS.owns(name)
    assert OURS.resembles(name)


@pytest.mark.parametrize("name", ["", "office", "xillumio-1.2.3.4-1.2.3.9", "ıllumio-1.2.3.4-1.2.3.9"])
def test_foreign(name: str) -> None:
    assert not OURS.owns(name)
    assert not OURS.resembles(name)


def test_the_named_range_is_none_when_it_is_no_range() -> None:
    assert OURS.named_range("illumio-1.2.3.4-1.2.3.9-3") == Range.parse("1.2.3.4", "1.2.3.9")
    assert OURS.named_range("illumio-9.9.9.9-1.1.1.1") is None
    assert OURS.named_range("office") is None


@pytest.mark.parametrize(
    ("name", "protected"), [("Break-Glass", True), ("FIXED1", True), ("fixed12", False), ("unbreak-", False)]
)
def test_protection_compares_without_case(name: str, protected: bool) -> None:
    assert OURS.protects(name) is protected


@given(st.integers(0, LAST_ADDRESS), st.integers(0, LAST_ADDRESS), st.integers(0, 3))
def test_a_name_that_we_give_is_ours_safe_and_new(one: int, other: int, used: int) -> None:
    wanted = Range(min(one, other), max(one, other))
    taken: set[str] = set()
    for _ in range(used + 1):
        name = OURS.name_for(wanted, taken)
        assert name not in taken
        taken.add(name)
    assert OURS.owns(name)
    assert OURS.named_range(name) == wanted
    assert is_safe_name(name)


@pytest.mark.parametrize("name", ["a", "ClientIP (2026) x", "x" * 128, "1.2.2.128s25", "...x", "naïve"])
def test_safe_names(name: str) -> None:
    assert is_safe_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "x.",
        " x",
        "x ",
        "x" * 129,
        "a\u2028b",
        "a\x7f",
        "a\u0085b",
        "\ud800",
        *(f"a{c}b" for c in "<>*%&:;\\/?#\n\x00"),
    ],
)
def test_unsafe_names(name: str) -> None:
    assert not is_safe_name(name)
