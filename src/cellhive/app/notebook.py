"""Analyses in notebooks and scripts: a frame or files in, objects that show themselves out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from cellhive.adapters.reading import ReadResult
from cellhive.adapters.tabular.grids import Grid
from cellhive.adapters.tabular.mapping import Mapping, load_mapping
from cellhive.adapters.tabular.reshape import reshaped
from cellhive.adapters.tabular.tables import measure_grids
from cellhive.app.analysis import analyse_paths
from cellhive.app.whole import Wanted, Whole, whole_of
from cellhive.core.errors import BadInput
from cellhive.core.measurements import Findings
from cellhive.flows.analyse import Analysis, analyse, moment
from cellhive.flows.causes.columns import columns_of, is_missing
from cellhive.flows.causes.why import Causes

if TYPE_CHECKING:
    from cellhive.diagnose.incidents import Incident

TABLE = "table"
"""Stands for the file where a frame was given."""


@dataclass(frozen=True, repr=False)
class Analysed:
    """An analysis that shows itself in a notebook, and gives what it found as frames."""

    whole: Whole

    @property
    def analysis(self) -> Analysis:
        """What was read, what is wrong with it, and what happened."""
        return self.whole.analysis

    @property
    def causes(self) -> Causes | None:
        """What a causal model says of it; None where nobody asked."""
        return self.whole.causes

    @property
    def incidents(self) -> pl.DataFrame:
        """Incidents, most important first: a row each."""
        rows = [
            {
                "rank": one.rank, "kind": one.kind, "effect": one.effect,
                "start": moment(one.start_s), "end": moment(one.end_s), "ongoing": one.open_end,
                "objects": list(one.objects), "kpis": list(one.kpis),
                "lead_object": one.lead.object, "lead_kpi": one.lead.kpi, "unit": one.lead.unit,
                "expected": float(one.lead.expected), "observed": float(one.lead.observed),
                "confidence": one.confidence,
            }
            for one in self.analysis.search.incidents
        ]  # fmt: skip
        return pl.DataFrame(rows, schema=INCIDENT_COLUMNS)

    @property
    def findings(self) -> pl.DataFrame:
        """What is wrong with the data, errors first: a row each."""
        rows = [
            {
                "severity": one.severity.value, "code": one.code, "file": one.file,
                "where": one.where, "column": one.column, "expected": one.expected,
                "found": one.found, "action": one.action, "count": one.count,
            }
            for one in self.analysis.findings
        ]  # fmt: skip
        names = ("severity", "code", "file", "where", "column", "expected", "found", "action")
        schema = {**dict.fromkeys(names, pl.String), "count": pl.Int64}
        return pl.DataFrame(rows, schema=schema)

    @property
    def columns(self) -> pl.DataFrame:
        """What each column was taken for, and how sure that is: a row each."""
        rows = [
            {
                "column": name, "heading": info.header or name, "read_as": info.quantity,
                "unit": info.unit, "role": info.role.value, "better": info.better,
                "confidence": float(info.confidence),
            }
            for part in self.analysis.parts
            for name, info in part.columns.items()
        ]  # fmt: skip
        names = ("column", "heading", "read_as", "unit", "role", "better")
        return pl.DataFrame(
            rows, schema={**dict.fromkeys(names, pl.String), "confidence": pl.Float64}
        )

    def incident(self, rank: int) -> ShownIncident:
        """Return one incident, which shows itself with its plot and causes.

        Raises:
            BadInput: There is none of this rank.
        """
        for one in self.analysis.search.incidents:
            if one.rank == rank:
                return ShownIncident(one, self)
        most = len(self.analysis.search.incidents)
        raise BadInput(
            place="rank", expected=f"1 to {most}" if most else "no rank: no incidents were found",
            found=str(rank),
        )  # fmt: skip

    def report(self, path: str | Path, *, title: str = "") -> Path:
        """Write the report, whole or not at all, and return where it is.

        Args:
            path: Where to; ".html", ".json" or ".md" says in which form.
            title: Heading; by default made from the names of the inputs.
        """
        self.whole.write(Path(path), title=title)
        return Path(path)

    def __repr__(self) -> str:
        """Return the summary as text."""
        from cellhive.reports.analysis.summary import summary_lines  # noqa: PLC0415

        return "\n".join(summary_lines(self.analysis, self.causes))

    def _repr_html_(self) -> str:
        from cellhive.reports.analysis.notebook import analysis_fragment  # noqa: PLC0415

        return analysis_fragment(self.analysis, self.causes, self.whole.sections)


INCIDENT_COLUMNS: dict[str, Any] = {
    "rank": pl.Int64, "kind": pl.String, "effect": pl.String,
    "start": pl.Datetime("us", "UTC"), "end": pl.Datetime("us", "UTC"), "ongoing": pl.Boolean,
    "objects": pl.List(pl.String), "kpis": pl.List(pl.String), "lead_object": pl.String,
    "lead_kpi": pl.String, "unit": pl.String, "expected": pl.Float64, "observed": pl.Float64,
    "confidence": pl.String,
}  # fmt: skip
"""Columns of ``Analysed.incidents``."""


@dataclass(frozen=True, repr=False)
class ShownIncident:
    """One incident that shows itself in a notebook."""

    incident: Incident
    analysed: Analysed

    def __repr__(self) -> str:
        """Return it in one line."""
        from cellhive.reports.analysis import words  # noqa: PLC0415

        one = self.incident
        return f"{words.headline(one)}; {words.stretch(one)}; {words.from_to(one.lead)}"

    def _repr_html_(self) -> str:
        from cellhive.reports.analysis.notebook import incident_fragment  # noqa: PLC0415

        return incident_fragment(self.analysed.analysis, self.incident, self.analysed.causes)


def analyse_any(data: Any, *, mapping: str | Path | None = None, causes: bool = True) -> Analysed:
    """Analyse a table or files; see ``cellhive.analyse``."""
    rules = None if mapping is None else Path(mapping)
    if isinstance(data, str | Path):
        data = [data]
    if isinstance(data, list | tuple) and all(isinstance(one, str | Path) for one in data):
        result, analysis = analyse_paths([Path(one) for one in data], rules)
    else:
        findings = Findings()
        said = Mapping() if rules is None else load_mapping(rules)
        measured = measure_grids([reshaped(grid_of(data), findings)], said, findings)
        result = ReadResult(tuple(measured), findings.as_tuple(), ())
        analysis = analyse(result.measurements, result.findings)
    return Analysed(whole_of(analysis, result, Wanted(causes=causes)))


def grid_of(table: Any) -> Grid:
    """Return a polars or pandas frame, or a mapping of columns, as a grid that readers take.

    The index of a pandas frame becomes columns where it has names or holds times.

    Raises:
        BadInput: It is no table.
    """
    if isinstance(table, pl.LazyFrame):
        table = table.collect()
    if isinstance(table, pl.DataFrame) and table.height:
        names = {name: str(at) for at, name in enumerate(table.columns)}
        return Grid(TABLE, "", tuple(names), table.rename(names))
    columns = columns_of(_with_index(table))
    frame = pl.DataFrame([_series(str(at), values) for at, values in enumerate(columns.values())])
    return Grid(TABLE, "", tuple(columns), frame)


def _with_index(table: Any) -> Any:
    index = getattr(table, "index", None)
    if index is None or not hasattr(table, "reset_index"):
        return table
    names = [name for name in getattr(index, "names", [None]) if name is not None]
    timed = str(getattr(index, "dtype", "")).startswith("datetime64")
    if names:
        return table.reset_index()
    return table.rename_axis("time").reset_index() if timed else table


def _series(name: str, values: np.ndarray[Any, Any]) -> pl.Series:
    if values.dtype.kind in "biufM":
        return pl.Series(name, values)
    plain = [None if is_missing(one) else one for one in values.tolist()]
    try:
        return pl.Series(name, plain, strict=True)
    except (TypeError, pl.exceptions.PolarsError):
        return pl.Series(name, [None if one is None else str(one) for one in plain])
