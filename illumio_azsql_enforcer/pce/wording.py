"""The sentences that say what went wrong between us and the PCE, and whether trying again may help."""

import random
import socket
import ssl
import unicodedata
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec

from illumio_azsql_enforcer.clock import Clock
from illumio_azsql_enforcer.errors import (
    PceError,
    PceForbidden,
    PceInvalidAnswer,
    PceNotFound,
    PceRejected,
    PceThrottled,
    PceUnauthorized,
    PceUnavailable,
    PceUnreachable,
    SnapshotIncomplete,
)
from illumio_azsql_enforcer.model.settings import PceSettings
from illumio_azsql_enforcer.pce.answer import Answer
from illumio_azsql_enforcer.retrying import Again

LONGEST_QUOTE = 300  # characters of the PCE's own text in one sentence
LOCK_MESSAGE = "could not get a database lock"  # a 406 that passes
THROTTLED_TRIES = 7  # with waits that double from 2 s: more than the minute that the PCE counts in


class Failure(Exception):
    """A try that failed: the error for the operator, and how to try again (None: do not)."""

    def __init__(self, error: PceError, again: Again | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.again = again


class CutAnswer(PceInvalidAnswer):
    """The body ended too early; asking again may help."""


def plain(text: str, limit: int = LONGEST_QUOTE) -> str:
    """`text` on one line, without control, format or separator characters, at most `limit` characters."""
    shown = "".join(" " if unicodedata.category(each) in _UNPRINTABLE else each for each in text[: 8 * limit])
    line = " ".join(shown.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class Wording:
    """Sentences about one PCE. Its own text is quoted without control characters, bounded, never with the secret."""

    def __init__(self, settings: PceSettings) -> None:
        self._settings = settings
        self.place = f"The PCE at {urlsplit(settings.url).netloc}"

    def quote(self, text: str) -> str:
        """Text of the PCE, fit for a sentence: an echo of the secret is blanked out before anything is cut off."""
        for hidden in self._hidden():
            text = text.replace(hidden, "***")
        return plain(text)

    def _hidden(self) -> tuple[str, ...]:
        secret = self._settings.api_secret.reveal()
        pair = f"{self._settings.api_key}:{secret}".encode(errors="surrogateescape")
        return tuple(each for each in (b64encode(pair).decode(), secret) if each)

    # --- there is an answer

    def refused(self, path: str, answer: Answer, clock: Clock, tried: int) -> Failure:
        """What an answer means that is no 200."""
        if 300 <= answer.status < 400:
            return Failure(self._redirected(answer), None)
        kind = _kind(answer.status)
        token, said = self._said(answer.body)
        request_id = self.quote(answer.headers.get("X-Request-Id", "")) or None
        asked = answer.retry_after(clock)
        extra = "".join(
            (
                f" It says: {said}." if said else "",
                f" It asks to wait {asked:.0f} s." if asked is not None else "",
                f" Request id {request_id}." if request_id else "",
            )
        )
        error = kind(
            self._advice(path, answer.status) + extra, status=answer.status, token=token, request_id=request_id
        )
        return Failure(error, _again(answer.status, said, asked, tried))

    def _advice(self, path: str, status: int) -> str:
        org = self._settings.org_id
        known = {
            401: f"{self.place} refused the API key (401): check pce.api_key and pce.api_secret, or whether the "
            "key has expired.",
            403: f"{self.place} refused access to {path} (403): the key's role lacks a permission (Global Viewer has "
            f"all that is needed), or pce.org_id {org} is not this key's org.",
            404: f"{self.place} has no {path} (404): check pce.url and pce.org_id {org}.",
            407: "The proxy wants a user and a password (407): check the proxy's URL in the environment.",
            429: f"{self.place} throttles this API key (429): too many requests a minute are made with it.",
        }
        other = "cannot answer at the moment" if status >= 500 else "did not accept the request"
        return known.get(status, f"{self.place} {other} ({status} to GET {path}).")

    def _said(self, body: bytes | bytearray) -> tuple[str | None, str]:
        """The PCE's error token and its own words; nothing for HTML, an empty body or any other shape."""
        try:
            told = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None, ""
        first = told[0] if isinstance(told, list) and told else told
        if not isinstance(first, dict):
            return None, ""
        token, message = (self._text(first.get(key)) for key in ("token", "message"))
        said = ": ".join(each for each in (token, message) if each) or self._text(first.get("error"))
        return token or None, said.rstrip(". ")

    def _text(self, value: object) -> str:
        return self.quote(value) if isinstance(value, str) else ""

    def _redirected(self, answer: Answer) -> PceInvalidAnswer:
        target = answer.headers.get("Location", "")
        try:
            host = urlsplit(target).netloc.rpartition("@")[2]
        except ValueError:
            host = ""
        where = f"to {self.quote(host)}" if host else "elsewhere on the same host"
        return PceInvalidAnswer(
            f"{self.place} redirects {where} ({answer.status}); redirects are not followed: check pce.url.",
            status=answer.status,
        )

    def too_large(self, path: str) -> PceInvalidAnswer:
        limit = self._settings.max_response
        return PceInvalidAnswer(
            f"{self.place} sends more than pce.max_response ({limit:,} bytes, decompressed) for {path}: raise it if "
            "the estate is that large."
        )

    def cut(self, path: str) -> CutAnswer:
        return CutAnswer(f"{self.place} did not send its answer to {path} to the end, or sent it damaged.")

    def unreadable(self, path: str, why: str) -> PceInvalidAnswer:
        return PceInvalidAnswer(f"{self.place} answered {path} with {why}.")

    def late(self, path: str) -> SnapshotIncomplete:
        """The deadline of the read has passed."""
        return SnapshotIncomplete(
            f"{self.place} was not read within pce.deadline; it passed at {path}. Raise pce.deadline, or see why the "
            "PCE is slow."
        )

    # --- there is none

    def unreachable(self, raised: BaseException) -> Failure:
        """What it means that no answer came."""
        chain = list(_causes(raised))
        broken_tls = next((each for each in chain if isinstance(each, ssl.SSLError) and not _is_end(each)), None)
        return self._untrusted(broken_tls) if broken_tls else self._no_answer(self._why(chain))

    def _why(self, chain: list[BaseException]) -> str:
        names = {type(each).__name__ for each in chain}
        ca_file = self._settings.ca_file
        if unknown := next((each for each in chain if isinstance(each, socket.gaierror)), None):
            return f"its name cannot be resolved ({plain(str(unknown.strerror))}): check pce.url and DNS"
        if ca_file and not ca_file.is_file():
            return f"pce.ca_file ({ca_file}) is not there"
        if any("Timeout" in name for name in names):
            return f"it gave no answer within pce.timeout ({self._settings.timeout:g} s)"
        if known := next((why for name, why in _REASONS if name in names), None):
            return known
        return next((plain(each.strerror) for each in chain if isinstance(each, OSError) and each.strerror), min(names))

    def _no_answer(self, why: str) -> Failure:
        return Failure(PceUnreachable(f"{self.place} cannot be reached: {why}."), Again())

    def _untrusted(self, raised: ssl.SSLError) -> Failure:
        ca_file = self._settings.ca_file
        where = self.place[0].lower() + self.place[1:]
        trust = f"pce.ca_file ({ca_file})" if ca_file else "the system's CA certificates (pce.ca_file is not set)"
        if isinstance(raised, ssl.SSLCertVerificationError):
            why = plain(raised.verify_message or "it cannot be verified").rstrip(".")
            text = f"The certificate of {where} is not accepted, {why}: check {trust} and pce.url."
            return Failure(PceUnreachable(text), None)
        why = plain(raised.reason or "it was broken off")
        text = f"TLS with {where} fails ({why}): check scheme and port of pce.url, and {trust}."
        return Failure(PceUnreachable(text), Again(tries=3))


_CLOSED = "the connection was closed before the answer was whole"
_REASONS = (  # by the name of an exception anywhere in the chain
    ("ProxyError", "the proxy named in the environment does not let the request through, or is down"),
    ("ConnectionRefusedError", "it refuses connections: check host and port of pce.url, and whether the PCE is up"),
    ("ConnectionResetError", _CLOSED),
    ("BrokenPipeError", _CLOSED),
    ("RemoteDisconnected", _CLOSED),
    ("ProtocolError", _CLOSED),
    ("IncompleteRead", _CLOSED),
    ("SSLEOFError", _CLOSED),
)


def _is_end(raised: ssl.SSLError) -> bool:
    """Whether the connection just ended, which TLS reports as an error of its own."""
    return isinstance(raised, (ssl.SSLEOFError, ssl.SSLZeroReturnError))


def _kind(status: int) -> type[PceError]:
    if status < 400:
        return PceInvalidAnswer
    if status >= 500:
        return PceUnavailable
    return {401: PceUnauthorized, 403: PceForbidden, 404: PceNotFound, 429: PceThrottled}.get(status, PceRejected)


def _again(status: int, said: str, asked: float | None, tried: int) -> Again | None:
    """How to try again. Without a Retry-After a throttled key is left alone longer each time, for a minute in all."""
    if status == 429:
        own = min(30.0, 2.0 ** (tried + 1)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
        return Again(tries=THROTTLED_TRIES, wait=asked or own)
    if status >= 500:
        return Again(wait=asked or None)
    return Again() if status == 406 and LOCK_MESSAGE in said.lower() else None


def _causes(raised: BaseException | None) -> Iterator[BaseException]:
    """The exception and what is below it, outermost first: HTTP libraries wrap in causes, arguments and reasons."""
    todo, seen = [raised], set[int]()
    while todo:
        each = todo.pop(0)
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            todo += [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
