"""Text from outside, made safe to show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from illumio_azsql_enforcer.text import fits_any, plural, printable, sentence, shortened


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("orders-sql", "orders-sql"),
        ("Büro 東京", "Büro 東京"),
        ("two\nlines", r"two\nlines"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("right\u202eleft", r"right\u202eleft"),
    ],
)
def test_control_and_formatting_characters_become_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_long_text_is_cut() -> None:
    assert printable("x" * 50, limit=10) == "x" * 9 + "…"


@given(st.text())
def test_whatever_comes_in_one_printable_line_comes_out(text: str) -> None:
    assert printable(text).isprintable()


def test_shell_patterns() -> None:
    assert fits_any("Orders-SQL", ["x", "orders-*"])
    assert not fits_any("orders-sql", ["orders", "billing-*"])
    assert not fits_any("orders-sql", [])


@pytest.mark.parametrize("text", ["azure said no", "Azure said no.", "azure said no. "])
def test_sentence(text: str) -> None:
    assert sentence(text) == "Azure said no."


def test_shortened() -> None:
    assert (shortened(["a", "b"], 2), shortened(["a", "b", "c", "d"], 2), shortened([], 2)) == (
        "a, b",
        "a, b and 2 more",
        "",
    )


def test_plural() -> None:
    assert (plural(1, "rule"), plural(0, "rule"), plural(1200, "policy")) == ("1 rule", "0 rules", "1,200 policies")
    assert (plural(1, "address"), plural(2, "address"), plural(2, "IPv6 entry")) == (
        "1 address",
        "2 addresses",
        "2 IPv6 entries",
    )
