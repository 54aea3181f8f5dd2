"""The policy room and the naive model agree on every address of thousands of random worlds."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.model.firewall import Desired, Translation
from illumio_azsql_enforcer.policy.translator import Translator
from tests.worlds.compare import Tally, differences, kind, shape_errors
from tests.worlds.generator import make_case
from tests.worlds.shrinking import smallest, told


def agree(seed: int) -> None:
    """Fails with the seed and with the smallest world that still shows a difference of the two."""
    case = make_case(seed)
    if found := differences(case):
        small = smallest(case, lambda tried: kind(differences(tried)) == kind(found))
        pytest.fail(f"make_case({seed})\n{told(small, differences(small))}", pytrace=False)


@settings(
    max_examples=2000,
    deadline=None,
    phases=[Phase.generate],  # a smaller seed is no smaller world; `smallest` shrinks worlds
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
@given(seed=st.integers(0, 2**64 - 1))
def test_the_policy_room_agrees_with_the_naive_model(seed: int) -> None:
    agree(seed)


@pytest.mark.long
@pytest.mark.parametrize("hundred", range(1000))
def test_the_policy_room_agrees_with_the_naive_model_in_100_000_worlds(hundred: int) -> None:
    for seed in range(hundred * 100, hundred * 100 + 100):
        agree(seed)


def test_random_worlds_are_worth_comparing() -> None:
    """Enough servers are let somebody in, are denied somebody, and only few are refused."""
    tally = Tally()
    for seed in range(300):
        assert differences(make_case(seed), tally) == []
    assert tally.servers > 300
    assert tally.with_access > tally.servers / 4
    assert tally.with_denials > tally.servers / 8
    assert tally.refused < tally.servers / 5


# --- the comparison itself can fail


def _wider(translation: Translation) -> Translation:
    first, *others = translation.desired
    wider = Range(first.range.first, min(first.range.last + 1, 2**32 - 1))
    return Translation((Desired(wider, first.sources), *others), translation.notes)


def _fewer(translation: Translation) -> Translation:
    return Translation(translation.desired[1:], translation.notes)


def _unexplained(translation: Translation) -> Translation:
    first, *others = translation.desired
    return Translation((Desired(first.range, ()), *others), translation.notes)


@pytest.mark.parametrize("spoil", [_wider, _fewer, _unexplained])
def test_a_translator_that_is_wrong_by_one_address_is_found(
    monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Translation], Translation]
) -> None:
    right = Translator.translate
    monkeypatch.setattr(Translator, "translate", lambda self, server: _spoilt(right(self, server), spoil))
    assert any(differences(make_case(seed)) for seed in range(50))


def _spoilt(translation: Translation, spoil: Callable[[Translation], Translation]) -> Translation:
    return spoil(translation) if translation.desired else translation


def test_ranges_that_touch_are_found() -> None:
    touching = tuple(Desired(Range(n, n), ()) for n in (7, 8))
    assert any("touch" in text for text in shape_errors(Translation(touching, ())))
