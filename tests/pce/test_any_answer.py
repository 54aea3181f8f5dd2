"""Whatever the PCE answers, there is a snapshot or an error for the operator; never a defect, never half a policy."""

import json
from typing import Any

import responses
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from illumio_azsql_enforcer.errors import PceError
from illumio_azsql_enforcer.model.policy import Snapshot
from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.pce.reader import read_snapshot
from illumio_azsql_enforcer.retrying import Deadline
from tests.pce import fake
from tests.support.clock import VirtualClock

JOB, DATAFILE = "/orgs/7/jobs/j1", "/orgs/7/datafiles/d1"
PATHS = [
    *fake.FakePce().answers,
    f"{fake.ACTIVE}/rule_sets/40/deny_rules",
    f"{fake.ACTIVE}/rule_sets/40/sec_rules",
    JOB,
    DATAFILE,
]
KEYS = [
    "href",
    "name",
    "rules",
    "deny_rules",
    "scopes",
    "labels",
    "status",
    "result",
    "version",
    "object_counts",
    "value",
]
WORDS = ["", "/orgs/7/labels/1", f"{fake.ACTIVE}/rule_sets/40", "done", DATAFILE, "25.2", "role", "\x1b[2J", "//x"]
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=5)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(KEYS), trees, max_size=8)
bodies = st.one_of((objects | trees | st.lists(objects, max_size=3)).map(json.dumps), st.binary(max_size=30))
headers = st.fixed_dictionaries(
    {},
    optional={
        "X-Total-Count": st.sampled_from(["0", "1", "2", "700", "x"]),
        "Location": st.sampled_from([JOB, f"https://evil.example.net{JOB}", "nowhere", "http://["]),
        "Retry-After": st.sampled_from(["0", "1", "99999", "x"]),
        "Content-Encoding": st.sampled_from(["gzip", "br"]),
    },
)
statuses = st.sampled_from([200, 200, 200, 202, 204, 302, 404, 429, 503])
replies = st.tuples(statuses, headers, bodies)


def read(client: PceClient, clock: VirtualClock) -> Snapshot | PceError:
    with structlog.testing.capture_logs():
        try:
            return read_snapshot(client, org_id=7, clock=clock, deadline=Deadline.after(clock, 600.0))
        except PceError as error:
            return error


@settings(max_examples=150, deadline=None)
@given(
    answers=st.dictionaries(st.sampled_from(PATHS), st.lists(replies, min_size=1, max_size=3), min_size=1, max_size=3)
)
def test_a_snapshot_or_an_error(answers: dict[str, list[Any]]) -> None:
    clock = VirtualClock()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        pce = fake.FakePce().start(mock)
        pce.answers.update(answers)
        client = PceClient(fake.settings(), clock)
        outcome = read(client, clock)
        client.close()
        assert all(str(each.url).startswith(f"{fake.URL}/api/v2/") for each in pce.asked)
    if isinstance(outcome, PceError):
        assert str(outcome).isprintable()
    else:
        assert all(isinstance(each.rules, list) and isinstance(each.deny_rules, list) for each in outcome.rule_sets)
