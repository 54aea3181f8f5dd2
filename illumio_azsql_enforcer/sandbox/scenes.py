"""The demo's story: what happens on each side, and what the next cycle is expected to show."""

from collections.abc import Callable
from dataclasses import dataclass

from illumio_azsql_enforcer.sandbox.box import Sandbox


@dataclass(frozen=True, slots=True)
class Scene:
    """Something that happens, followed by one cycle."""

    title: str
    told: str  # what the reader is about to see
    happens: Callable[[], object] = lambda: None
    dry_run: bool = False


def scenes(sandbox: Sandbox) -> tuple[Scene, ...]:
    """The whole story, in order. Each scene builds on those before it."""
    return (*_first_cycles(), *_policy_changes(sandbox), *_mishaps(sandbox))


def _first_cycles() -> tuple[Scene, ...]:
    return (
        Scene(
            "A dry run",
            "The rule set 'Azure DB access' lets two IP lists and the workloads labelled 'SQL Client' reach the SQL\n"
            "servers. This is what would change, and which rule each range comes from. Nothing is written.",
            dry_run=True,
        ),
        Scene(
            "The first cycle",
            "Now it is written: ranges are opened before others are closed. orders-sql is in mode authoritative, so\n"
            "a rule that somebody made by hand goes; in billing-sql, in mode sync, it would stay and be reported.",
        ),
        Scene("The second cycle", "Nothing has changed, so nothing is written."),
    )


def _policy_changes(sandbox: Sandbox) -> tuple[Scene, ...]:
    console, estate = sandbox.pce.console, sandbox.estate

    def relabel() -> None:
        kept = [label for label in console.get(estate.public_client)["labels"] if label["key"] != "role"]
        labels = [{"href": label["href"]} for label in kept]
        console.update(estate.public_client, labels=[*labels, {"href": estate.labels["web"]}])

    def edit_list() -> None:
        ranges = console.get(estate.apps_list)["ip_ranges"]
        console.update(estate.apps_list, ip_ranges=[*ranges, {"from_ip": "198.51.100.128/26"}])

    return (
        Scene(
            "A workload is relabelled",
            "client-public loses its label 'SQL Client'. Labels are not provisioned: the next poll closes its address.",
            relabel,
        ),
        Scene(
            "An IP list is edited, as a draft",
            "'Illumio Apps' gets 198.51.100.128/26, but nobody has provisioned it: the active policy is unchanged.",
            edit_list,
        ),
        Scene("The draft is provisioned", "The next poll opens the new range.", lambda: console.provision("more apps")),
    )


def _mishaps(sandbox: Sandbox) -> tuple[Scene, ...]:
    console, state, estate = sandbox.pce.console, sandbox.arm.state, sandbox.estate

    def meddle() -> None:
        state.set_rule(estate.orders, "temp-open-all", "0.0.0.0", "255.255.255.255")  # noqa: S104 - a rule's range
        state.set_rule(estate.orders, "illumio-203.0.113.0-203.0.113.127", "203.0.113.0", "203.0.113.255")

    def switch_rule_set(why: str, *, enabled: bool) -> None:
        console.update(estate.rule_set, enabled=enabled)
        console.provision(why)

    return (
        Scene(
            "Somebody edits the firewall by hand",
            "In Azure, a rule that lets the whole internet in is added to orders-sql, and one of ours is widened.\n"
            "The next poll puts both right.",
            meddle,
        ),
        Scene(
            "The rule set is disabled by mistake",
            "Taking every range away would cut production off: a guard refuses, nothing is written, and it says how\n"
            "to let exactly this plan through if it was meant.",
            lambda: switch_rule_set("disabled by mistake", enabled=False),
        ),
        Scene(
            "The mistake is undone",
            "Everything is as it was: in sync, and nothing is written.",
            lambda: switch_rule_set("enabled again", enabled=True),
        ),
    )
