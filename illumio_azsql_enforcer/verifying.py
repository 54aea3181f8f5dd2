"""`check --verify`: addresses at and around the borders of the computed ranges, held against the PCE's own answer."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from illumio_azsql_enforcer.addresses import LAST_ADDRESS, RangeSet, format_address
from illumio_azsql_enforcer.errors import PolicyUnresolvable
from illumio_azsql_enforcer.model.firewall import Desired, Governed
from illumio_azsql_enforcer.model.policy import name_of
from illumio_azsql_enforcer.model.settings import Config, PolicySettings
from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.pce.question import Matches, Question, ask
from illumio_azsql_enforcer.policy.ip_lists import PRIVATE
from illumio_azsql_enforcer.policy.misses import holders_of
from illumio_azsql_enforcer.policy.rules import unmet_conditions
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.survey import Survey


@dataclass(frozen=True, slots=True)
class Comparison:
    """One address, one server, both answers."""

    server: str
    address: int
    ours: bool
    theirs: bool
    asked: str  # what the PCE was asked about: the address, or the workload that has it
    rules: tuple[str, ...]  # hrefs of the rules that the PCE named

    @property
    def text(self) -> str:
        """A sentence."""
        said = {True: "allowed", False: "not allowed"}
        named = f" ({', '.join(self.rules)})" if self.rules else ""
        where = format_address(self.address)
        return f"{where} is {said[self.ours]} here; the PCE, asked about {self.asked}, says {said[self.theirs]}{named}."


def compare(pce: PceClient, config: Config, survey: Survey, most: int, deadline: Deadline) -> Iterator[Comparison]:
    """At most `most` comparisons, spread over the servers that a workload stands for. Raises PceError.

    Left out is what only this program's settings decide: private addresses, and those that `policy.nat` names.
    """
    governed = [one for one in survey.candidates if isinstance(one, Governed) and one.workload]
    known = {server.server.id: _desired(survey, server) for server in governed}
    told = _told_by_settings(config.policy)
    queues = [[(server, at) for at in borders(known[server.server.id]) if at not in told] for server in governed]
    for server, address in _spread(_in_turn(queues), most):
        ours = any(address in one.range for one in known[server.server.id])
        yield _compared(pce, config, survey, server, address, ours=ours, deadline=deadline)


def borders(desired: Iterable[Desired]) -> list[int]:
    """The first and last address of each range, and their neighbours outside; in order, each once."""
    near = {
        address
        for one in desired
        for edge in (one.range.first, one.range.last)
        for address in (edge - 1, edge, edge + 1)
    }
    return sorted(address for address in near if 0 < address <= LAST_ADDRESS)


def _desired(survey: Survey, server: Governed) -> tuple[Desired, ...]:
    try:
        return survey.translator.translate(server).desired
    except PolicyUnresolvable:
        return ()


def _told_by_settings(policy: PolicySettings) -> RangeSet:
    translated = RangeSet(one for entry in policy.nat for one in (entry.private, *entry.public))
    return translated if policy.keep_private_ranges else translated | PRIVATE


def _in_turn(queues: Sequence[Sequence[tuple[Governed, int]]]) -> list[tuple[Governed, int]]:
    return [item for row in zip_longest(*queues) for item in row if item is not None]


def _spread(items: Sequence[tuple[Governed, int]], most: int) -> Iterator[tuple[Governed, int]]:
    """Evenly spaced, so that the last ranges are looked at as well as the first."""
    count = min(most, len(items))
    return (items[at * len(items) // count] for at in range(count))


def _compared(
    pce: PceClient, config: Config, survey: Survey, server: Governed, address: int, *, ours: bool, deadline: Deadline
) -> Comparison:
    holders = holders_of(address, survey.translator.world)
    source = holders[0].workload.href if holders else format_address(address)
    asked = f"the workload '{name_of(holders[0].workload)}'" if holders else "the address"
    answers = [
        ask(pce, config.pce.org_id, Question(source, server.workload or "", port), deadline)
        for port in config.policy.ports
    ]
    rules = tuple(sorted({rule.href for answer in answers for rule in answer.sec_rules}))
    return Comparison(server.server.name, address, ours, any(map(_allows, answers)), asked, rules)


def _allows(matches: Matches) -> bool:
    """A rule that asks for more than addresses and ports lets nobody in here; a deny that overrides wins."""
    return not matches.override_deny_rules and any(not unmet_conditions(rule) for rule in matches.sec_rules)
