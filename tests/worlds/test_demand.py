"""What a translation needs of a large estate: leaving the rest out changes nothing, in thousands of random worlds."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from illumio_azsql_enforcer.errors import PolicyUnresolvable
from illumio_azsql_enforcer.model.firewall import Governed, Translation
from illumio_azsql_enforcer.model.policy import Snapshot, Workload
from illumio_azsql_enforcer.policy.demand import Interest, Needed
from illumio_azsql_enforcer.policy.identity import identify
from illumio_azsql_enforcer.policy.translator import Translator
from tests.worlds.generator import Case, make_case


@dataclass
class Tally:
    """What was really compared; a run in which nothing is left out must not pass."""

    worlds: int = 0
    limited: int = 0
    left_out: int = 0
    with_access: int = 0


def snapshot_of(case: Case) -> Snapshot:
    """The whole snapshot; of workloads with one href, which the reader refuses, the last."""
    whole = msgspec.convert({"version": 1, "release": (25, 2, 20), **case.collections}, Snapshot)
    single = {each.href: each for each in whole.workloads}
    return msgspec.structs.replace(whole, workloads=tuple(single.values()))


def found(workload: Workload, needed: Needed, interest: Interest) -> bool:
    """Whether the PCE would give this workload for these queries."""
    carried = {each.href for each in workload.labels or ()}
    by_name = any(domain in (workload.hostname or "").lower() for domain in interest.domains)
    return by_name or workload.href in needed.workloads or any(each <= carried for each in needed.label_sets)


def told(snapshot: Snapshot, case: Case) -> Sequence[Translation | str]:
    """What is said about each governed server."""
    known = identify(case.servers, snapshot, case.naming)
    governed = [each for each in known if isinstance(each, Governed)]
    translator = Translator(snapshot, case.policy, governed)
    return [*map(str, known), *(_translation(translator, each) for each in governed)]


def _translation(translator: Translator, server: Governed) -> Translation | str:
    try:
        return translator.translate(server)
    except PolicyUnresolvable as error:
        return str(error)


def compare(case: Case, tally: Tally) -> None:
    whole = snapshot_of(case)
    interest = Interest(tuple(case.servers), case.naming, case.policy)
    own = tuple(each for each in whole.workloads if found(each, Needed(), interest))
    needed = interest.needed(msgspec.structs.replace(whole, workloads=own))
    tally.worlds += 1
    if needed is None:
        return
    targeted = msgspec.structs.replace(
        whole, workloads=tuple(each for each in whole.workloads if found(each, needed, interest))
    )
    assert interest.needed(targeted) == needed
    expected = told(whole, case)
    assert told(targeted, case) == expected
    tally.limited += 1
    tally.left_out += len(whole.workloads) - len(targeted.workloads)
    tally.with_access += any(isinstance(each, Translation) and bool(each.desired) for each in expected)


@settings(
    max_examples=1000,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
@given(seed=st.integers(0, 2**64 - 1))
def test_what_is_left_out_does_not_matter(seed: int) -> None:
    compare(make_case(seed), Tally())


def test_random_worlds_leave_something_out() -> None:
    tally = Tally()
    for seed in range(400):
        compare(make_case(seed), tally)
    assert tally.limited > tally.worlds / 5, tally
    assert tally.left_out > tally.limited, tally
    assert tally.with_access > tally.limited / 5, tally


def test_a_demand_that_is_too_narrow_is_found() -> None:
    """The comparison can fail: with one label set fewer, some world is translated otherwise."""

    def fewer(case: Case) -> bool:
        whole = snapshot_of(case)
        interest = Interest(tuple(case.servers), case.naming, case.policy)
        needed = interest.needed(whole)
        if needed is None or not needed.label_sets:
            return False
        less = Needed(frozenset(sorted(needed.label_sets, key=sorted)[1:]), needed.workloads)
        kept = tuple(each for each in whole.workloads if found(each, less, interest))
        return told(msgspec.structs.replace(whole, workloads=kept), case) != told(whole, case)

    assert any(fewer(make_case(seed)) for seed in range(200))
