"""Range algebra against plain sets of integers, at both ends of the address space and in the middle."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from illumio_azsql_enforcer.addresses import (
    EVERY_ADDRESS,
    LAST_ADDRESS,
    Range,
    RangeSet,
    cidr,
    format_address,
    parse_address,
)

SPACE = [*range(12), *range(0x7FFF_FFFA, 0x8000_0006), *range(LAST_ADDRESS - 11, LAST_ADDRESS + 1)]
WINDOWS = [SPACE[:12], SPACE[12:24], SPACE[24:]]


@st.composite
def ranges(draw: st.DrawFn) -> list[Range]:
    """Ranges within the three windows, or from one window to another."""
    ends = draw(st.lists(st.tuples(st.sampled_from(SPACE), st.sampled_from(SPACE)), max_size=8))
    return [Range(min(pair), max(pair)) for pair in ends]


@st.composite
def short_ranges(draw: st.DrawFn) -> list[Range]:
    found = []
    for window in draw(st.lists(st.sampled_from(WINDOWS), max_size=10)):
        first, last = sorted(draw(st.tuples(st.sampled_from(window), st.sampled_from(window))))
        found.append(Range(first, last))
    return found


either = st.one_of(ranges(), short_ranges())


def members(found: object) -> set[int]:
    """The addresses of the space that are in a set."""
    assert isinstance(found, RangeSet)
    return {address for address in SPACE if address in found}


def brute(spans: list[Range]) -> set[int]:
    return {address for address in SPACE for span in spans if span.first <= address <= span.last}


def assert_minimal(found: RangeSet) -> None:
    spans = list(found)
    assert all(before.last + 1 < after.first for before, after in pairwise(spans))


@given(either)
def test_a_set_holds_what_its_ranges_hold(spans: list[Range]) -> None:
    found = RangeSet(spans)
    assert members(found) == brute(spans)
    assert_minimal(found)
    assert found == RangeSet.of_packed([span.first << 32 | span.last for span in spans])


@settings(max_examples=300)
@given(either, either)
def test_union_difference_and_intersection(left: list[Range], right: list[Range]) -> None:
    one, other = RangeSet(left), RangeSet(right)
    for made, expected in (
        (one | other, brute(left) | brute(right)),
        (one - other, brute(left) - brute(right)),
        (one & other, brute(left) & brute(right)),
    ):
        assert members(made) == expected
        assert_minimal(made)


@given(either)
def test_complement(spans: list[Range]) -> None:
    found = RangeSet(spans)
    assert members(~found) == set(SPACE) - brute(spans)
    assert (~found).size == 2**32 - found.size
    assert ~~found == found


@given(either, either)
def test_laws(left: list[Range], right: list[Range]) -> None:
    one, other = RangeSet(left), RangeSet(right)
    assert (one - other) | (one & other) == one
    assert (one <= other) == (not one - other)
    assert one <= one | other
    assert (one == other) == (list(one) == list(other))
    assert hash(one | other) == hash(other | one)


@given(either, st.sampled_from(SPACE), st.sampled_from(SPACE))
def test_overlaps(spans: list[Range], one: int, other: int) -> None:
    span = Range(min(one, other), max(one, other))
    assert RangeSet(spans).overlaps(span) == bool(RangeSet(spans) & RangeSet([span]))


@given(short_ranges())
def test_size_counts_addresses(spans: list[Range]) -> None:
    assert RangeSet(spans).size == len(brute(spans))
    assert len(RangeSet(spans)) == len(list(RangeSet(spans)))


def test_the_union_of_neighbours_is_one_range() -> None:
    assert list(RangeSet([Range(0, 0), Range(1, 1), Range(3, 4)])) == [Range(0, 1), Range(3, 4)]


def test_everything_less_its_ends() -> None:
    rest = EVERY_ADDRESS - RangeSet([Range(0, 0), Range(LAST_ADDRESS, LAST_ADDRESS)])
    assert list(rest) == [Range(1, LAST_ADDRESS - 1)]
    assert not EVERY_ADDRESS - EVERY_ADDRESS


@given(st.integers(0, LAST_ADDRESS))
def test_text_and_back(address: int) -> None:
    assert parse_address(format_address(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.256",
        "1.2.3.4 ",
        " 1.2.3.4",
        "1.2.3.4\n",
        "1.2.3.4\0",
        "0x7f.1",
        "::1",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="is not an IPv4 address"):
        parse_address(text)


@pytest.mark.parametrize("text", ["1.2.3.-4", "١.٢.٣.٤", "1.2.3.4/32", "\ud800"])
def test_what_is_no_address_either(text: str) -> None:
    with pytest.raises(ValueError, match="is not an IPv4 address"):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [
        ("10.1.2.3", 24, "10.1.2.0-10.1.2.255"),
        ("10.1.2.3", 32, "10.1.2.3"),
        ("10.1.2.3", 31, "10.1.2.2-10.1.2.3"),
        ("10.1.2.3", 0, "0.0.0.0-255.255.255.255"),
        ("255.255.255.255", 1, "128.0.0.0-255.255.255.255"),
    ],
)
def test_cidr(text: str, length: int, expected: str) -> None:
    assert str(cidr(parse_address(text), length)) == expected


@pytest.mark.parametrize("length", [-1, 33])
def test_what_is_no_prefix_length(length: int) -> None:
    with pytest.raises(ValueError, match="not a prefix length"):
        cidr(0, length)


@pytest.mark.parametrize(("first", "last"), [(2, 1), (-1, 0), (0, LAST_ADDRESS + 1)])
def test_what_is_no_range(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="not a range"):
        Range(first, last)


def test_a_range_says_its_ends() -> None:
    found = Range.parse("192.0.2.1", "192.0.2.9")
    assert (found.start, found.end, found.size) == ("192.0.2.1", "192.0.2.9", 9)
    assert parse_address("192.0.2.9") in found
    assert parse_address("192.0.2.10") not in found
    assert repr(RangeSet([found])) == "RangeSet(192.0.2.1-192.0.2.9)"
