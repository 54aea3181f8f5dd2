"""Reads and writes the server-level firewall of a logical server: two types, so that a dry run has no second one."""

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import TypeVar, cast

import msgspec
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.core.pipeline import PipelineResponse
from azure.core.rest import HttpRequest, HttpResponse

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.azure.access import API_VERSION, AzureAccess, answered
from illumio_azsql_enforcer.azure.failures import Answer, Operation, error_code, invalid
from illumio_azsql_enforcer.azure.pages import Page, decoded, items_of
from illumio_azsql_enforcer.azure.paths import checked_name, server_path
from illumio_azsql_enforcer.azure.turns import TurnsByServer
from illumio_azsql_enforcer.errors import ArmForbidden, ArmNotFound
from illumio_azsql_enforcer.model.firewall import FirewallRule, Neighbours, Server
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.text import printable

T = TypeVar("T")

IPV6_RULES = "ipv6FirewallRules"
VIRTUAL_NETWORK_RULES = "virtualNetworkRules"
READ_ACTION = "Microsoft.Sql/servers/{}/read"


class RuleProperties(msgspec.Struct):
    """The range of a rule, as Azure spells it."""

    start: str = msgspec.field(name="startIpAddress")
    end: str = msgspec.field(name="endIpAddress")


class RuleItem(msgspec.Struct):
    """A firewall rule as Azure gives it."""

    name: str
    properties: RuleProperties


class Named(msgspec.Struct):
    """Anything with a name."""

    name: str


_RULE = msgspec.json.Decoder(RuleItem)
_RULES = msgspec.json.Decoder(Page[RuleItem])
_NAMES = msgspec.json.Decoder(Page[Named])


class FirewallReader:
    """Reads the firewall of a server (`RuleReader`). The same bytes give the same tuple of rules as the last time."""

    def __init__(self, access: AzureAccess) -> None:
        self._access = access
        self._known: dict[str, tuple[bytes, tuple[FirewallRule, ...]]] = {}  # by server id: digest, rules

    def rules(self, server: Server, deadline: Deadline) -> tuple[FirewallRule, ...]:
        """Every server-level IPv4 rule, all pages read before any is returned.

        Raises ArmError; ArmInvalidAnswer for a rule that cannot be read, since a rule that is left out would be
        a hole that nobody sees. Raises UnsafeName for a server that discovery would not have given.
        """
        operation = Operation(
            f"read the firewall rules of server {printable(server.name)}",
            READ_ACTION.format("firewallRules"),
            server.id,
        )
        path = f"{server_path(server)}/firewallRules?api-version={API_VERSION}"
        pages = self._access.pages(path, operation, deadline)
        digest = _digest(pages)
        known = self._known.get(server.id)
        if known is not None and known[0] == digest:
            return known[1]
        rules = _distinct([_rule(item, operation) for item in items_of(pages, _RULES, operation)], operation)
        self._known[server.id] = digest, rules
        return rules

    def keep(self, server_ids: set[str]) -> None:
        """Forget the rules of all servers but these. Not while rules are being read."""
        self._known = {key: known for key, known in self._known.items() if key in server_ids}

    def neighbours(self, server: Server, deadline: Deadline) -> Neighbours:
        """IPv6 rules and virtual network rules; None for a kind that this identity may not read, or that is not there.

        Raises ArmError for anything else, UnsafeName.
        """
        return Neighbours(
            ipv6_rules=self._names(server, IPV6_RULES, deadline),
            virtual_network_rules=self._names(server, VIRTUAL_NETWORK_RULES, deadline),
        )

    def _names(self, server: Server, kind: str, deadline: Deadline) -> tuple[str, ...] | None:
        operation = Operation(
            f"read the {kind} of server {printable(server.name)}", READ_ACTION.format(kind), server.id
        )
        path = f"{server_path(server)}/{kind}?api-version={API_VERSION}"
        try:
            items = self._access.read(path, _NAMES, operation, deadline)
        except (ArmForbidden, ArmNotFound):
            return None
        return tuple(item.name for item in items)


class FirewallWriter:
    """Writes one rule at a time (`RuleWriter`); several threads may write to one server, until Azure minds.

    A server that answered 409 is from then on sent one write at a time.
    """

    def __init__(self, access: AzureAccess) -> None:
        self._access = access
        self._turns = TurnsByServer()

    def put(self, server: Server, rule: FirewallRule, deadline: Deadline) -> None:
        """Create the rule, or replace its range. Returns when Azure answered with just this rule.

        Raises ArmError, UnsafeName. After ArmUnreachable it is not known whether the rule is there.
        """
        server_path(server)
        name = checked_name(rule.name, "rule")
        operation = _writing("write", server, name)
        client = self._access.client(server.subscription_id)
        body = {"properties": {"startIpAddress": rule.range.start, "endIpAddress": rule.range.end}}
        answer = self._access.carry_out(
            operation,
            deadline,
            lambda **times: self._in_turn(
                server,
                lambda: cast(
                    "Answer",
                    client.firewall_rules.create_or_update(
                        server.resource_group, server.name, name, body, cls=_answer, **times
                    ),
                ),
            ),
        )
        written = _rule(decoded(answer, _RULE, operation), operation)
        if written.range != rule.range or written.name.casefold() != name.casefold():
            raise invalid(operation, f"it says that rule {printable(written.name, 140)} is {written.range}", answer)

    def delete(self, server: Server, name: str, deadline: Deadline) -> None:
        """Delete the rule; one that is not there is fine. Raises ArmError, UnsafeName."""
        server_path(server)
        operation = _writing("delete", server, checked_name(name, "rule"))
        client = self._access.client(server.subscription_id)

        def send(**times: float) -> None:
            try:
                client.firewall_rules.delete(server.resource_group, server.name, name, **times)
            except ResourceNotFoundError as error:
                if not _only_the_rule_is_missing(error):
                    raise

        self._access.carry_out(operation, deadline, lambda **times: self._in_turn(server, lambda: send(**times)))

    def _in_turn(self, server: Server, send: Callable[[], T]) -> T:
        turns = self._turns.of(server.id)
        try:
            with turns.turn():
                return send()
        except ResourceExistsError:  # what the SDK makes of 409
            turns.one_at_a_time()
            raise


def _writing(verb: str, server: Server, name: str) -> Operation:
    return Operation(
        f"{verb} firewall rule {printable(name)} of server {printable(server.name)}",
        f"Microsoft.Sql/servers/firewallRules/{verb}",
        server.id,
    )


def _answer(response: PipelineResponse[HttpRequest, HttpResponse], _model: object, _headers: object) -> Answer:
    """The raw answer of an operation of the SDK (its `cls` argument)."""
    return answered(response.http_response)


def _only_the_rule_is_missing(error: ResourceNotFoundError) -> bool:
    """Said by the resource provider, not by the gateway, which says it of a server, a group or a subscription."""
    answer = answered(cast("HttpResponse", error.response))
    return "x-ms-failure-cause" not in answer.headers and error_code(answer) == "ResourceNotFound"


def _digest(pages: Iterable[Answer]) -> bytes:
    whole = blake2b()
    for page in pages:
        whole.update(b"%d:" % len(page.body))
        whole.update(page.body)
    return whole.digest()


def _rule(item: RuleItem, operation: Operation) -> FirewallRule:
    """Raises ArmInvalidAnswer naming the rule."""
    if not item.name:
        raise invalid(operation, "it holds a rule without a name")
    start, end = item.properties.start, item.properties.end
    try:
        return FirewallRule(item.name, Range.parse(start, end))
    except ValueError as error:
        held = f"{printable(start, 60)!r} to {printable(end, 60)!r}"
        raise invalid(operation, f"rule {printable(item.name, 140)!r} holds {held}, no IPv4 range") from error


def _distinct(rules: list[FirewallRule], operation: Operation) -> tuple[FirewallRule, ...]:
    """The rules, each once. Raises ArmInvalidAnswer when one name has two ranges: pages of two moments."""
    by_name: dict[str, FirewallRule] = {}
    for rule in rules:
        known = by_name.setdefault(rule.name.casefold(), rule)
        if known != rule:
            raise invalid(operation, f"rule {printable(rule.name, 140)!r} is in it twice")
    return tuple(by_name.values())
