"""The files of a plan: whole, readable by our own reader, disarmed, and with their undo."""

import csv
from pathlib import Path

import pytest

from cellhive.adapters.plans.cm_xml import read_plan_xml
from cellhive.adapters.plans.plan_csv import read_plan_csv
from cellhive.app.advice import limits_told, write_advice
from cellhive.core.errors import BadInput
from cellhive.diagnose.advice.recommendation import (
    Basis,
    Expected,
    Limits,
    Recommendation,
    Step,
    Topic,
)
from cellhive.flows.advice.advise import Advised
from cellhive.flows.advice.plan import planned
from cellhive.reports.advice.section import advice_html, advice_json, advice_markdown

HOSTILE = "=cmd|' /C calc'!A0 <script>alert(1)</script>"


def advised(*steps: Step) -> Advised:
    """Return one recommendation, about cells with hostile names."""
    effect = Expected("x", "ratio", -0.1, -0.12, -0.08, -0.15, -0.05, Basis.RULE)
    one = Recommendation(
        Topic.MOBILITY, (steps[0].cell,), f"Change {steps[0].object_id}", steps, effect,
        ("because",), 10.0, "may not help", 0.1, None, "set it back", 0.97, 0.1,
    )  # fmt: skip
    plan = planned([one], {}, None, 1.7e9)
    return Advised((one,), (), 0, (), plan, Limits(), ("more data",), ("assumed",))


@pytest.mark.parametrize("suffix", [".csv", ".xml"])
def test_a_plan_reads_back_and_its_undo_takes_it_back(tmp_path: Path, suffix: str) -> None:
    """Both files hold the same change, the other way round."""
    found = advised(
        Step("A", "cio_db", 0.0, 2.0, 2.0, "B"), Step("B", "cio_db", 0.0, -2.0, -2.0, "A")
    )
    written = write_advice(found, tmp_path / "new" / f"plan{suffix}")
    assert set(written) == {"Plan", "Undo", "Work orders"}
    read = read_plan_csv if suffix == ".csv" else read_plan_xml
    plan, undo = (read(written[name], found.plan.network) for name in ("Plan", "Undo"))
    assert [(c.object_id, c.before, c.after) for c in plan.changes] == [
        ("A->B", 0.0, 2.0), ("B->A", 0.0, -2.0),
    ]  # fmt: skip
    assert {(c.object_id, c.before, c.after) for c in undo.changes} == {
        ("A->B", 2.0, 0.0), ("B->A", -2.0, 0.0),
    }  # fmt: skip


def test_where_nothing_is_known_there_are_work_orders_and_no_plan(tmp_path: Path) -> None:
    """The step is there as a step; a formula in a name is disarmed."""
    found = advised(Step(HOSTILE, "cio_db", float("nan"), float("nan"), 1.0, "B"))
    written = write_advice(found, tmp_path / "plan.xml")
    assert set(written) == {"Work orders"}
    assert not (tmp_path / "plan.xml").exists()
    (row,) = csv.DictReader(written["Work orders"].read_text("utf-8").splitlines())
    assert row["object"].startswith("'=")
    assert (row["from"], row["by"], row["in_plan"]) == ("", "1", "no")
    assert float(row["low_90"]) < float(row["expected"]) < float(row["high_90"])


def test_the_section_escapes_names_and_says_all_there_is_to_say() -> None:
    """As HTML, as Markdown and for programs."""
    found = advised(Step(HOSTILE, "cio_db", 0.0, 1.0, 1.0, "B"))
    html = str(advice_html(found))
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    for words in (
        "Expected",
        "Risk",
        "Verify",
        "Undo",
        "rule of thumb",
        "more data",
        "−10\N{NO-BREAK SPACE}points",
    ):
        assert words.casefold() in html.casefold()
    text = "\n".join(advice_markdown(found))
    assert "<script>" not in text
    assert advice_json(found)["recommendations"][0]["recommendation"]["steps"][0]["after"] == 1.0


def test_limits_are_told_by_name() -> None:
    """A known name with a positive number; anything else is refused with what there is."""
    assert limits_told(["prb_utilisation_ratio=0.7", "most=5"]) == Limits(
        prb_utilisation_ratio=0.7, most=5
    )
    for wrong in ("prb=0.7", "most", "room_ratio=-1", "room_ratio=nan"):
        with pytest.raises(BadInput, match="room_ratio"):
            limits_told([wrong])
