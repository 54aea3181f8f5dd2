"""Which release the PCE plays, and what that changes in its answers.

The boundaries come from release notes and from the version checks of known clients.
"""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Release:
    """A release of the PCE, such as 25.2.20."""

    text: str
    version: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `"25.2.20"` or `"26.3"`. Raises ValueError for anything but numbers and dots."""
        return cls(text, tuple(int(part) for part in text.split(".")))

    @property
    def modern_agents(self) -> bool:
        """`ven`, `enforcement_mode` and `visibility_level` on workloads; enforcement boundaries."""
        return self.version >= (21,)

    @property
    def exclusions(self) -> bool:
        """`exclusion` on the labels of scopes and allow rules; `managed` on workloads."""
        return self.version >= (22, 2)

    @property
    def label_values(self) -> bool:
        """Labels of a workload carry key and value; rules have a `network_type`."""
        return self.version >= (22, 3)

    @property
    def label_dimensions(self) -> bool:
        """Label types beyond role, app, env and loc."""
        return self.version >= (22, 5)

    @property
    def deny_rules(self) -> bool:
        """Deny rules as a collection below each rule set."""
        return self.version >= (24, 2)

    @property
    def policy_check(self) -> bool:
        """`policy_check`; `exclusion` in deny rules."""
        return self.version >= (25, 2, 10)

    @property
    def inline_deny_rules(self) -> bool:
        """Each rule set holds its deny rules; `all_ips_except_for_in_consumers` and `…_providers` on rules."""
        return self.version >= (26,)
