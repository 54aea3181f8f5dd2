"""A PCE of plain dictionaries, answering through `responses`: paths to bodies, with the headers a PCE sends."""

import json
import re
from collections.abc import Callable
from typing import Any

import responses
from requests import PreparedRequest

from illumio_azsql_enforcer.model.settings import PceSettings
from illumio_azsql_enforcer.secret import Secret

URL = "https://pce.example.com:8443"
ACTIVE = "/orgs/7/sec_policy/active"
KEY = "api_1a2b3c4d5e6f"
SECRET = "5ecret-of-the-key-0123456789abcdef"

Reply = tuple[int, dict[str, str], str | bytes]
Handler = Callable[[PreparedRequest], Reply]


def settings(**changed: Any) -> PceSettings:
    given: dict[str, Any] = {"url": URL, "org_id": 7, "api_key": KEY, "api_secret": Secret(SECRET)} | changed
    return PceSettings(**given)


def listed(objects: list[Any], *, total: int | None = None, cap: int = 500) -> Reply:
    """A synchronous answer: cut at `cap`, the whole count in the header."""
    count = len(objects) if total is None else total
    return 200, {"X-Total-Count": str(count)}, json.dumps(objects[:cap])


def version(number: int = 80, **counts: int) -> Reply:
    body = {"href": f"/orgs/7/sec_policy/{number}", "version": number, "object_counts": counts}
    return 200, {}, json.dumps(body)


def gone() -> Reply:
    return 404, {"Content-Type": "text/html"}, "<html>Not Found</html>"


def rule(rule_set: int, number: int) -> dict[str, Any]:
    return {
        "href": f"{ACTIVE}/rule_sets/{rule_set}/sec_rules/{number}",
        "enabled": True,
        "providers": [{"actors": "ams"}],
        "consumers": [{"ip_list": {"href": f"{ACTIVE}/ip_lists/14"}}],
        "ingress_services": [{"port": 1433, "proto": 6}],
    }


def rule_set(number: int = 40, **changed: Any) -> dict[str, Any]:
    href = f"{ACTIVE}/rule_sets/{number}"
    base = {"href": href, "name": f"set {number}", "enabled": True, "scopes": [[]], "rules": [rule(number, 1)]}
    return base | {"deny_rules": []} | changed


class FakePce:
    """`answers[path]` is a reply, replies in turn (the last one stays) or a handler; `asked` is what was requested."""

    def __init__(self) -> None:
        self.asked: list[PreparedRequest] = []
        self.answers: dict[str, Reply | list[Reply] | Handler] = {
            "/product_version": (200, {}, json.dumps({"version": "25.2.20", "build": 117})),
            ACTIVE: version(rule_sets=1, ip_lists=1, services=0, label_groups=0, virtual_services=0),
            "/orgs/7/labels": listed([{"href": "/orgs/7/labels/1", "key": "role", "value": "db"}]),
            f"{ACTIVE}/label_groups": listed([]),
            f"{ACTIVE}/ip_lists": listed([{"href": f"{ACTIVE}/ip_lists/14", "name": "office"}]),
            f"{ACTIVE}/services": listed([]),
            f"{ACTIVE}/rule_sets": listed([rule_set()]),
            f"{ACTIVE}/virtual_services": listed([]),
            "/orgs/7/service_bindings": listed([]),
            "/orgs/7/workloads": listed([{"href": "/orgs/7/workloads/w1", "hostname": "orders.example.com"}]),
        }

    def start(self, mock: responses.RequestsMock) -> "FakePce":
        mock.add_callback(responses.GET, re.compile(re.escape(URL) + "/.*"), callback=self._answer)
        return self

    @property
    def paths(self) -> list[str]:
        return [str(each.path_url).partition("?")[0].removeprefix("/api/v2") for each in self.asked]

    def _answer(self, request: PreparedRequest) -> Reply:
        self.asked.append(request)
        path = str(request.path_url).partition("?")[0].removeprefix("/api/v2")
        answer = self.answers.get(path, gone())
        if callable(answer):
            return answer(request)
        if isinstance(answer, list):
            return answer.pop(0) if len(answer) > 1 else answer[0]
        return answer
