"""Runs what ``drivers/`` holds in processes of their own: the twin here, its peers elsewhere.

The peers are installed once, with the versions of ``drivers/requirements.txt``, into an
environment of their own in the cache folder, so that nothing of theirs gets into ours.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

DRIVERS = Path(__file__).parent / "drivers"
AGENTDB = "agentdb@3.0.0-alpha.20"
"""The npm package that the memory stands beside."""
_NPM_S = 240
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
    "SDL_VIDEODRIVER": "dummy",
}


@dataclass(frozen=True)
class Run:
    """What a driver told about one run."""

    told: Mapping[str, Any]

    @property
    def pairs(self) -> float:
        """User-cell pairs advanced in a step; of the twin only those of connected users."""
        told = self.told
        return float(told["cells"] * told["users"] * told.get("connected", 1.0))

    @property
    def cpu_s(self) -> float:
        """Processor time of a step [s]."""
        return float(self.told["cpu_s"]) / float(self.told["steps"])

    @property
    def pair_ns(self) -> float:
        """Processor time of a pair and step [ns]."""
        return self.cpu_s / self.pairs * 1e9

    @property
    def pair_steps(self) -> float:
        """Pairs advanced by a step per second of processor time, in millions."""
        return self.pairs / self.cpu_s / 1e6

    @property
    def simulated(self) -> float:
        """Simulated seconds per second of processor time."""
        return float(self.told["step_s"]) / self.cpu_s


def middle(values: Sequence[float]) -> tuple[float, float]:
    """Return the median and half the range of repeats."""
    return statistics.median(values), (max(values) - min(values)) / 2


def peers_python(listed: str = "requirements.txt") -> Path:
    """Return the interpreter of the peers' environment, made the first time.

    Args:
        listed: File in ``drivers/`` that lists them.
    """
    requirements = DRIVERS / listed
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = root / "cellhive" / f"peers-{digest}"
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        print(f"installing the peers into {folder} (a minute or two, the first time) ...")
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        installed = subprocess.run(  # noqa: S603
            [*pip, "-r", str(requirements)], check=False, capture_output=True, text=True
        )
        if installed.returncode != 0:
            message = "the peers could not be installed (--no-peers leaves them out):\n"
            raise SystemExit(message + installed.stderr[-2000:])
        done.touch()
    return python


def run(python: Path | str, script: str, *arguments: object, ours: bool = False) -> Run:
    """Run a driver in a process of its own, on one thread; end where it fails.

    Args:
        python: Interpreter.
        script: File in ``drivers/``.
        arguments: Of the driver.
        ours: Whether it may see our packages through the environment.
    """
    words = [str(python), str(DRIVERS / script), *map(str, arguments)]
    done = _finished(words, None, ours=ours)
    if done.returncode != 0:
        message = f"{script} {arguments} ended with {done.returncode}:\n{done.stderr[-3000:]}"
        raise SystemExit(message)
    return Run(json.loads(done.stdout.splitlines()[-1]))


def attempted(
    python: Path | str, script: str, *arguments: object, most_s: float
) -> Mapping[str, Any] | str:
    """Run a peer's driver on one thread; return what it told, or why it told nothing.

    Args:
        python: Interpreter.
        script: File in ``drivers/``.
        arguments: Of the driver.
        most_s: Time after which it is stopped [s].
    """
    return _told_or_why([str(python), str(DRIVERS / script), *map(str, arguments)], most_s)


def _told_or_why(words: Sequence[str], most_s: float) -> Mapping[str, Any] | str:
    try:
        done = _finished(words, most_s)
    except subprocess.TimeoutExpired:
        return f"stopped after {most_s:.0f} s"
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [""]
        return f"ended with {done.returncode}: {said[-1][:120]}"
    told: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _finished(
    words: Sequence[str], most_s: float | None, *, ours: bool = False
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **_ONE_THREAD}
    if not ours:
        environment.pop("PYTHONPATH", None)
    return subprocess.run(  # noqa: S603  # our own script
        words, env=environment, capture_output=True, text=True, check=False, timeout=most_s
    )


def agentdb(*arguments: object, most_s: float) -> Mapping[str, Any] | str:
    """Run the npm package AgentDB; return what it told, or why it told nothing.

    Args:
        arguments: Vectors, components, queries.
        most_s: Time after which it is stopped [s].
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return "node and npm are not installed"
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = root / "cellhive" / f"npm-{AGENTDB}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "installed").exists():
        print(f"installing {AGENTDB} into {folder} (minutes, the first time) ...")
        install = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), AGENTDB]
        try:
            done = subprocess.run(  # noqa: S603
                install, check=False, capture_output=True, text=True, timeout=_NPM_S
            )
        except subprocess.TimeoutExpired:
            return f"could not be installed in {_NPM_S} s"
        if done.returncode != 0:
            return f"could not be installed: {done.stderr[-120:]}"
        (folder / "installed").touch()
    shutil.copy(DRIVERS / "run_agentdb.mjs", folder)
    with tempfile.TemporaryDirectory() as data:
        export = [sys.executable, str(DRIVERS / "vectors.py"), data, *map(str, arguments)]
        subprocess.run(export, check=True, env={**os.environ, **_ONE_THREAD})  # noqa: S603
        words = [node, str(folder / "run_agentdb.mjs"), data, *map(str, arguments)]
        return _told_or_why(words, most_s)


def run_twin(**options: object) -> Run:
    """Run the twin's driver with these options."""
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return run(sys.executable, "run_twin.py", *words, ours=True)


def first_steps(repeats: int) -> tuple[list[float], list[float], list[float], list[float]]:
    """Return what a process takes from its start to the end of its first step, cold and cached.

    Args:
        repeats: Cold starts, each with an empty cache and followed by a cached one.

    Returns:
        Wall time and processor time of the cold starts, then of the cached ones [s].
    """
    kept: tuple[list[float], ...] = ([], [], [], [])
    cold_wall, cold_cpu, warm_wall, warm_cpu = kept
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            for wall, cpu in ((cold_wall, cold_cpu), (warm_wall, warm_cpu)):
                seconds, processor = _whole_process(cache)
                wall.append(seconds)
                cpu.append(processor)
    return cold_wall, cold_cpu, warm_wall, warm_cpu


def _whole_process(cache: str) -> tuple[float, float]:
    environment = {**os.environ, **_ONE_THREAD, "XDG_CACHE_HOME": cache}
    environment.pop("NUMBA_CACHE_DIR", None)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = perf_counter()
    subprocess.run(  # noqa: S603  # our own script
        [sys.executable, str(DRIVERS / "run_twin.py"), "--settle", "0", "--steps", "0"],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    wall, after = perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime


def together(count: int, **options: object) -> tuple[float, list[Run]]:
    """Run processes of the twin at the same time; return the wall time of their steps [s]."""
    environment = {**os.environ, **_ONE_THREAD}
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    started = [
        subprocess.Popen(  # noqa: S603  # our own script
            [sys.executable, str(DRIVERS / "run_twin.py"), *words],
            env=environment, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(count)
    ]  # fmt: skip
    runs = [Run(json.loads(process.communicate()[0].splitlines()[-1])) for process in started]
    return max(float(run.told["wall_s"]) for run in runs), runs
