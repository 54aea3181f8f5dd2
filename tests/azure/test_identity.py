"""Who we are to Azure: every kind of credential, real azure-identity against the simulated token services."""

import datetime
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from illumio_azsql_enforcer.azure.access import AzureAccess
from illumio_azsql_enforcer.azure.firewall import FirewallReader
from illumio_azsql_enforcer.azure.tokens import sayable
from illumio_azsql_enforcer.errors import ArmUnauthenticated, ConfigError
from illumio_azsql_enforcer.model.firewall import Server
from illumio_azsql_enforcer.model.settings import Cloud, CredentialKind
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.sandbox.arm import ArmSimulator
from illumio_azsql_enforcer.sandbox.wire import Fault, Reply
from tests.support.clock import VirtualClock

Access = Callable[..., AzureAccess]
Use = Callable[..., AzureAccess]
IMDS = "/metadata/*"
STS = "*/oauth2/v2.0/token"


@pytest.fixture
def use(open_access: Access, server: Server, deadline: Deadline) -> Use:
    """Opens an access with changed settings and reads one server's rules with it."""

    def work(**changes: object) -> AzureAccess:
        access = open_access(**changes)
        assert FirewallReader(access).rules(server, deadline) == ()
        return access

    return work


@pytest.fixture
def entra(azure: ArmSimulator, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Settings and environment for a service principal with a secret."""
    for name in azure.environ:
        monkeypatch.delenv(name)
    for name, value in azure.secret_environ.items():
        if name not in {"AZURE_TOKEN_CREDENTIALS", "AZURE_AUTHORITY_HOST"}:
            monkeypatch.setenv(name, value)
    cloud = Cloud(azure.url, azure.authority_url, "https://management.azure.com/", custom=True)
    return {"cloud": cloud, "credential": CredentialKind.ENVIRONMENT, "ca_file": azure.ca_file}


def token_requests(azure: ArmSimulator) -> list[str]:
    return [r.decoded for r in azure.journal if r.server != "arm"]


def test_a_managed_identity(azure: ArmSimulator, use: Use) -> None:
    use(credential=CredentialKind.MANAGED_IDENTITY)
    (request,) = [r for r in azure.journal if r.server == "tokens"]
    assert request.query["resource"] == "https://management.azure.com"


def test_a_user_assigned_identity(azure: ArmSimulator, use: Use) -> None:
    identity = azure.add_identity()
    use(credential=CredentialKind.MANAGED_IDENTITY, client_id=identity.client_id)
    assert azure.journal[0].query["client_id"] == identity.client_id


def test_the_app_service_endpoint(azure: ArmSimulator, use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_POD_IDENTITY_AUTHORITY_HOST")
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{azure.tokens_url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", azure.identity_header)
    use(credential=CredentialKind.DEFAULT)
    assert token_requests(azure) == ["/msi/token"]


def test_the_default_without_a_choice_ends_at_the_managed_identity(
    azure: ArmSimulator, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_TOKEN_CREDENTIALS")
    use(credential=CredentialKind.DEFAULT)
    assert token_requests(azure) == ["/metadata/identity/oauth2/token"]


def test_the_default_with_a_choice(azure: ArmSimulator, use: Use) -> None:
    use(credential=CredentialKind.DEFAULT)
    assert len(token_requests(azure)) == 1


def test_the_default_never_asks_a_developers_login(
    azure: ArmSimulator,
    open_access: Access,
    server: Server,
    deadline: Deadline,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    called = fake_az(tmp_path, monkeypatch, 'touch "$0.called"')
    monkeypatch.delenv("AZURE_TOKEN_CREDENTIALS")
    azure.faults.add(Fault("none", reply=Reply.json(400, {"error": "invalid_request"})), path=IMDS, times=99)
    with pytest.raises(ArmUnauthenticated):
        FirewallReader(open_access(credential=CredentialKind.DEFAULT)).rules(server, deadline)
    assert not called.with_suffix(".called").exists()


def test_a_choice_that_does_not_exist(open_access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "PaperCredential")
    with pytest.raises(ConfigError, match=r"azure\.credential: default cannot be used: .*papercredential"):
        open_access(credential=CredentialKind.DEFAULT)


def test_a_secret(azure: ArmSimulator, entra: dict[str, object], use: Use) -> None:
    use(**entra)
    assert token_requests(azure)[-1] == f"/{azure.tenant_id}/oauth2/v2.0/token"


def test_the_default_finds_a_secret_first(azure: ArmSimulator, entra: dict[str, object], use: Use) -> None:
    use(**entra | {"credential": CredentialKind.DEFAULT})
    assert token_requests(azure)[-1] == f"/{azure.tenant_id}/oauth2/v2.0/token"


def test_a_federated_token(
    azure: ArmSimulator, entra: dict[str, object], use: Use, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    monkeypatch.delenv("AZURE_CLIENT_ID")
    azure.application.federated_tokens.add("token-of-the-pod")
    (tmp_path / "token").write_text("token-of-the-pod")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
    use(**entra | {"credential": CredentialKind.WORKLOAD_IDENTITY, "client_id": azure.application.client_id})
    monkeypatch.setenv("AZURE_CLIENT_ID", azure.application.client_id)
    use(**entra | {"credential": CredentialKind.DEFAULT})


def test_a_workload_identity_without_its_variables(open_access: Access) -> None:
    with pytest.raises(ConfigError, match=r"azure\.credential: workload_identity cannot be used: .*'tenant_id'"):
        open_access(credential=CredentialKind.WORKLOAD_IDENTITY)


def test_a_certificate(
    azure: ArmSimulator, entra: dict[str, object], use: Use, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    azure.application.certificates.append(make_certificate(tmp_path / "me.pem"))
    monkeypatch.setenv("AZURE_CLIENT_CERTIFICATE_PATH", str(tmp_path / "me.pem"))
    use(**entra)


def test_a_certificate_file_that_is_not_there(
    entra: dict[str, object], open_access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    monkeypatch.setenv("AZURE_CLIENT_CERTIFICATE_PATH", "/nowhere/me.pem")
    with pytest.raises(ConfigError, match=r"/nowhere/me\.pem"):
        open_access(**entra)


def test_an_environment_that_says_nothing(
    azure: ArmSimulator, open_access: Access, server: Server, deadline: Deadline, clock: VirtualClock
) -> None:
    reader = FirewallReader(open_access(credential=CredentialKind.ENVIRONMENT))
    with pytest.raises(ArmUnauthenticated, match="Environment variables are not fully configured"):
        reader.rules(server, deadline)
    assert clock.waits == []


def test_a_wrong_secret_is_said_once_and_never_shown(
    azure: ArmSimulator, entra: dict[str, object], use: Use, monkeypatch: pytest.MonkeyPatch, clock: VirtualClock
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wr0ng-s3cret")
    with pytest.raises(ArmUnauthenticated, match=r"No token for Azure: .*AADSTS7000215") as caught:
        use(**entra)
    assert caught.value.code == "AADSTS7000215"
    assert clock.waits == []
    assert "wr0ng-s3cret" not in repr(caught.value) + str(caught.value)
    assert azure.requests() == []


def test_the_authority_of_the_settings_wins_over_the_environment(
    azure: ArmSimulator, entra: dict[str, object], use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "https://127.0.0.1:1")
    use(**entra)


def test_the_environments_authority_serves_a_cloud_that_names_none(
    azure: ArmSimulator, entra: dict[str, object], use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", azure.authority_url)
    use(**entra | {"cloud": Cloud(azure.url, None, "https://management.azure.com", custom=True)})


def test_an_authority_without_tls(entra: dict[str, object], open_access: Access) -> None:
    with pytest.raises(ConfigError, match="TLS protected"):
        open_access(**entra | {"cloud": Cloud("http://127.0.0.1", "http://127.0.0.1", "https://x", custom=True)})


def test_the_audience_is_the_clouds_own(azure: ArmSimulator, use: Use) -> None:
    azure.audiences.add("https://management.example.gov")
    use(cloud=Cloud(azure.url, None, "https://management.example.gov/", custom=True))
    assert azure.journal[0].query["resource"] == "https://management.example.gov"


def test_the_azure_cli(azure: ArmSimulator, use: Use, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text, _ = azure.tokens.issue(azure.application, "https://management.azure.com")
    fake_az(tmp_path, monkeypatch, f"""echo '{{"accessToken": "{text}", "expires_on": 4102444800}}'""")
    use(credential=CredentialKind.CLI)
    assert token_requests(azure) == []


def test_an_azure_cli_that_is_not_logged_in(
    open_access: Access,
    server: Server,
    deadline: Deadline,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    clock: VirtualClock,
) -> None:
    fake_az(tmp_path, monkeypatch, "echo \"Please run 'az login'\" >&2; exit 1")
    with pytest.raises(ArmUnauthenticated, match="Please run 'az login'"):
        FirewallReader(open_access(credential=CredentialKind.CLI)).rules(server, deadline)
    assert clock.waits == []


@pytest.mark.parametrize("status", [404, 410, 429, 500, 503])
def test_imds_that_is_away_for_a_moment(azure: ArmSimulator, use: Use, clock: VirtualClock, status: int) -> None:
    azure.faults.add(
        Fault("away", reply=Reply(status, b"{}", {"Content-Type": "application/json"})), path=IMDS, times=3
    )
    use()
    assert len(clock.waits) == 3
    assert len(azure.requests()) == 1


def test_entra_that_is_away_for_a_moment(
    azure: ArmSimulator, entra: dict[str, object], use: Use, clock: VirtualClock
) -> None:
    azure.faults.add(Fault("503", reply=Reply(503, headers={"Retry-After": "17"})), path=STS)
    azure.faults.add(Fault("reset", reset=True), path=STS)
    azure.faults.add(Fault("429", reply=Reply.json(429, {"error": "temporarily_unavailable"})), path=STS)
    use(**entra)
    assert clock.waits[0] == 17.0
    assert len(clock.waits) == 3


def test_a_token_service_that_stays_away(
    azure: ArmSimulator, open_access: Access, server: Server, deadline: Deadline, clock: VirtualClock
) -> None:
    azure.faults.add(Fault("away", reply=Reply(503)), path=IMDS, times=99)
    with pytest.raises(ArmUnauthenticated, match="No token for Azure"):
        FirewallReader(open_access()).rules(server, deadline)
    assert len(clock.waits) == 4
    assert len(token_requests(azure)) == 5


def test_a_token_service_that_is_down_is_asked_by_one_thread_for_all(
    azure: ArmSimulator, open_access: Access, server: Server, clock: VirtualClock
) -> None:
    azure.faults.add(Fault("down", reply=Reply(503), stall=0.4), path=IMDS, times=99)
    reader = FirewallReader(open_access())
    now = Deadline.after(clock, 1e-6)  # no second try fits

    def work(_n: int) -> bool:
        with pytest.raises(ArmUnauthenticated):
            reader.rules(server, now)
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert len(token_requests(azure)) <= 2  # a thread may come late


def test_an_identity_that_is_not_assigned(
    azure: ArmSimulator, open_access: Access, server: Server, deadline: Deadline, clock: VirtualClock
) -> None:
    with pytest.raises(ArmUnauthenticated, match="Identity not found"):
        FirewallReader(open_access(client_id="11111111-1111-1111-1111-111111111111")).rules(server, deadline)
    assert clock.waits == []


@pytest.mark.parametrize("reply", [Reply(200), Reply(200, b"<html>"), Reply.json(200, {}), Reply.json(200, [])])
def test_a_token_answer_that_is_none(
    azure: ArmSimulator, open_access: Access, server: Server, deadline: Deadline, reply: Reply
) -> None:
    azure.faults.add(Fault("odd", reply=reply), path=IMDS, times=99)
    with pytest.raises(ArmUnauthenticated, match="No token for Azure"):
        FirewallReader(open_access()).rules(server, deadline)


def test_an_old_token_is_used_while_it_is_valid(
    azure: ArmSimulator, access: AzureAccess, server: Server, deadline: Deadline
) -> None:
    reader = FirewallReader(access)
    azure.tokens.lifetime = 200.0  # below the five minutes in which a new one is asked for
    reader.rules(server, deadline)
    azure.faults.add(Fault("down", reply=Reply(503)), path=IMDS, times=99)
    for _ in range(3):
        reader.rules(server, deadline)
    assert len(token_requests(azure)) == 2  # the failed renewal is not repeated at every request
    azure.faults.clear()
    azure.tokens.expire_all()
    reader.rules(server, deadline)
    assert azure.tokens.issued == 2


def test_what_looks_like_a_token_is_not_said() -> None:
    assert sayable("Bad eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_x end\nVisit https://aka.ms/x") == "Bad *** end"
    assert (
        sayable("first\nAADSTS7000222: expired. Trace ID: 1\r\nTimestamp: x") == "AADSTS7000222: expired. Trace ID: 1"
    )


def fake_az(directory: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """An `az` on the PATH."""
    az = directory / "az"
    az.write_text(f"#!/bin/sh\n{script}\n")
    az.chmod(az.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    return az


def make_certificate(path: Path) -> x509.Certificate:
    """A self-signed certificate; key and certificate are written to `path`."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "enforcer")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    return certificate
