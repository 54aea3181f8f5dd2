"""Words that are wrong, and files that are: one clear sentence each, the right exit code, no traceback."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from illumio_azsql_enforcer import __version__
from illumio_azsql_enforcer.cli.program import _main
from illumio_azsql_enforcer.sandbox.box import Sandbox
from illumio_azsql_enforcer.sandbox.exchange import Fault, Reply
from tests.cli.conftest import Program, writes

PLAN = "0123456789abcdef"
WRONG = [
    (["--no-such-option"], "No such option"),
    (["no-such-command"], "No such command"),
    (["--once", "--output", "xml"], "'xml' is not one of"),
    (["--accept", PLAN], "--accept works with --once only"),
    (["--once", "--detailed-exitcode"], "--detailed-exitcode works with --once --dry-run only"),
    (["--dry-run", "--detailed-exitcode"], "--detailed-exitcode works with --once --dry-run only"),
    (["explain"], "Missing argument"),
    (["explain", "10.0.0"], "'10.0.0' is not an IPv4 address"),
    (["explain", "::1"], "'::1' is not an IPv4 address"),
    (["explain", "10.0.0.01"], "'10.0.0.01' is not an IPv4 address"),
    (["check", "--accept", PLAN], "--accept works with --once only"),
]


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_wrong_use_is_64_and_says_what_is_wrong(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(words) == 64
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["explain", "--help"], ["check", "-h"], ["demo", "--help"]])
def test_help_is_0(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(words) == 0
    assert "Usage: illumio-azsql-enforcer" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("command", [["--once"], ["check"], ["explain", "192.0.2.1"], []])
def test_a_config_that_is_not_there_is_78(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(["--config", str(tmp_path / "none.yaml"), *command]) == 78
    captured = capsys.readouterr()
    assert "none.yaml" in captured.err
    assert captured.out == ""


def test_every_problem_of_a_config_is_told_with_its_line(program: Program, sandbox: Sandbox) -> None:
    sandbox.config.write_text("pce:\n  urll: https://pce.example.com\n  org_id: one\nenforcement:\n  mode: strict\n")
    run = program("--once", "--output", "json")
    assert (run.code, run.out) == (78, "")
    assert "config.yaml:2: pce.urll" in run.err
    assert "pce.url" in run.err
    assert "config.yaml:3: pce.org_id" in run.err
    assert "config.yaml:5: enforcement.mode" in run.err
    assert "azure.subscriptions" in run.err


def test_options_work_before_and_after_a_command(program: Program) -> None:
    before = program("--output", "json", "explain", "192.0.2.1", "orders-sql")
    after = program("explain", "192.0.2.1", "orders-sql", "--output", "json")
    assert before.report == after.report


Change = Callable[[dict[str, Any]], None]


def test_a_wrong_secret_is_said_and_nothing_is_written(program: Program, sandbox: Sandbox, configure: Change) -> None:
    configure({"pce": {"api_secret": "not-the-secret"}})
    run = program("--once", "--output", "json")
    assert (run.code, run.report["outcome"], run.report["servers"]) == (1, "failed", [])
    assert "401" in run.report["error"]
    assert "not-the-secret" not in run.out + run.err
    assert sandbox.arm.journal == []


def test_a_wrong_org_is_said(program: Program, configure: Change) -> None:
    configure({"pce": {"org_id": 7}})
    run = program("--once", "--output", "json")
    assert run.code == 1
    assert "org_id 7" in run.report["error"]


def test_a_pce_that_is_not_there_is_said(program: Program, sandbox: Sandbox, configure: Change) -> None:
    configure({"pce": {"url": "http://127.0.0.1:9", "deadline": "1s"}})
    run = program("--once", "--output", "json")
    assert run.code == 1
    assert "127.0.0.1:9" in run.report["error"]
    assert writes(sandbox) == []


def test_an_unknown_subscription_fails_alone(program: Program, sandbox: Sandbox, configure: Change) -> None:
    missing = "11111111-1111-4111-8111-111111111111"
    configure({"azure": {"subscriptions": [sandbox.estate.subscription, missing]}})
    run = program("--once", "--output", "json")
    assert (run.code, run.report["outcome"]) == (1, "failed")
    assert missing in run.report["error"]
    assert run.server("orders-sql")["outcome"] == "changed"


def test_a_missing_right_is_that_servers_error(program: Program, sandbox: Sandbox) -> None:
    orders = sandbox.arm.state.server("orders-sql").id
    sandbox.arm.state.grants.deny("Microsoft.Sql/servers/firewallRules/write", scope=orders)
    run = program("--once", "--output", "json")
    assert run.code == 1
    assert run.server("orders-sql")["outcome"] == "failed"
    assert "firewallRules/write" in run.server("orders-sql")["reason"]
    assert run.server("billing-sql")["outcome"] == "changed"


def test_check_finds_nothing_wrong_with_the_sandbox(program: Program) -> None:
    run = program("check", "--output", "json")
    assert run.code == 0
    assert run.report["schema"] == "illumio-azsql-enforcer/check/1"
    assert run.report["ok"] is True


def test_check_says_what_would_make_a_cycle_fail(program: Program, sandbox: Sandbox, configure: Change) -> None:
    configure({"pce": {"api_secret": "not-the-secret"}})
    run = program("check")
    assert run.code == 1
    assert "blocking  pce" in run.out
    assert "3 SQL servers found." in run.out  # Azure is reached all the same
    assert writes(sandbox) == []


def test_check_finds_rules_of_ours_on_a_server_that_is_governed_no_longer(program: Program, sandbox: Sandbox) -> None:
    sandbox.arm.state.set_rule("scratch-sql", "illumio-192.0.2.1-192.0.2.1", "192.0.2.1", "192.0.2.1")
    run = program("check")
    assert run.code == 1
    assert "blocking  server  scratch-sql: " in run.out
    assert "It still holds 1 firewall rule of this program" in run.out
    assert program("--once", "--dry-run").code == 1


def test_the_runner_of_click_agrees_that_the_program_has_these_commands() -> None:
    from illumio_azsql_enforcer.cli.program import program as command  # noqa: PLC0415

    told = CliRunner().invoke(command, ["--help"]).output
    assert all(name in told for name in ("explain", "check", "demo"))


def test_check_verify_asks_the_pce_and_finds_it_of_one_mind(program: Program, sandbox: Sandbox) -> None:
    run = program("check", "--verify", "30", "--output", "json")
    assert run.code == 0
    last = run.report["findings"][-1]
    assert (last["area"], last["severity"]) == ("policy", "ok")
    assert "30 addresses: 30 agree, 0 differ" in last["detail"]
    asked = [request for request in sandbox.pce.journal if request.decoded.endswith("policy_check")]
    assert len(asked) == 30


def test_check_verify_shows_both_answers_where_they_differ(program: Program, sandbox: Sandbox) -> None:
    nothing = Reply.json(200, {"sec_rules": [], "deny_rules": [], "override_deny_rules": []})
    sandbox.pce.faults.add(Fault("another mind", reply=nothing), path="*/policy_check", times=99)
    run = program("check", "--verify", "5", "--output", "json")
    assert (run.code, run.report["ok"]) == (1, False)
    differing = [f["detail"] for f in run.report["findings"] if (f["area"], f["severity"]) == ("policy", "blocking")]
    assert differing
    assert all("is allowed here; the PCE, asked about" in detail for detail in differing)


def test_check_verify_without_ranges_has_nothing_to_ask(program: Program, configure: Change) -> None:
    configure({"policy": {"ports": [3306]}})
    assert "0 addresses" in program("check", "--verify", "5").out


def test_a_config_named_before_a_command_beats_the_environment(program: Program) -> None:
    assert program("check", ILLUMIO_AZSQL_CONFIG="/nowhere/config.yaml").code == 0
