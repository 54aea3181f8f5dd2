"""The demo, as a newcomer runs it."""

import re
import subprocess
import sys

from tests.cli.conftest import PROGRAM


def test_the_demo_ends_by_itself_and_shows_the_whole_job() -> None:
    done = subprocess.run([*PROGRAM, "demo"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    titles = [line for line in done.stdout.splitlines() if re.match(r"\d+\. ", line)]
    assert titles == [
        "1. A dry run",
        "2. The first cycle",
        "3. The second cycle",
        "4. A workload is relabelled",
        "5. An IP list is edited, as a draft",
        "6. The draft is provisioned",
        "7. Somebody edits the firewall by hand",
        "8. The rule set is disabled by mistake",
        "9. The mistake is undone",
    ]
    ends = [
        line.removeprefix("dry run: ").split()[0] for line in done.stdout.splitlines() if " · policy version " in line
    ]
    assert ends == ["pending", "changed", "in_sync", "changed", "in_sync", "changed", "changed", "refused", "in_sync"]
    assert "Traceback" not in done.stdout


def test_a_port_in_use_is_one_sentence() -> None:
    script = (
        "import socket, sys; from illumio_azsql_enforcer.cli.program import _main; "
        "s = socket.create_server(('127.0.0.1', 0)); "
        "sys.exit(_main(['demo', '--serve', '--port', str(s.getsockname()[1])]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "Address already in use" in done.stderr
    assert len(done.stderr.splitlines()) == 1
