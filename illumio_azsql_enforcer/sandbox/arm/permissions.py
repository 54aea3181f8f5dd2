"""`GET {server}/providers/Microsoft.Authorization/permissions`: what the caller's roles allow there."""

from illumio_azsql_enforcer.sandbox.arm import errors
from illumio_azsql_enforcer.sandbox.arm.frontdoor import Call
from illumio_azsql_enforcer.sandbox.arm.servers import Servers
from illumio_azsql_enforcer.sandbox.arm.state import ArmState
from illumio_azsql_enforcer.sandbox.wire import Reply


class Permissions:
    """Answers from the grants."""

    def __init__(self, state: ArmState, servers: Servers) -> None:
        self._state, self._servers = state, servers

    def answer(self, call: Call) -> Reply:
        """One entry for each grant; what was taken away since is left out of it."""
        if call.request.method not in ("GET", "HEAD"):
            raise errors.method_not_allowed(call.request.method)
        scope = self._servers.need_parent(call).id
        entries = [
            {"actions": list(allows), "notActions": list(takes), "dataActions": [], "notDataActions": []}
            for allows, takes in self._state.grants.at(scope, call.token.principal)
        ]
        return Reply.json(200, {"value": entries})
