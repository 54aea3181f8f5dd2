"""May this address reach this server? The one question of the model, and the PCE's own form of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from illumio_azsql_enforcer.model.settings import PolicySettings
from illumio_azsql_enforcer.sandbox.oracle.addresses import PRIVATE, Block, counted_addresses, within
from illumio_azsql_enforcer.sandbox.oracle.allow import Grant, Question, grants
from illumio_azsql_enforcer.sandbox.oracle.deny import Denial, denials
from illumio_azsql_enforcer.sandbox.oracle.doubts import in_doubt
from illumio_azsql_enforcer.sandbox.oracle.services import Port
from illumio_azsql_enforcer.sandbox.oracle.world import Json, ServerView, World, href_of, listed, plain

LAST = 2**32 - 1


class Decision(Enum):
    """What the policy says about one address."""

    ALLOWED = "allowed"
    NOT_ALLOWED = "not allowed"
    UNRESOLVABLE = "unresolvable"


@dataclass(frozen=True)
class Verdict:
    """The decision, and the hrefs of the allow rules and override-denies that match the address."""

    decision: Decision
    rules: frozenset[str] = frozenset()
    override_denies: frozenset[str] = frozenset()


class Judge:
    """Answers for one server, one address at a time."""

    def __init__(self, world: World, server: ServerView, settings: PolicySettings) -> None:
        question = Question(world, server, settings, tuple(Port(number) for number in settings.ports))
        self.settings = settings
        self.grants = list(grants(question))
        self.denials = [denial for denial in denials(question) if denial.override]
        self.in_doubt = in_doubt(question)
        self.borders = sorted(set(self._borders()))

    def _borders(self) -> Iterable[int]:
        """Each address where a run of equal answers can begin."""
        granted = [some for grant in self.grants for some in grant.addresses]
        denied = [some for denial in self.denials for some in denial.addresses or ()]
        for addresses in granted + denied:
            for first, last in (*addresses.inside, *addresses.outside):
                yield from (first, last + 1)

    @property
    def unresolvable(self) -> bool:
        """Whether an override-deny touches the server, or may touch it, and cannot be evaluated."""
        return any(denial.addresses is None for denial in self.denials)

    def verdict(self, address: int) -> Verdict:
        """The decision about one address."""
        rules = frozenset(grant.rule for grant in self.grants if address in grant)
        denies = frozenset(denial.rule for denial in self.denials if address in denial)
        if self.unresolvable:
            return Verdict(Decision.UNRESOLVABLE, rules, denies)
        allowed = self.in_policy(address) and self._can_be_a_rule(address)
        return Verdict(Decision.ALLOWED if allowed else Decision.NOT_ALLOWED, rules, denies)

    def in_policy(self, address: int) -> bool:
        """Allow rules less override-denies, and nothing about Azure."""
        return any(address in grant for grant in self.grants) and not any(address in deny for deny in self.denials)

    def _can_be_a_rule(self, address: int) -> bool:
        """Not 0.0.0.0 by itself, which means something else to Azure, and no range of private addresses only."""
        if self.settings.keep_private_ranges:
            return address != 0 or self.in_policy(1)
        for block in PRIVATE:
            if within(address, [block]):
                return self._leaves(address, block)
        return True

    def _leaves(self, address: int, block: Block) -> bool:
        """Whether the run of allowed addresses around this one goes on beyond the block, at either end."""
        first, last = block
        before = [b for b in self.borders if first <= b <= address]
        after = [b for b in self.borders if address < b <= last]
        goes_below = first > 0 and all(self.in_policy(b) for b in before)
        goes_above = last < LAST and all(self.in_policy(b) for b in after)
        return (goes_below and self.in_policy(first - 1)) or (goes_above and self.in_policy(last + 1))


def allowed(world: World, server: ServerView, address: int, settings: PolicySettings) -> Verdict:
    """Whether policy lets one IPv4 address (an integer) reach a server on one of `settings.ports` over TCP.

    Args:
        world: the PCE's JSON.
        server: the server's labels, name and workload.
        address: the source address.
        settings: how the policy is read.

    Returns:
        The decision, with every allow rule and override-deny that names the address.
    """
    return Judge(world, server, settings).verdict(address)


def policy_check(
    world: World,
    *,
    dst_workload: str,
    port: int,
    proto: int,
    src_ip: int | None = None,
    src_workload: str | None = None,
) -> dict[str, list[str]]:
    """What a PCE answers about one connection: hrefs of the rules that match, by kind, before anything about Azure.

    Args:
        world: the PCE's JSON.
        dst_workload: href of the workload that is connected to.
        port: the port; proto: the IP protocol number.
        src_ip: the source as an IPv4 address (an integer), or
        src_workload: the source as the href of a workload: each of its addresses is looked at.

    Returns:
        `sec_rules`, `deny_rules` and `override_deny_rules`: sorted hrefs. Rules that hold under a condition (user
        group, machine identity, program of the consumer) are among them. Raises KeyError for an unknown workload.
    """
    settings = PolicySettings(keep_private_ranges=True)
    question = Question(world, _view(world, dst_workload), settings, (Port(port, proto),), with_conditions=True)
    sources = [src_ip] if src_ip is not None else _addresses_of(world, src_workload, settings)
    matching = [denial for denial in denials(question) if any(address in denial for address in sources)]
    return {
        "sec_rules": _hrefs(grant for grant in grants(question) if any(address in grant for address in sources)),
        "deny_rules": _hrefs(denial for denial in matching if not denial.override),
        "override_deny_rules": _hrefs(denial for denial in matching if denial.override),
    }


def _view(world: World, href: str) -> ServerView:
    workload = _workload(world, href)
    labels = frozenset(href_of(reference) for reference in listed(workload.get("labels")))
    return ServerView(workload.get("hostname") or "", labels, workload["href"])


def _workload(world: World, href: str | None) -> Json:
    for workload in world.living_workloads():
        if plain(workload["href"]) == plain(href):
            return workload
    raise KeyError(href)


def _addresses_of(world: World, href: str | None, settings: PolicySettings) -> list[int]:
    own = counted_addresses(_workload(world, href), settings)
    return [block[0] for addresses in own for block in addresses.inside]


def _hrefs(matched: Iterable[Grant | Denial]) -> list[str]:
    return sorted({each.rule for each in matched})
