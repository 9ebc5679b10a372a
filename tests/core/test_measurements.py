"""Findings are counted and put into words; columns lead to the registry's units."""

from __future__ import annotations

import polars as pl

from cellhive.core.measurements import ColumnInfo, Finding, Findings, Measurements, Severity


def finding(code: str, severity: Severity = Severity.INFO, **more: str) -> Finding:
    """Return a finding."""
    return Finding(severity, code, expected="a", found="b", action="c", **more)


def test_repeated_findings_are_counted() -> None:
    """The same of one file and column is one, and errors come first."""
    findings = Findings()
    for where in ("line 1", "line 2"):
        findings.add(finding("x", file="f", where=where))
    findings.add(finding("x", file="g"))
    findings.add(finding("y", Severity.ERROR))
    found = findings.as_tuple()
    assert [(f.code, f.file, f.where, f.count) for f in found] == [
        ("y", "", "", 1),
        ("x", "f", "line 1", 2),
        ("x", "g", "", 1),
    ]


def test_findings_of_other_objects_add_up_what_is_of_objects() -> None:
    """Objects and values of two blocks are summed; columns and hours are of the whole table."""
    findings = Findings()
    for objects, names in ((300, ("A", "B")), (200, ("C",))):
        more = {"objects": objects, "named": names}
        values = Finding(Severity.INFO, "v", "a", "b", "c", count=500, counted="values", **more)
        columns = Finding(Severity.INFO, "k", "a", "b", "c", count=2, counted="columns")
        findings.extend([values, columns], of_others=True)
    values, columns = findings.as_tuple()
    assert (values.count, values.objects, values.named) == (1000, 500, ("A", "B", "C"))
    assert columns.count == 2


def test_a_finding_is_a_sentence() -> None:
    """Place, expected, found, how often, and what was done."""
    one = finding("x", file="f.xml", where="line 3", column="k", object="A")
    assert str(one) == "f.xml, line 3, column 'k', A: expected a, found b; c"


def test_values_in_the_registrys_unit() -> None:
    """The frame keeps what was found; the scale leads to the registry."""
    frame = pl.DataFrame({"object": ["B", "A"], "Load (%)": [50.0, None]})
    known = ColumnInfo("Load (%)", quantity="prb_utilisation_ratio", confidence=0.9, scale=0.01)
    measured = Measurements("t", frame, {"Load (%)": known})
    assert measured.in_registry_unit("Load (%)").to_list() == [0.5, None]
    assert measured.column_of("prb_utilisation_ratio") == known
    assert measured.column_of("sinr_mean_db") is None
    assert measured.objects == ["A", "B"]
