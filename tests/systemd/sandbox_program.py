"""Runs inside the machine: a PCE and an Azure on loopback, whose faults another process may set.

The file `slow` in its directory holds METHOD PATH SECONDS, one fault a line; they replace those before, and `slow-set`
tells when. `environment` is what a client needs to get its tokens here; `ready` appears when all of that is there.
"""

import math
import sys
import time
from pathlib import Path

from illumio_azsql_enforcer.sandbox.box import open_sandbox
from illumio_azsql_enforcer.sandbox.exchange import Fault


def main(directory: Path) -> None:
    with open_sandbox(directory, port=8443) as sandbox:
        lines = [f"{name}={value}\n" for name, value in sandbox.environ.items()]
        (directory / "environment").write_text("".join(lines))
        (directory / "ready").touch()
        told = ""
        while True:
            time.sleep(0.05)
            commands = directory / "slow"
            if commands.exists() and (text := commands.read_text()) != told:
                told = text
                for faults in (sandbox.pce.faults, sandbox.arm.faults):
                    faults.clear()
                    for method, path, seconds in (line.split() for line in text.splitlines()):
                        faults.add(Fault("slow", stall=float(seconds)), method=method, path=path, times=math.inf)
                (directory / "slow-set").write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
