"""The small estate that the sandbox starts with: the set-up of Illumio's 2020 article on Azure SQL.

One unmanaged workload stands for each SQL server; the rule set "Azure DB access" lets two IP lists and the workloads
labelled "SQL Client" reach the role "Database Server" on TCP 1433. Public addresses are from the documentation ranges.
"""

from dataclasses import dataclass
from typing import Protocol

from illumio_azsql_enforcer.sandbox.arm.state import ArmState
from illumio_azsql_enforcer.sandbox.pce import PceSimulator
from illumio_azsql_enforcer.sandbox.pce.console import Console
from illumio_azsql_enforcer.sandbox.pce.shapes import Json

SUBSCRIPTION = "3f1d7c52-6f0e-4a53-9a37-0c1f6d9d2b10"
GROUP = "rg-data-test"
SUFFIX = "database.windows.net"
AZURE_SERVICES = "0.0.0.0"  # noqa: S104 - not an address to bind: both ends of "allow all Azure services"
LABELS = {
    "database_server": ("role", "Database Server"),
    "sql_client": ("role", "SQL Client"),
    "web": ("role", "Web"),
    "azure_db": ("app", "Azure DB"),
    "billing": ("app", "Billing"),
    "test": ("env", "Test"),
    "production": ("env", "Production"),
    "azure": ("loc", "Azure"),
    "datacenter": ("loc", "Datacenter"),
}


class Azure(Protocol):
    """The part of the Azure simulator that is needed here."""

    @property
    def state(self) -> ArmState: ...


@dataclass(frozen=True, slots=True)
class Estate:
    """Names and hrefs (drafts, for versioned objects) of what the estate holds."""

    subscription: str
    resource_group: str
    orders: str  # the server of the article, with one firewall rule that somebody made by hand
    billing: str  # a second server with the same labels, and with "allow all Azure services" on
    scratch: str  # a server that the PCE does not know
    orders_workload: str
    billing_workload: str
    labels: dict[str, str]  # short name, see LABELS -> href
    clients_list: str  # IP list "Illumio clients"
    apps_list: str  # IP list "Illumio Apps", with an exclusion
    rule_set: str  # "Azure DB access"
    clients_rule: str
    apps_rule: str
    sql_client_rule: str
    public_client: str  # managed, public address on its interface
    cloud_client: str  # managed, private address and a public one beside it
    private_client: str  # managed, private address only
    offline_client: str  # managed, its agent is gone
    foreign_rule: str  # name of the firewall rule that somebody made by hand on `orders`


def blog_estate(pce: PceSimulator, arm: Azure) -> Estate:
    """Fill an empty PCE and an empty Azure; everything is provisioned.

    Raises Refused or ValueError when they hold such objects already.
    """
    console = pce.console
    labels = {
        short: str(console.create("labels", key=key, value=value)["href"]) for short, (key, value) in LABELS.items()
    }
    of_server = [labels[short] for short in ("database_server", "azure_db", "test", "azure")]
    orders = _server(console, "orders-sql", "203.0.113.210", of_server)
    billing = _server(console, "billing-sql", "203.0.113.211", of_server)
    clients_list, apps_list = _ip_lists(console)
    rule_set = console.create("rule_sets", name="Azure DB access", scopes=[_items(labels, "azure_db", "test", "azure")])
    rules = [
        _rule(console, rule_set, labels, {"ip_list": {"href": clients_list}}),
        _rule(console, rule_set, labels, {"ip_list": {"href": apps_list}}),
        _rule(console, rule_set, labels, *_items(labels, "sql_client")),
    ]
    clients = _clients(console, [labels[short] for short in ("sql_client", "billing", "test", "datacenter")])
    console.provision("Azure DB access")
    _azure(arm.state)
    return Estate(
        subscription=SUBSCRIPTION,
        resource_group=GROUP,
        orders="orders-sql",
        billing="billing-sql",
        scratch="scratch-sql",
        orders_workload=orders,
        billing_workload=billing,
        labels=labels,
        clients_list=clients_list,
        apps_list=apps_list,
        rule_set=rule_set["href"],
        clients_rule=rules[0],
        apps_rule=rules[1],
        sql_client_rule=rules[2],
        public_client=clients[0],
        cloud_client=clients[1],
        private_client=clients[2],
        offline_client=clients[3],
        foreign_rule="dba-home",
    )


def _items(labels: dict[str, str], *shorts: str) -> list[Json]:
    return [{"label": {"href": labels[short]}} for short in shorts]


def _server(console: Console, name: str, address: str, labels: list[str]) -> str:
    made = console.create(
        "workloads",
        name=name,
        hostname=f"{name}.{SUFFIX}",
        description="Azure SQL logical server",
        interfaces=[{"name": "umw0", "address": address, "cidr_block": 32}],
        labels=[{"href": href} for href in labels],
    )
    return str(made["href"])


def _ip_lists(console: Console) -> tuple[str, str]:
    clients = console.create(
        "ip_lists",
        name="Illumio clients",
        ip_ranges=[{"from_ip": "203.0.113.0/25", "description": "Offices"}, {"from_ip": "203.0.113.200"}],
    )
    apps = console.create(
        "ip_lists",
        name="Illumio Apps",
        ip_ranges=[
            {"from_ip": "192.0.2.0/24", "description": "Application network"},
            {"from_ip": "192.0.2.128", "to_ip": "192.0.2.159", "exclusion": True, "description": "Guests"},
            {"from_ip": "198.51.100.64/28"},
        ],
    )
    return clients["href"], apps["href"]


def _rule(console: Console, rule_set: Json, labels: dict[str, str], *consumers: Json) -> str:
    made = console.add_rule(
        rule_set["href"],
        providers=_items(labels, "database_server"),
        consumers=list(consumers),
        ingress_services=[{"proto": 6, "port": 1433}],
        unscoped_consumers=True,
    )
    return str(made["href"])


def _clients(console: Console, labels: list[str]) -> list[str]:
    addresses: dict[str, list[tuple[str, str, int]]] = {
        "client-public": [("eth0", "198.51.100.21", 24)],
        "client-cloud": [("eth0", "10.1.0.4", 24), ("eth0.public", "198.51.100.22", 32)],
        "client-private": [("eth0", "10.20.1.15", 24)],
        "client-offline": [("eth0", "198.51.100.99", 24)],
    }
    return [_client(console, name, interfaces, labels) for name, interfaces in addresses.items()]


def _client(console: Console, name: str, interfaces: list[tuple[str, str, int]], labels: list[str]) -> str:
    made = console.create(
        "workloads",
        managed=True,
        name=name,
        hostname=f"{name}.example.com",
        online=name != "client-offline",
        interfaces=[{"name": one, "address": address, "cidr_block": bits} for one, address, bits in interfaces],
        labels=[{"href": href} for href in labels],
    )
    return str(made["href"])


def _azure(state: ArmState) -> None:
    state.add_subscription(SUBSCRIPTION)
    for name in ("orders-sql", "billing-sql", "scratch-sql"):
        state.add_server(name, subscription=SUBSCRIPTION, resource_group=GROUP, fqdn=f"{name}.{SUFFIX}", tags={})
    state.set_rule("orders-sql", "dba-home", "198.51.100.200", "198.51.100.200")
    state.set_rule("billing-sql", "AllowAllWindowsAzureIps", AZURE_SERVICES, AZURE_SERVICES)
