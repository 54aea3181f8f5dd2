"""The secret is in the Authorization header and nowhere else, whatever happens."""

import json
import logging
import traceback
from base64 import b64encode
from collections.abc import Callable

import pytest
import requests
import structlog

from illumio_azsql_enforcer.errors import EnforcerError
from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.pce.reader import read_snapshot
from illumio_azsql_enforcer.retrying import Deadline
from tests.pce.fake import ACTIVE, KEY, SECRET, FakePce, Reply, gone, settings
from tests.support.clock import VirtualClock

PAIR = b64encode(f"{KEY}:{SECRET}".encode()).decode()
ECHO = json.dumps([{"token": f"t {SECRET}", "message": f"Basic {PAIR} {SECRET}"}])


def broken(_: object) -> Reply:
    raise requests.ConnectionError(f"Authorization: Basic {PAIR}")


TROUBLES: list[Reply | Callable[[object], Reply]] = [
    *((status, {"X-Request-Id": SECRET}, ECHO) for status in (204, 400, 401, 403, 404, 405, 406, 429, 500, 503)),
    (302, {"Location": f"https://{SECRET}.example.net/{PAIR}"}, ""),
    (200, {}, "<html>Sign in</html>"),
    (200, {}, "[" + " " * 100),
    (200, {}, "{}"),
    (200, {}, "[null]"),
    (200, {"Content-Encoding": "gzip"}, "no gzip"),
    (200, {"X-Total-Count": "9000"}, "[]"),
    broken,
    gone(),
]


def failure(action: Callable[[], object]) -> EnforcerError | None:
    try:
        action()
    except EnforcerError as error:
        return error
    return None


def frames(error: BaseException) -> list[str]:
    """Every frame of the program and its libraries with all its local names, as elaborate tracebacks print them."""
    whole = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert whole.__context__ is None
    assert whole.__cause__ is None
    own = [frame for frame in whole.stack if "/tests/" not in frame.filename]
    assert len(own) >= 3
    return [str(frame.locals) for frame in own] + list(whole.format_exception_only())


@pytest.mark.parametrize("trouble", TROUBLES, ids=range(len(TROUBLES)))
@pytest.mark.parametrize("path", ["/product_version", ACTIVE, f"{ACTIVE}/rule_sets", "/orgs/7/workloads"])
def test_no_trouble_spreads_the_secret(
    pce: FakePce,
    client: PceClient,
    deadline: Deadline,
    clock: VirtualClock,
    caplog: pytest.LogCaptureFixture,
    path: str,
    trouble: Reply | Callable[[object], Reply],
) -> None:
    pce.answers[path] = trouble
    caplog.set_level(logging.DEBUG)
    told = [repr(client), str(client), repr(settings()), repr(vars(client))]
    with structlog.testing.capture_logs() as logged:
        error = failure(lambda: read_snapshot(client, org_id=7, clock=clock, deadline=deadline))
    if error:
        assert str(error).isprintable()
        told += [str(error), repr(error), repr(vars(error)), *frames(error)]
    sent = {str(each.headers["Authorization"]) for each in pce.asked}
    assert sent == {f"Basic {PAIR}"}
    for text in (*told, caplog.text, str(logged)):
        assert PAIR not in text
        assert SECRET not in text
