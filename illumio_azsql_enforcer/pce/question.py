"""Asks the PCE itself about one connection: `policy_check` from release 25.2.10 on, `allow` before (REST API guide)."""

from dataclasses import dataclass

import msgspec

from illumio_azsql_enforcer.errors import PceNotFound
from illumio_azsql_enforcer.model.policy import DenyRule, Rule
from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.pce.decoding import decode_list, decode_one
from illumio_azsql_enforcer.retrying import Deadline

TCP = "6"


class Matches(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `policy_check`: rules that speak about the connection."""

    sec_rules: list[Rule] = []
    deny_rules: list[DenyRule] = []
    override_deny_rules: list[DenyRule] = []


@dataclass(frozen=True, slots=True)
class Question:
    """May this source reach this workload over TCP? The source is a dotted quad, or the href of a workload."""

    source: str
    workload: str
    port: int

    @property
    def parameters(self) -> dict[str, str]:
        """As the PCE wants them."""
        side = "src_workload" if self.source.startswith("/") else "src_external_ip"
        return {side: self.source, "dst_workload": self.workload, "port": str(self.port), "protocol": TCP}


def ask(client: PceClient, org_id: int, question: Question, deadline: Deadline) -> Matches:
    """What the active policy says. A PCE without `policy_check` tells of allow rules only. Raises PceError."""
    active = f"/orgs/{org_id}/sec_policy/active"
    try:
        answer = client.get(f"{active}/policy_check", deadline, question.parameters)
    except PceNotFound:
        answer = client.get(f"{active}/allow", deadline, question.parameters)
        return Matches(sec_rules=list(decode_list(answer.body, Rule, "allow")))
    return decode_one(answer.body, Matches, "policy_check")
