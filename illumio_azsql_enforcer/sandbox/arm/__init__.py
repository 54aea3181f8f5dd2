"""Azure Resource Manager, Resource Graph and the token services, simulated: see ArmSimulator."""

from illumio_azsql_enforcer.sandbox.arm import faults
from illumio_azsql_enforcer.sandbox.arm.records import Activity, Rule, SqlServer
from illumio_azsql_enforcer.sandbox.arm.simulator import ArmSimulator
from illumio_azsql_enforcer.sandbox.arm.state import ArmState
from illumio_azsql_enforcer.sandbox.arm.switches import Switches, Throttle
from illumio_azsql_enforcer.sandbox.wire import Fault, Faults, Reply, Request

__all__ = [
    "Activity",
    "ArmSimulator",
    "ArmState",
    "Fault",
    "Faults",
    "Reply",
    "Request",
    "Rule",
    "SqlServer",
    "Switches",
    "Throttle",
    "faults",
]
