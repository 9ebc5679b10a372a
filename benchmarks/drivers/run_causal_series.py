"""Runs one peer on one series: scores [lag, cause, effect] into a file, its time to stdout.

What a peer takes for an edge has a score of at least ½; undirected ones count ½ each way.
"""

from __future__ import annotations

import json
import sys
import warnings
from time import process_time
from typing import Any

import lingam
import numpy as np
import numpy.typing as npt
from scipy.stats import t as student
from tigramite.data_processing import DataFrame
from tigramite.independence_tests.parcorr import ParCorr
from tigramite.lpcmci import LPCMCI
from tigramite.pcmci import PCMCI

warnings.simplefilter("ignore")

Floats = npt.NDArray[Any]
_ALPHA = 0.01


def pcmci_plus(series: Floats, lags: int) -> Floats:
    """Run tigramite's PCMCI+ with partial correlations at 1 %."""
    found = PCMCI(DataFrame(series), ParCorr(), verbosity=0).run_pcmciplus(
        tau_max=lags, pc_alpha=_ALPHA
    )
    marks, strength = found["graph"], np.abs(found["val_matrix"])
    kept = (marks == "-->") + 0.5 * ((marks == "o-o") | (marks == "x-x"))
    # among edges by partial correlation, among others by how little speaks against them
    scores = np.where(kept > 0, kept * (1.0 + strength), 0.4 * (1.0 - found["p_matrix"]))
    return np.moveaxis(scores, 2, 0)


def lpcmci(series: Floats, lags: int) -> Floats:
    """Run tigramite's LPCMCI, which allows for hidden causes, with partial correlations at 1 %.

    An arrow is an edge; one whose tail is open counts ½; a double-headed one, a hidden cause, none.
    """
    found = LPCMCI(DataFrame(series), ParCorr(), verbosity=0).run_lpcmci(
        tau_max=lags, pc_alpha=_ALPHA
    )
    marks, strength = found["graph"], np.abs(found["val_matrix"])
    kept = (marks == "-->") + 0.5 * ((marks == "o->") | (marks == "o-o") | (marks == "x-x"))
    scores = np.where(kept > 0, kept * (1.0 + strength), 0.4 * (1.0 - found["p_matrix"]))
    return np.moveaxis(scores, 2, 0)


def var_lingam(series: Floats, lags: int) -> Floats:
    """Run VARLiNGAM, made for noise that is not Gaussian."""
    model = lingam.VARLiNGAM(lags=lags, criterion=None, prune=True)
    model.fit(series)
    weights = np.abs(np.array(model.adjacency_matrices_)).transpose(0, 2, 1)
    scores: Floats = np.where(weights > 0, 0.5 + weights, 0.0)
    return scores


def granger(series: Floats, lags: int) -> Floats:
    """Run one regression on all lags with tests of each coefficient at 1 %: lagged edges only."""
    count, size = series.shape
    past = np.hstack([series[lags - k : count - k] for k in range(1, lags + 1)])
    past = np.column_stack([np.ones(len(past)), past])
    present = series[lags:]
    slopes, *_ = np.linalg.lstsq(past, present, rcond=None)
    freedom = len(past) - past.shape[1]
    variance = ((present - past @ slopes) ** 2).sum(axis=0) / freedom
    error = np.sqrt(np.outer(np.diag(np.linalg.inv(past.T @ past)), variance))
    ratio = np.abs(slopes / error)[1:]
    kept = 2.0 * student.sf(ratio, freedom) < _ALPHA
    scores = np.where(kept, 0.5 + ratio, 0.4 * student.cdf(ratio, freedom))
    return np.concatenate([np.zeros((1, size, size)), scores.reshape(lags, size, size)])


def main() -> None:
    """Run a peer on a file of samples, write its scores to another."""
    name, source, target, lags = sys.argv[1:]
    run = {f.__name__: f for f in (pcmci_plus, lpcmci, var_lingam, granger)}[name]
    series = np.load(source)
    run(series[:200, :3], int(lags))  # whatever is made the first time
    np.random.seed(1)  # noqa: NPY002  # the peers know no other source of chance
    begin = process_time()
    scores = run(series, int(lags))
    used = process_time() - begin
    np.save(target, scores)
    print(json.dumps({"cpu_s": used}))


if __name__ == "__main__":
    main()
