"""Recommendations as a table for those who carry them out: one row for each step."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from cellhive.adapters.files import check_text, disarmed, write_whole
from cellhive.diagnose.advice.recommendation import Recommendation, Step

COLUMNS = (
    "rank", "about", "object", "target", "parameter", "from", "to", "by", "what", "in_plan",
    "expected", "unit", "low_90", "low_50", "high_50", "high_90", "rests_on", "users", "sure",
    "risk", "risk_probability", "verify", "undo", "evidence",
)  # fmt: skip
"""Columns of the table."""


def write_work_orders(recommendations: Sequence[Recommendation], path: Path) -> None:
    """Write recommendations as CSV; the file appears whole or not at all.

    Texts that a spreadsheet would run as a formula are disarmed.

    Args:
        recommendations: Best first.
        path: Where to.

    Raises:
        BadInput: It cannot be written there.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for rank, one in enumerate(recommendations, 1):
        for step in one.steps or (None,):
            writer.writerow(_row(rank, one, step))
    write_whole(path, text.getvalue().encode("utf-8"))


def _row(rank: int, one: Recommendation, step: Step | None) -> list[str]:
    cell = step.cell if step is not None else one.objects[0]
    effect = one.effect
    numbers = (
        (effect.mean, effect.low_90, effect.low_50, effect.high_50, effect.high_90)
        if effect is not None else (math.nan,) * 5
    )  # fmt: skip
    return [
        str(rank), one.topic.value, _text(cell),
        _text((step.target if step is not None else None) or ""),
        step.parameter if step is not None else "",
        _number(step.before if step is not None else math.nan),
        _number(step.after if step is not None else math.nan),
        _number(step.by if step is not None else math.nan),
        _text(one.headline), "yes" if step is not None and step.in_plan else "no",
        _number(numbers[0]), _text(effect.unit if effect is not None else ""),
        *(_number(value) for value in numbers[1:]),
        effect.basis.value if effect is not None else "", _number(one.users),
        _number(one.confidence), _text(one.risk), _number(one.risk_probability),
        _text(one.verify.words if one.verify is not None else ""), _text(one.undo),
        _text("; ".join(one.evidence)),
    ]  # fmt: skip


def _number(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""


def _text(text: str) -> str:
    return disarmed(check_text(text, place="work orders"))
