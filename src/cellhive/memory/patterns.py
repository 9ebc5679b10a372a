"""Experience as patterns: what was done in a situation, how it went over, and how sure that is.

A pattern holds no name of any cell or site: its situation is a vector of relative
quantities, its action a number of steps of a parameter. One experience is a pattern seen
once; near-duplicates are pooled, and the pool does not depend on the order of pooling.

The unit of evidence is the run. Many cells of one run share its users, its faults and the
changes beside them; what went well in forty cells of one city may go badly in the next. So
what is believed of an action rests on how its mean effects differ between runs.

Axis letters: ``N`` situations, ``P`` patterns, ``K`` runs, ``D`` components of a situation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

import msgspec
import numpy as np
from scipy.special import stdtr, stdtrit

from cellhive.core.errors import BadInput
from cellhive.core.records import (
    PRIVACY,
    PRIVATE,
    SHARED,
    Metric,
    Namespace,
    Record,
    RecordKind,
)
from cellhive.core.types import Bools, Floats, Floats32

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, order=True)
class Action:
    """What is done to a cell or relation, in terms that mean the same in every network."""

    function: str
    """Who proposes such a change: "MRO", "CCO" …"""
    parameter: str
    """Name in ``core.schema``."""
    steps: int
    """Points on the grid of the parameter, up or down."""

    @property
    def name(self) -> str:
        """The action as metadata and ids hold it."""
        return f"{self.function} {self.parameter} {self.steps:+d}" if self.steps else "nothing"


NOTHING = Action("", "", 0)
"""Leaving a cell or relation alone: what every other action is compared with."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed of the effect of an action before anything was seen of it.

    Normal-inverse-gamma: the mean effect over runs is 0, worth ``strength`` runs, and the
    scatter of the runs' mean effects is worth ``2 shape`` runs around ``scatter``. It is 0
    whatever the action does elsewhere: it was tried where something called for it, and
    must not be expected to help where nothing does.
    """

    strength: float = 0.5
    shape: float = 1.0
    scatter: float = 4.0
    """Typical mean effect in a run, mostly chance and what else was done [points]."""
    still: float = 1.0
    """The same of leaving things alone, which only chance scatters [points]."""
    within: float = 8.0
    """Experiences with which a run says half as much as it can: by then chance between
    cells scatters its mean as much as one run differs from the next."""


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """What is believed of mean effects: Student's t, arrays of one shape [points]."""

    mean: Floats
    scale: Floats
    freedom: Floats

    def interval(self, confidence: float = 0.9) -> tuple[Floats, Floats]:
        """Return the ends of the central credible intervals."""
        reach = self.scale * stdtrit(self.freedom, (1 + confidence) / 2)
        return self.mean - reach, self.mean + reach

    @property
    def chance(self) -> Floats:
        """Probability that the mean effect is above zero."""
        return np.asarray(stdtr(self.freedom, self.mean / self.scale), np.float64)

    def beyond(self, other: Belief) -> Belief:
        """Return what is believed of the difference to another effect (Welch's freedom)."""
        return self._with(other, self.mean - other.mean)

    def plus(self, other: Belief) -> Belief:
        """Return what is believed of the sum with another, independent effect."""
        return self._with(other, self.mean + other.mean)

    def at(self, where: int | Bools) -> Belief:
        """Return some of the beliefs."""
        pick = [np.asarray(each)[where] for each in (self.mean, self.scale, self.freedom)]
        return Belief(*(np.asarray(each) for each in pick))

    def _with(self, other: Belief, mean: Floats) -> Belief:
        mine, theirs = self.scale**2, other.scale**2
        freedom = (mine + theirs) ** 2 / (mine**2 / self.freedom + theirs**2 / other.freedom)
        return Belief(mean, np.sqrt(mine + theirs), freedom)


def believed(weight: Floats, mean: Floats, scatter: Floats, prior: Prior) -> Belief:
    """Return posteriors of mean effects (normal-inverse-gamma; Murphy 2007, §3).

    Args:
        weight: Runs behind each, any shape; 0 gives the prior.
        mean: Their mean effects [points].
        scatter: Their sums of squared deviations.
        prior: What is believed without any.
    """
    strength, shape = prior.strength + weight, prior.shape + weight / 2
    spread = prior.shape * prior.scatter**2 + scatter / 2
    spread = spread + prior.strength * weight * mean**2 / (2 * strength)
    return Belief(weight * mean / strength, np.sqrt(spread / (shape * strength)), 2 * shape)


def believed_of_runs(weight: Floats, total: Floats, prior: Prior) -> Belief:
    """Return what runs say together, each counted by how well it knows its own mean.

    Args:
        weight: What the experiences of each run weigh, (..., K).
        total: Their effects, weighted and added up, (..., K) [points].
        prior: What is believed without any.
    """
    means = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    counts = weight / (weight + prior.within)
    count = counts.sum(axis=-1)
    mean = (counts * means).sum(axis=-1) / np.maximum(count, 1e-300)
    scatter = (counts * (means - mean[..., None]) ** 2).sum(axis=-1)
    return believed(count, mean, scatter, prior)


@dataclass(frozen=True, slots=True)
class Evidence:
    """How often something was seen and what came of it; weights fade, ``times`` does not."""

    times: int = 0
    """Experiences ever pooled."""
    weight: float = 0.0
    """What they still weigh at ``last_s``."""
    mean: float = 0.0
    """Weighted mean effect on the objective around the object [points]."""
    scatter: float = 0.0
    """Weighted sum of squared deviations from it."""
    undone: float = 0.0
    """Weight of those that were rolled back."""
    last_s: float = 0.0
    """When the last one was made, seconds since the epoch."""

    def at(self, now_s: float, half_life_s: float) -> Evidence:
        """Return the evidence as it weighs at a later time."""
        if not self.times or now_s <= self.last_s:
            return self
        share = 0.5 ** ((now_s - self.last_s) / half_life_s)
        return replace(self, weight=self.weight * share, scatter=self.scatter * share,
                       undone=self.undone * share, last_s=now_s)  # fmt: skip

    def pooled(self, other: Evidence, half_life_s: float) -> Evidence:
        """Return both together, as of the later one (Chan et al. 1983, eq. 2.1)."""
        if not self.times or not other.times:
            return self if self.times else other
        now_s = max(self.last_s, other.last_s)
        a, b = self.at(now_s, half_life_s), other.at(now_s, half_life_s)
        weight = a.weight + b.weight
        part = b.weight / weight if weight > 0 else 0.5
        gap = b.mean - a.mean
        return Evidence(
            times=a.times + b.times,
            weight=weight,
            mean=(1 - part) * a.mean + part * b.mean,
            scatter=a.scatter + b.scatter + gap**2 * a.weight * part,
            undone=a.undone + b.undone,
            last_s=now_s,
        )


@dataclass(frozen=True, slots=True)
class Share:
    """What one run contributed to a pattern."""

    run: str
    """Tells runs apart and nothing else; "" is a run that is not told."""
    evidence: Evidence


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """A situation, what was done in it, what became of that, and where it led."""

    room: str
    """Namespace: patterns of cells, or of relations; the components of the vectors differ."""
    action: Action
    situation: Floats32
    """Mean situation before, (D,)."""
    later: Floats32
    """Mean situation once it was judged, (D,)."""
    evidence: Evidence
    private: bool = False
    """Whether it must not leave the memory it is in."""
    runs: tuple[Share, ...] = ()
    """The evidence by run, in the order of their names; empty where it is that of one run."""

    @property
    def shares(self) -> tuple[Share, ...]:
        """The evidence by run, never empty."""
        return self.runs or (Share("", self.evidence),)

    def at(self, now_s: float, half_life_s: float) -> Pattern:
        """Return the pattern as it weighs at a later time."""
        runs = tuple(Share(s.run, s.evidence.at(now_s, half_life_s)) for s in self.runs)
        return replace(self, evidence=self.evidence.at(now_s, half_life_s), runs=runs)

    def belief(self, prior: Prior) -> Belief:
        """Return what is believed of the mean effect."""
        found = np.array([(s.evidence.weight, s.evidence.mean) for s in self.shares])
        return believed_of_runs(found[:, 0], found[:, 0] * found[:, 1], prior)

    @property
    def id(self) -> str:
        """Name that tells nothing of where it was learnt."""
        body = self.situation.tobytes() + repr((self.evidence, self.runs)).encode()
        digest = blake2b(f"{self.room} {self.action.name}".encode() + body, digest_size=8)
        return f"pattern-{digest.hexdigest()}"

    def merged(self, other: Pattern, half_life_s: float) -> Pattern:
        """Return both as one: pooled evidence, vectors averaged by how often each was seen."""
        part = other.evidence.times / (self.evidence.times + other.evidence.times)
        return replace(
            self,
            situation=_between(self.situation, other.situation, part),
            later=_between(self.later, other.later, part),
            evidence=self.evidence.pooled(other.evidence, half_life_s),
            private=self.private or other.private,
            runs=_together(self.shares, other.shares, half_life_s),
        )

    def worth(self, prior: Prior) -> float:
        """Return what it is good for [points]: how sure it says that something is good or bad.

        The distance of the nearer end of the interval from no effect, or, where the
        interval holds zero, a little for being well known.
        """
        low, high = self.belief(prior).interval()
        return max(float(low), -float(high), 0.0) + 1.0 - 1.0 / (1.0 + self.evidence.weight)


def _together(
    one: Sequence[Share], other: Sequence[Share], half_life_s: float
) -> tuple[Share, ...]:
    """Return shares run by run, as of the latest of all."""
    now_s = max(share.evidence.last_s for share in (*one, *other))
    found: dict[str, Evidence] = {}
    for share in (*one, *other):
        mine = found.get(share.run, Evidence())
        found[share.run] = mine.pooled(share.evidence, half_life_s)
    return tuple(Share(run, found[run].at(now_s, half_life_s)) for run in sorted(found))


def _between(one: Floats32, other: Floats32, part: float) -> Floats32:
    return ((1 - part) * one.astype(np.float64) + part * other.astype(np.float64)).astype(
        np.float32
    )


@dataclass(frozen=True, slots=True)
class PatternRules:
    """How alike situations must be, how long evidence lasts and how much is kept."""

    alike: float = 1.0
    """Distance up to which two situations are the same one."""
    reach: float = 5.0
    """Distance up to which a situation says anything of another."""
    width: float = 2.0
    """Distance at which it says 0.6 as much (Gaussian kernel)."""
    half_life_s: float = 30 * DAY_S
    """Time in which evidence loses half of its weight [s]."""
    most: int = 2000
    """Patterns kept of each room."""
    least_weight: float = 0.05
    """Weight below which a pattern is forgotten."""
    prior: Prior = field(default_factory=Prior)


@dataclass(frozen=True, slots=True, eq=False)
class Recalled:
    """What memory says of one action in N situations; weight 0 where it knows nothing."""

    times: Floats
    """Experiences that apply, (N,)."""
    weight: Floats
    """What they weigh after forgetting and distance, (N,)."""
    runs: Floats
    """Runs of which at least half an experience applies, (N,)."""
    undone: Floats
    """Weight of those that were rolled back, (N,)."""
    belief: Belief
    """What is believed of the mean effect, (N,)."""
    later: Floats32
    """Situations that it is expected to lead to, (N, D)."""

    @property
    def undone_ratio(self) -> Floats:
        """Expected share that is rolled back, from a Beta(1/4, 3/4) prior, (N,)."""
        ratio: Floats = (0.25 + self.undone) / (1.0 + self.weight)
        return ratio


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """The patterns of one action as arrays, (P,), (P, D) and, by run, (P, K)."""

    situations: Floats
    shift: Floats
    times: Floats
    undone: Floats
    weight: Floats
    total: Floats
    """Weight times mean effect."""

    @classmethod
    def of(cls, patterns: Sequence[Pattern]) -> _Table:
        """Return patterns as arrays."""
        rows = np.stack([pattern.situation for pattern in patterns]).astype(np.float64)
        later = np.stack([pattern.later for pattern in patterns]).astype(np.float64)
        names = sorted({share.run for pattern in patterns for share in pattern.shares})
        column = {name: place for place, name in enumerate(names)}
        weight = np.zeros((len(patterns), len(names)))
        total = np.zeros_like(weight)
        for row, pattern in enumerate(patterns):
            for share in pattern.shares:
                weight[row, column[share.run]] = share.evidence.weight
                total[row, column[share.run]] = share.evidence.weight * share.evidence.mean
        times = np.array([pattern.evidence.times for pattern in patterns], np.float64)
        undone = np.array([pattern.evidence.undone for pattern in patterns], np.float64)
        return cls(rows, later - rows, times, undone, weight, total)


def _distances(situations: Floats32, table: _Table) -> Floats:
    """Return distances of situations to patterns, (N, P)."""
    wanted, held = situations.astype(np.float64), table.situations
    squares = (wanted**2).sum(1)[:, None] + (held**2).sum(1) - 2 * wanted @ held.T
    distances: Floats = np.sqrt(np.maximum(squares, 0.0))
    return distances


_SOME = 0.5
"""Experience of a run from which it counts as one that has tried."""


class Patterns:
    """The patterns of one room: takes in experiences and says what is known of a situation."""

    def __init__(
        self, room: str, rules: PatternRules, patterns: Iterable[Pattern] = (), now_s: float = 0.0
    ) -> None:
        """Start with patterns, of which near-duplicates are pooled.

        Args:
            room: Namespace of the patterns; others are left out.
            rules: What is alike and what is kept.
            patterns: What is known; sorted here, so that their order does not matter.
            now_s: Time that evidence is weighed at, seconds since the epoch.
        """
        self.room, self.rules = room, rules
        self._by_action: dict[Action, list[Pattern]] = {}
        self._tables: dict[Action, _Table] = {}
        self._rows: dict[Action, Floats] = {}
        mine = [each.at(now_s, rules.half_life_s) for each in patterns if each.room == room]
        for pattern in sorted(mine, key=lambda each: (-each.evidence.times, each.id)):
            self.add(pattern)

    def __len__(self) -> int:
        """Return the number of patterns."""
        return sum(len(each) for each in self._by_action.values())

    @property
    def all(self) -> tuple[Pattern, ...]:
        """Every pattern, by action."""
        return tuple(p for action in sorted(self._by_action) for p in self._by_action[action])

    @property
    def actions(self) -> tuple[Action, ...]:
        """Every action that something is known of."""
        return tuple(sorted(self._by_action))

    def add(self, pattern: Pattern) -> None:
        """Take in a pattern or a single experience, pooled with its nearest like if alike."""
        if not (np.isfinite(pattern.situation).all() and np.isfinite(pattern.evidence.mean)):
            raise BadInput(
                place=f"pattern {pattern.action.name}", expected="finite numbers",
                found="NaN or infinity", remedy="leave out what is not known",
            )  # fmt: skip
        held = self._by_action.setdefault(pattern.action, [])
        self._tables.pop(pattern.action, None)
        rows, wanted = self._rows.get(pattern.action), pattern.situation.astype(np.float64)
        if held and rows is not None:
            distances = np.sqrt(((rows[: len(held)] - wanted) ** 2).sum(axis=1))
            near = int(np.argmin(distances))
            if distances[near] <= self.rules.alike and held[near].private == pattern.private:
                held[near] = held[near].merged(pattern, self.rules.half_life_s)
                rows[near] = held[near].situation
                return
        if rows is None or len(rows) == len(held):  # room for as many again
            grown = np.zeros((max(16, 2 * len(held)), wanted.size))
            grown[: len(held)] = 0.0 if rows is None else rows
            self._rows[pattern.action] = rows = grown
        rows[len(held)] = wanted
        held.append(pattern)

    def _table(self, action: Action) -> _Table:
        if action not in self._tables:
            self._tables[action] = _Table.of(self._by_action[action])
        return self._tables[action]

    def recall(self, action: Action, situations: Floats32) -> Recalled:
        """Return what is known of an action in situations, (N, D).

        Experiences count by how near their situations are: a Gaussian kernel.
        """
        count, prior = len(situations), self.rules.prior
        if action == NOTHING:
            prior = replace(prior, scatter=prior.still)
        if action not in self._by_action:
            none = np.zeros(count)
            belief = believed(none, none, none, prior)
            return Recalled(none, none, none, none, belief, situations)
        table = self._table(action)
        distances = _distances(situations, table)
        kernel = np.exp(-0.5 * (distances / self.rules.width) ** 2)
        kernel = np.where(distances <= self.rules.reach, kernel, 0.0)
        weight = kernel @ table.weight
        share = kernel * table.times
        shift = share @ table.shift / np.maximum(share.sum(axis=1), 1e-300)[:, None]
        return Recalled(
            times=kernel @ table.times,
            weight=weight.sum(axis=1),
            runs=(weight >= _SOME).sum(axis=1).astype(np.float64),
            undone=kernel @ table.undone,
            belief=believed_of_runs(weight, kernel @ table.total, prior),
            later=(situations + shift).astype(np.float32),
        )

    def behind(self, action: Action, situation: Floats32, most: int = 3) -> tuple[Pattern, ...]:
        """Return the patterns that speak of an action in a situation, the nearest first."""
        if action not in self._by_action:
            return ()
        distances = _distances(situation[None, :], self._table(action))[0]
        near = np.argsort(distances, kind="stable")[:most]
        return tuple(
            self._by_action[action][int(i)] for i in near if distances[i] <= self.rules.reach
        )

    def trim(self, now_s: float) -> tuple[Pattern, ...]:
        """Forget what has faded and what is worth least beyond the limit; return that."""
        half_life_s, prior = self.rules.half_life_s, self.rules.prior
        aged = {p.id: p.at(now_s, half_life_s) for p in self.all}
        order = sorted(aged, key=lambda key: (-aged[key].worth(prior), key))
        strong = [key for key in order if aged[key].evidence.weight >= self.rules.least_weight]
        kept = set(strong[: self.rules.most])
        gone = tuple(p for p in self.all if p.id not in kept)
        for action, held in list(self._by_action.items()):
            left = [p for p in held if p.id in kept]
            del self._by_action[action], self._rows[action]
            self._tables.pop(action, None)
            if left:
                self._by_action[action] = left
                self._rows[action] = np.stack([p.situation for p in left]).astype(np.float64)
        return gone


# --------------------------------------------------------------------------- as records


def namespace_of(room: str, features: Sequence[str]) -> Namespace:
    """Return the namespace that holds the patterns of a room."""
    return Namespace(room, len(features), Metric.L2, features=tuple(features))


def to_record(pattern: Pattern, origin: str = "") -> Record:
    """Return a pattern as a record; one that may be shared says nothing of its origin."""
    e = pattern.evidence
    metadata: Mapping[str, str | int | float] = {
        "function": pattern.action.function,
        "parameter": pattern.action.parameter,
        "steps": pattern.action.steps,
        "times": e.times,
        "weight": e.weight,
        "mean": e.mean,
        "scatter": e.scatter,
        "undone": e.undone,
        PRIVACY: PRIVATE if pattern.private else SHARED,
    }
    return Record(
        namespace=pattern.room,
        id=pattern.id,
        kind=RecordKind.PATTERN,
        vector=pattern.situation,
        metadata=metadata,
        text=pattern.action.name,
        payload=pattern.later.astype("<f4").tobytes() + msgspec.msgpack.encode(pattern.runs),
        time_s=e.last_s,
        origin=origin if pattern.private else "",
    )


def from_record(record: Record) -> Pattern:
    """Return the pattern that a record holds.

    Raises:
        BadInput: The record is no pattern, or something of it is missing or impossible.
    """
    m = record.metadata
    try:
        if record.kind is not RecordKind.PATTERN or record.vector is None:
            raise ValueError(f"a {record.kind}")  # noqa: EM102, TRY301
        later = np.frombuffer(record.payload, "<f4", record.vector.size).astype(np.float32)
        runs = _runs_from(record.payload[later.nbytes :])
        numbers = {name: float(str(m[name])) for name in ("weight", "mean", "scatter", "undone")}
        evidence = Evidence(times=int(str(m["times"])), last_s=record.time_s, **numbers)
        action = Action(str(m["function"]), str(m["parameter"]), int(str(m["steps"])))
        whole = not runs or sum(share.evidence.times for share in runs) == evidence.times
        if not whole or not all(_possible(e) for e in (evidence, *(s.evidence for s in runs))):
            raise ValueError(f"evidence {evidence} of {len(runs)} runs")  # noqa: EM102, TRY301
    except (KeyError, ValueError, msgspec.MsgspecError) as error:
        raise BadInput(
            place=f"record {record.namespace}/{record.id}", expected="a pattern",
            found=str(error), remedy="delete it, or import it again",
        ) from error  # fmt: skip
    private = m.get(PRIVACY) != SHARED  # what has no label is not for others
    return Pattern(record.namespace, action, record.vector, later, evidence, private, runs)


def _runs_from(data: bytes) -> tuple[Share, ...]:
    return msgspec.msgpack.decode(data, type=tuple[Share, ...]) if data else ()


def _possible(evidence: Evidence) -> bool:
    e = evidence
    finite = np.isfinite([e.weight, e.mean, e.scatter, e.undone, e.last_s]).all()
    return bool(finite) and e.times > 0 and min(e.weight, e.scatter, e.undone) >= 0


def shareable(record: Record) -> bool:
    """Return whether a record may leave the memory it is in: only what says so."""
    return record.metadata.get(PRIVACY) == SHARED
