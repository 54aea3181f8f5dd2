"""Azure Resource Graph: finds servers, some time behind ARM, and knows nothing of firewall rules."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from illumio_azsql_enforcer.sandbox.arm import errors, kql
from illumio_azsql_enforcer.sandbox.arm.frontdoor import Call
from illumio_azsql_enforcer.sandbox.arm.records import SqlServer
from illumio_azsql_enforcer.sandbox.arm.state import ArmState
from illumio_azsql_enforcer.sandbox.arm.switches import Switches
from illumio_azsql_enforcer.sandbox.wire import Reply

WINDOW = 5.0  # seconds
TABLES = ("resources", "resourcecontainers")
TABULAR_VERSIONS = ("2018-09-01-preview", "2019-04-01", "2020-04-01-preview")  # where a table is the default format


class ResourceGraph:
    """`POST /providers/Microsoft.ResourceGraph/resources`."""

    def __init__(self, state: ArmState, switches: Switches) -> None:
        self._state, self._switches = state, switches
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[float, int]] = {}  # principal -> start of the window, queries in it

    def answer(self, call: Call) -> Reply:
        """The page of rows that the query gives."""
        if call.request.method != "POST":
            raise errors.method_not_allowed(call.request.method)
        quota = self._take_quota(call)
        document = _document(call)
        reply = self._page(call, document, self._rows(call, document))
        return Reply(reply.status, reply.body, {**reply.headers, **quota})

    def _take_quota(self, call: Call) -> dict[str, str]:
        now, principal = self._state.clock.monotonic(), call.token.principal
        with self._lock:
            start, used = self._windows.get(principal, (now, 0))
            if now - start >= WINDOW:
                start, used = now, 0
            left = self._switches.graph_quota - used
            self._windows[principal] = (start, used + (left > 0))
        resets = max(1, round(start + WINDOW - now))
        headers = {
            "x-ms-user-quota-remaining": str(max(0, left - 1)),
            "x-ms-user-quota-resets-after": f"00:00:{resets:02}",
        }
        if left <= 0:
            raise self._throttled(headers, resets)
        return headers

    def _throttled(self, headers: Mapping[str, str], resets: int) -> errors.Refusal:
        wait = {"Retry-After": str(resets)} if self._switches.graph_retry_after else {}
        text = (
            "Client application has been throttled and should not attempt to repeat the request until an amount "
            "of time has elapsed. Please see https://aka.ms/resourcegraph-throttling for help."
        )
        detail = {"details": [{"code": "RateLimiting", "message": text}]}
        reply = errors.error_reply(429, "RateLimiting", "Too many queries.", headers={**headers, **wait}, more=detail)
        return errors.Refusal(reply)

    def _rows(self, call: Call, document: Mapping[str, Any]) -> list[kql.Row]:
        query = _query(document)
        subscriptions = self._subscriptions(call, document)
        with self._state.mutex:
            rows = self._resources(call) if query.table == "resources" else self._containers()
        return query.run(row for row in rows if row["subscriptionId"] in subscriptions)

    def _subscriptions(self, call: Call, document: Mapping[str, Any]) -> set[str]:
        grants, principal = self._state.grants, call.token.principal
        known = {s for s in self._state.subscriptions if grants.touches(f"/subscriptions/{s}", principal)}
        given = document.get("subscriptions")
        wanted = known if given is None else known & {str(s).lower() for s in given}
        if not wanted:
            text = f"There must be at least one subscription that is eligible to contain resources. Given: '{given}'."
            raise _bad_request("NoValidSubscriptionsInQueryRequest", text)
        return wanted

    def _resources(self, call: Call) -> Iterable[kql.Row]:
        then = self._state.clock.monotonic() - self._switches.graph_lag
        for history in self._state.graph_history.values():
            known = [(server, body) for since, server, body in history if since <= then]
            if known and known[-1][1] is not None:
                server, body = known[-1]
                if self._readable(call, str(body["id"] if body else "")):
                    yield _row(server, dict(body or {}))

    def _containers(self) -> Iterable[kql.Row]:
        for subscription in self._state.subscriptions.values():
            own = {"id": f"/subscriptions/{subscription.id}", "name": subscription.name}
            yield {
                **own,
                "type": "microsoft.resources/subscriptions",
                "subscriptionId": subscription.id,
                "properties": {},
            }

    def _readable(self, call: Call, server_id: str) -> bool:
        return self._state.grants.allowed("Microsoft.Sql/servers/read", server_id, call.token.principal)

    def _page(self, call: Call, document: Mapping[str, Any], rows: list[kql.Row]) -> Reply:
        options = document.get("options") or {}
        size = min(int(options.get("$top", self._switches.graph_page_limit)), self._switches.graph_page_limit)
        digest = hashlib.sha256(f"{document['query']}|{document.get('subscriptions')}".encode()).hexdigest()[:16]
        start = _start(options.get("$skipToken"), digest, int(options.get("$skip", 0)))
        page = rows[start : start + size]
        more = start + size < len(rows)
        body: dict[str, object] = {"totalRecords": len(rows), "count": len(page)}
        tabular = options.get("resultFormat", "table" if call.version in TABULAR_VERSIONS else "objectArray") == "table"
        body |= {"data": _table(page) if tabular else page, "facets": [], "resultTruncated": str(more).lower()}
        if more and all("id" in row for row in page):  # without the id column there is no paging
            body["$skipToken"] = base64.urlsafe_b64encode(json.dumps([start + size, digest]).encode()).decode()
        return Reply.json(200, body)


def _document(call: Call) -> dict[str, Any]:
    try:
        document = call.request.json()
    except ValueError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("query"), str):
        raise _bad_request("InvalidPayload", "The request has no query.")
    return document


def _query(document: Mapping[str, Any]) -> kql.Query:
    try:
        query = kql.parse(document["query"])
    except ValueError as problem:
        raise _bad_request("ParserFailure", str(problem)) from problem
    if query.table not in TABLES:
        raise _bad_request("DisallowedLogicalTableName", f"Table {query.table} is invalid, unsupported or disallowed.")
    return query


def _start(token: str | None, digest: str, skip: int) -> int:
    if token is None:
        return skip
    try:
        start, of_query = json.loads(base64.urlsafe_b64decode(token))
    except ValueError:
        start, of_query = 0, ""
    if of_query != digest:
        raise _bad_request("InvalidSkipToken", "The skip token does not belong to this query.")
    return int(start)


def _row(server: SqlServer, body: dict[str, Any]) -> kql.Row:
    """Resource Graph spells the type and the group in lower case."""
    places = {"subscriptionId": server.subscription, "resourceGroup": str(body["id"]).split("/")[4].lower()}
    return {**body, **places, "type": "microsoft.sql/servers", "tags": body.get("tags"), "tenantId": ""}


def _table(rows: list[kql.Row]) -> dict[str, object]:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    named = [{"name": name, "type": "object" if name in ("tags", "properties") else "string"} for name in columns]
    return {"columns": named, "rows": [[row.get(name) for name in columns] for row in rows]}


def _bad_request(code: str, message: str) -> errors.Refusal:
    detail = {"details": [{"code": code, "message": message}]}
    text = "Please provide below info when asking for support: the correlation id of this answer."
    return errors.Refusal(errors.error_reply(400, "BadRequest", text, more=detail))
