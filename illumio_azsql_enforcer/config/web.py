"""Readers of web addresses and of `HOST:PORT`."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import SplitResult, urlsplit

from illumio_azsql_enforcer.config.document import Scalar
from illumio_azsql_enforcer.config.scalars import text
from illumio_azsql_enforcer.config.slots import Slot
from illumio_azsql_enforcer.connections import is_loopback
from illumio_azsql_enforcer.secret import Secret

_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_NAME = re.compile(rf"(?=.{{1,253}}$)(?:{_LABEL}\.)*(?![0-9.]*$){_LABEL}\.?")
_ON_PREMISES_PORT = 8443
_SAAS_PORT = 443
_SAAS_DOMAIN = ".illum.io"


def base_url(slot: Slot) -> str:
    """`scheme://host` or `scheme://host:port`: https, or http on a loopback address; no path, no user."""
    parts = _parts(slot)
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise slot.wrong(f"{_shown(slot)} goes on after the port; write only https://HOST:PORT")
    return _origin(parts)


def https_url(slot: Slot) -> str:
    """An https address, perhaps with a path, without the slash at its end."""
    parts = _parts(slot)
    if parts.scheme != "https" or parts.query or parts.fragment:
        raise slot.wrong(f"{_shown(slot)} does not fit; write https://HOST, and nothing after the path")
    return _origin(parts) + parts.path.rstrip("/")


def audience(slot: Slot) -> str:
    """The audience of a token: an address like `resource_manager`, perhaps with a path."""
    parts = _parts(slot)
    return _origin(parts) + parts.path.rstrip("/")


def webhook(slot: Slot) -> Secret:
    """An address to post to; all of it may be secret, its user, path and query."""
    _parts(replace(slot, secret=True), user=True)
    return Secret(text(slot))


def listen(slot: Slot) -> tuple[str, int]:
    """`HOST:PORT`, the host of IPv6 in brackets."""
    host, colon, port = text(slot, "HOST:PORT, such as 127.0.0.1:9464").rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    known = _NAME.fullmatch(bare) or _address(bare)
    bracketed = ":" not in bare or bare != host
    if not colon or not known or not bracketed or not _is_port(port):
        raise slot.wrong(f"{slot.shown} is no address to listen on; write HOST:PORT, such as 127.0.0.1:9464")
    return bare, int(port)


def pce_from_environment(slot: Slot) -> Scalar | None:
    """The address that ILLUMIO_PCE_HOST and ILLUMIO_PCE_PORT make, None when the first is not set.

    The host may hold a scheme and a port. Without any port: what the scheme means where there is one, 443 for Illumio's
    own cloud, 8443 for a PCE on premises.
    """
    host = slot.environ.get("ILLUMIO_PCE_HOST", "").strip()
    if not host:
        return None
    address = host if "://" in host else f"https://{_bracketed(host)}"
    port = _port_to_add(slot, address, plain="://" not in host, environ=slot.environ)
    return Scalar(f"{address.rstrip('/')}{port}", "str", slot.line, origin="ILLUMIO_PCE_HOST")


def _port_to_add(slot: Slot, address: str, *, plain: bool, environ: Mapping[str, str]) -> str:
    own = re.search(r":([0-9]*)/?$", address)
    wanted = environ.get("ILLUMIO_PCE_PORT", "").strip()
    if wanted and not _is_port(wanted):
        raise slot.wrong("the value of $ILLUMIO_PCE_PORT is no port; set it to a number from 1 to 65535")
    if own and wanted and own[1] != wanted:
        raise slot.wrong("$ILLUMIO_PCE_HOST holds another port than $ILLUMIO_PCE_PORT; unset one of them")
    if own or not (wanted or plain):
        return ""
    usual = _SAAS_PORT if address.lower().endswith(_SAAS_DOMAIN) else _ON_PREMISES_PORT
    return f":{wanted or usual}"


def _is_port(port: str) -> bool:
    return re.fullmatch(r"[1-9][0-9]{0,4}", port) is not None and int(port) <= 65535


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and _address(host) else host


def _parts(slot: Slot, *, user: bool = False) -> SplitResult:
    """The parts of an address with a sound scheme, host and port."""
    value = text(slot)
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise slot.wrong(f"{_shown(slot)} is no web address; write it as https://HOST:PORT") from None
    host = parts.hostname or ""
    if (
        parts.scheme not in {"http", "https"}
        or " " in value
        or port == 0
        or not (_NAME.fullmatch(host) or _address(host))
    ):
        raise slot.wrong(f"{_shown(slot)} is no web address; write it as https://HOST:PORT")
    if "@" in parts.netloc and not user:
        raise slot.wrong("the address holds a user name; write it as https://HOST:PORT")
    if parts.scheme == "http" and not is_loopback(host):
        raise slot.wrong(f"{_shown(slot)} is not encrypted; write https:// (http is for a loopback address only)")
    return parts


def _shown(slot: Slot) -> str:
    """The address, unless it may hold a password."""
    return replace(slot, secret=slot.secret or (isinstance(slot.node, Scalar) and "@" in slot.node.text)).shown


def _origin(parts: SplitResult) -> str:
    host = parts.hostname or ""
    port = "" if parts.port is None else f":{parts.port}"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host) if "%" not in host else None
    except ValueError:
        return None
