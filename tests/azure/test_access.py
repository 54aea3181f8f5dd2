"""The way to ARM: TLS, proxies, connections, what is counted, what is logged, and what is never sent."""

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest

from illumio_azsql_enforcer import __version__
from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.azure.access import AzureAccess
from illumio_azsql_enforcer.azure.firewall import FirewallReader, FirewallWriter
from illumio_azsql_enforcer.azure.servers import discover
from illumio_azsql_enforcer.errors import ArmInvalidAnswer, ArmUnreachable, ConfigError, UnsafeName
from illumio_azsql_enforcer.model.firewall import FirewallRule, Server
from illumio_azsql_enforcer.model.settings import Cloud, ServerSettings
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.sandbox.arm import ArmSimulator
from illumio_azsql_enforcer.sandbox.wire import Fault, Reply
from tests.azure.conftest import SUBSCRIPTION, populate, settings_for
from tests.support.clock import VirtualClock

Access = Callable[..., AzureAccess]
RULE = FirewallRule("illumio-192.0.2.1-192.0.2.1", Range.parse("192.0.2.1", "192.0.2.1"))


@pytest.fixture
def tls(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArmSimulator]:
    """ARM over https with a certificate authority of its own."""
    with ArmSimulator(tls=True, clock=clock) as simulator:
        populate(simulator)
        for name, value in simulator.environ.items():
            monkeypatch.setenv(name, value)
        yield simulator


def read_once(simulator: ArmSimulator, clock: VirtualClock, server: Server, **changes: object) -> None:
    access = AzureAccess(settings_for(simulator, **changes), clock)
    try:
        assert FirewallReader(access).rules(server, Deadline.after(clock, 60.0)) == ()
    finally:
        access.close()


def test_a_ca_file(tls: ArmSimulator, clock: VirtualClock, server: Server) -> None:
    read_once(tls, clock, server, ca_file=tls.ca_file)


def test_a_ca_file_wins_over_the_environment(
    tls: ArmSimulator, clock: VirtualClock, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ArmSimulator() as other:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other.ca_file))
        read_once(tls, clock, server, ca_file=tls.ca_file)
        with pytest.raises(ArmUnreachable, match="not trusted"):
            read_once(tls, clock, server)


def test_the_environments_ca_bundle_serves_where_no_file_is_set(
    tls: ArmSimulator, clock: VirtualClock, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls.ca_file))
    read_once(tls, clock, server)


def test_a_certificate_that_is_not_trusted_is_said_once(tls: ArmSimulator, clock: VirtualClock, server: Server) -> None:
    with pytest.raises(ArmUnreachable, match=r"`azure\.ca_file` names the authority to trust"):
        read_once(tls, clock, server)
    assert clock.waits == []
    assert tls.requests() == []


@pytest.mark.parametrize(
    "url", ["http://management.azure.com", "ftp://127.0.0.1", "127.0.0.1", "https://[x", "http://10.0.0.1"]
)
def test_a_token_goes_over_tls_or_loopback_only(azure: ArmSimulator, open_access: Access, url: str) -> None:
    with pytest.raises(ConfigError, match=r"azure\.cloud\.resource_manager"):
        open_access(cloud=Cloud(url, None, "https://management.azure.com", custom=True))


def test_a_slash_at_the_end_does_not_matter(
    azure: ArmSimulator, open_access: Access, server: Server, deadline: Deadline
) -> None:
    access = open_access(cloud=Cloud(azure.url + "/", None, "https://management.azure.com/", custom=True))
    FirewallReader(access).rules(server, deadline)
    FirewallWriter(access).put(server, RULE, deadline)
    assert [r.path.startswith("/subscriptions/") for r in azure.requests()] == [True, True]


def test_proxies_of_the_environment(
    azure: ArmSimulator, open_access: Access, server: Server, deadline: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(ArmUnreachable):
        FirewallReader(open_access()).rules(server, deadline)
    assert [r.server for r in azure.journal] == ["tokens"]  # the machine's own identity endpoint is asked directly
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert FirewallReader(open_access()).rules(server, deadline) == ()


def test_a_netrc_does_not_replace_the_token(
    open_access: Access, server: Server, deadline: Deadline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\ndefault login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert FirewallReader(open_access()).rules(server, deadline) == ()


def test_another_clouds_name_in_the_environment_changes_nothing(
    open_access: Access, server: Server, deadline: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_SDK_CLOUD_CONF", "SOME_OTHER_CLOUD")
    assert FirewallReader(open_access()).rules(server, deadline) == ()


def test_every_request_says_who_asks(
    azure: ArmSimulator, access: AzureAccess, server: Server, deadline: Deadline
) -> None:
    discover(access, ServerSettings(), deadline)
    FirewallReader(access).rules(server, deadline)
    FirewallWriter(access).put(server, RULE, deadline)
    FirewallWriter(access).delete(server, RULE.name, deadline)
    assert {r.headers["user-agent"].split()[0] for r in azure.requests()} == {f"illumio-azsql-enforcer/{__version__}"}
    assert all("x-ms-client-request-id" in r.headers for r in azure.requests())
    assert {r.query["api-version"] for r in azure.requests()} == {"2025-01-01"}


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "https://evil.example/subscriptions"),
        ("GET", "{arm}@evil.example/"),
        ("POST", "{arm}/subscriptions/{sub}/providers/Microsoft.Sql/register?api-version=2016-02-01"),
        ("POST", "{arm}/providers/Microsoft.ResourceGraph/resources/../../Microsoft.Sql?api-version=2022-10-01"),
        ("POST", "{arm}/providers/Microsoft.ResourceGraph/resourcesHistory?api-version=2022-10-01"),
        ("PUT", "{arm}/providers/Microsoft.ResourceGraph/resources"),
        ("PUT", "{arm}/subscriptions/{sub}/resourceGroups/g/providers/Microsoft.Sql/servers/x"),
        ("PATCH", "{arm}/subscriptions/{sub}/resourceGroups/g/providers/Microsoft.Sql/servers/x"),
        ("DELETE", "{arm}/subscriptions/{sub}/resourceGroups/g/providers/Microsoft.Sql/servers/x/firewallRules/"),
        ("DELETE", "{arm}/subscriptions/{sub}/resourceGroups/g/providers/Microsoft.Sql/servers/x/firewallRules/.."),
        ("DELETE", "{arm}/subscriptions/{sub}/resourceGroups/g/providers/Microsoft.Sql/servers/x/firewallRules/%2E%2e"),
        ("PUT", "{arm}/subscriptions/{sub}/resourceGroups/%2e%2e/providers/Microsoft.Sql/servers/x/firewallRules/a"),
        ("PUT", "{arm}/subscriptions/{sub}/resourceGroups/g/providers/Microsoft.Sql/servers/x/firewallRules?a=/b"),
        ("DELETE", "{arm}/subscriptions/{sub}/resourceGroups/g/providers/Microsoft.Sql/servers/x/databases/a"),
    ],
)
def test_the_last_gate(azure: ArmSimulator, access: AzureAccess, method: str, url: str) -> None:
    """Whatever the SDK would do on its own, or a name would make of a path, does not get onto the wire."""
    request = HttpRequest(method, url.format(arm=azure.url, sub=SUBSCRIPTION))
    with pytest.raises(UnsafeName, match="is not made"):
        access.client(SUBSCRIPTION).send_request(request)
    assert azure.journal == []


def test_the_sdks_own_dangerous_operations_stop_at_the_gate(azure: ArmSimulator, access: AzureAccess) -> None:
    client = access.client(SUBSCRIPTION)
    with pytest.raises(UnsafeName):
        client.firewall_rules.delete("Data", "orders-sql", "..")
    with pytest.raises(UnsafeName):
        client.firewall_rules.create_or_update("Data", "orders-sql", "", {})
    with pytest.raises(UnsafeName):
        client.firewall_rules.replace("Data", "orders-sql", {"values": []})
    with pytest.raises(UnsafeName):
        client.servers.begin_delete("Data", "orders-sql", polling=False)
    assert azure.journal == []


def test_the_sdks_own_retries_are_off(azure: ArmSimulator, access: AzureAccess) -> None:
    azure.faults.add(Fault("503", reply=Reply(503, headers={"Retry-After": "1"})), path="/subscriptions/*")
    with pytest.raises(HttpResponseError):
        access.client(SUBSCRIPTION).firewall_rules.delete("Data", "orders-sql", "a")
    assert len(azure.requests()) == 1


def test_a_redirect_is_not_followed(
    azure: ArmSimulator, access: AzureAccess, server: Server, deadline: Deadline
) -> None:
    azure.faults.add(Fault("moved", reply=Reply(307, headers={"Location": f"{azure.url}/elsewhere"})), path="/sub*")
    with pytest.raises(ArmInvalidAnswer, match="answered 307"):
        FirewallReader(access).rules(server, deadline)
    assert len(azure.requests()) == 1


def test_a_client_is_made_once_for_a_subscription(access: AzureAccess) -> None:
    assert access.client(SUBSCRIPTION) is access.client(SUBSCRIPTION.upper())
    with pytest.raises(UnsafeName):
        access.client("")


def test_what_is_counted(azure: ArmSimulator, access: AzureAccess, server: Server, deadline: Deadline) -> None:
    azure.faults.add(Fault("503", reply=Reply(503)), path="/subscriptions/*", method="GET")
    azure.faults.add(Fault("reset", reset=True), path="/subscriptions/*", method="PUT")
    FirewallReader(access).rules(server, deadline)
    FirewallWriter(access).put(server, RULE, deadline)
    FirewallWriter(access).delete(server, "other", deadline)
    assert access.requests == {
        ("GET", "503"): 1,
        ("GET", "200"): 1,
        ("PUT", "none"): 1,
        ("PUT", "200"): 1,
        ("DELETE", "204"): 1,
    }
    assert (access.reads, access.writes) == (2, 3)


def test_many_threads_share_one_pool_and_one_token(
    azure: ArmSimulator, open_access: Access, server: Server, deadline: Deadline, caplog: pytest.LogCaptureFixture
) -> None:
    access = open_access(concurrency=16)
    reader = FirewallReader(access)

    def work(n: int) -> None:
        if n == 60:
            azure.tokens.expire_all()  # in the middle of everything
        reader.rules(server, deadline)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(120)))
    assert access.reads == len(azure.requests())
    assert azure.tokens.issued == 2
    assert "pool is full" not in caplog.text


def test_no_token_is_ever_logged(
    azure: ArmSimulator, access: AzureAccess, server: Server, deadline: Deadline, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    FirewallReader(access).rules(server, deadline)
    secret = azure.requests()[0].authorization
    assert secret is not None
    assert secret.reveal().removeprefix("Bearer ") not in caplog.text
    assert "Request URL" not in caplog.text


def test_the_sdk_prints_nothing_by_itself(azure: ArmSimulator) -> None:
    """In a process without any logging set up, where Python would print a library's warnings."""
    azure.faults.add(Fault("no", reply=Reply.json(400, {"error": "invalid_request"})), path="/metadata/*", times=9)
    script = f"""
from illumio_azsql_enforcer.azure.access import AzureAccess
from illumio_azsql_enforcer.clock import SystemClock
from illumio_azsql_enforcer.errors import ArmUnauthenticated
from illumio_azsql_enforcer.model.settings import AzureSettings, Cloud
from illumio_azsql_enforcer.retrying import Deadline
clock = SystemClock()
access = AzureAccess(AzureSettings(Cloud({azure.url!r}, None, "https://x", custom=True), None), clock)
try:
    access.subscriptions(Deadline.after(clock, 5))
except ArmUnauthenticated as error:
    print("raised")
access.close()
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert (run.stdout, run.stderr) == ("raised\n", "")


def test_what_only_reads_does_not_load_what_can_write() -> None:
    script = "import sys; import illumio_azsql_enforcer.azure.servers; import illumio_azsql_enforcer.azure.firewall;"
    script += "print('azure.mgmt.sql' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "False\n"


def test_a_server_without_its_names_never_reaches_the_sdk(
    access: AzureAccess, server: Server, deadline: Deadline
) -> None:
    with pytest.raises(UnsafeName, match="resource group name"):
        FirewallWriter(access).put(replace(server, resource_group="."), RULE, deadline)
