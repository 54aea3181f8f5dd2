"""The daemon with `http.listen`, and `--metrics-file`, as processes of their own."""

import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from illumio_azsql_enforcer.sandbox.box import Sandbox
from illumio_azsql_enforcer.sandbox.exchange import Reply
from illumio_azsql_enforcer.sandbox.wire import WireServer
from tests.cli.conftest import PROGRAM, Program

Configure = Callable[[dict[str, Any]], None]
PATIENCE = 30.0  # seconds


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def get(port: int, path: str) -> requests.Response | None:
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.get(f"http://127.0.0.1:{port}{path}", timeout=5)
        except requests.ConnectionError:
            return None


def until(port: int, path: str, wanted: int) -> requests.Response:
    """Asks until the answer has this status."""
    deadline = time.monotonic() + PATIENCE
    while (answer := get(port, path)) is None or answer.status_code != wanted:
        assert time.monotonic() < deadline, f"{path} never answered {wanted}: {answer and answer.text}"
        time.sleep(0.05)
    return answer


@contextmanager
def daemon(sandbox: Sandbox, environ: dict[str, str], *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    command = [*PROGRAM, "--config", str(sandbox.config), "--log-format", "json", *arguments]
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def port(configure: Configure) -> int:
    port = free_port()
    configure({"http": {"listen": f"127.0.0.1:{port}"}})
    return port


def test_the_daemon_serves_what_it_did_and_moves_on_reload(
    sandbox: Sandbox, environ: dict[str, str], configure: Configure, port: int
) -> None:
    with daemon(sandbox, environ) as process:
        until(port, "/readyz", 200)
        until(port, "/livez", 200)
        assert until(port, "/api/report", 200).json()["outcome"] in {"changed", "in_sync"}
        assert 'illumio_azsql_pce_requests_total{code="200"' in until(port, "/metrics", 200).text
        page = until(port, "/", 200).text
        assert "orders-sql" in page
        assert sandbox.pce.api_secret not in page
        other = free_port()
        configure({"http": {"listen": f"127.0.0.1:{other}"}})
        process.send_signal(signal.SIGHUP)
        until(other, "/readyz", 200)
        assert get(port, "/livez") is None
        process.terminate()
        _, logged = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "Traceback" not in logged


def test_a_refusal_reaches_the_webhook_once_and_no_text_shows_its_address(
    sandbox: Sandbox, environ: dict[str, str], configure: Configure, port: int
) -> None:
    sandbox.pce.console.update(sandbox.estate.rule_set, enabled=False)
    sandbox.pce.console.provision("lockdown")
    sandbox.arm.state.set_rule("orders-sql", "illumio-192.0.2.1-192.0.2.1", "192.0.2.1", "192.0.2.1")
    with WireServer(lambda _: Reply(200, b"ok")) as hook:
        configure({"notify": {"webhook": f"{hook.url}/s3cr3t"}})
        with daemon(sandbox, environ, "--server", "orders-sql") as process:
            until(port, "/readyz", 200)
            report = until(port, "/api/report", 200).json()
            page = until(port, "/", 200).text
            process.terminate()  # what waits to be posted gets its time
            _, logged = process.communicate(timeout=PATIENCE)
        (posted,) = [json.loads(request.body) for request in hook.journal]
    assert (posted["kind"], posted["servers"][0]["plan_id"]) == ("refusal", report["servers"][0]["plan_id"])
    assert "orders-sql: never_empty" in posted["text"]
    assert "s3cr3t" not in page + logged + json.dumps(report)


def test_a_port_in_use_is_one_sentence_and_exit_1(program: Program, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        run = program()
    assert (run.code, run.out) == (1, "")
    assert (
        f"illumio-azsql-enforcer: Cannot listen on 127.0.0.1:{port} (http.listen): Address already in use." in run.err
    )


def test_once_writes_the_metrics_file_and_listens_nowhere(program: Program, port: int, tmp_path: Path) -> None:
    path = tmp_path / "enforcer.prom"
    with socket.create_server(("127.0.0.1", port)):
        assert program("--once", "--metrics-file", str(path)).code == 0
    assert program("--once", "--metrics-file", str(path)).code == 0
    told = path.read_text()
    assert 'illumio_azsql_cycles_total{outcome="changed"} 1.0' in told
    assert 'illumio_azsql_cycles_total{outcome="in_sync"} 1.0' in told
    assert 'illumio_azsql_rules_live{owned="true",server="orders-sql"} 6.0' in told


def test_a_metrics_file_that_cannot_be_written_is_said_and_changes_nothing(program: Program, tmp_path: Path) -> None:
    run = program("--once", "--metrics-file", str(tmp_path / "nowhere" / "enforcer.prom"), "--output", "json")
    assert (run.code, run.report["outcome"]) == (0, "changed")
    assert "the metrics file cannot be written" in run.err


def test_a_metrics_file_that_is_a_folder_is_wrong_use(program: Program, tmp_path: Path) -> None:
    assert program("--once", "--metrics-file", str(tmp_path)).code == 64
