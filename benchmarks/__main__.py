"""`python -m benchmarks [FIGURE ...]`: every figure, each measured by the module that knows how."""

import subprocess
import sys
from collections.abc import Sequence

MODULES = {  # figure -> module; a module measures several figures in one run
    "decode_ratio": "decode",
    "policy_ratio": "policy",
    "policy_memory_ratio": "policy",
    "union_ratio": "policy",
    "quiet_pce_requests": "decode",
    "quiet_arm_requests": "azure",
    "quiet_wall_ratio": "azure",
    "quiet_cpu_ratio": "azure",
    "converge_wall_ratio": "azure",
    "converge_writes_ratio": "reconcile",
    "start_seconds": "azure",
    "start_mib": "azure",
}


def main(figures: Sequence[str]) -> int:
    """Runs each module once, with the figures that are wanted of it; 64 for a figure that is not known."""
    if unknown := [figure for figure in figures if figure not in MODULES]:
        print(f"Unknown figure {unknown[0]}; known are: {', '.join(MODULES)}", file=sys.stderr)
        return 64
    wanted: dict[str, list[str]] = {}
    for figure in figures or MODULES:
        wanted.setdefault(MODULES[figure], []).append(figure)
    codes = [subprocess.call([sys.executable, "-m", f"benchmarks.{name}", *those]) for name, those in wanted.items()]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
