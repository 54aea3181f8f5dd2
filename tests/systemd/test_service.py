"""The installed service under a real systemd, against the sandbox."""

import json
import time
from collections.abc import Callable

import pytest

from tests.systemd.conftest import ETC, NAME, PATIENCE, Service
from tests.systemd.machine import until

pytestmark = pytest.mark.systemd

QUICK_RESTART = "[Service]\nRestartSec=1s\n"
ALL_RULES = 6  # of orders-sql, as the policy wants it


def running(service: Service) -> bool:
    return service.show("ActiveState") == "active"


def test_it_is_ready_only_after_the_first_complete_cycle(service: Service) -> None:
    service.slow("GET */workloads 2")
    service.control("start", "--no-block")
    until(lambda: service.show("MainPID") != "0", PATIENCE, "the process runs")
    time.sleep(1)
    assert service.show("ActiveState") == "activating"
    assert service.rules() == ["dba-home"]
    until(lambda: service.show("ActiveState") != "activating", PATIENCE, "the start has ended")
    assert running(service)
    assert len(service.rules()) == ALL_RULES
    assert "policy version" in service.show("StatusText")


def test_a_first_cycle_that_fails_is_reported_and_the_service_is_up(service: Service) -> None:
    service.configure({"api_key: api_1": "api_key: api_2"})
    service.control("start")
    assert running(service)
    assert "refused the API key" in service.show("StatusText")
    assert service.show("NRestarts") == "0"


def test_a_long_first_snapshot_that_gets_on_may_take_longer_than_the_start_timeout(service: Service) -> None:
    service.drop_in("[Service]\nTimeoutStartSec=3s\n")
    service.slow("GET */workloads 6")
    began = time.monotonic()
    service.control("start")
    assert time.monotonic() - began > 5
    assert running(service)
    assert service.show("NRestarts") == "0"


@pytest.mark.parametrize("bad", ["pce: {}\n", None], ids=["invalid", "missing"])
def test_a_bad_config_at_the_start_is_78_and_is_not_tried_again(service: Service, bad: str | None) -> None:
    service.drop_in(QUICK_RESTART)
    if bad is None:
        service.machine.run("rm", f"{ETC}/config.yaml")
    else:
        service.machine.write(f"{ETC}/config.yaml", bad)
    service.control("start", check=False)
    assert (service.show("ActiveState"), service.show("ExecMainStatus")) == ("failed", "78")
    time.sleep(2)
    assert (service.show("ActiveState"), service.show("NRestarts")) == ("failed", "0")


def test_reload_takes_a_good_file_and_keeps_the_running_config_for_a_bad_one(service: Service) -> None:
    service.control("start")
    pid = service.show("MainPID")
    service.configure({"mode: authoritative": "mode: sync"})
    service.control("reload")
    service.wait_for_event("reloaded")
    service.meddle("by-hand")
    cycles = len(service.events("cycle"))
    service.machine.write(f"{ETC}/config.yaml", "pce: {}\n")
    service.control("reload")
    refusal = service.wait_for_event("reload refused, the running config stays")
    assert "pce.url" in str(refusal["problems"])
    service.wait_for_event("cycle", cycles + 2)
    assert "by-hand" in service.rules()  # in mode sync, as the good file says
    assert (running(service), service.show("MainPID")) == (True, pid)


def test_reload_is_awaited_where_systemd_can(service: Service) -> None:
    if int(service.machine.run("systemctl", "--version").split()[1]) < 253:
        pytest.skip("Type=notify-reload came with systemd 253")
    service.drop_in("[Service]\nType=notify-reload\nExecReload=\n")
    service.control("start")
    service.slow("GET */workloads 3")
    service.control("reload")
    service.wait_for_event("reloaded")
    began = time.monotonic()
    service.control("reload")  # while a cycle is being held up
    assert time.monotonic() - began > 1
    assert len(service.events("reloaded")) == 2
    assert running(service)


def test_stop_in_the_middle_of_a_cycle_takes_less_than_5_seconds(service: Service) -> None:
    service.control("start")
    service.slow("DELETE * 25")
    service.meddle("by-hand")
    service.control("reload")  # polls at once
    until(lambda: any("by-hand" in target for target in service.requests()), PATIENCE, "the delete is under way")
    began = time.monotonic()
    service.control("stop")
    assert time.monotonic() - began < 5
    assert (service.show("ActiveState"), service.show("Result")) == ("inactive", "success")
    service.slow()
    service.control("start")
    assert len(service.rules()) == ALL_RULES


def test_a_kill_between_two_writes_is_followed_by_a_restart_that_converges(service: Service) -> None:
    service.drop_in(QUICK_RESTART)
    service.slow("PUT * 0.7")
    service.control("start", "--no-block")
    until(lambda: len(service.rules()) > 2, PATIENCE, "some rules are written")
    service.control("kill", "--signal=KILL")
    assert len(service.rules()) < ALL_RULES + 1  # the one made by hand goes last
    service.slow()
    until(lambda: running(service) and service.show("NRestarts") == "1", PATIENCE, "the restart")
    assert len(service.rules()) == ALL_RULES
    assert "dba-home" not in service.rules()


def stop_the_process(service: Service) -> None:
    service.control("kill", "--signal=STOP", "--kill-whom=main")


def hang_the_loop_alone(service: Service) -> None:
    """It waits for ever for a writer of its config, while the main thread still answers signals."""
    config = f"{ETC}/config.yaml"
    service.machine.run("mv", config, f"{config}.kept")
    service.machine.run("mkfifo", config)
    service.control("kill", "--signal=HUP", "--kill-whom=main")
    time.sleep(1)
    service.machine.run("mv", f"{config}.kept", config)


@pytest.mark.parametrize(
    ("hang", "where"),
    [(stop_the_process, 'process.py", line'), (hang_the_loop_alone, 'scheduler.py", line')],
    ids=["process", "loop"],
)
def test_the_watchdog_restarts_what_hangs_and_shows_where(
    service: Service, hang: Callable[[Service], None], where: str
) -> None:
    service.configure({"pce:\n": "pce:\n  timeout: 1s\n", "azure:\n": "azure:\n  timeout: 1s\n"})
    service.drop_in(QUICK_RESTART + "WatchdogSec=5s\n")
    service.control("start")
    assert service.show("WatchdogUSec") == "30s"  # three intervals: the service asked for no less
    pid = service.show("MainPID")
    hang(service)
    until(lambda: service.show("NRestarts") == "1", 2 * PATIENCE, "the watchdog's restart")
    until(lambda: running(service) and service.show("MainPID") not in {"0", pid}, PATIENCE, "a new process")
    told = service.machine.run("journalctl", "--unit", service.unit, "--output=cat")
    assert "Watchdog timeout" in told
    assert "Fatal Python error: Aborted" in told
    assert where in told


def test_a_healthy_service_is_never_bitten_by_the_watchdog(service: Service) -> None:
    service.configure({"pce:\n": "pce:\n  timeout: 1s\n", "azure:\n": "azure:\n  timeout: 1s\n"})
    service.drop_in("[Service]\nWatchdogSec=1s\n")
    service.control("start")
    service.wait_for_event("cycle", 3)  # intervals of 10 s
    assert (running(service), service.show("NRestarts")) == (True, "0")


def test_secrets_and_state_are_for_the_service_alone(service: Service) -> None:
    service.control("start")
    machine = service.machine
    uid = machine.run("stat", "--format=%u", f"/proc/{service.show('MainPID')}")
    assert int(uid) > 60000  # a user that exists only while the service runs
    secret = machine.run("cat", f"{ETC}/pce-api-secret")
    hidden = (
        f"/run/credentials/{NAME}.service/pce-api-secret",
        f"{ETC}/pce-api-secret",
        f"/var/lib/private/{NAME}/journal.jsonl",
        f"/proc/{service.show('MainPID')}/environ",
    )
    for path in hidden:
        machine.run("test", "-e", path)
        assert machine.result("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat", path).returncode
    machine.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat", f"{ETC}/config.yaml")
    assert secret not in machine.run("cat", f"/proc/{service.show('MainPID')}/environ", f"{ETC}/config.yaml")
    assert secret not in machine.run("journalctl", "--unit", service.unit)


def test_the_journal_holds_the_log_as_json(service: Service) -> None:
    service.control("start")
    cycle = service.wait_for_event("cycle")
    assert (cycle["level"], cycle["outcome"], cycle["steps_done"]) == ("info", "changed", 13)
    lines = [entry["MESSAGE"] for entry in service.log() if entry.get("_PID") == service.show("MainPID")]
    assert lines
    for line in lines:
        assert {"timestamp", "level", "logger", "event"} <= json.loads(line).keys()


def test_the_journal_tells_trouble_by_its_priority(service: Service) -> None:
    service.configure({"api_key: api_1": "api_key: api_2"})
    service.control("start")
    service.wait_for_event("cycle")
    grave = service.machine.run("journalctl", "--unit", service.unit, "--priority=err", "--output=cat")
    assert "refused the API key" in grave
    assert '"level": "info"' not in grave


def test_the_timer_runs_cycles_by_the_clock(service: Service) -> None:
    once = Service(service.machine, f"{NAME}-once.service")
    timer = Service(service.machine, f"{NAME}-once.timer")
    timer.drop_in("[Timer]\nOnCalendar=\nOnCalendar=*:*:0/2\nRandomizedDelaySec=0\n")
    timer.control("start")
    once.wait_for_event("cycle", 2)
    timer.control("stop")
    until(lambda: once.show("ActiveState") == "inactive", PATIENCE, "the cycle has ended")
    assert once.show("Result") == "success"
    assert len(service.rules()) == ALL_RULES
    assert once.events("cycle")[-1]["outcome"] == "in_sync"


def disable_rule_set(service: Service) -> None:
    (rule_set,) = service.pce("GET", "sec_policy/draft/rule_sets?name=Azure")
    path = rule_set["href"].removeprefix("/orgs/1/")
    service.pce("PUT", path, {"enabled": False})
    service.pce("POST", "sec_policy", {"update_description": "a mistake"})


def refusal_of(service: Service, server: str) -> dict[str, str]:
    def told() -> list[dict[str, str]]:
        return [event for event in service.events("server is refused") if event["server"] == server]

    until(told, PATIENCE, f"{server} is refused")
    return told()[-1]


def accept(service: Service, refusal: dict[str, str]) -> Service:
    """Runs the command that the refusal names, and waits for its end."""
    command = refusal["reason"].rpartition(" once: ")[2]
    assert command.split()[:2] == ["systemctl", "start"]
    service.machine.result(*command.split(), timeout=4 * PATIENCE)  # 3 where another server is still refused
    return Service(service.machine, command.split()[2])


def test_the_accept_unit_lets_one_refused_plan_through_beside_the_daemon(service: Service) -> None:
    service.control("start")
    disable_rule_set(service)
    refusals = {server: refusal_of(service, server) for server in ("orders-sql", "billing-sql")}
    assert len(service.rules()) == ALL_RULES
    refusal = refusals["orders-sql"]
    accepted = accept(service, refusal)
    assert accepted.unit == f"{NAME}-accept@{refusal['plan_id']}.service"
    assert service.rules() == []
    assert len(service.rules("billing-sql")) > 1
    assert accepted.show("ExecMainStatus") == "3"  # billing-sql is still refused
    journal = service.machine.run("cat", f"/var/lib/{NAME}/journal.jsonl")
    runs = {json.loads(line)["run_id"] for line in journal.splitlines()}
    assert len(runs) == 2  # the daemon's and this one
    assert running(service)
    accept(service, refusals["billing-sql"])
    assert not [name for name in service.rules("billing-sql") if name.startswith("illumio-")]


def test_further_configs_have_users_secrets_state_and_accept_units_of_their_own(service: Service) -> None:
    other = Service(service.machine, f"{NAME}@test.service")
    other.configure(directory=f"{ETC}/test")
    link = f"/etc/systemd/system/{NAME}-accept-test@.service"
    service.machine.run("ln", "-s", f"/usr/share/{NAME}/{NAME}-accept-NAME@.service", link)
    service.machine.run("systemctl", "daemon-reload")
    service.machine.run("rm", f"{ETC}/pce-api-secret", f"{ETC}/config.yaml")  # those of the main service
    other.control("start")
    assert len(service.rules()) == ALL_RULES
    assert other.show("User") == "illumio-azsql-test"
    disable_rule_set(service)
    accepted = accept(service, refusal_of(other, "orders-sql"))
    assert accepted.unit.startswith(f"{NAME}-accept-test@")
    assert service.rules() == []
    journal = service.machine.run("cat", f"/var/lib/{NAME}-test/journal.jsonl")
    assert len({json.loads(line)["run_id"] for line in journal.splitlines()}) == 2
