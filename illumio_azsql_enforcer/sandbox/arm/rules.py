"""The firewall rules of a server, as the Microsoft.Sql resource provider serves and validates them."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from illumio_azsql_enforcer.addresses import format_address, parse_address
from illumio_azsql_enforcer.sandbox.arm import errors
from illumio_azsql_enforcer.sandbox.arm.chance import Chance
from illumio_azsql_enforcer.sandbox.arm.frontdoor import Call
from illumio_azsql_enforcer.sandbox.arm.records import LOCATIONS, RULES, Activity, Rule, Rules, SqlServer
from illumio_azsql_enforcer.sandbox.arm.servers import Pages, Servers
from illumio_azsql_enforcer.sandbox.arm.state import ArmState
from illumio_azsql_enforcer.sandbox.arm.switches import Switches
from illumio_azsql_enforcer.sandbox.arm.versions import RETIRED
from illumio_azsql_enforcer.sandbox.wire import Reply

TYPE = f"Microsoft.Sql/servers/{RULES}"
_FORBIDDEN = re.compile(r"[<>*%&:;\\/?\x00-\x1f\x7f-\x9f]|\.\Z")
_LEADING_ZEROS = re.compile(r"\b0+(?=\d)")


class FirewallRules:
    """GET, PUT and DELETE of one rule; list, and the dangerous writes, of the collection."""

    def __init__(self, state: ArmState, switches: Switches, servers: Servers, pages: Pages, chance: Chance) -> None:
        self._state, self._switches, self._servers, self._pages = state, switches, servers, pages
        self._chance = chance
        self._busy: set[str] = set()

    # --- one rule

    def item(self, call: Call) -> Reply:
        """`…/firewallRules/{name}`."""
        match call.request.method:
            case "GET" | "HEAD":
                return self._get(call)
            case "PUT":
                return self._write(call, self._put)
            case "DELETE":
                return self._write(call, self._delete)
        raise errors.method_not_allowed(call.request.method)

    def _get(self, call: Call) -> Reply:
        with self._state.mutex:
            server = self._servers.need_parent(call)
            rule = self._state.rules_as_of(server, self._switches.read_lag).get(call.route.name.casefold())
            if rule is None:
                raise errors.resource_unknown(TYPE, call.route.name)
            return Reply.json(200, _body(server, rule, call.version))

    def _put(self, call: Call, server: SqlServer) -> Reply:
        name = self._valid_name(call.route.name)
        document = _document(call)
        self._check_body_name(document, name)
        start, end = self._addresses(document)
        stored = server.rules.get(name.casefold())
        if stored is not None and stored.name != name and self._switches.other_case == "not_found":
            return Reply(404)
        self._check_policy(call, start, end)
        self._check_access(server)
        self._check_room(server, is_new=stored is None)
        rule = Rule(stored.name if stored else name, start, end)
        status = 200 if stored else self._switches.create_status
        self._commit(call, server, server.rules | {name.casefold(): rule}, f"put {rule.name} {start}-{end}")
        return Reply.json(status, _body(server, rule, call.version))

    def _delete(self, call: Call, server: SqlServer) -> Reply:
        if server.public_access != "Disabled" or self._switches.disabled_refuses_delete:
            self._check_access(server)
        name = call.route.name.casefold()
        if name not in server.rules:
            call.request.effect = "nothing: no such rule"
            return Reply(204)
        rest = {key: rule for key, rule in server.rules.items() if key != name}
        self._commit(call, server, rest, f"deleted {server.rules[name].name}")
        return Reply(200)

    # --- the collection

    def collection(self, call: Call) -> Reply:
        """`…/firewallRules`."""
        match call.request.method:
            case "GET" | "HEAD":
                return self._list(call)
            case "PUT":
                return self._write(call, self._replace)
            case "DELETE" if self._switches.collection_delete_wipes:
                return self._write(call, self._wipe)
        raise errors.method_not_allowed(call.request.method)

    def _list(self, call: Call) -> Reply:
        with self._state.mutex:
            server = self._servers.need_parent(call)
            rules = self._state.rules_as_of(server, self._switches.read_lag)
            bodies: list[object] = [_body(server, rules[key], call.version) for key in sorted(rules)]
        if self._switches.shuffled:
            self._chance.shuffle(bodies)
        return self._pages.page(call, bodies, self._switches.rules_page_size)

    def _replace(self, call: Call, server: SqlServer) -> Reply:
        values = _document(call).get("values", [])
        if not isinstance(values, list):
            raise errors.request_malformed("'values' is not a list.")
        rules: Rules = {}
        for item in values:
            name = self._valid_name(str(item.get("name", "")).strip() if isinstance(item, dict) else "")
            rules[name.casefold()] = Rule(name, *self._addresses(item))
        self._check_access(server)
        if len(rules) > self._limit(server):
            raise errors.too_many_rules(self._limit(server))
        if self._switches.replace_works:
            self._commit(call, server, rules, f"REPLACED all rules by {len(rules)}")
        if values and self._switches.replace_status == 202:
            return Reply(202, headers=self._async_headers(call))
        return Reply.json(200, _body(server, next(iter(rules.values())), call.version) if rules else {})

    def _wipe(self, call: Call, server: SqlServer) -> Reply:
        self._check_access(server)
        self._commit(call, server, {}, "WIPED all rules")
        return Reply(200)

    # --- around every write

    def _write(self, call: Call, carry_out: Any) -> Reply:  # noqa: ANN401 - a bound method of this class
        with self._turn(call.route.server_id.casefold()), self._state.mutex:
            server = self._servers.need_parent(call)
            if server.is_synapse and self._switches.synapse_status is not None:
                message = "The firewall of this server belongs to its Synapse workspace."
                raise errors.by_provider(self._switches.synapse_status, "OperationNotAllowedOnSynapseServer", message)
            if self._switches.accepted == "lost":
                return Reply(202, headers=self._async_headers(call))
            reply: Reply = carry_out(call, server)
            return Reply(202, headers=self._async_headers(call)) if self._switches.accepted == "done" else reply

    @contextmanager
    def _turn(self, server: str) -> Iterator[None]:
        """One write on a server, for as long as it takes. Raises Refusal when another is under way, if that matters."""
        with self._state.mutex:
            overlaps = server in self._busy
            if overlaps and self._switches.overlap_conflict:
                raise errors.interrupted()
            self._busy.add(server)
        try:
            if self._switches.write_seconds > 0:
                threading.Event().wait(self._switches.write_seconds)
            yield
        finally:
            with self._state.mutex:
                self._busy.discard(server)

    def _commit(self, call: Call, server: SqlServer, rules: Rules, effect: str) -> None:
        call.request.effect = effect
        operation = f"{TYPE}/{call.operation}"
        at, caller = self._state.clock.now(), call.token.principal
        scope = f"{server.id}/{RULES}/{call.route.name}" if call.route.name else f"{server.id}/{RULES}"
        self._state.commit(server, rules, Activity(at, operation, scope, caller, call.correlation, 200))

    def _async_headers(self, call: Call) -> dict[str, str]:
        base = (
            f"{self._pages.url()}/subscriptions/{call.route.subscription}/providers/Microsoft.Sql/locations/westeurope"
        )
        operation = f"{self._chance.uuid()}?api-version={call.version}"
        return {
            "Azure-AsyncOperation": f"{base}/firewallRulesAzureAsyncOperation/{operation}",
            "Location": f"{base}/firewallRulesOperationResults/{operation}",
            "Retry-After": "15",
        }

    # --- validation

    def _valid_name(self, name: str) -> str:
        if not name:
            raise errors.name_refused("FirewallRuleNameEmpty", name)
        if len(name) > 128:
            raise errors.name_too_long(name)
        if _FORBIDDEN.search(name):
            raise errors.name_refused(self._switches.bad_name_code, name)
        return name

    def _check_body_name(self, document: dict[str, object], name: str) -> None:
        given = document.get("name")
        if given is not None and given != name and self._switches.other_name_in_body == "refuse":
            raise errors.request_malformed(f"the name '{given}' differs from the one in the URL.")

    def _addresses(self, document: dict[str, object]) -> tuple[str, str]:
        properties = document.get("properties")
        if not isinstance(properties, dict):
            raise errors.parameter_malformed("properties")
        for name in ("startIpAddress", "endIpAddress"):
            if not isinstance(properties.get(name), str):
                raise errors.parameter_malformed(name)
        start, end = self._address(properties["startIpAddress"]), self._address(properties["endIpAddress"])
        if start > end:
            raise errors.range_reversed()
        return format_address(start), format_address(end)

    def _address(self, text: str) -> int:
        try:
            return parse_address(_LEADING_ZEROS.sub("", text) if self._switches.leading_zeros else text)
        except (ValueError, OSError):
            raise errors.not_ipv4(text) from None

    def _check_policy(self, call: Call, start: str, end: str) -> None:
        policy = self._state.restrictions.policy_against(call.route.scope, start, end)
        if policy is not None:
            raise errors.forbidden_by_policy(call.route.name, policy.name, policy.scope)

    def _check_access(self, server: SqlServer) -> None:
        refused = {"Disabled": True, "SecuredByPerimeter": self._switches.perimeter_refuses_writes}
        just_enabled = self._state.clock.monotonic() < server.enabled_at + self._switches.enabling_takes
        if refused.get(server.public_access, just_enabled):
            raise errors.public_access_disabled()

    def _check_room(self, server: SqlServer, *, is_new: bool) -> None:
        limit = self._limit(server)
        if len(server.rules) >= limit and (is_new or self._switches.full_refuses_update):
            raise errors.too_many_rules(limit)

    def _limit(self, server: SqlServer) -> int:
        return self._switches.rule_limit if server.rule_limit is None else server.rule_limit


def _document(call: Call) -> dict[str, object]:
    given = call.request.headers.get("content-type", "<null>")
    if call.request.body and given.partition(";")[0].strip().lower() != "application/json":
        raise errors.media_type(given)
    try:
        document = call.request.json()
    except ValueError:
        raise errors.request_malformed("the body is not JSON.") from None
    if not isinstance(document, dict):
        raise errors.request_malformed("the body is not an object.")
    return document


def _body(server: SqlServer, rule: Rule, version: str) -> dict[str, object]:
    own = {"id": f"{server.id}/{RULES}/{rule.name}", "name": rule.name, "type": TYPE}
    if version == RETIRED:
        own |= {"location": LOCATIONS[server.location], "kind": server.kind}
    return {"properties": {"startIpAddress": rule.start, "endIpAddress": rule.end}, **own}
