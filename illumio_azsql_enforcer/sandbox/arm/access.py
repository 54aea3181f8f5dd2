"""Who may do what, and what nobody may: role grants, resource locks, Azure Policy."""

from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from illumio_azsql_enforcer.clock import Clock

LEAST_PRIVILEGE = (
    "Microsoft.Resources/subscriptions/read",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
    "Microsoft.Sql/servers/read",
    "Microsoft.Sql/servers/firewallRules/read",
    "Microsoft.Sql/servers/firewallRules/write",
    "Microsoft.Sql/servers/firewallRules/delete",
    "Microsoft.Sql/servers/ipv6FirewallRules/read",
    "Microsoft.Sql/servers/virtualNetworkRules/read",
    "Microsoft.Authorization/permissions/read",
)
LockLevel = Literal["CanNotDelete", "ReadOnly"]


def covers(scope: str, resource: str) -> bool:
    """Whether `scope` is the resource or something above it; `/` is above everything."""
    above, below = scope.rstrip("/").casefold(), resource.rstrip("/").casefold()
    return below == above or below.startswith(above + "/")


@dataclass(frozen=True, slots=True)
class Grant:
    """One role assignment, or, with `allow=False`, one that takes rights away."""

    actions: tuple[str, ...]  # shell patterns, without case
    scope: str
    principal: str  # object id or *
    allow: bool
    effective: float  # monotonic seconds

    def speaks_of(self, action: str, principal: str) -> bool:
        fits = any(fnmatchcase(action.casefold(), pattern.casefold()) for pattern in self.actions)
        return fits and self.principal in ("*", principal)


class Grants:
    """Role assignments; the last that speaks of an action at a scope decides. At first: the least rights, for all."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._grants: list[Grant] = [Grant(LEAST_PRIVILEGE, "/", "*", allow=True, effective=0.0)]

    def allow(self, *actions: str, scope: str = "/", principal: str = "*", delay: float = 0.0) -> None:
        """Grant; it takes effect after `delay` seconds."""
        self._add(actions, scope, principal, delay, allow=True)

    def deny(self, *actions: str, scope: str = "/", principal: str = "*", delay: float = 0.0) -> None:
        """Take away."""
        self._add(actions, scope, principal, delay, allow=False)

    def only(self, *actions: str, scope: str = "/", principal: str = "*") -> None:
        """Forget every grant but this one."""
        self._grants = []
        self.allow(*actions, scope=scope, principal=principal)

    def allowed(self, action: str, scope: str, principal: str) -> bool:
        """Whether the principal may do this there."""
        deciding = [g for g in self._effective() if g.speaks_of(action, principal) and covers(g.scope, scope)]
        return bool(deciding) and deciding[-1].allow

    def at(self, scope: str, principal: str) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        """For each grant that counts there: its actions, and those that were taken away after it."""
        here = [g for g in self._effective() if g.principal in ("*", principal) and covers(g.scope, scope)]
        return [
            (grant.actions, tuple(action for later in here[at:] if not later.allow for action in later.actions))
            for at, grant in enumerate(here)
            if grant.allow
        ]

    def touches(self, scope: str, principal: str) -> bool:
        """Whether the principal has any right at, above or below the scope: then the scope is visible to it."""
        mine = [g for g in self._effective() if g.principal in ("*", principal)]
        granted = [g for g in mine if g.allow and (covers(g.scope, scope) or covers(scope, g.scope))]
        taken = [g for g in mine if not g.allow and covers(g.scope, scope) and "*" in g.actions]
        return bool(granted) and (not taken or mine.index(granted[-1]) > mine.index(taken[-1]))

    def _add(self, actions: tuple[str, ...], scope: str, principal: str, delay: float, *, allow: bool) -> None:
        effective = self._clock.monotonic() + delay if delay else float("-inf")
        self._grants = [*self._grants, Grant(actions, scope, principal, allow, effective)]

    def _effective(self) -> list[Grant]:
        now = self._clock.monotonic()
        return [g for g in self._grants if g.effective <= now]


@dataclass(frozen=True, slots=True)
class Policy:
    """An Azure Policy assignment that denies rules by their range (start, end)."""

    name: str
    scope: str
    denies: Callable[[str, str], bool]


@dataclass(slots=True)
class Restrictions:
    """Locks and policies."""

    locks: dict[str, LockLevel] = field(default_factory=dict)  # scope -> level
    policies: list[Policy] = field(default_factory=list)

    def lock_against(self, operation: Literal["write", "delete"], resource: str) -> str | None:
        """The scope of a lock that forbids the operation, or None."""
        levels: tuple[LockLevel, ...] = ("ReadOnly", "CanNotDelete") if operation == "delete" else ("ReadOnly",)
        scopes = [s for s, level in self.locks.items() if level in levels and covers(s, resource)]
        return scopes[0] if scopes else None

    def policy_against(self, resource: str, start: str, end: str) -> Policy | None:
        """A policy that forbids this range there, or None."""
        found = [p for p in self.policies if covers(p.scope, resource) and p.denies(start, end)]
        return found[0] if found else None
