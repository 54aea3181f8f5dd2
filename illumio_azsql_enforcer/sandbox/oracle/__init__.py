"""A deliberately naive model of what policy means, to hold the real translator against.

It decides one address at a time from the JSON that the PCE's REST API returns: loops and plain conditions, to be read
beside docs/policy-semantics.md. It shares no code with `illumio_azsql_enforcer.policy`.
"""

from illumio_azsql_enforcer.sandbox.oracle.verdict import Decision, Judge, Verdict, allowed, policy_check
from illumio_azsql_enforcer.sandbox.oracle.world import ServerView, World

__all__ = ["Decision", "Judge", "ServerView", "Verdict", "World", "allowed", "policy_check"]
