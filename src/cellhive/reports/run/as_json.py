"""A run as plain JSON values, for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cellhive.core.types import to_jsonable
from cellhive.flows.trial import RunRecord, truth_of
from cellhive.reports.run.summary import compare


def summary(record: RunRecord, paths: dict[str, Path]) -> dict[str, Any]:
    """Return what a run brought as plain JSON values."""
    compared = compare(record.frames, record.baseline) if record.baseline else {}
    return {
        "run_id": record.run_id,
        "version": record.version,
        "scenario": record.scenario,
        "seed": record.seed,
        "settings": record.settings,
        "periods": len(record.frames),
        "interrupted": record.interrupted,
        "kpis": to_jsonable(compared),
        "decisions": [
            {
                "plan_id": outcome.plan.plan_id,
                "function": outcome.plan.function,
                "time_s": outcome.plan.time_s,
                "changes": to_jsonable(outcome.plan.changes),
                "verdict": outcome.verdict,
                "reason": outcome.reason,
                "true_effect": to_jsonable(outcome.true_effect),
                "truth": str(truth_of(outcome)),
            }
            for outcome in record.outcomes
        ],
        "notes": list(record.notes),
        "paths": {name: str(path) for name, path in paths.items()},
    }
