"""Patterns: pooling that loses nothing, beliefs, privacy, and records there and back."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from cellhive.core.errors import BadInput
from cellhive.core.records import PRIVACY, PRIVATE, SHARED, Record, RecordKind
from cellhive.memory.patterns import (
    DAY_S,
    NOTHING,
    Action,
    Evidence,
    Pattern,
    PatternRules,
    Patterns,
    Prior,
    Share,
    believed,
    from_record,
    namespace_of,
    shareable,
    to_record,
)
from cellhive.memory.store import Memory
from cellhive.memory.volatile import VolatileLog

HALF_LIFE_S = 30 * DAY_S
STEP = Action("MRO", "cio_db", 1)

effects = st.floats(-40, 40, allow_nan=False)
times = st.floats(0, 400 * DAY_S, allow_nan=False)
pieces = st.lists(st.tuples(effects, times, st.booleans()), min_size=1, max_size=12)


def once(effect: float, when_s: float = 0.0, undone: bool = False) -> Evidence:
    """Return the evidence of one experience."""
    return Evidence(1, 1.0, effect, 0.0, float(undone), when_s)


def pattern(
    situation: tuple[float, ...], effect: float, action: Action = STEP, private: bool = False
) -> Pattern:
    """Return an experience in a situation."""
    vector = np.array(situation, np.float32)
    return Pattern("cells", action, vector, vector + np.float32(0.5), once(effect), private)


def pool(evidence: list[Evidence]) -> Evidence:
    """Pool from left to right."""
    whole = Evidence()
    for each in evidence:
        whole = whole.pooled(each, HALF_LIFE_S)
    return whole


@given(pieces, st.randoms())
def test_pooling_does_not_depend_on_the_order(
    found: list[tuple[float, float, bool]], random: object
) -> None:
    """However experiences come in, the pooled evidence is the same and counts every one."""
    evidence = [once(*each) for each in found]
    shuffled = list(evidence)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = pool(evidence), pool(shuffled)
    assert one.times == other.times == len(found)
    for name in ("weight", "mean", "scatter", "undone", "last_s"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-6, abs=1e-6)


@given(pieces, st.integers(0, 12))
def test_pooling_in_groups_is_pooling_one_by_one(
    found: list[tuple[float, float, bool]], cut: int
) -> None:
    """Two agents that pool apart and then together know what one would."""
    evidence = [once(*each) for each in found]
    apart = pool(evidence[:cut]).pooled(pool(evidence[cut:]), HALF_LIFE_S)
    assert apart.times == len(found)
    assert apart.mean == pytest.approx(pool(evidence).mean, rel=1e-6, abs=1e-6)
    assert apart.weight == pytest.approx(pool(evidence).weight, rel=1e-6, abs=1e-9)


@given(st.lists(effects, min_size=2, max_size=30))
def test_evidence_of_one_time_is_mean_and_squares(found: list[float]) -> None:
    """Without forgetting, pooled evidence is what NumPy computes of the effects."""
    whole = pool([once(effect) for effect in found])
    assert whole.mean == pytest.approx(np.mean(found), abs=1e-9)
    assert whole.scatter == pytest.approx(np.var(found) * len(found), abs=1e-6)


def test_evidence_fades_by_half_in_its_half_life() -> None:
    """After a half-life an experience weighs half, but was still made once."""
    aged = once(4.0, undone=True).at(HALF_LIFE_S, HALF_LIFE_S)
    assert (aged.times, aged.weight, aged.mean, aged.undone) == (1, 0.5, 4.0, 0.5)


def test_belief_is_the_textbook_posterior() -> None:
    """Murphy 2007, §3.3, by hand: k0 = 2, a0 = 1, b0 = 9, data 3 and 5."""
    prior = Prior(strength=2.0, shape=1.0, scatter=3.0)
    belief = believed(np.array(2.0), np.array(4.0), np.array(2.0), prior)
    # k = 4, m = 8 / 4, a = 2, b = 9 + 2 / 2 + 2 * 2 * 4^2 / (2 * 4) = 18
    assert float(belief.mean) == pytest.approx(2.0)
    assert float(belief.freedom) == pytest.approx(4.0)
    assert float(belief.scale) == pytest.approx(np.sqrt(18 / (2 * 4)))


def of_runs(*means: float, times: int = 40) -> Pattern:
    """Return one pattern of as many runs, each with so many like experiences."""
    shares = [
        Share(f"run-{place}", Evidence(times, times, mean)) for place, mean in enumerate(means)
    ]
    whole = pool([share.evidence for share in shares])
    vector = np.zeros(2, np.float32)
    return Pattern("cells", STEP, vector, vector, whole, False, tuple(shares))


def test_more_runs_make_surer() -> None:
    """Ten runs that agree narrow the interval and raise the probability of a gain."""
    few, many = of_runs(*[3.0] * 2), of_runs(*[3.0] * 10)
    prior = Prior()
    width = [float(np.ptp(p.belief(prior).interval())) for p in (few, many)]
    assert width[1] < width[0]
    assert float(many.belief(prior).chance) > float(few.belief(prior).chance) > 0.5


def test_many_cells_of_one_run_say_no_more_than_the_run() -> None:
    """A thousand cells that gained in one city are one city; six cities with a few say more."""
    prior = Prior()
    one, six = of_runs(4.0, times=1000), of_runs(*[4.0] * 6, times=10)
    assert float(one.belief(prior).chance) < 0.9
    assert float(six.belief(prior).chance) > 0.95


def test_runs_that_disagree_are_not_believed() -> None:
    """The mean of all experiences is the same, but half of the cities lost."""
    prior = Prior()
    alike, apart = of_runs(*[4.0] * 6), of_runs(*[18.0, -10.0] * 3)
    assert alike.evidence.mean == pytest.approx(apart.evidence.mean)
    assert float(apart.belief(prior).chance) < 0.8 < float(alike.belief(prior).chance)


def test_runs_are_told_apart_when_pooled() -> None:
    """Patterns of two runs keep what each contributed, and one run of two agents is one."""
    rules = PatternRules()
    patterns = Patterns("cells", rules)
    for run, effect in (("a", 2.0), ("b", 6.0), ("a", 4.0)):
        each = pattern((0.0, 0.0), effect)
        patterns.add(replace(each, runs=(Share(run, each.evidence),)))
    (held,) = patterns.all
    found = {s.run: (s.evidence.times, s.evidence.mean) for s in held.runs}
    assert found == {"a": (2, pytest.approx(3.0)), "b": (1, pytest.approx(6.0))}
    recalled = patterns.recall(STEP, np.zeros((1, 2), np.float32))
    assert recalled.runs.tolist() == [2.0]
    assert recalled.weight.tolist() == pytest.approx([3.0])
    back = from_record(to_record(held))
    assert back.runs == held.runs


def test_difference_of_beliefs_adds_their_doubt() -> None:
    """What is gained beyond something uncertain is less certain than either."""
    one = believed(np.array(10.0), np.array(5.0), np.array(40.0), Prior())
    gap = one.beyond(one)
    assert float(gap.mean) == 0.0
    assert float(gap.scale) == pytest.approx(float(one.scale) * np.sqrt(2))
    assert float(gap.chance) == pytest.approx(0.5)


def test_near_duplicates_are_pooled_and_others_are_not() -> None:
    """Alike situations with one action are one pattern; other actions and places are not."""
    patterns = Patterns("cells", PatternRules())
    for each in (
        pattern((0.0, 0.0), 2.0), pattern((0.1, 0.0), 4.0), pattern((9.0, 0.0), 1.0),
        pattern((0.0, 0.0), 1.0, NOTHING),
    ):  # fmt: skip
        patterns.add(each)
    assert len(patterns) == 3
    near = next(p for p in patterns.all if p.action == STEP and p.situation[0] < 1)
    assert near.evidence.times == 2
    assert near.evidence.mean == pytest.approx(3.0)
    assert near.situation[0] == pytest.approx(0.05)


@given(st.lists(st.tuples(effects, st.floats(-5, 5, width=32)), min_size=1, max_size=40))
def test_no_experience_is_lost_in_merging(found: list[tuple[float, float]]) -> None:
    """Whatever is merged with what, every experience is counted once, and the mean is kept."""
    patterns = Patterns("cells", PatternRules())
    for effect, place in found:
        patterns.add(pattern((place, 0.0), effect))
    total = sum(p.evidence.times for p in patterns.all)
    mean = sum(p.evidence.times * p.evidence.mean for p in patterns.all) / total
    assert total == len(found)
    assert mean == pytest.approx(np.mean([effect for effect, _ in found]), abs=1e-6)


def test_recall_weighs_what_is_near() -> None:
    """In a situation, near experience speaks; far from all, there is none."""
    patterns = Patterns("cells", PatternRules())
    for place in range(20):
        for situation, effect in (((0.0, 0.0), 5.0), ((6.0, 0.0), -5.0)):
            each = pattern(situation, effect)
            patterns.add(replace(each, runs=(Share(f"run-{place % 10}", each.evidence),)))
    places = np.array([[0.0, 0.0], [6.0, 0.0], [50.0, 0.0]], np.float32)
    recalled = patterns.recall(STEP, places)
    assert recalled.weight.tolist() == pytest.approx([20.0, 20.0, 0.0])
    assert recalled.belief.mean[0] > 2.5
    assert recalled.belief.mean[1] < -2.5
    assert recalled.runs.tolist() == [10.0, 10.0, 0.0]
    assert abs(recalled.belief.mean[2]) < 1e-9
    assert recalled.later[0].tolist() == pytest.approx([0.5, 0.5])
    assert [p.situation[0] for p in patterns.behind(STEP, places[0])] == [0.0]
    assert patterns.recall(Action("CCO", "x", 1), places).weight.sum() == 0.0


def test_trim_keeps_what_is_sure_and_forgets_what_faded() -> None:
    """Clear patterns outlive vague ones; evidence of years ago is gone."""
    rules = replace(PatternRules(), most=1)
    patterns = Patterns("cells", rules)
    for _ in range(30):
        patterns.add(pattern((0.0, 0.0), 6.0))
    patterns.add(pattern((9.0, 0.0), 0.1))
    gone = patterns.trim(0.0)
    assert [p.situation[0] for p in gone] == [9.0]
    assert len(patterns) == 1
    assert len(patterns.trim(3000 * DAY_S)) == 1
    assert len(patterns) == 0


def test_order_of_loading_does_not_matter() -> None:
    """The same patterns in another order are recalled to the last bit alike."""
    rng = np.random.default_rng(5)
    found = [pattern(tuple(rng.normal(size=2)), float(rng.normal())) for _ in range(60)]
    places = rng.normal(size=(5, 2)).astype(np.float32)
    one = Patterns("cells", PatternRules(), found).recall(STEP, places)
    other = Patterns("cells", PatternRules(), found[::-1]).recall(STEP, places)
    assert one.belief.mean.tobytes() == other.belief.mean.tobytes()


def test_record_there_and_back() -> None:
    """A pattern that was written to a memory is the one that is read, bit for bit."""
    memory = Memory(VolatileLog())
    memory.declare(namespace_of("cells", ("load", "late")))
    kept = pattern((0.25, 1.5), 3.25)
    memory.upsert([to_record(kept)])
    found = memory.get("cells", [kept.id])[0]
    assert found is not None
    back = from_record(found)
    assert back.evidence == kept.evidence
    assert back.action == kept.action
    assert back.situation.tobytes() == kept.situation.tobytes()
    assert back.later.tobytes() == kept.later.tobytes()
    assert back.id == kept.id


def test_private_and_shared_do_not_mix() -> None:
    """A shared pattern stays free of private experience, and says nothing of its origin."""
    patterns = Patterns("cells", PatternRules())
    patterns.add(pattern((0.0, 0.0), 2.0))
    patterns.add(pattern((0.0, 0.0), 2.0, private=True))
    assert len(patterns) == 2
    records = {p.private: to_record(p, "run-of-site-7") for p in patterns.all}
    assert records[False].metadata[PRIVACY] == SHARED
    assert records[True].metadata[PRIVACY] == PRIVATE
    assert records[False].origin == ""
    assert "site" not in repr(records[False])
    assert shareable(records[False])
    assert not shareable(records[True])
    assert not shareable(structs.replace(records[False], metadata={}))
    assert from_record(structs.replace(records[False], metadata={
        k: v for k, v in records[False].metadata.items() if k != PRIVACY})).private  # fmt: skip


@pytest.mark.parametrize(
    "spoilt",
    [
        {"kind": RecordKind.ACTION},
        {"vector": None},
        {"payload": b"12"},
        {"payload": b"123"},
        {"payload": bytes(8) + b"junk"},
        {"payload": bytes(8) + msgspec.msgpack.encode([Share("a", Evidence(7, 7.0, 1.0))])},
        {"payload": bytes(8) + msgspec.msgpack.encode([Share("a", Evidence(1, -1.0, 1.0))])},
        {"metadata": {}},
        {"metadata": {"times": 0}},
        {"metadata": {"times": "many"}},
        {"metadata": {"mean": float("nan")}},
        {"metadata": {"weight": -1.0}},
    ],
)
def test_what_is_no_pattern_is_refused(spoilt: dict[str, object]) -> None:
    """A record that is no pattern, or an impossible one, is named and not used."""
    good = to_record(pattern((0.0, 1.0), 2.0))
    given_metadata = spoilt.get("metadata")
    if isinstance(given_metadata, dict) and given_metadata:
        spoilt = {**spoilt, "metadata": {**good.metadata, **given_metadata}}
    bad: Record = structs.replace(good, **spoilt)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=good.id):
        from_record(bad)


def test_numbers_that_are_none_are_not_learnt() -> None:
    """An effect that is not a number never gets into a mean."""
    patterns = Patterns("cells", PatternRules())
    with pytest.raises(BadInput, match="finite"):
        patterns.add(pattern((0.0, 0.0), float("nan")))
    with pytest.raises(BadInput, match="finite"):
        patterns.add(pattern((float("inf"), 0.0), 1.0))
