"""Which rules are ours, which are protected, and what a rule of ours is called. Ownership is in the name alone."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import count

from illumio_azsql_enforcer.addresses import Range, parse_address
from illumio_azsql_enforcer.model.firewall import ALL_AZURE_SERVICES, FirewallRule, LiveRule
from illumio_azsql_enforcer.model.names import folded, is_safe_name
from illumio_azsql_enforcer.model.settings import EnforcementSettings, Mode
from illumio_azsql_enforcer.text import fits_any

_QUAD = r"([0-9]{1,3}(?:\.[0-9]{1,3}){3})"


@dataclass(frozen=True)
class Ownership:
    """The owner word and the patterns of protected names; everything compares without case."""

    owner: str
    protected_rules: tuple[str, ...] = ()

    @cached_property
    def _shape(self) -> re.Pattern[str]:
        # ASCII: a look-alike letter that folds to one of ours does not make a rule ours.
        return re.compile(rf"{re.escape(self.owner)}-{_QUAD}-{_QUAD}(?:-[1-9][0-9]*)?", re.IGNORECASE | re.ASCII)

    def owns(self, name: str) -> bool:
        """Whether the name is OWNER-START-END, with or without -N, of any two IPv4 addresses."""
        return self._addresses(name) is not None

    def named_range(self, name: str) -> Range | None:
        """The range that a name of ours tells; None for other names and for a start after its end."""
        found = self._addresses(name)
        return Range(*found) if found and found[0] <= found[1] else None

    def protects(self, name: str) -> bool:
        """Whether the name matches one of the protected patterns."""
        return fits_any(name, self.protected_rules)

    def resembles(self, name: str) -> bool:
        """Whether the name begins like ours and is not ours."""
        return folded(name).startswith(f"{folded(self.owner)}-") and not self.owns(name)

    def name_for(self, wanted: Range, taken: Collection[str]) -> str:
        """The name of a new rule; with -2, -3, … only where the plain name is taken. `taken` holds folded names."""
        plain = f"{self.owner}-{wanted.start}-{wanted.end}"
        names = (plain if number == 1 else f"{plain}-{number}" for number in count(1))
        return next(name for name in names if folded(name) not in taken)

    def of(self, rules: Iterable[FirewallRule]) -> tuple[LiveRule, ...]:
        """The rules with what their names say, by range and name: how Azure lists them does not count."""
        live = (LiveRule(rule, owned=self.owns(rule.name), protected=self.protects(rule.name)) for rule in rules)
        return tuple(sorted(live, key=lambda one: (one.rule.range, folded(one.rule.name), one.rule.name)))

    def _addresses(self, name: str) -> tuple[int, int] | None:
        found = self._shape.fullmatch(name)
        if not found:
            return None
        try:
            return parse_address(found[1]), parse_address(found[2])
        except ValueError:  # 300.1.1.1, or zeros in front: nothing that we write
            return None


def ownership_of(settings: EnforcementSettings) -> Ownership:
    """The ownership that the settings describe."""
    return Ownership(settings.owner, settings.protected_rules)


def may_delete(rule: LiveRule, mode: Mode, settings: EnforcementSettings) -> bool:
    """Whether the mode may delete the rule at all; observe shows what sync may do."""
    if rule.protected or mode is Mode.UPSERT:
        return False
    return rule.owned or (claims(rule, mode, settings) and is_safe_name(rule.rule.name))


def claims(rule: LiveRule, mode: Mode, settings: EnforcementSettings) -> bool:
    """Whether a foreign rule has to go, if it can."""
    shielded = rule.rule.range == ALL_AZURE_SERVICES and not settings.remove_azure_services
    return mode is Mode.AUTHORITATIVE and not (rule.owned or rule.protected or shielded)
