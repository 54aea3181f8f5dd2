"""A fake PCE, a client of it and virtual time."""

from collections.abc import Iterator

import pytest
import responses

from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.retrying import Deadline
from tests.pce.fake import FakePce, settings
from tests.support.clock import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def pce() -> Iterator[FakePce]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield FakePce().start(mock)


@pytest.fixture
def client(clock: VirtualClock) -> Iterator[PceClient]:
    made = PceClient(settings(), clock)
    yield made
    made.close()


@pytest.fixture
def deadline(clock: VirtualClock) -> Deadline:
    return Deadline.after(clock, 600.0)
