"""Analyses files as ``cellhive analyze`` does, and tells what each stage cost.

Prints one JSON object: wall and processor time of the whole and of each stage, the largest
resident memory, that which was not of mapped files, and the size of the report.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import threading
from pathlib import Path
from time import perf_counter, process_time

_GB = 1e9


def _memory() -> dict[str, float]:
    """Return what this process occupies now [GB]; nothing where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    fields = (line.split(":", 1) for line in lines if ":" in line)
    return {
        name: float(text.split()[0]) * 1024 / _GB
        for name, text in fields if name in {"VmRSS", "RssAnon"}
    }  # fmt: skip


class Watched:
    """What stages cost, and the most memory that was occupied."""

    def __init__(self) -> None:
        """Begin."""
        self.stages: dict[str, dict[str, float]] = {}
        self.most = {"VmRSS": 0.0, "RssAnon": 0.0}
        self._stage, self._begun = "Reading", (perf_counter(), process_time())
        self._over = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def __call__(self, stage: str, done: int = 0, total: int = 0) -> None:
        """Take note of a stage; the one before it is over."""
        stage = "Reading" if stage.startswith("Read ") else stage
        if stage == self._stage:
            return
        now = perf_counter(), process_time()
        told = self.stages.setdefault(self._stage, {"wall_s": 0.0, "cpu_s": 0.0})
        told["wall_s"] += now[0] - self._begun[0]
        told["cpu_s"] += now[1] - self._begun[1]
        self._stage, self._begun = stage, now
        print(f"{stage} ({done} of {total}) after {now[1]:.0f} s of processor time",
              file=sys.stderr, flush=True)  # fmt: skip

    def __enter__(self) -> Watched:
        """Take the place of what tells a person."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to take away."""

    def _look(self) -> None:
        while not self._over.wait(0.05):
            for name, size in _memory().items():
                self.most[name] = max(self.most[name], size)

    def end(self) -> None:
        """Close the last stage."""
        self("")
        self._over.set()


def main() -> None:
    """Analyse the file and write its report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--report", type=Path, required=True)
    chosen = parser.parse_args()
    begun = perf_counter(), process_time()
    watched = Watched()
    from cellhive.cli.analysis import analyze  # noqa: PLC0415  # loading is part of it

    vars(analyze)["Stages"] = lambda _: watched
    analyze.analyze([chosen.path], chosen.report)
    watched.end()
    told = {
        "wall_s": perf_counter() - begun[0], "cpu_s": process_time() - begun[1],
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _GB,
        "anonymous_gb": watched.most["RssAnon"], "report_mb": chosen.report.stat().st_size / 1e6,
        "stages": watched.stages,
    }  # fmt: skip
    print(json.dumps(told))


if __name__ == "__main__":
    main()
