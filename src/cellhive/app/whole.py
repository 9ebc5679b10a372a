"""An analysis with all that goes with it: causes, what to change, audit, drives, precedents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cellhive.adapters.reading import ReadResult
from cellhive.app.advice import advise_on
from cellhive.app.analysis import audited_of, causes_of, seen_before, surveys_of
from cellhive.app.audit import Audited
from cellhive.diagnose.advice.recommendation import Limits
from cellhive.flows.advice.advise import Advised
from cellhive.flows.analyse import Analysis
from cellhive.flows.causes.why import Causes
from cellhive.flows.drives.survey import Survey
from cellhive.flows.recall.incidents import Precedent
from cellhive.reports.analysis.report import analysis_json, write_analysis
from cellhive.reports.analysis.sections import Section, composed
from cellhive.reports.reading.section import FilesRead


@dataclass(frozen=True)
class Whole:
    """All that is said of what was read; what a report shows."""

    analysis: Analysis
    causes: Causes | None
    """None where nobody asked."""
    advised: Advised
    audited: Audited | None
    """None where no file describes a configuration."""
    surveys: tuple[Survey, ...]
    seen: Mapping[int, tuple[Precedent, ...]] | None
    """Earlier incidents by the rank of one of now; None where no memory was asked."""
    read: FilesRead
    """What became of the files."""

    @property
    def sections(self) -> list[Section]:
        """What the report holds besides the analysis itself."""
        return composed(
            audited=self.audited, surveys=self.surveys, found=self.seen, advised=self.advised,
            read=self.read,
        )  # fmt: skip

    def write(self, path: Path, *, title: str = "") -> None:
        """Write the report, whole or not at all; see ``write_analysis``."""
        write_analysis(
            self.analysis, path, title=title, causes=self.causes, sections=self.sections,
            configuration=None if self.audited is None else self.audited.configuration,
        )  # fmt: skip

    def as_json(self, *, title: str = "") -> str:
        """Return the report as JSON."""
        return analysis_json(self.analysis, title=title, causes=self.causes, sections=self.sections)


@dataclass(frozen=True)
class Wanted:
    """What is asked for beside the analysis itself."""

    causes: bool = True
    memory: str = ""
    """Where earlier incidents are and these go: a folder or a server; "" for nowhere."""
    key: str = ""
    """Where its key is, "" for none."""
    limits: Limits | None = None
    """From where on something is recommended."""


def whole_of(
    analysis: Analysis,
    result: ReadResult,
    wanted: Wanted | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Whole:
    """Return an analysis with all that goes with it.

    Args:
        analysis: The analysis.
        result: What was read for it.
        wanted: What is asked for.
        tell: Is told each stage.
    """
    wanted = wanted or Wanted()
    causes = None
    if wanted.causes:
        tell("Looking for causes")
        causes = causes_of(analysis)
    seen = seen_before(wanted.memory, wanted.key, analysis, causes) if wanted.memory else None
    tell("Looking for what to change")
    audited = audited_of(result)
    advised = advise_on(analysis, causes, audited, wanted.limits)
    read = FilesRead(result.files, result.measurements, result.findings)
    return Whole(analysis, causes, advised, audited, surveys_of(result), seen, read)
