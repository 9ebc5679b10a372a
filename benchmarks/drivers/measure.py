"""What the scripts of this folder share: the processor time of a run, told in one line of JSON.

Only the standard library is used, because each script runs in the peers' environment.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from time import perf_counter


def cpu_s() -> float:
    """Return the processor time this process has used, user and system [s]."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mib() -> float:
    """Return the largest resident memory of this process so far [MiB]."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (1048576 if sys.platform == "darwin" else 1024)


def tell(
    advance: Callable[[], int],
    cells: int,
    users: int,
    step_s: float,
    built_s: float,
    **more: float,
) -> None:
    """Run ``advance``, which returns how many steps it took, and print what it cost.

    Args:
        advance: The run to be measured.
        cells: Cells there are.
        users: Users there are, all of them advanced in every step.
        step_s: Simulated time of a step [s]; 0 where the peer has no clock.
        built_s: Processor time that building the network took [s].
        more: Anything else to be told.
    """
    before, begin = cpu_s(), perf_counter()
    steps = advance()
    spent, wall = cpu_s() - before, perf_counter() - begin
    print(json.dumps({
        "cells": cells, "users": users, "steps": steps, "step_s": step_s, "cpu_s": spent,
        "wall_s": wall, "built_s": built_s, "peak_mib": peak_mib(), **more,
    }), file=sys.__stdout__)  # fmt: skip
