"""A run as plain JSON values, for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cellhive.core.types import to_jsonable
from cellhive.flows.prediction.coverage import (
    compared,
    coverage_of,
    refused_for_harm,
    untold,
)
from cellhive.flows.trial import RunRecord, truth_of
from cellhive.reports.run.beside import agreements_of
from cellhive.reports.run.summary import compare


def summary(record: RunRecord, paths: dict[str, Path]) -> dict[str, Any]:
    """Return what a run brought as plain JSON values."""
    kpis = compare(record.frames, record.baseline) if record.baseline else {}
    return {
        "run_id": record.run_id,
        "version": record.version,
        "scenario": record.scenario,
        "seed": record.seed,
        "settings": record.settings,
        "periods": len(record.frames),
        "interrupted": record.interrupted,
        "kpis": to_jsonable(kpis),
        "decisions": [
            {
                "plan_id": outcome.plan.plan_id,
                "function": outcome.plan.function,
                "time_s": outcome.plan.time_s,
                "changes": to_jsonable(outcome.plan.changes),
                "verdict": outcome.verdict,
                "reason": outcome.reason,
                "predicted": to_jsonable(outcome.plan.predicted),
                "unpredicted": outcome.plan.unpredicted,
                "measured": to_jsonable(outcome.measured),
                "true_effect": to_jsonable(outcome.true_effect),
                "truth": str(truth_of(outcome)),
            }
            for outcome in record.outcomes
        ],
        "predictions": {
            "coverage": to_jsonable(coverage_of(compared(record.outcomes))),
            "none": untold(record.outcomes),
            "refused_for_harm": refused_for_harm(record.verdicts),
        },
        "taken": to_jsonable(record.taken),
        "candidate": {
            name: to_jsonable(agreement)
            for name, agreement in agreements_of(record.compared).items()
        },
        "notes": list(record.notes),
        "paths": {name: str(path) for name, path in paths.items()},
    }
