"""Decomposes series one by one, as ``run_stl.py`` does, and tells what that cost.

The plain way: pandas fills gaps, statsmodels takes daily cycle and trend out, a robust z of
the rest beyond a threshold is an event. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from time import process_time

import numpy as np
from run_stl import GAP, Plan, rest_of, runs


def main() -> None:
    """Look for events in every series of a file of panels, (panels, objects, periods)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("panels", type=Path)
    parser.add_argument("--period", type=int, default=24)
    parser.add_argument("--threshold", type=float, default=8.0)
    chosen = parser.parse_args()
    panels = np.load(chosen.panels)
    plan = Plan(chosen.period, None, 1, chosen.threshold)
    rest_of(panels[0, 0], plan)  # what is loaded at first use is no part of it
    begin, events = process_time(), 0
    for line in panels.reshape(-1, panels.shape[2]):
        z, _ = rest_of(line, plan)
        events += len(runs(np.abs(np.nan_to_num(z)) > plan.threshold, GAP, plan.least))
    print(json.dumps({"cpu_s": process_time() - begin, "events": events,
                      "series": panels.shape[0] * panels.shape[1]}))  # fmt: skip


if __name__ == "__main__":
    main()
