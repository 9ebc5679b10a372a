"""The report tells how predictions compared with what happened."""

from __future__ import annotations

from dataclasses import replace

from cellhive.core.types import Effect, Outcome, Prediction, Refusal, Verdict
from cellhive.flows.trial import RunRecord
from cellhive.reports.run.as_json import summary
from cellhive.reports.run.predictions import foretold, foretold_texts
from cellhive.reports.run.report import render_run

KPI = "demand_satisfied_ratio"


def with_predictions(record: RunRecord) -> RunRecord:
    """Return a record whose first plan was foretold rightly, whose second not, a third not at all.

    A further plan was refused because its harm was too probable.
    """
    told = Prediction(KPI, 0.01, 0.0, 0.02, -0.01, 0.03, 0.004, 0.001, 20.0)
    right, wrong, untold, *rest = record.outcomes

    def made(outcome: Outcome, change: float) -> Outcome:
        plan = replace(outcome.plan, predicted=(told,))
        return replace(outcome, plan=plan, measured=(Effect(KPI, change, change, change),))

    outcomes = (
        made(right, 0.015),
        made(wrong, -0.05),
        replace(untold, plan=replace(untold.plan, unpredicted="too little was seen")),
        *rest,
    )
    refused = record.verdicts[-1]
    why = Refusal(refused.refused[0].change, "probable-harm", "With probability 95 %")
    verdicts = (
        *(replace(v, plan=o.plan) for v, o in zip(record.verdicts, outcomes, strict=False)),
        Verdict(refused.plan, (), (why,)),
    )
    return replace(record, outcomes=outcomes, verdicts=verdicts)


def test_the_section_counts_what_held(run_record: RunRecord) -> None:
    """Of two predictions one held; one plan was not foretold, one refused."""
    section = foretold(with_predictions(run_record))
    assert section is not None
    text = " ".join(section.sentences)
    assert "Of 2 predictions for 2 plans" in text
    assert "50 % of the 90 % intervals held" in text
    assert "No prediction for 1 applied plans (1: too little was seen)" in text
    assert "refused 1 plan whose harm was too probable" in text
    assert len(section.charts) == 1
    assert section.charts[0].count("<circle") == 2


def test_every_plan_shows_both(run_record: RunRecord) -> None:
    """The cards say what was foretold, what happened, and what lay outside."""
    record = with_predictions(run_record)
    texts = [foretold_texts(o.plan, o)[0] for o in record.outcomes]
    assert "happened +1.5" in texts[0]
    assert "outside" not in texts[0]
    assert "outside" in texts[1]
    assert texts[2] == "no prediction: too little was seen"
    html = render_run(record)
    assert "Foretold and happened" in html
    assert "no prediction: too little was seen" in html


def test_older_records_have_no_section(run_record: RunRecord) -> None:
    """A record from before plans were foretold is told as it always was."""
    assert foretold(run_record) is None
    assert "Foretold" not in render_run(run_record)


def test_programs_get_it_too(run_record: RunRecord) -> None:
    """Counts and shares stand in the JSON summary."""
    told = summary(with_predictions(run_record), {})["predictions"]
    assert told["coverage"]["count"] == 2
    assert told["coverage"]["inside_90"] == 0.5
    assert told["refused_for_harm"] == 1
    assert told["none"] == {"too little was seen": 1}
