"""The translator and the naive model agree on every address of thousands of random worlds."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.worlds.compare import differences, kind, smallest, told
from tests.worlds.generator import make_case


def agree(seed: int) -> None:
    """Fails with the seed and with the smallest world that still shows a difference of the two."""
    case = make_case(seed)
    if found := differences(case):
        small = smallest(case, lambda tried: kind(differences(tried)) == kind(found))
        pytest.fail(f"make_case({seed})\n{told(small, differences(small))}", pytrace=False)


@settings(
    max_examples=3000,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
@given(seed=st.integers(0, 2**64 - 1))
def test_the_translator_agrees_with_the_naive_model(seed: int) -> None:
    agree(seed)


@pytest.mark.long
@pytest.mark.parametrize("hundred", range(1000))
def test_the_translator_agrees_with_the_naive_model_in_100_000_worlds(hundred: int) -> None:
    for seed in range(hundred * 100, hundred * 100 + 100):
        agree(seed)
