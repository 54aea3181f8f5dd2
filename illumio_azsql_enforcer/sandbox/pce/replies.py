"""How answers are written: compact JSON, error pages, and the headers that every answer carries."""

import gzip
import hashlib
import secrets

import msgspec

from illumio_azsql_enforcer.sandbox.wire import Reply, Request

JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html; charset=utf-8"}
NO_SUCH_PAGE = Reply(404, b"<!DOCTYPE html><html><head><title>404</title></head><body>Not Found</body></html>", HTML)
COMPRESSED_FROM = 1024  # bytes


def reply(status: int, value: object, headers: dict[str, str] | None = None) -> Reply:
    """An answer of compact JSON."""
    return Reply(status, msgspec.json.encode(value), {**JSON, **(headers or {})})


def error(status: int, token: str, message: str, headers: dict[str, str] | None = None) -> Reply:
    """An error with one token and message."""
    return reply(status, [{"token": token, "message": message}], headers)


def too_many_requests(wait: int | None) -> Reply:
    """429, with `Retry-After` in seconds or without it."""
    headers = {} if wait is None else {"Retry-After": str(wait)}
    return error(429, "too_many_requests_error", "Too many requests", headers)


def counts(total: int) -> dict[str, str]:
    """The headers that tell how many objects a collection, or what was found of it, has."""
    return {"X-Total-Count": str(total), "X-Matched-Count": str(total)}


def dressed(request: Request, answer: Reply) -> Reply:
    """The answer with the headers that every answer has, compressed when the client takes it."""
    headers = {"Cache-Control": "no-store", "X-Request-Id": secrets.token_hex(16), **answer.headers}
    if answer.status == 200:
        headers["ETag"] = f'W/"{hashlib.blake2b(answer.body, digest_size=16).hexdigest()}"'
    if len(answer.body) < COMPRESSED_FROM or "gzip" not in request.headers.get("accept-encoding", ""):
        return Reply(answer.status, answer.body, headers)
    packed = gzip.compress(answer.body, compresslevel=1)
    return Reply(answer.status, packed, {**headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"})
