"""Managed identity, client secret, certificate and workload identity get tokens; wrong requests get what Azure says."""

import base64
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    CertificateCredential,
    ClientSecretCredential,
    CredentialUnavailableError,
    DefaultAzureCredential,
    EnvironmentCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from illumio_azsql_enforcer.sandbox.arm import ArmSimulator, Fault, Reply
from illumio_azsql_enforcer.sandbox.arm.tokens import signed_by
from tests.sandbox.arm.conftest import SUBSCRIPTION, Raw
from tests.support.clock import VirtualClock

SCOPE = "https://management.azure.com/.default"
IMDS = "/metadata/identity/oauth2/token"
RESOURCE = "resource=https://management.azure.com"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith(("AZURE_", "IDENTITY_", "MSI_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def managed(azure: ArmSimulator, monkeypatch: pytest.MonkeyPatch) -> ArmSimulator:
    for name, value in azure.environ.items():
        monkeypatch.setenv(name, value)
    return azure


def works(azure: ArmSimulator, credential: Any) -> bool:
    """Whether ARM takes the credential's token."""
    with credential:
        token = credential.get_token(SCOPE).token
    answer = requests.get(
        f"{azure.url}/subscriptions/{SUBSCRIPTION}?api-version=2022-12-01",
        headers={"Authorization": f"Bearer {token}"},
        timeout=5,
    )
    return answer.status_code == 200


# --- managed identity


def test_the_managed_identity_of_the_sdk_gets_a_token_that_arm_takes(managed: ArmSimulator) -> None:
    assert works(managed, ManagedIdentityCredential())
    assert works(managed, DefaultAzureCredential())
    entry = managed.journal[0]
    assert (entry.server, entry.decoded, entry.headers["metadata"]) == ("tokens", IMDS, "true")


def test_a_user_assigned_identity_is_found_by_its_client_id(managed: ArmSimulator) -> None:
    identity = managed.add_identity()
    assert works(managed, ManagedIdentityCredential(client_id=identity.client_id))
    assert managed.journal[0].effect == f"token for {identity.client_id}"
    with pytest.raises(CredentialUnavailableError):
        ManagedIdentityCredential(client_id="33333333-3333-4333-8333-333333333333").get_token(SCOPE)
    assert managed.tokens.issued == 1


def test_the_answer_of_imds_spells_numbers_as_text(azure: ArmSimulator) -> None:
    answer = requests.get(
        f"{azure.tokens_url}{IMDS}?api-version=2018-02-01&{RESOURCE}", headers={"Metadata": "true"}, timeout=5
    )
    body = answer.json()
    expires = int(azure.clock.now().timestamp()) + 7200
    assert (body["expires_in"], body["expires_on"], body["token_type"]) == ("7200", str(expires), "Bearer")
    assert body["resource"] == "https://management.azure.com"


@pytest.mark.parametrize(
    ("query", "headers", "complaint"),
    [
        (f"api-version=2018-02-01&{RESOURCE}", {}, "Required metadata header not specified"),
        (RESOURCE, {"Metadata": "true"}, "Required query variable 'api-version' is missing"),
        ("api-version=2018-02-01", {"Metadata": "true"}, "Required query variable 'resource' is missing"),
        (f"api-version=2018-02-01&{RESOURCE}&client_id=x", {"Metadata": "true"}, "Identity not found"),
    ],
)
def test_imds_refuses(azure: ArmSimulator, query: str, headers: dict[str, str], complaint: str) -> None:
    answer = requests.get(f"{azure.tokens_url}{IMDS}?{query}", headers=headers, timeout=5)
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_request", "error_description": complaint})


def test_the_app_service_endpoint_wants_its_header(azure: ArmSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{azure.tokens_url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", azure.identity_header)
    assert works(azure, ManagedIdentityCredential())
    answer = requests.get(f"{azure.tokens_url}/msi/token?api-version=2019-08-01&{RESOURCE}", timeout=5)
    assert answer.status_code == 401
    assert azure.identity_header not in repr(azure.journal)


def test_imds_may_be_down_for_a_moment(managed: ArmSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    managed.faults.add(Fault("starting", Reply(503)), path=IMDS, times=2)
    managed.faults.add(Fault("upgrading", Reply(410)), path=IMDS, times=1)
    assert works(managed, ManagedIdentityCredential())
    assert [r.status for r in managed.journal if r.server == "tokens"] == [503, 503, 410, 200]


# --- applications


@pytest.fixture
def with_ca(azure: ArmSimulator) -> dict[str, Any]:
    return {
        "authority": azure.authority_url,
        "disable_instance_discovery": True,
        "connection_verify": str(azure.ca_file),
        "retry_total": 0,
    }


def test_a_client_secret_over_https(
    azure: ArmSimulator, with_ca: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in azure.secret_environ.items():
        monkeypatch.setenv(name, value)
    environment = {name: value for name, value in with_ca.items() if name != "authority"}
    assert works(azure, EnvironmentCredential(**environment))
    app = azure.application
    assert works(azure, ClientSecretCredential(azure.tenant_id, app.client_id, app.client_secret, **with_ca))
    assert app.client_secret not in f"{azure.journal!r} {[r.as_dict() for r in azure.journal]}"


@pytest.mark.parametrize(("expired", "number"), [(False, "AADSTS7000215"), (True, "AADSTS7000222")])
def test_a_wrong_or_expired_secret(azure: ArmSimulator, with_ca: dict[str, Any], *, expired: bool, number: str) -> None:
    azure.application.secret_expired = expired
    credential = ClientSecretCredential(azure.tenant_id, azure.application.client_id, "wrong", **with_ca)
    with credential, pytest.raises(ClientAuthenticationError, match=number):
        credential.get_token(SCOPE)


def test_who_does_not_trust_the_authority_gets_nothing(azure: ArmSimulator, with_ca: dict[str, Any]) -> None:
    app = azure.application
    options = with_ca | {"connection_verify": True}
    credential = ClientSecretCredential(azure.tenant_id, app.client_id, app.client_secret, **options)
    with credential, pytest.raises(ClientAuthenticationError, match="certificate"):
        credential.get_token(SCOPE)


def make_certificate(path: Path) -> x509.Certificate:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return certificate


def test_a_certificate_is_proven_by_its_signature(azure: ArmSimulator, with_ca: dict[str, Any], tmp_path: Path) -> None:
    registered = make_certificate(tmp_path / "registered.pem")
    make_certificate(tmp_path / "other.pem")
    azure.application.certificates.append(registered)
    at = (azure.tenant_id, azure.application.client_id)
    assert works(azure, CertificateCredential(*at, str(tmp_path / "registered.pem"), **with_ca))
    other = CertificateCredential(*at, str(tmp_path / "other.pem"), **with_ca)
    with other, pytest.raises(ClientAuthenticationError, match="AADSTS700027"):
        other.get_token(SCOPE)


def test_workload_identity_needs_a_known_federated_token(
    azure: ArmSimulator, with_ca: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("federated")
    options = {"tenant_id": azure.tenant_id, "client_id": azure.application.client_id, "token_file_path": str(file)}
    credential = WorkloadIdentityCredential(**options, **with_ca)
    with credential:
        with pytest.raises(ClientAuthenticationError, match="AADSTS700027"):
            credential.get_token(SCOPE)
        azure.application.federated_tokens.add("federated")
        assert credential.get_token(SCOPE).token


@pytest.mark.parametrize(
    ("tenant", "changes", "error"),
    [
        ("other", {}, "invalid_tenant"),
        ("", {"grant_type": "password"}, "unsupported_grant_type"),
        ("", {"client_id": "other"}, "unauthorized_client"),
        ("", {"scope": "https://management.azure.com"}, "invalid_scope"),
    ],
)
def test_the_sts_refuses(azure: ArmSimulator, tenant: str, changes: dict[str, str], error: str) -> None:
    app = azure.application
    form = {
        "grant_type": "client_credentials",
        "client_id": app.client_id,
        "client_secret": app.client_secret,
        "scope": SCOPE,
    }
    answer = requests.post(
        f"{azure.authority_url}/{tenant or azure.tenant_id}/oauth2/v2.0/token",
        data=form | changes,
        verify=str(azure.ca_file),
        timeout=5,
    )
    assert (answer.status_code, answer.json()["error"]) == (400, error)


# --- what a token is good for


@pytest.fixture
def served(raw: Raw) -> Raw:
    assert raw("GET", f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Sql/servers").status == 200
    return raw


def test_a_token_expires_on_the_simulators_clock(served: Raw, clock: VirtualClock) -> None:
    clock.advance(7201)
    refused = served("GET", f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Sql/servers")
    assert (refused.status, refused.code) == (401, "ExpiredAuthenticationToken")
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]


def test_a_token_is_good_for_its_resource_alone(served: Raw, azure: ArmSimulator) -> None:
    path = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Sql/servers"
    for resource in ("https://management.core.windows.net/", azure.url, SCOPE):
        assert served("GET", path, token=served.new_token(resource)).status == 200
    refused = served("GET", path, token=served.new_token("https://vault.azure.net"))
    assert (refused.status, refused.code) == (401, "InvalidAuthenticationToken")


def test_tokens_can_be_expired_and_forgotten(served: Raw, azure: ArmSimulator) -> None:
    path = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Sql/servers"
    azure.tokens.expire_all()
    assert served("GET", path).code == "ExpiredAuthenticationToken"
    azure.tokens.forget_all()
    assert served("GET", path).code == "InvalidAuthenticationToken"


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "none"])
def test_an_assertion_names_the_certificate_that_signed_it(tmp_path: Path, algorithm: str) -> None:
    certificate = make_certificate(tmp_path / "app.pem")
    key = serialization.load_pem_private_key((tmp_path / "app.pem").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)

    def assertion(header: dict[str, str]) -> str:
        head = encoded(json.dumps({"alg": algorithm, **header}).encode()) + "." + encoded(b"{}")
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        scheme = pss if algorithm == "PS256" else padding.PKCS1v15()
        return f"{head}.{encoded(key.sign(head.encode(), scheme, hashes.SHA256()))}"

    thumbprint = encoded(certificate.fingerprint(hashes.SHA256()))
    assert signed_by(assertion({"x5t#S256": thumbprint}), certificate) is (algorithm != "none")
    assert not signed_by(assertion({"x5t#S256": encoded(b"other")}), certificate)
    assert not signed_by(assertion({}), certificate)
    assert not signed_by("rubbish", certificate)
