"""Puts an analysis together: which readers, which mapping."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from cellhive.adapters.pm.pm_xml import unreadable
from cellhive.adapters.reading import ReadResult, files_of, read_paths
from cellhive.adapters.streaming.panels import PanelFile
from cellhive.adapters.streaming.parquet import LargeTable, large_tables
from cellhive.adapters.tabular.mapping import (
    Mapping,
    find_mapping,
    load_mapping,
    mapping_of,
    save_mapping,
)
from cellhive.adapters.tabular.meaning import refuse_unknown
from cellhive.app.audit import Audited
from cellhive.app.memory.opening import key_of, open_memory
from cellhive.app.working import OnStage, Threads
from cellhive.core.errors import BadInput
from cellhive.core.measurements import Findings
from cellhive.diagnose.audit.run import audit
from cellhive.flows.analyse import Analysis, Part, analyse
from cellhive.flows.causes.why import Causes, causes_of
from cellhive.flows.drives.survey import Survey, survey
from cellhive.flows.recall.incidents import Precedent, precedents, remember
from cellhive.flows.scale.blocks import part_of_blocks

__all__ = [
    "ANALYSIS_SUFFIXES",
    "MAPPING_SUFFIXES",
    "analyse_paths",
    "audited_of",
    "causes_of",
    "save_guesses",
    "seen_before",
    "surveys_of",
    "taken_for",
]

ANALYSIS_SUFFIXES = (".html", ".htm", ".md", ".json")
"""Forms of the report of an analysis."""

MAPPING_SUFFIXES = (".yaml", ".yml")
"""Forms of column mappings."""


def analyse_paths(
    paths: Sequence[Path],
    mapping: Path | None = None,
    on_progress: Callable[[int, int, Path], None] | None = None,
    on_stage: OnStage | None = None,
) -> tuple[ReadResult, Analysis]:
    """Read files and folders and analyse what they hold.

    Args:
        paths: Files and folders.
        mapping: YAML file that says what columns mean; without one, that which lies beside the
            data as ``cellhive-mapping.yaml``, or in the user's configuration, is used.
        on_progress: Is told of every file.
        on_stage: Is told of every piece of the analysis.
    """
    beside = None if mapping is not None else find_mapping(paths, _configuration())
    given = mapping or beside
    rules = None if given is None else load_mapping(given, found=beside is not None)
    work = Threads(on_stage)
    large = large_tables(_files(paths), rules or Mapping())
    if large:
        return _analyse_large(paths, large, rules, on_progress, work)
    result = read_paths(paths, rules, on_progress)
    if result.configuration is None and not result.drives:
        refuse_unknown(result.measurements)
    sites = _sites_in(result)
    return result, analyse(result.measurements, result.findings, work=work, sites=sites)


def _files(paths: Sequence[Path]) -> list[Path]:
    return [path for path, _ in files_of(paths, lambda _: None)]


def _analyse_large(
    paths: Sequence[Path],
    large: Sequence[LargeTable],
    rules: Mapping | None,
    on_progress: Callable[[int, int, Path], None] | None,
    work: Threads,
) -> tuple[ReadResult, Analysis]:
    """Analyse tables too large to be held, and beside them what else there is."""
    found, notes, store = Findings(), list[str](), PanelFile()
    parts: list[Part] = []
    done: list[LargeTable] = []
    for table in large:
        found.extend(table.findings.as_tuple())
        try:
            parts.append(part_of_blocks(table, store, found, notes, work))
        except BadInput:
            continue  # of no regular form: it is read whole, or refused there with a reason
        done.append(table)
    held = {path for table in done for path in table.paths}
    rest = [path for path in _files(paths) if path not in held]
    read = ReadResult((), (), ())
    if rest:
        try:
            read = read_paths(rest, rules, on_progress)
        except BadInput as error:
            if not done:
                raise
            found.add(unreadable(Path(error.place or rest[0]), error))
    found.extend(read.findings)
    analysis = analyse(
        read.measurements, found.as_tuple(), work=work, more=parts, notes=notes,
        sites=_sites_in(read),
    )  # fmt: skip
    outcomes = tuple(outcome for table in done for outcome in table.outcomes)
    described = tuple(table.described for table in done)
    result = replace(
        read, measurements=(*described, *read.measurements), findings=found.as_tuple(),
        files=(*outcomes, *read.files),
    )  # fmt: skip
    return result, analysis


def _sites_in(result: ReadResult) -> dict[str, str]:
    """Return the site of each cell of the configuration that was read."""
    conf = result.configuration
    return {} if conf is None else dict(zip(conf.cell_ids, conf.site_ids, strict=True))


def _configuration() -> Path | None:
    """Return the folder of the user's configuration."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    if base:
        return Path(base) / "cellhive"
    home = os.environ.get("HOME") or os.environ.get("USERPROFILE", "")
    return Path(home) / ".config" / "cellhive" if home else None


def audited_of(result: ReadResult) -> Audited | None:
    """Return the audit of the configuration that was read; None where no file describes one."""
    conf = result.configuration
    return None if conf is None else Audited(conf, audit(conf))


def surveys_of(result: ReadResult) -> tuple[Survey, ...]:
    """Return what each drive-test log that was read adds up to."""
    return tuple(survey(drive) for drive in result.drives)


def taken_for(result: ReadResult) -> dict[str, list[Path]]:
    """Return the files that were read by what they were taken for."""
    taken: dict[str, list[Path]] = {}
    for one in result.files:
        for purpose in one.taken_for:
            taken.setdefault(str(purpose), []).append(one.path)
    return taken


def save_guesses(result: ReadResult, path: Path) -> None:
    """Write what the columns were taken to mean as a mapping that can be edited."""
    merged = result.mapping
    for measured in result.measurements:
        guessed = mapping_of(measured)
        merged = replace(merged, columns={**guessed.columns, **merged.columns})
    save_mapping(merged, path)


def seen_before(
    place: str, key: str, analysis: Analysis, causes: Causes | None
) -> dict[int, tuple[Precedent, ...]]:
    """Return earlier incidents like those of an analysis by rank, and remember these.

    Args:
        place: Where the memory is: a folder or a server.
        key: Where its key is, "" for none.
        analysis: The analysis.
        causes: What a causal model says of it.
    """
    with open_memory(place, key=key_of(key)) as memory:
        found = precedents(memory, analysis)
        remember(memory, analysis, causes)
    return found
