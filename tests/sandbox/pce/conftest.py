"""A PCE that runs for one test, and a client that knows its key."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from illumio_azsql_enforcer.sandbox.pce import PceSimulator
from tests.support.clock import VirtualClock


class Client:
    """Plain HTTP with basic auth; paths are those of hrefs."""

    def __init__(self, pce: PceSimulator) -> None:
        self._pce = pce
        self.session = requests.Session()
        self.session.auth = (pce.api_key, pce.api_secret)

    def call(self, method: str, href: str, **options: Any) -> requests.Response:
        return self.session.request(method, f"{self._pce.url}/api/v2{href}", timeout=5, **options)

    def get(self, href: str, **options: Any) -> requests.Response:
        return self.call("GET", href, **options)

    def json(self, href: str, **params: Any) -> Any:
        answer = self.get(href, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def pce(clock: VirtualClock) -> Iterator[PceSimulator]:
    with PceSimulator(clock=clock) as running:
        yield running


@pytest.fixture
def client(pce: PceSimulator) -> Iterator[Client]:
    made = Client(pce)
    yield made
    made.session.close()
