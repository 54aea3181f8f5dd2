"""Random rule sets, rules and deny rules."""

from typing import Any

from tests.worlds.cast import Cast
from tests.worlds.small_world import href

Json = dict[str, Any]


class RuleMaker:
    """Makes the rule sets of one cast."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.dice = cast.dice

    def rule_sets(self) -> list[Json]:
        return [self.rule_set(number) for number in range(self.dice.number(1, 4))]

    def rule_set(self, number: int) -> Json:
        name = href("rule_sets", number)
        made: Json = {
            "href": name,
            "name": f"rule set {number}",
            "enabled": not self.dice.often(0.05),
            "scopes": self.scopes(),
            "rules": [self.rule(f"{name}/sec_rules/{n}") for n in range(self.dice.number(0, 3))],
        }
        denies = self.dice.one((0, 0, 0, 1, 1, 2))
        if self.dice.often(0.03):
            del made[self.dice.one(("enabled", "name", "scopes", "rules"))]
        if denies or self.dice.often(0.5):
            made["deny_rules"] = [self.deny(f"{name}/deny_rules/{n}") for n in range(denies)]
        return made

    def scopes(self) -> list[list[Json]] | None:
        kind = self.dice.random.random()
        if kind < 0.3:
            return [[]]
        if kind < 0.33:
            return self.dice.either(0.2, None, [])
        return self.dice.some(self.scope, 3, 1)

    def scope(self) -> list[Json]:
        return [self.cast.label_item() for _ in range(self.dice.one((0, 1, 1, 2, 3)))]

    # --- rules

    def rule(self, name: str) -> Json:
        """An allow rule with every field, most of them at their usual value."""
        made: Json = {
            "href": name,
            "enabled": not self.dice.often(0.05),
            "providers": self.providers(),
            "consumers": self.consumers(),
            "consuming_security_principals": [],
            "ingress_services": self.ingress_services(),
            "egress_services": [],
            "resolve_labels_as": self.resolve_labels_as(),
            "unscoped_consumers": self.dice.often(0.6),
            "network_type": self.dice.one(("brn", "brn", "brn", "all")),
        }
        if self.dice.often(0.15):
            made["use_workload_subnets"] = self.dice.one((["consumers"], ["consumers"], ["providers"], []))
        if self.dice.often(0.1):
            made.update(self.odd_flag())
        if self.dice.often(0.04):
            self._forget(made)
        return made

    def odd_flag(self) -> Json:
        """One thing that narrows a rule beyond what can be checked, or a flag that says nothing."""
        return self.dice.one(
            (
                {"consuming_security_principals": [{"href": "/orgs/1/security_principals/1"}]},
                {"egress_services": [{"href": "/orgs/1/sec_policy/active/services/0"}]},
                {"sec_connect": True},
                {"machine_auth": True},
                {"stateless": True},
                {"network_type": "non_brn"},
                {"network_type": "moonlight"},
                {"all_ips_except_for_in_consumers": True},
                {"all_ips_except_for_in_providers": True},
                {"all_ips_except_for_in_consumers": False, "sec_connect": False, "machine_auth": False},
            )
        )

    def _forget(self, made: Json) -> None:
        """Leave out a key, or send null for it."""
        key = self.dice.one([key for key in made if key != "href"])
        if self.dice.often(0.5):
            del made[key]
        else:
            made[key] = None

    def resolve_labels_as(self) -> Json:
        return {"providers": self._stands_for(), "consumers": self._stands_for()}

    def _stands_for(self) -> list[str]:
        usual = ["workloads"]
        if self.dice.often(0.01):
            return self.dice.one(([], ["workloads", "moonbeams"], ["moonbeams"]))
        both = ["workloads", "virtual_services"]
        return self.dice.one((usual, usual, usual, usual, ["virtual_services"], both)) if self.cast.virtual else usual

    def ingress_services(self) -> list[Json]:
        if self.dice.often(0.08):
            return []
        return self.dice.some(self._service_item, 2, 1)

    def _service_item(self) -> Json:
        if self.cast.services and self.dice.often(0.4):
            return self.cast.reference(self.dice.one(self.cast.services))
        if self.dice.often(0.6):
            return {"proto": 6, "port": 1433}
        return self.dice.one(
            (
                {"proto": 6},
                {"proto": 17, "port": 1433},
                {"proto": 6, "port": 1400, "to_port": 1500},
                {"proto": 6, "port": 3306},
                {"proto": 6, "port": 80, "to_port": None},
            )
        )

    # --- deny rules

    def deny(self, name: str) -> Json:
        made: Json = {
            "href": name,
            "enabled": not self.dice.often(0.05),
            "override": self.dice.often(0.75),
            "providers": self.providers(),
            "consumers": self.consumers(),
            "ingress_services": self.ingress_services(),
            "egress_services": [],
            "unscoped_consumers": self.dice.often(0.6),
            "network_type": "brn",
        }
        made["consumers"] = [
            item for item in made["consumers"] if "virtual_service" not in item or self.dice.often(0.1)
        ]
        if self.dice.often(0.1):
            made[self.dice.one(("all_ips_except_for_in_consumers", "all_ips_except_for_in_providers"))] = True
        if self.dice.often(0.05):
            made.update(self.dice.one(({"network_type": "non_brn"}, {"egress_services": [{"href": "/x"}]})))
        if self.dice.often(0.04):
            self._forget(made)
        return made

    # --- actors

    def providers(self) -> list[Json]:
        kind = self.dice.random.random()
        if kind < 0.3:
            return [{"actors": "ams"}]
        if kind < 0.35 and self.cast.virtual:
            return [{"virtual_service": self.cast.reference(self.dice.one(self.cast.virtual))}]
        if kind < 0.65:
            return self.dice.some(self.cast.label_item, 3, 1)
        return self.dice.some(self.provider, 3, 0 if self.dice.often(0.03) else 1)

    def provider(self) -> Json:
        if self.dice.often(0.15):
            return self.dice.one(({"ip_list": self._ip_list()}, {"virtual_server": {"href": "/orgs/1/x/1"}}))
        if self.dice.often(0.2):
            return {"workload": self.cast.reference(self.dice.one((href("workloads", "S0"), *self.cast.machines)))}
        return self.actor()

    def consumers(self) -> list[Json]:
        return self.dice.some(self.consumer, 3, 0 if self.dice.often(0.03) else 1)

    def consumer(self) -> Json:
        if self.dice.often(0.3):
            return {"ip_list": self._ip_list()}
        if self.dice.often(0.15):
            return {"workload": self.cast.reference(self.dice.one((href("workloads", "S0"), *self.cast.machines)))}
        return self.actor()

    def _ip_list(self) -> Json:
        return self.cast.reference(self.dice.one(self.cast.lists))

    def actor(self) -> Json:
        kind = self.dice.random.random()
        if kind < 0.25:
            return {"actors": "ams"}
        if kind < 0.35 and self.cast.virtual:
            return {"virtual_service": self.cast.reference(self.dice.one(self.cast.virtual))}
        return self.cast.label_item()
