"""Which credential of azure-identity proves who we are."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from azure.core.exceptions import AzureError
from azure.identity import (
    AzureCliCredential,
    ChainedTokenCredential,
    DefaultAzureCredential,
    EnvironmentCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)

from illumio_azsql_enforcer.azure.tokens import Credential, Exchange, sayable
from illumio_azsql_enforcer.connections import trusted
from illumio_azsql_enforcer.errors import ConfigError
from illumio_azsql_enforcer.model.settings import AzureSettings, CredentialKind

CHOICE = "AZURE_TOKEN_CREDENTIALS"  # azure-identity's own variable: which members of its default chain are used
WORKLOAD_VARIABLES = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE")


def open_credential(settings: AzureSettings, exchange: Exchange) -> Credential:
    """The credential that the settings ask for; it reports its requests to `exchange` and never retries by itself.

    Raises ConfigError when the settings or the environment do not describe one.
    """
    makers: dict[CredentialKind, Callable[[AzureSettings, Exchange], Credential]] = {
        CredentialKind.DEFAULT: _default,
        CredentialKind.MANAGED_IDENTITY: _managed_identity,
        CredentialKind.WORKLOAD_IDENTITY: _workload_identity,
        CredentialKind.ENVIRONMENT: _environment,
        CredentialKind.CLI: _cli,
    }
    try:
        return makers[settings.credential](settings, exchange)
    except (ValueError, TypeError, OSError, AzureError) as error:
        told = f"azure.credential: {settings.credential} cannot be used: {sayable(str(error))}"
        raise ConfigError(f"{told.rstrip('.')}.") from error


def credential_opener(settings: AzureSettings) -> Callable[[Exchange], Credential]:
    """`open_credential` with the settings filled in."""
    return partial(open_credential, settings)


def _default(settings: AzureSettings, exchange: Exchange) -> Credential:
    """Environment, workload identity, managed identity, in this order: no developer's login is looked for.

    Where AZURE_TOKEN_CREDENTIALS is set, azure-identity's own chain does what that says.
    """
    if os.environ.get(CHOICE, "").strip():
        chosen = {"managed_identity_client_id": settings.client_id} if settings.client_id else {}
        made: Credential = DefaultAzureCredential(**chosen, **_entra(settings, exchange))
        return made
    members = [_environment(settings, exchange)]
    if all(os.environ.get(name) for name in WORKLOAD_VARIABLES):
        members.append(_workload_identity(settings, exchange))
    return ChainedTokenCredential(*members, _managed_identity(settings, exchange))


def _managed_identity(settings: AzureSettings, exchange: Exchange) -> Credential:
    # Its endpoint is on this machine's own link: never through a proxy, without TLS (or
    # with a certificate that azure-identity knows by its thumbprint), and with azure-identity's short time to connect.
    options = _http(settings, exchange) | {"use_env_settings": False}
    options.pop("connection_verify", None)
    return ManagedIdentityCredential(client_id=settings.client_id, **options)


def _workload_identity(settings: AzureSettings, exchange: Exchange) -> Credential:
    return WorkloadIdentityCredential(client_id=settings.client_id, **_entra(settings, exchange))


def _environment(settings: AzureSettings, exchange: Exchange) -> Credential:
    return EnvironmentCredential(**_entra(settings, exchange))


def _cli(settings: AzureSettings, _exchange: Exchange) -> Credential:
    return AzureCliCredential(process_timeout=max(1, int(settings.timeout)))


def _entra(settings: AzureSettings, exchange: Exchange) -> dict[str, Any]:
    """Options of credentials that talk to Microsoft Entra ID, in whichever cloud."""
    options = _http(settings, exchange) | {"connection_timeout": settings.timeout}
    if settings.cloud.authority is not None:
        options["authority"] = settings.cloud.authority
    if settings.cloud.custom:
        options["disable_instance_discovery"] = True  # else the public cloud is asked whether the authority is genuine
    return options


def _http(settings: AzureSettings, exchange: Exchange) -> dict[str, Any]:
    """Options of every credential that makes HTTP requests."""
    return {
        "retry_total": 0,  # retries are with_retries' business: they know the deadline, and can be stopped
        "read_timeout": settings.timeout,
        "raw_request_hook": exchange.request,
        "raw_response_hook": exchange.response,
        "connection_verify": trusted(settings.ca_file),
    }
