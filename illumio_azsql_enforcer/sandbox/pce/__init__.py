"""A PCE that runs here: policy, workloads and events over its REST API v2, editable over HTTP and in process."""

from illumio_azsql_enforcer.sandbox.pce.behaviour import Behaviour
from illumio_azsql_enforcer.sandbox.pce.console import Console
from illumio_azsql_enforcer.sandbox.pce.refusals import Refused
from illumio_azsql_enforcer.sandbox.pce.release import Release
from illumio_azsql_enforcer.sandbox.pce.simulator import API_KEY, API_SECRET, PceSimulator

__all__ = ["API_KEY", "API_SECRET", "Behaviour", "Console", "PceSimulator", "Refused", "Release"]
