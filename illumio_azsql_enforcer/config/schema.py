"""Every key of the config file, in the order of config.example.yaml, with its reader."""

from collections.abc import Callable
from typing import Any

from illumio_azsql_enforcer.config import web
from illumio_azsql_enforcer.config.document import Mapping, Scalar, Sequence
from illumio_azsql_enforcer.config.scalars import (
    absolute_path,
    addresses,
    block,
    boolean,
    ca_file,
    choice,
    duration,
    guid,
    integer,
    matching,
    size,
    text,
    word,
)
from illumio_azsql_enforcer.config.sections import Key, Section, list_of, mapping_of, settings
from illumio_azsql_enforcer.config.slots import Slot
from illumio_azsql_enforcer.model.settings import (
    AddressSource,
    AzureSettings,
    Cloud,
    Config,
    CredentialKind,
    EnforcementSettings,
    GuardSettings,
    HttpSettings,
    Mode,
    NatEntry,
    NotifySettings,
    PceSettings,
    PolicySettings,
    ServerOverride,
    ServerSettings,
)
from illumio_azsql_enforcer.secret import Secret

CLOUDS = {
    "AzureCloud": Cloud(
        resource_manager="https://management.azure.com",
        authority="https://login.microsoftonline.com",
        audience="https://management.azure.com",
    ),
    "AzureUSGovernment": Cloud(
        resource_manager="https://management.usgovcloudapi.net",
        authority="https://login.microsoftonline.us",
        audience="https://management.core.usgovcloudapi.net",
    ),
    "AzureChinaCloud": Cloud(
        resource_manager="https://management.chinacloudapi.cn",
        authority="https://login.chinacloudapi.cn",
        audience="https://management.chinacloudapi.cn",
    ),
}


def _variable(name: str) -> Callable[[Slot], Scalar | None]:
    """A standby for a key: the environment variable `name`, where it is set."""

    def standby(slot: Slot) -> Scalar | None:
        value = slot.environ.get(name, "")
        return Scalar(value, "str", slot.line, origin=name) if value else None

    return standby


# --- pce

_API_SECRET = matching(r"[!-~]+", "the secret as the PCE gave it, without blanks")
_API_KEY = matching(r"[A-Za-z0-9_-]+", "the auth username of the key, such as api_1a2b3c4d5e6f")


def _api_key(slot: Slot) -> str:
    value = _API_KEY(slot)
    return value if value.startswith("api_") else f"api_{value}"


def _api_secret(slot: Slot) -> Secret:
    return Secret(_API_SECRET(slot))


_PCE = Section(
    settings(PceSettings),
    {
        "url": Key(
            web.base_url,
            example="write url: https://pce.example.com:8443, or set $ILLUMIO_PCE_HOST",
            standby=web.pce_from_environment,
        ),
        "org_id": Key(
            integer(1),
            example="write org_id: 1, or set $ILLUMIO_PCE_ORG_ID",
            standby=_variable("ILLUMIO_PCE_ORG_ID"),
        ),
        "api_key": Key(
            _api_key,
            example="write api_key: api_1a2b3c4d5e6f, or set $ILLUMIO_API_KEY_USERNAME",
            secret=True,  # so that a secret put here by mistake is not shown
            standby=_variable("ILLUMIO_API_KEY_USERNAME"),
        ),
        "api_secret": Key(
            _api_secret,
            example="write api_secret: ${credential:pce-api-secret}, or set $ILLUMIO_API_KEY_SECRET",
            secret=True,
            standby=_variable("ILLUMIO_API_KEY_SECRET"),
        ),
        "ca_file": Key(ca_file),
        "timeout": Key(duration("1s", "1h")),
        "deadline": Key(duration("1s", "24h")),
        "max_response": Key(size),
    },
)


# --- azure


def _custom_cloud(_slot: Slot, values: dict[str, Any]) -> Cloud:
    manager = values["resource_manager"]
    return Cloud(manager, values.get("authority"), values.get("audience", manager), custom=True)


_CLOUD = Section(
    _custom_cloud,
    {
        "resource_manager": Key(web.base_url, example="write resource_manager: https://HOST"),
        "authority": Key(web.https_url),
        "audience": Key(web.audience),
    },
)


def _cloud(slot: Slot) -> Cloud:
    return _CLOUD(slot) if isinstance(slot.node, Mapping) else choice(CLOUDS)(slot)


def _subscriptions(slot: Slot) -> tuple[str, ...] | None:
    if isinstance(slot.node, Scalar) and word(slot) == "all":
        return None
    if not isinstance(slot.node, Sequence):
        raise slot.wrong("neither a list nor the word all; write [00000000-0000-0000-0000-000000000000], or all")
    found = list_of(guid, least=1)(slot)
    _refuse_twice(slot, found, "the subscription")
    return found


def _refuse_twice(slot: Slot, found: tuple[object, ...], what: str) -> None:
    for at, item in enumerate(found):
        if item in found[:at]:
            raise slot.items()[at].wrong(f"{what} is there twice; keep one")


def _azure(_slot: Slot, values: dict[str, Any]) -> AzureSettings:
    return AzureSettings(**{"cloud": CLOUDS["AzureCloud"], **values})


_AZURE = Section(
    _azure,
    {
        "cloud": Key(_cloud, inner=_CLOUD),
        "subscriptions": Key(
            _subscriptions, example="write subscriptions: [00000000-0000-0000-0000-000000000000], or the word all"
        ),
        "credential": Key(choice({str(kind): kind for kind in CredentialKind})),
        "client_id": Key(guid),
        "ca_file": Key(ca_file),
        "timeout": Key(duration("1s", "1h")),
        "deadline": Key(duration("1s", "24h")),
        "concurrency": Key(integer(1, 64)),
    },
)


# --- servers

_MODE = choice({str(mode): mode for mode in Mode})
_PATTERNS = list_of(text)
_SERVER_NAME = matching(r"[A-Za-z0-9-]{1,63}", "the plain name of a server, without its domain and without patterns")


def _server_name(slot: Slot) -> str:
    return _SERVER_NAME(slot).lower()


_OVERRIDE = Section(
    settings(ServerOverride),
    {"mode": Key(_MODE), "labels": Key(mapping_of(text, text))},
)

_SERVERS = Section(
    settings(ServerSettings),
    {
        "include": Key(_PATTERNS),
        "exclude": Key(_PATTERNS),
        "tag_labels": Key(mapping_of(text, text)),
        "overrides": Key(mapping_of(_server_name, _OVERRIDE), inner=_OVERRIDE),
    },
)


# --- policy

_SOURCES = {str(source): source for source in AddressSource}
_SOURCE_WORDS = {word: frozenset({source}) for word, source in _SOURCES.items()} | {"both": frozenset(AddressSource)}


def _address_sources(slot: Slot) -> frozenset[AddressSource]:
    if isinstance(slot.node, Sequence):
        return frozenset(list_of(choice(_SOURCES), least=1)(slot))
    return choice(_SOURCE_WORDS)(slot)


def _ports(slot: Slot) -> tuple[int, ...]:
    return tuple(dict.fromkeys(list_of(integer(1, 65535), least=1)(slot)))


_NAT_ENTRY = Section(
    settings(NatEntry),
    {
        "private": Key(block, example="write private: 10.20.0.0/16"),
        "public": Key(list_of(addresses, least=1), example="write public: [203.0.113.7]"),
    },
)


def _nat(slot: Slot) -> tuple[NatEntry, ...]:
    found = list_of(_NAT_ENTRY)(slot)
    _refuse_twice(slot, tuple(entry.private for entry in found), "the private block of this entry")
    return found


_POLICY = Section(
    settings(PolicySettings),
    {
        "ports": Key(_ports),
        "addresses": Key(_address_sources),
        "nat": Key(_nat, inner=_NAT_ENTRY),
        "private_ranges": Key(choice({"skip": False, "keep": True}), field="keep_private_ranges"),
        "skip_offline": Key(boolean),
    },
)


# --- enforcement


def _enforcement(slot: Slot, values: dict[str, Any]) -> EnforcementSettings:
    """A full sync that is not set is never more frequent than the cycles; one that is set must fit."""
    made = EnforcementSettings(**values)
    if made.full_sync_interval >= made.interval:
        return made
    if "full_sync_interval" not in values:
        return EnforcementSettings(**values, full_sync_interval=made.interval)
    place = next(value for _name, value in slot.entries() if value.key.endswith(".full_sync_interval"))
    raise place.wrong(f"shorter than interval ({made.interval:.0f}s); write at least that")


_GUARDS = Section(
    settings(GuardSettings),
    {
        "max_revoked": Key(integer(0)),
        "max_revoked_percent": Key(integer(0, 100)),
        "never_empty": Key(boolean),
        "widest_range": Key(integer(0, 32)),
    },
)

_ENFORCEMENT = Section(
    _enforcement,
    {
        "mode": Key(_MODE, example="write mode: observe, upsert, sync or authoritative; begin with observe"),
        "owner": Key(
            matching(r"[a-z0-9][a-z0-9-]{0,31}", "1 to 32 lower-case letters, digits or dashes, no dash at the start")
        ),
        "interval": Key(duration("10s", "24h")),
        "full_sync_interval": Key(duration("10s", "168h")),
        "protected_rules": Key(_PATTERNS),
        "allow_azure_services": Key(choice({"keep": False, "remove": True}), field="remove_azure_services"),
        "max_rules": Key(integer(1)),
        "guards": Key(_GUARDS),
    },
)


# --- the rest

_HTTP = Section(settings(HttpSettings), {"listen": Key(web.listen)})
_NOTIFY = Section(settings(NotifySettings), {"webhook": Key(web.webhook, secret=True)})


def _state_directory(slot: Slot) -> Scalar | None:
    """The first path of $STATE_DIRECTORY, which systemd sets, separated by colons."""
    first = slot.environ.get("STATE_DIRECTORY", "").split(":")[0]
    return Scalar(first, "str", slot.line, origin="STATE_DIRECTORY") if first else None


CONFIG = Section(
    settings(Config),
    {
        "pce": Key(_PCE),
        "azure": Key(_AZURE),
        "servers": Key(_SERVERS),
        "policy": Key(_POLICY),
        "enforcement": Key(_ENFORCEMENT),
        "http": Key(_HTTP),
        "notify": Key(_NOTIFY),
        "state_dir": Key(absolute_path, standby=_state_directory),
    },
)
