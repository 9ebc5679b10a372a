"""Orders what was found: by age, by how it went, by diversity, by words and vectors together.

Pure functions of arrays over ``N`` candidates, and the settings that name what to use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cellhive.core.errors import BadInput
from cellhive.core.records import Metric, Record
from cellhive.core.types import Floats, Floats32

FUSION_CONSTANT = 60.0
"""k of reciprocal rank fusion, as Cormack et al. (2009) found it robust."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Where records say how it went, and how doubt counts."""

    mean: str = "mean"
    """Metadata key of the mean outcome."""
    weight: str = "weight"
    """Metadata key of how many trials that mean rests on; may be fractional."""
    low: float = 0.0
    """An outcome that counts as none at all."""
    high: float = 1.0
    """An outcome than which none is better."""
    caution: float = 0.5
    """Standard errors taken off the mean: what has been tried little must promise more."""
    share: float = 0.5
    """How much of the score hangs on the outcome, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """How ``find`` orders its results; by nearness alone where nothing is set."""

    half_life_s: float | None = None
    """Age at which a record counts half [s]; None: age does not matter."""
    now_s: float | None = None
    """Time from which ages are taken [s], on the clock of the records' ``time_s``."""
    outcomes: Outcomes | None = None
    diversity: float = 0.0
    """0 orders by score alone; towards 1, ever more by unlikeness to what is already chosen."""
    pool: int = 0
    """Candidates looked at; 0 takes five times k and at least fifty."""

    def __post_init__(self) -> None:
        """Refuse what cannot be ordered by."""
        half, now, outcomes = self.half_life_s, self.now_s, self.outcomes
        wrong = {
            "a half-life above 0 s": (half, half is None or 0 < half < np.inf),
            "a finite now_s beside half_life_s": (
                now, half is None or (now is not None and bool(np.isfinite(now))),
            ),
            "a diversity of 0 to 1": (self.diversity, 0 <= self.diversity <= 1),
            "outcomes with low below high and a share of 0 to 1": (
                outcomes,
                outcomes is None or (outcomes.low < outcomes.high and 0 <= outcomes.share <= 1),
            ),
            "a pool of 0 or more": (self.pool, self.pool >= 0),
        }  # fmt: skip
        for expected, (found, right) in wrong.items():
            if not right:
                raise BadInput(expected=expected, found=str(found), place="ranking")


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A record that may be among the results."""

    record: Record
    similarity: float | None
    """Nearness to the query vector, where both have one."""
    fit: float | None = None
    """How well it fits, 0 to 1; None where the similarity says it."""
    score: float = 0.0
    """What it is ordered by."""


def ordered(
    candidates: Sequence[Candidate], k: int, ranking: Ranking, metric: Metric
) -> list[Candidate]:
    """Return the k best candidates with their scores, best first.

    Where nothing but nearness counts, the score of a candidate is its similarity.
    """
    if not candidates:
        return []
    near = np.array([candidate.similarity or 0.0 for candidate in candidates], np.float64)
    fits = np.array([np.nan if candidate.fit is None else candidate.fit
                     for candidate in candidates], np.float64)  # fmt: skip
    weighted = (
        ranking.half_life_s is not None or ranking.outcomes is not None or ranking.diversity > 0
    )
    scores = np.where(np.isnan(fits), relevance(near, metric) if weighted else near, fits)
    scores = scores * weights([candidate.record for candidate in candidates], ranking)
    if ranking.diversity > 0:
        order = diverse(scores, _stacked(candidates), k, ranking.diversity, metric)
    else:
        order = np.argsort(-scores, kind="stable")[:k]
    return [replace(candidates[place], score=float(scores[place])) for place in order]


def _stacked(candidates: Sequence[Candidate]) -> Floats32:
    """Return the vectors of candidates, zeros where one has none, (N, D)."""
    vectors = [candidate.record.vector for candidate in candidates]
    dimension = max((len(vector) for vector in vectors if vector is not None), default=1)
    empty = np.zeros(dimension, np.float32)
    return np.array([empty if vector is None else vector for vector in vectors], np.float32)


def relevance(similarity: Floats, metric: Metric) -> Floats:
    """Return similarities as numbers from 0 to 1 in the same order, (N,).

    The cosine is moved and scaled; a distance d gives 1 / (1 + d); an inner product s gives
    (1 + s / (1 + |s|)) / 2.
    """
    match metric:
        case Metric.COSINE:
            scaled: Floats = np.clip((1 + similarity) / 2, 0, 1)
            return scaled
        case Metric.L2:
            closeness: Floats = 1 / (1 + np.sqrt(np.maximum(-similarity, 0)))
            return closeness
        case Metric.INNER_PRODUCT:
            squeezed: Floats = (1 + similarity / (1 + np.abs(similarity))) / 2
            return squeezed


def fused(lists: Sequence[Sequence[int]], constant: float = FUSION_CONSTANT) -> dict[int, float]:
    """Return the score of every item of several ranked lists, 1 for the first of all of them.

    Reciprocal rank fusion (Cormack, Clarke and Büttcher 2009): the sum of 1 / (constant +
    rank), here divided by its greatest possible value.
    """
    best = len(lists) / (constant + 1)
    scores: dict[int, float] = {}
    for ranked in lists:
        for rank, item in enumerate(ranked, start=1):
            scores[item] = scores.get(item, 0.0) + 1 / (constant + rank) / best
    return scores


def weights(records: Sequence[Record], ranking: Ranking) -> Floats:
    """Return what the scores of records are multiplied with for age and outcome, (N,)."""
    factors = np.ones(len(records))
    if ranking.half_life_s is not None and ranking.now_s is not None:
        ages = ranking.now_s - np.array([record.time_s for record in records], np.float64)
        factors *= 0.5 ** (np.maximum(ages, 0) / ranking.half_life_s)
    if ranking.outcomes is not None:
        share = ranking.outcomes.share
        factors *= 1 - share + share * _promise(records, ranking.outcomes)
    return factors


def _promise(records: Sequence[Record], outcomes: Outcomes) -> Floats:
    """Return a cautious outcome from 0 to 1, (N,).

    The mean is drawn to the middle as by one trial that went so, and a standard error is
    taken off, that of outcomes which scatter over the whole range. What has not been tried
    is that one trial.
    """
    middle, scatter = (outcomes.low + outcomes.high) / 2, (outcomes.high - outcomes.low) / 2
    means = np.array([_number(record, outcomes.mean) for record in records])
    trials = np.array([_number(record, outcomes.weight) for record in records])
    trials = np.where(np.isfinite(means) & (trials > 0), trials, 0.0)
    means = np.where(np.isfinite(means), means, middle)
    drawn = (means * trials + middle) / (trials + 1)
    cautious = drawn - outcomes.caution * scatter / np.sqrt(trials + 1)
    promise: Floats = np.clip((cautious - outcomes.low) / (outcomes.high - outcomes.low), 0, 1)
    return promise


def _number(record: Record, key: str) -> float:
    value = record.metadata.get(key)
    return float(value) if isinstance(value, int | float) else float("nan")


def diverse(
    scores: Floats, vectors: Floats32, k: int, diversity: float, metric: Metric
) -> npt.NDArray[np.intp]:
    """Return the places of k candidates, each good and unlike those before it, (≤ k,).

    Maximal marginal relevance (Carbonell and Goldstein 1998) with λ = 1 - diversity.

    Args:
        scores: How good each candidate is, (N,), from 0; the best counts as 1.
        vectors: Where each lies, (N, D); zeros where it has no vector.
        k: How many to choose.
        diversity: 0 chooses the best, 1 the most unlike.
        metric: What likeness means.
    """
    gain = scores / max(float(scores.max(initial=0.0)), 1e-12)
    nearest = np.zeros(len(scores))
    free = np.ones(len(scores), np.bool_)
    chosen: list[int] = []
    for _ in range(min(k, len(scores))):
        value = (1 - diversity) * gain - diversity * nearest
        place = int(np.argmax(np.where(free, value, -np.inf)))
        chosen.append(place)
        free[place] = False
        nearest = np.maximum(nearest, _likeness(place, vectors, metric))
    return np.array(chosen, np.intp)


def _likeness(place: int, vectors: Floats32, metric: Metric) -> Floats:
    """Return how like one candidate each is, 0 to 1, (N,): distances in units of their spread."""
    if metric is Metric.L2:
        distances = np.sqrt(np.maximum(-similarities(vectors[place], vectors, metric), 0))
        spread = max(float(np.sqrt(vectors.var(axis=0, dtype=np.float64).sum())), 1e-12)
        near: Floats = 1 / (1 + distances / spread)
        return near
    cosines: Floats = np.clip(similarities(vectors[place], vectors, Metric.COSINE), 0, 1)
    return cosines


def similarities(query: Floats32, vectors: Floats32, metric: Metric) -> Floats:
    """Return how near vectors are to a query under a metric, in float64, (N,)."""
    one, many = query.astype(np.float64), vectors.astype(np.float64)
    if metric is Metric.L2:
        squares: Floats = ((many - one) ** 2).sum(axis=1)
        return -squares
    products: Floats = many @ one
    if metric is Metric.COSINE:
        norms = np.sqrt((one @ one) * (many * many).sum(axis=1))
        return products / np.where(norms > 0, norms, 1.0)
    return products


def contributions(query: Floats32, vector: Floats32, metric: Metric) -> Floats:
    """Return the part of each component in a similarity; they add up to it, (D,)."""
    one, other = query.astype(np.float64), vector.astype(np.float64)
    if metric is Metric.L2:
        return -((one - other) ** 2)
    parts = one * other
    if metric is Metric.COSINE:
        return parts / np.sqrt((one @ one) * (other @ other))
    return parts
