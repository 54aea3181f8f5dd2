"""The token services: IMDS and the App Service endpoint for managed identities, and the STS that issues the tokens."""

import base64
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from illumio_azsql_enforcer.clock import Clock
from illumio_azsql_enforcer.sandbox.arm.chance import Chance
from illumio_azsql_enforcer.sandbox.wire import NOT_SHOWN, Reply, Request

JWT_BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class Token:
    """What an issued token stands for."""

    principal: str  # object id
    client_id: str
    resource: str  # without a slash at the end
    issued: float  # monotonic seconds
    issued_at: datetime
    expires_at: datetime


@dataclass(slots=True)
class Identity:
    """An application or a managed identity that tokens are issued to."""

    client_id: str
    object_id: str
    client_secret: str = field(default="", repr=False)
    secret_expired: bool = False
    certificates: list[x509.Certificate] = field(default_factory=list)
    federated_tokens: set[str] = field(default_factory=set, repr=False)


class TokenStore:
    """Issues random tokens and knows what they stand for. `lifetime` is in seconds on the simulator's clock."""

    def __init__(self, clock: Clock, chance: Chance, *, lifetime: float = 3600.0) -> None:
        self.clock, self.lifetime = clock, lifetime
        self._chance = chance
        self.issued = 0  # how many so far
        self.challenge_before = float("-inf")  # monotonic: tokens older than this are challenged
        self._lock = threading.Lock()
        self._tokens: dict[str, Token] = {}

    def issue(self, identity: Identity, resource: str) -> tuple[str, Token]:
        """A new token for one resource."""
        now = self.clock.now()
        expires = now + timedelta(seconds=self.lifetime)
        text = "sandbox." + self._chance.hex(32)
        name = normal_resource(resource)
        token = Token(identity.object_id, identity.client_id, name, self.clock.monotonic(), now, expires)
        with self._lock:
            self.issued += 1
            self._tokens[text] = token
        return text, token

    def find(self, text: str) -> Token | None:
        """What a token stands for, expired or not; None when it was never issued."""
        with self._lock:
            return self._tokens.get(text)

    def expire_all(self) -> None:
        """Every token issued so far is expired from now on."""
        with self._lock:
            now = self.clock.now()
            self._tokens = {
                text: Token(t.principal, t.client_id, t.resource, t.issued, t.issued_at, min(t.expires_at, now))
                for text, t in self._tokens.items()
            }

    def forget_all(self) -> None:
        """No token issued so far is known any more."""
        with self._lock:
            self._tokens.clear()


def normal_resource(resource: str) -> str:
    """A resource or a scope in one spelling: no `/.default`, no slash at the end, lower case."""
    return resource.strip().removesuffix("/.default").rstrip("/").lower()


def oauth_error(status: int, error: str, description: str, *codes: int) -> Reply:
    """An error of a token endpoint; `codes` are the AADSTS numbers."""
    more = {"error_codes": list(codes)} if codes else {}
    return Reply.json(status, {"error": error, "error_description": description, **more})


class ManagedIdentities:
    """`GET /metadata/identity/oauth2/token` (IMDS) and `GET /msi/token` (App Service)."""

    def __init__(
        self, store: TokenStore, system: Identity, user_assigned: Mapping[str, Identity], *, header: str
    ) -> None:
        self._store, self._system, self._user_assigned = store, system, user_assigned
        self._header = header  # IDENTITY_HEADER of the App Service endpoint

    def answer(self, request: Request) -> Reply:
        """The token, or why there is none."""
        at = request.decoded.rstrip("/").lower()
        if request.method != "GET" or at not in ("/metadata/identity/oauth2/token", "/msi/token"):
            return oauth_error(404, "not_found", "There is nothing here.")
        refused = self._refused_imds(request) if at.startswith("/metadata") else self._refused_app_service(request)
        return refused or self._token(request)

    def _refused_imds(self, request: Request) -> Reply | None:
        if request.headers.get("metadata", "").lower() != "true":
            return oauth_error(400, "invalid_request", "Required metadata header not specified")
        if "x-forwarded-for" in request.headers:
            return oauth_error(400, "invalid_request", "Request contains an X-Forwarded-For header")
        return None

    def _refused_app_service(self, request: Request) -> Reply | None:
        if request.secrets.get("x-identity-header") is None:
            return oauth_error(401, "unauthorized", "Required X-IDENTITY-HEADER header not specified")
        if request.secrets["x-identity-header"].reveal() != self._header:
            return oauth_error(401, "unauthorized", "The X-IDENTITY-HEADER header is wrong")
        return None

    def _token(self, request: Request) -> Reply:
        version, resource = request.query.get("api-version"), request.query.get("resource")
        if not version:
            return oauth_error(400, "invalid_request", "Required query variable 'api-version' is missing")
        if not resource:
            return oauth_error(400, "invalid_request", "Required query variable 'resource' is missing")
        identity = self._identity(request.query)
        if identity is None:
            return oauth_error(400, "invalid_request", "Identity not found")
        text, token = self._store.issue(identity, resource)
        request.effect = f"token for {identity.client_id}"
        lifetime = str(int(self._store.lifetime))
        return Reply.json(
            200,
            {
                "access_token": text,
                "client_id": identity.client_id,
                "expires_in": lifetime,
                "expires_on": str(int(token.expires_at.timestamp())),
                "ext_expires_in": lifetime,
                "not_before": str(int(token.issued_at.timestamp())),
                "resource": resource,
                "token_type": "Bearer",
            },
        )

    def _identity(self, query: Mapping[str, str]) -> Identity | None:
        chosen = [
            query[name]
            for name in ("client_id", "object_id", "principal_id", "msi_res_id", "mi_res_id")
            if name in query
        ]
        if not chosen:
            return self._system
        return next((i for i in self._user_assigned.values() if chosen[0] in (i.client_id, i.object_id)), None)


class TokenAuthority:
    """The STS: the OpenID document and the client-credentials grant of one tenant."""

    def __init__(self, store: TokenStore, tenant: str, applications: Mapping[str, Identity]) -> None:
        self._store, self._tenant, self._applications = store, tenant, applications
        self.url = ""  # of the authority, once it listens

    def answer(self, request: Request) -> Reply:
        """A document, a token, or why there is none."""
        form = dict(parse_qsl(request.body.decode("utf-8", "replace")))
        request.body = NOT_SHOWN.encode() if request.body else b""  # secrets and assertions are in there
        tenant, _, rest = request.decoded.strip("/").partition("/")
        if tenant.lower() != self._tenant:
            return oauth_error(400, "invalid_tenant", f"AADSTS90002: Tenant '{tenant}' not found.", 90002)
        match request.method, rest.lower():
            case "GET", "v2.0/.well-known/openid-configuration":
                return Reply.json(200, self._document())
            case "POST", "oauth2/v2.0/token":
                return self._grant(request, form)
        return oauth_error(404, "not_found", "There is nothing here.")

    def _document(self) -> dict[str, object]:
        base = f"{self.url}/{self._tenant}"
        return {
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": f"{base}/discovery/v2.0/keys",
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "issuer": f"{base}/v2.0",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
        }

    def _grant(self, request: Request, form: Mapping[str, str]) -> Reply:
        if form.get("grant_type") != "client_credentials":
            return oauth_error(
                400, "unsupported_grant_type", "AADSTS70003: The app requested an unsupported grant type.", 70003
            )
        identity = self._applications.get(form.get("client_id", "").lower())
        if identity is None:
            text = f"AADSTS700016: Application with identifier '{form.get('client_id', '')}' was not found."
            return oauth_error(400, "unauthorized_client", text, 700016)
        if not form.get("scope", "").endswith("/.default"):
            return oauth_error(
                400, "invalid_scope", "AADSTS70011: The provided request must include a 'scope' input parameter.", 70011
            )
        return self._refused(identity, form) or self._issue(request, identity, form["scope"])

    def _refused(self, identity: Identity, form: Mapping[str, str]) -> Reply | None:
        if "client_assertion" in form:
            return (
                None
                if self._proven(identity, form)
                else oauth_error(
                    401,
                    "invalid_client",
                    "AADSTS700027: The client assertion is not valid.",
                    700027,
                )
            )
        if identity.secret_expired:
            return oauth_error(
                401, "invalid_client", "AADSTS7000222: The provided client secret keys are expired.", 7000222
            )
        if not identity.client_secret or form.get("client_secret") != identity.client_secret:
            return oauth_error(401, "invalid_client", "AADSTS7000215: Invalid client secret provided.", 7000215)
        return None

    def _proven(self, identity: Identity, form: Mapping[str, str]) -> bool:
        assertion = form["client_assertion"]
        if form.get("client_assertion_type") != JWT_BEARER:
            return False
        return assertion in identity.federated_tokens or any(
            signed_by(assertion, certificate) for certificate in identity.certificates
        )

    def _issue(self, request: Request, identity: Identity, scope: str) -> Reply:
        text, _ = self._store.issue(identity, scope)
        request.effect = f"token for {identity.client_id}"
        lifetime = int(self._store.lifetime)
        return Reply.json(
            200, {"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": text}
        )


def signed_by(assertion: str, certificate: x509.Certificate) -> bool:
    """Whether a JWT (RS256 or PS256) names the certificate's thumbprint and carries its key's signature."""
    head, _, signature = assertion.rpartition(".")
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        return False
    try:
        header = json.loads(_unbase64(head.partition(".")[0]))
        scheme = _scheme(header["alg"])
        key.verify(_unbase64(signature), head.encode(), scheme, hashes.SHA256())
    except (ValueError, KeyError, InvalidSignature):
        return False
    return _names(header, certificate)


def _scheme(algorithm: str) -> padding.AsymmetricPadding:
    if algorithm == "PS256":
        return padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
    if algorithm == "RS256":
        return padding.PKCS1v15()
    raise ValueError(algorithm)


def _names(header: Mapping[str, str], certificate: x509.Certificate) -> bool:
    wanted = {
        "x5t#S256": certificate.fingerprint(hashes.SHA256()),
        "x5t": certificate.fingerprint(hashes.SHA1()),  # noqa: S303 - the format's thumbprint, not a protection
    }
    return any(name in header and _unbase64(header[name]) == digest for name, digest in wanted.items())


def _unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
