"""Steering the simulator over HTTP, for another process: what the portal, T-SQL or a pipeline would do. Not ARM."""

from collections.abc import Callable
from typing import Any

from illumio_azsql_enforcer.sandbox.arm.state import ArmState
from illumio_azsql_enforcer.sandbox.wire import CONTROL, Reply, Request


class Control:
    """Answers everything under `/sandbox/` on the ARM port; no token is asked for.

    `GET  /sandbox/journal`, `/sandbox/activity`, `/sandbox/servers` (each with its rules).
    `POST /sandbox/rules` `{"server", "name", "start", "end"}` adds or changes a rule; `DELETE /sandbox/rules`
    `{"server", "name"}` deletes one. `POST /sandbox/{operation}` does any other operation of ArmState in
    `OPERATIONS`, its arguments by name in a JSON object, for instance `/sandbox/set_public_access`
    `{"server": "s1", "access": "Disabled"}`.
    Wrong arguments and unknown names answer 400.
    """

    OPERATIONS = (
        "add_group",
        "add_server",
        "add_subscription",
        "delete_rule",
        "disable_subscription",
        "lock",
        "move_server",
        "register_provider",
        "remove_group",
        "remove_server",
        "set_ipv6_rule",
        "set_network_rule",
        "set_public_access",
        "set_rule",
        "set_rule_limit",
        "set_server_state",
        "set_tags",
        "unlock",
    )

    def __init__(self, state: ArmState, journal: list[Request]) -> None:
        self._state, self._journal = state, journal
        self._grants = {"allow": state.grants.allow, "deny": state.grants.deny}

    def answer(self, request: Request) -> Reply:
        """Show or do what is asked."""
        name = request.decoded.removeprefix(CONTROL).strip("/")
        if request.method == "GET":
            return self._show(name)
        operation = self._operation(request.method, name)
        if operation is None:
            return Reply.json(404, {"error": f"There is no {request.method} {name}."})
        try:
            arguments = dict(request.json() or {})  # type: ignore[call-overload]
            positional = arguments.pop("actions", [])
            return Reply.json(200, {"result": operation(*positional, **arguments)})
        except (ValueError, TypeError, KeyError) as problem:
            return Reply.json(400, {"error": f"{type(problem).__name__}: {problem}"})

    def _operation(self, method: str, name: str) -> Callable[..., Any] | None:
        if name == "rules":
            return self._state.delete_rule if method == "DELETE" else self._state.set_rule
        if method != "POST" or name not in (*self.OPERATIONS, *self._grants):
            return None
        found: Callable[..., Any] = self._grants.get(name) or getattr(self._state, name)
        return found

    def _show(self, name: str) -> Reply:
        match name:
            case "journal":
                return Reply.json(200, {"value": [r.as_dict() for r in list(self._journal)]})
            case "activity":
                return Reply.json(200, {"value": [self._activity(n) for n in range(len(self._state.activity))]})
            case "servers":
                return Reply.json(200, {"value": self._servers()})
        return Reply.json(404, {"error": f"There is no {name} to show."})

    def _activity(self, number: int) -> dict[str, object]:
        record = self._state.activity[number]
        shown = {name: getattr(record, name) for name in ("operation", "scope", "caller", "correlation_id", "status")}
        return shown | {"at": record.at.isoformat()}

    def _servers(self) -> list[dict[str, object]]:
        with self._state.mutex:
            servers = sorted(self._state.servers.values(), key=lambda s: s.id)
            return [s.body() | {"firewallRules": self._state.rules(s.id)} for s in servers]
