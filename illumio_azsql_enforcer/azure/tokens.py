"""One source of tokens for every call: cached, renewed by one thread at a time, and lenient while a token is valid.

The SDK's own policy asks for a new token in the last five minutes of the old one, and fails the call when the token
service is down then, although the old token would still do. Here the old token is used while it is valid.
"""

import copy
import re
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import structlog
from azure.core.credentials import AccessTokenInfo, SupportsTokenInfo, TokenRequestOptions
from azure.core.exceptions import AzureError
from azure.core.pipeline import PipelineRequest, PipelineResponse

from illumio_azsql_enforcer.azure.failures import TokenServiceDown, asked_wait, told
from illumio_azsql_enforcer.errors import ArmUnauthenticated
from illumio_azsql_enforcer.text import sentence

RENEW_BEFORE = 300.0  # seconds before it expires that a token is renewed
USABLE_BEFORE = 30.0  # seconds before it expires that a token is no longer used
RENEW_PAUSE = 30.0  # seconds until a renewal that failed is tried again while the old token does
_JWT = re.compile(r"eyJ[\w-]{8,}(\.[\w-]*)*")
_HINTS = re.compile(r"^\s*(visit |to mitigate|troubleshoot|attempted credentials|\s*$)", re.IGNORECASE)

_log = structlog.get_logger()


class Credential(SupportsTokenInfo, Protocol):
    """What azure-identity's credentials offer."""

    def close(self) -> None:
        """End the connections."""
        ...


class Exchange:
    """What was seen of the last conversation with a token service; azure-identity's exceptions do not say."""

    def __init__(self) -> None:
        self.asked = False
        self.status: int | None = None
        self.retry_after: float | None = None

    def begin(self) -> None:
        """Forget the last conversation."""
        self.asked, self.status, self.retry_after = False, None, None

    def request(self, _request: PipelineRequest[Any]) -> None:
        """Seen by azure-core's `raw_request_hook`."""
        self.asked, self.status, self.retry_after = True, None, None

    def response(self, response: PipelineResponse[Any, Any]) -> None:
        """Seen by azure-core's `raw_response_hook`."""
        self.status = response.http_response.status_code
        self.retry_after = asked_wait(response.http_response.headers)

    @property
    def may_pass(self) -> bool:
        """Asked, and no verdict: no answer, or a status that the token services' guides say to try again."""
        return self.asked and (self.status is None or self.status in {404, 408, 410, 429} or self.status >= 500)


class TokenSource:
    """Gives the bearer token for one scope. Thread-safe.

    `open_credential` makes a credential whose requests report to the Exchange; a credential that failed is thrown away,
    because MSAL answers from its memory for a while after a failure, and because a certificate or secret may be new.
    """

    def __init__(self, open_credential: Callable[[Exchange], Credential], scope: str) -> None:
        self._open = open_credential
        self._scope = scope
        self._lock = threading.Lock()
        self._exchange = Exchange()
        self._credential: Credential | None = open_credential(self._exchange)
        self._held: AccessTokenInfo | None = None
        self._renew_at = 0.0
        self._rounds = 0
        self._failure: ArmUnauthenticated | None = None

    def token(self, claims: str | None = None) -> str:
        """A token; with `claims` (of a challenge) always a new one. Raises ArmUnauthenticated."""
        ready = None if claims else self._ready()
        return ready or self._renewed(claims)

    def forget(self, token: str) -> None:
        """ARM did not take this token: get another one next time."""
        with self._lock:
            if self._held is not None and self._held.token == token:
                self._held = None
                self._drop()

    def close(self) -> None:
        """End the connections to the token service."""
        with self._lock:
            self._drop()

    def _ready(self) -> str | None:
        held = self._held
        return held.token if held is not None and time.time() < self._renew_at else None

    def _renewed(self, claims: str | None) -> str:
        arrived = self._rounds
        with self._lock:
            ready = None if claims else self._ready()
            if ready:
                return ready  # another thread renewed it
            if self._rounds > arrived and self._failure is not None:
                raise copy.copy(self._failure)  # another thread asked meanwhile, in vain
            self._rounds += 1
            return self._ask(claims)

    def _ask(self, claims: str | None) -> str:
        try:
            held = self._credential_now().get_token_info(
                self._scope, options=TokenRequestOptions(claims=claims) if claims else TokenRequestOptions()
            )
        except (AzureError, ValueError, TypeError, KeyError, OSError) as error:
            self._drop()
            return self._fall_back(self._no_token(error), claims)
        self._failure, self._held = None, held
        self._renew_at = min(held.expires_on - RENEW_BEFORE, held.refresh_on or float("inf"))
        return held.token

    def _fall_back(self, failure: ArmUnauthenticated, claims: str | None) -> str:
        """The token that is still held, if it will do. Raises the failure else."""
        now, held = time.time(), self._held
        if claims or held is None or now >= held.expires_on - USABLE_BEFORE:
            self._failure = failure
            raise failure
        self._renew_at = now + RENEW_PAUSE
        _log.warning(
            "the token for Azure could not be renewed; the old one is used",
            reason=str(failure),
            still_valid_seconds=int(held.expires_on - now),
        )
        return held.token

    def _credential_now(self) -> Credential:
        self._exchange.begin()
        if self._credential is None:
            self._credential = self._open(self._exchange)
        return self._credential

    def _drop(self) -> None:
        credential, self._credential = self._credential, None
        if credential is not None:
            credential.close()

    def _no_token(self, error: Exception) -> ArmUnauthenticated:
        text = sayable(str(error))
        code = re.search(r"AADSTS\d+", text)
        kind = TokenServiceDown if self._exchange.may_pass else ArmUnauthenticated
        return kind(
            sentence(f"No token for Azure: {text}"),
            code=code.group() if code else None,
            retry_after=self._exchange.retry_after,
        )


def sayable(text: str) -> str:
    """The part of azure-identity's text that tells something, without anything that looks like a token.

    That is the line with Entra ID's own error where there is one, else all lines but the links to guides.
    """
    lines = _JWT.sub("***", text).splitlines()
    verdicts = [line for line in lines if "AADSTS" in line]
    return told(" ".join(verdicts[:1] or [line for line in lines if not _HINTS.match(line)]))
