"""Promotes versions of a model in turn, and tells when: run_promotions.py FOLDER COUNT."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from cellhive.adapters.models.embedded import EmbeddedModels


def main() -> None:
    """Print, per promotion, version and monotonic time before and after it [ns]."""
    store, rng = EmbeddedModels(Path(sys.argv[1]), now_s=lambda: 0.0), np.random.default_rng(1)
    for turn in range(int(sys.argv[2])):
        time.sleep(0.15 + 0.1 * rng.random())  # so that it meets any phase of the watch
        version = 2 - turn % 2
        before = time.monotonic_ns()
        store.set_alias("city", "champion", version)
        print(json.dumps([version, before, time.monotonic_ns()]), flush=True)
    store.close()


if __name__ == "__main__":
    main()
