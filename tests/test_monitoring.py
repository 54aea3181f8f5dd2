"""What looks on, through several configs."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from structlog.testing import capture_logs

from illumio_azsql_enforcer import http
from illumio_azsql_enforcer.errors import ListenFailed
from illumio_azsql_enforcer.metrics import Metrics
from illumio_azsql_enforcer.metrics_file import MetricsFile
from illumio_azsql_enforcer.model.settings import Config, HttpSettings, NotifySettings
from illumio_azsql_enforcer.monitoring import Monitor
from illumio_azsql_enforcer.report import Outcome
from illumio_azsql_enforcer.sandbox.exchange import Reply
from illumio_azsql_enforcer.sandbox.wire import WireServer
from illumio_azsql_enforcer.secret import Secret
from tests.support.clock import VirtualClock
from tests.support.configs import a_config
from tests.support.plans import a_report, a_server_report

REFUSED = a_report(a_server_report(outcome=Outcome.REFUSED, guards=("never_empty",)), outcome=Outcome.REFUSED)


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "POLL", 0.01)


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    monitor = Monitor(VirtualClock())
    yield monitor
    monitor.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def listening(host: str | None, port: int = 0) -> Config:
    return a_config(http=HttpSettings((host, port) if host else None))


def status(port: int, path: str = "/livez") -> int | None:
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.get(f"http://127.0.0.1:{port}{path}", timeout=10).status_code
        except requests.ConnectionError:
            return None


def test_every_path_follows_the_cycles(monitor: Monitor) -> None:
    port = free_port()
    monitor.follow(listening("127.0.0.1", port))
    assert [status(port, path) for path in ("/livez", "/readyz", "/api/report")] == [200, 503, 503]
    monitor.tell(a_report())
    assert [status(port, path) for path in ("/livez", "/readyz", "/api/report")] == [200, 200, 200]


def test_nothing_listens_unless_asked(monitor: Monitor) -> None:
    monitor.follow(a_config())
    monitor.tell(a_report())
    assert monitor._server is None


def test_a_reload_moves_the_server_and_keeps_what_it_knows(monitor: Monitor) -> None:
    first, second = free_port(), free_port()
    monitor.follow(listening("127.0.0.1", first))
    monitor.tell(a_report())
    monitor.follow(listening("127.0.0.1", second))
    assert (status(first), status(second, "/readyz")) == (None, 200)
    monitor.follow(listening(None))
    assert status(second) is None


def test_a_reload_can_keep_the_port(monitor: Monitor) -> None:
    port = free_port()
    for host in ("127.0.0.1", "0.0.0.0", "127.0.0.1"):
        monitor.follow(listening(host, port))
        assert status(port) == 200


def test_the_same_address_keeps_the_same_server(monitor: Monitor) -> None:
    port = free_port()
    monitor.follow(listening("127.0.0.1", port))
    server = monitor._server
    monitor.follow(listening("127.0.0.1", port))
    assert monitor._server is server


@pytest.mark.parametrize("same_port", [True, False])
def test_an_address_that_does_not_work_leaves_everything_as_it_was(monitor: Monitor, same_port: bool) -> None:
    port = free_port()
    monitor.follow(listening("127.0.0.1", port))
    for _ in range(2):
        with pytest.raises(ListenFailed, match=r"192\.0\.2\.1"):
            monitor.follow(listening("192.0.2.1", port if same_port else free_port()))
        assert status(port) == 200


def test_notices_go_where_the_config_says(monitor: Monitor) -> None:
    with WireServer(lambda _: Reply(200, b"ok")) as hook:
        monitor.follow(a_config())
        monitor.tell(REFUSED)  # nobody to tell
        monitor.follow(a_config(notify=NotifySettings(Secret(hook.url + "/x"))))
        monitor.tell(REFUSED)  # no news
        monitor.tell(a_report())
        monitor.follow(a_config())  # waits for what is under way
        assert [json.loads(request.body)["kind"] for request in hook.journal] == ["recovery"]


# --- the metrics file


def test_the_metrics_file_is_replaced_after_each_cycle_and_readable_by_all(tmp_path: Path) -> None:
    path = tmp_path / "enforcer.prom"
    monitor = Monitor(VirtualClock(), path)
    for count in (1, 2):
        monitor.tell(a_report())
        assert f'illumio_azsql_cycles_total{{outcome="changed"}} {count}.0' in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_later_process_goes_on_counting(tmp_path: Path) -> None:
    path = tmp_path / "enforcer.prom"
    for _ in range(3):
        Monitor(VirtualClock(), path).tell(a_report())
    assert 'illumio_azsql_cycles_total{outcome="changed"} 3.0' in path.read_text()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"no metrics here {", b""])
def test_a_file_that_is_none_is_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "enforcer.prom"
    path.write_bytes(content)
    with capture_logs() as said:
        Monitor(VirtualClock(), path).tell(a_report())
    assert 'illumio_azsql_cycles_total{outcome="changed"} 1.0' in path.read_text()
    assert len(said) == bool(content)


def test_a_file_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    file = MetricsFile(folder / "enforcer.prom", Metrics())
    with capture_logs() as said:
        file.write()
        file.write()
        folder.mkdir()
        file.write()
        (folder / "enforcer.prom").unlink()
        folder.rmdir()
        file.write()
    assert [(entry["log_level"], entry["reason"]) for entry in said] == [("error", "No such file or directory")] * 2
