"""What the enforcer remembers of servers from one cycle to the next."""

import math
import os
from contextlib import closing
from pathlib import Path

from illumio_azsql_enforcer.config import load
from illumio_azsql_enforcer.enforcer import Enforcer
from illumio_azsql_enforcer.sandbox.box import environment_of, open_sandbox
from illumio_azsql_enforcer.sandbox.wire import Fault, Reply
from illumio_azsql_enforcer.server_cycle import Options
from tests.support.clock import VirtualClock


def remembered(enforcer: Enforcer) -> set[str]:
    assert enforcer._memory.neighbours.keys() <= enforcer._reader._known.keys()
    return set(enforcer._reader._known)


def test_servers_that_are_gone_are_forgotten_once_that_is_known(tmp_path: Path) -> None:
    with (
        open_sandbox(tmp_path) as sandbox,
        environment_of(sandbox),
        closing(Enforcer(load(sandbox.config, os.environ), Options(dry_run=True), VirtualClock())) as enforcer,
    ):
        enforcer.cycle()
        known = remembered(enforcer)
        listing = "*/Microsoft.Sql/servers"
        sandbox.arm.faults.add(Fault("gone", reply=Reply(403)), method="GET", path=listing, times=math.inf)
        assert enforcer.cycle().error
        assert remembered(enforcer) == known
        sandbox.arm.faults.clear()
        gone = min(known)
        sandbox.arm.state.remove_server(gone)
        enforcer.cycle()
        assert remembered(enforcer) == known - {gone}
