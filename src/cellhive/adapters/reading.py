"""Reads whatever files of a network it is given: recognised by content, merged, accounted for."""

from __future__ import annotations

import io
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from cellhive.adapters.cm.cell_lists import read_cell_list
from cellhive.adapters.cm.mml import is_mml, read_mml
from cellhive.adapters.cm.stated import Stated, put_together, with_ends
from cellhive.adapters.cm.tables import take_table
from cellhive.adapters.cm.xml_files import CM_XML, read_cm_xml
from cellhive.adapters.drive.surveyed import drive_of, with_events
from cellhive.adapters.files import Table
from cellhive.adapters.inputs import NotMeasurements, head_of, whole
from cellhive.adapters.pm import ves
from cellhive.adapters.pm.pm_collect import PmCollector
from cellhive.adapters.pm.pm_xml import parse_pm, unreadable
from cellhive.adapters.recognition import Purpose, purpose_of, table_of
from cellhive.adapters.tabular.grids import Grid
from cellhive.adapters.tabular.mapping import Mapping, apply_mapping, describe
from cellhive.adapters.tabular.meaning import check_rules
from cellhive.adapters.tabular.sheets import read_grids
from cellhive.adapters.tabular.table_times import in_zone, with_repeated
from cellhive.adapters.tabular.tables import measure_grids
from cellhive.adapters.unpacking.archives import archive_kind, contents_of
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.inputs import FileOutcome
from cellhive.core.measurements import (
    OBJECT,
    TIME,
    Finding,
    Findings,
    Measurements,
    Severity,
)
from cellhive.diagnose.audit.configuration import Configuration
from cellhive.flows.drives.survey import Drive

Progress = Callable[[int, int, Path], None]
"""Is told how many files of how many are done, and the last one."""

_HTML = re.compile(rb"\s*(<!doctype html|<html|<table|<head|<meta)", re.IGNORECASE)
_ARCHIVES = {"zip", "tar"}
_IGNORED_SUFFIXES = {
    ".md", ".rst", ".py", ".yaml", ".yml", ".xsd", ".xsl", ".pdf", ".png", ".jpg", ".html", ".svg",
    ".license", ".part", ".toml", ".cfg", ".ini", ".sh",
}  # fmt: skip

_PROSE = re.compile(
    r"(^|[_.-])(readme|licen[cs]e|copying|notice|changelog)([_.-]|$)", re.IGNORECASE
)
"""Names of files that hold text for people."""


@dataclass(frozen=True)
class ReadResult:
    """What was read from the given paths."""

    measurements: tuple[Measurements, ...]
    findings: tuple[Finding, ...]
    files: tuple[FileOutcome, ...]
    configuration: Configuration | None = None
    """Cells, where they are and how they are set, and relations; None where no file says any."""
    drives: tuple[Drive, ...] = ()
    """Drive-test logs."""
    mapping: Mapping = field(default_factory=Mapping)
    """What was said of the columns."""


def read_paths(
    paths: Sequence[Path],
    mapping: Mapping | None = None,
    on_progress: Progress | None = None,
    *,
    tables_only: bool = False,
) -> ReadResult:
    """Return what files and folders hold of a network, merged over files of the same shape.

    Folders are searched through; hidden files are skipped. A file that cannot be read
    becomes a finding and stops nothing.

    Args:
        paths: Files and folders.
        mapping: What a person says about the columns.
        on_progress: Is told of every file.
        tables_only: Whether every table is one of measurements, drive tests included.

    Raises:
        NotFound: A path does not exist.
        BadInput: Nothing in any of them can be read, or no rule of the mapping fits.
    """
    reader = _Reader(mapping or Mapping(), tables_only=tables_only)
    outcomes: list[FileOutcome] = []
    files = files_of(paths, lambda error: outcomes.append(reader.closed(error)))
    if not files:
        closed = "; ".join(f"{outcome.path}: {outcome.note}" for outcome in outcomes)
        raise BadInput(
            place=", ".join(map(str, paths)),
            expected="measurement files (3GPP XML, CSV, XLSX, Parquet, VES JSON)",
            found=closed or ("empty folders" if paths else "no paths"),
            remedy="name a file, or a folder that holds some",
        )
    for index, (path, named) in enumerate(files):
        outcomes += reader.read_all(path, named=named)
        if on_progress is not None:
            on_progress(index + 1, len(files), path)
    measurements = reader.measurements()
    configuration, drives = reader.configuration(measurements), reader.drives()
    if not measurements and configuration is None and not drives:
        if len(outcomes) == 1 and reader.errors:
            raise reader.errors[0]
        reasons = "; ".join(f"{o.path.name}: {o.note}" for o in outcomes[:5] if o.note)
        raise BadInput(
            place=", ".join(map(str, paths)),
            expected="at least one file with measurements",
            found=f"{len(files)} without any ({reasons})",
            remedy="see the how-to on inputs for the formats that are read",
        )
    check_rules(reader.mapping, measurements, reader.findings)
    findings = reader.findings.as_tuple()
    files_read = tuple(outcomes)
    return ReadResult(measurements, findings, files_read, configuration, drives, reader.mapping)


def files_of(
    paths: Sequence[Path], on_closed: Callable[[OSError], None]
) -> list[tuple[Path, bool]]:
    """Return each file once, and whether it was named itself."""
    files: dict[Path, bool] = {}
    for path in paths:
        try:
            mode = path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError) as error:
            message = f"expected a file or folder at {path}, found none; check the path"
            raise NotFound(message) from error
        except OSError as error:
            raise BadInput(
                place=str(path), expected="a file or folder that can be read",
                found=error.strerror or str(error), remedy="check who may read it",
            ) from error  # fmt: skip
        if stat.S_ISDIR(mode):
            for found in sorted(_inside(path, on_closed)):
                files.setdefault(found, False)
        elif stat.S_ISREG(mode):
            files[path] = True
        else:
            raise BadInput(
                place=str(path), expected="a file or a folder", found="a pipe or a device",
                remedy="write its content to a file first",
            )  # fmt: skip
    return list(files.items())


def _inside(folder: Path, on_closed: Callable[[OSError], None]) -> Iterator[Path]:
    """Yield the files in a folder and below that are not hidden."""
    for name, folders, files in os.walk(folder, onerror=on_closed):
        folders[:] = [each for each in folders if not each.startswith((".", "~$"))]
        for each in files:
            found = Path(name, each)
            if not each.startswith((".", "~$")) and found.is_file():
                yield found


def kind_of(path: Path) -> str:
    """Return what a file is by its content.

    Raises:
        BadInput: It cannot be opened.
    """
    head = head_of(path)
    packed = archive_kind(head)
    if packed:
        return _zip_kind(path) if packed == "zip" else packed
    plain = head.replace(b"\x00", b"")
    for mark in (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"):
        plain = plain.removeprefix(mark)
    plain = plain.lstrip()
    kinds = (
        ("empty", not plain),
        ("parquet", head.startswith(b"PAR1")),
        ("spreadsheet", head.startswith(b"\xd0\xcf\x11\xe0")),
        ("html", _HTML.match(plain) is not None),
        ("xml", plain.startswith(b"<")),
        ("json", plain[:1] in {b"{", b"["} and b'"' in plain[:400]),
        ("mml", is_mml(plain.decode("latin-1"))),
    )
    return next((kind for kind, holds in kinds if holds), "text")


def _zip_kind(path: Path) -> str:
    try:
        with zipfile.ZipFile(path if path.exists() else io.BytesIO(whole(path))) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        return "spreadsheet"  # cut; opening it gives the reason
    if any(name.startswith("xl/") or name == "content.xml" for name in names):
        return "spreadsheet"
    return "document" if "[Content_Types].xml" in names else "zip"


class _Reader:
    """Reads files one after the other and gathers what they hold."""

    def __init__(self, mapping: Mapping, *, tables_only: bool = False) -> None:
        self.findings = Findings()
        self.errors: list[BadInput] = []
        """Why files were not read, in their order."""
        self.mapping = mapping
        self._collector = PmCollector(describe, self.findings)
        self._tables: list[Measurements] = []
        self._tables_only = tables_only
        self._stated = Stated(findings=self.findings)
        self._drives: list[Drive] = []

    def read_all(self, path: Path, *, named: bool) -> list[FileOutcome]:
        """Read a file, or each file in it where it is an archive."""
        try:
            kind = kind_of(path)
        except BadInput:
            kind = ""  # reading it says what is wrong
        if kind not in _ARCHIVES:
            return [self.read(path, named=named)]
        try:
            contents = contents_of(path)
        except BadInput as error:
            return [self._failed(path, kind, error)]
        outcomes = [self.read(one, named=False) for one in contents.members]
        for one, what in contents.refused:
            refusal = BadInput(
                place=str(one), expected="a file in the archive", found=what,
                remedy="unpack it yourself if it is what you want, and name the folder",
            )  # fmt: skip
            outcomes.append(self._failed(one, "other", refusal))
        if contents.cut:
            words = BadInput(
                place=str(path), expected="a complete archive", found=contents.cut,
                remedy="fetch it again; the files before are read",
            )  # fmt: skip
            outcomes.append(self._failed(path, kind, words))
        return outcomes or [self._ignored(path, kind, "an archive without files")]

    def read(self, path: Path, *, named: bool) -> FileOutcome:
        """Read one file; what goes wrong becomes a finding."""
        if not named and (path.suffix.lower() in _IGNORED_SUFFIXES or _PROSE.search(path.name)):
            return self._ignored(path, "other", "not a format of measurements")
        kind, rows, found = "unknown", 0, Findings()
        taken: list[Purpose] = []
        error: BadInput | None = None
        try:
            kind = kind_of(path)
            rows = self._read_kind(path, kind, found, taken)
        except NotMeasurements as refusal:
            if not named:
                return self._ignored(path, kind, _note(path, refusal))
            found, error = Findings(), refusal
        except BadInput as refusal:
            error = refusal
        except Exception as defect:  # must not cost the other files
            error = _defect(path, defect)
        self._stated.ended(path.name)
        self.findings.extend(found.as_tuple())
        if error is not None:
            return self._failed(path, kind, error)
        if rows:
            return FileOutcome(path, kind, "read", rows, taken_for=tuple(dict.fromkeys(taken)))
        self.errors.append(
            BadInput(
                place=str(path), expected="at least one measured value", found="none",
                remedy="check whether the source measured anything",
            )
        )  # fmt: skip
        return self._ignored(path, kind, "no measured values")

    def closed(self, error: OSError) -> FileOutcome:
        """Say that a folder cannot be looked into."""
        path = Path(str(error.filename))
        words = BadInput(
            place=str(path), expected="a folder that can be read",
            found=error.strerror or str(error), remedy="check who may read it",
        )  # fmt: skip
        return self._failed(path, "folder", words)

    def measurements(self) -> tuple[Measurements, ...]:
        """Return everything read, merged."""
        zone = self.mapping.time_zone
        events = [apply_mapping(m, self.mapping) for m in self._collector.tables()]
        if zone:
            events = [_zoned(m, zone, self.findings) for m in events]
        return (*events, *_merged(self._tables, self.findings))

    def configuration(self, measured: Sequence[Measurements] = ()) -> Configuration | None:
        """Return what files say of cells and relations; None where they say nothing.

        Args:
            measured: Measurements of these cells, which say what to call them.
        """
        names: set[str] = set()
        if any(cell.also for cell in self._stated.cells):
            names = {str(name) for m in measured for name in m.frame[OBJECT].unique().drop_nulls()}
        try:
            return put_together(with_ends(self._stated), names)
        except BadInput as error:
            if self._stated.cells:
                self.findings.add(unreadable(Path(error.place), error))
            return None

    def drives(self) -> tuple[Drive, ...]:
        """Return the drive tests, each with the events of the file beside it."""
        return tuple(with_events(self._drives))

    def _read_kind(self, path: Path, kind: str, findings: Findings, taken: list[Purpose]) -> int:
        match kind:
            case "xml":
                return self._read_xml(path, findings, taken)
            case "json":
                return self._read_json(path, findings, taken)
            case "mml":
                return self._read_cm(path, read_mml, taken)
            case "text" | "spreadsheet" | "parquet":
                return self._take(path, read_grids(path, findings, kind=kind), findings, taken)
            case "html":
                raise NotMeasurements(
                    place=str(path), expected="a table", found="a web page",
                    remedy="if it is a table saved as .xls, save it as .xlsx or CSV",
                )  # fmt: skip
            case "document":
                raise NotMeasurements(
                    place=str(path), expected="a table", found="an Office document without sheets",
                    remedy="save its table as .xlsx or CSV",
                )  # fmt: skip
            case "zip" | "tar":
                raise NotMeasurements(
                    place=str(path), expected="a file", found="an archive inside an archive",
                    remedy="unpack it and name the folder",
                )  # fmt: skip
            case "7z" | "rar":
                raise BadInput(
                    place=str(path), expected="a ZIP or tar archive", found=f"a {kind} archive",
                    remedy="unpack it and name the folder",
                )  # fmt: skip
            case _:
                raise BadInput(
                    place=str(path), expected="a measurement file", found="an empty file",
                    remedy="fetch it again",
                )  # fmt: skip

    def _read_xml(self, path: Path, findings: Findings, taken: list[Purpose]) -> int:
        try:
            batch = parse_pm(path, findings)
        except NotMeasurements as refusal:
            try:
                return self._read_cm(path, read_cm_xml, taken)
            except NotMeasurements:
                if CM_XML.search(head_of(path).replace(b"\x00", b"")):
                    raise
                raise refusal from None
        self._collector.add(batch)
        taken.append(Purpose.MEASUREMENTS)
        return batch.rows

    def _read_cm(
        self, path: Path, read: Callable[[Path, Stated], int], taken: list[Purpose]
    ) -> int:
        """Take a file that says how cells are set; return how many cells and relations it has."""
        if self._tables_only:
            raise NotMeasurements(
                place=str(path), expected="a table", found="how cells are set",
                remedy="the analysis and the audit read it",
            )  # fmt: skip
        before = len(self._stated.relations)
        rows = read(path, self._stated) + len(self._stated.relations) - before
        if not rows:
            raise NotMeasurements(
                place=str(path), expected="cells of LTE or NR", found="a configuration without any",
                remedy="cells of GSM and UMTS are not read",
            )  # fmt: skip
        taken.append(Purpose.CELLS)
        return rows

    def _read_json(self, path: Path, findings: Findings, taken: list[Purpose]) -> int:
        values = ves.load_json(path, findings)
        events = ves.events_of(values)
        if events:
            batch = ves.read_events(path, events, findings)
            self._collector.add(batch)
            taken.append(Purpose.MEASUREMENTS)
            return batch.rows
        try:
            return self._take(path, [ves.records_grid(path, values)], findings, taken)
        except NotMeasurements as refusal:
            if self._tables_only:
                raise
            try:
                cells = read_cell_list(path, self._stated)
            except BadInput:
                raise refusal from None
            taken.append(Purpose.CELLS)
            return cells

    def _take(
        self, path: Path, grids: Sequence[Grid], findings: Findings, taken: list[Purpose]
    ) -> int:
        """Take the tables of a file for what each of them is; return how many rows they have."""
        rows = 0
        measured: list[Grid] = []
        for grid in grids:
            purpose = Purpose.MEASUREMENTS if self._tables_only else purpose_of(grid, self.mapping)
            if purpose in {Purpose.CELLS, Purpose.RELATIONS, Purpose.BOTH}:
                table = table_of(grid, once=purpose is Purpose.BOTH)
                rows += self._take_cells(table, path)
            elif purpose is Purpose.DRIVE_TEST:
                drive = drive_of(grid, findings)
                self._drives.append(drive)
                rows += drive.samples.height
            if purpose in {Purpose.MEASUREMENTS, Purpose.BOTH}:
                measured.append(grid)
            taken.append(purpose)
        if measured:
            try:
                tables = measure_grids(measured, self.mapping, findings)
            except BadInput:
                if not rows:
                    raise
                tables = []
            self._tables += tables
            rows += sum(table.frame.height for table in tables)
        return rows

    def _take_cells(self, table: Table, path: Path) -> int:
        try:
            return take_table(table, path, self._stated)
        except BadInput as error:
            raise NotMeasurements(
                place=error.place, expected=error.expected, found=error.found, remedy=error.remedy
            ) from error

    def _failed(self, path: Path, kind: str, error: BadInput) -> FileOutcome:
        self.errors.append(error)
        self.findings.add(unreadable(path, error))
        return FileOutcome(path, kind, "failed", note=_note(path, error))

    def _ignored(self, path: Path, kind: str, note: str) -> FileOutcome:
        return FileOutcome(path, kind, "ignored", note=note)


def _note(path: Path, error: BadInput) -> str:
    """Return what is wrong with a file, for a line that begins with the file."""
    where = error.place.removeprefix(str(path)).lstrip(", ")
    return f"{where}{': ' if where else ''}expected {error.expected}, found {error.found}"


def _defect(path: Path, error: Exception) -> BadInput:
    """Return the error of a file that a reader fell over."""
    return BadInput(
        place=str(path),
        expected="a file that the reader copes with",
        found=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
        remedy="this is a defect of the reader; report it with the file",
    )


def _zoned(measured: Measurements, zone: str, findings: Findings) -> Measurements:
    if measured.time_zone != "":
        return measured
    source = measured.sources[0] if measured.sources else ""
    times = in_zone(measured.frame[TIME], zone, source, findings)
    times = with_repeated(times, measured.frame[OBJECT], zone, source, findings)
    return replace(measured, frame=measured.frame.with_columns(times), time_zone=zone)


def _merged(tables: list[Measurements], findings: Findings) -> list[Measurements]:
    """Join tables of the same columns, as daily exports are."""
    groups: dict[object, list[Measurements]] = {}
    for table in tables:
        key = (tuple(table.frame.columns), table.object_class, table.time_zone)
        groups.setdefault(key, []).append(table)
    merged: list[Measurements] = []
    for members in groups.values():
        merged += [members[0]] if len(members) == 1 else _joined(members, findings)
    return merged


def _joined(members: list[Measurements], findings: Findings) -> list[Measurements]:
    first = members[0]
    for name in first.columns:
        shares = {member.columns[name].share for member in members} - {""}
        if len(shares) > 1:
            other = next(
                m for m in members if m.columns[name].share not in {"", *_one(first, name)}
            )
            findings.add(
                Finding(
                    Severity.WARNING,
                    "share-differs",
                    expected="the same unit in every file",
                    found="fractions in some files and per cent in others",
                    action="the files are not joined",
                    file=other.sources[0],
                    column=name,
                )
            )
            return members
    columns = {
        name: next((m.columns[name] for m in members if m.columns[name].share), info)
        for name, info in first.columns.items()
    }
    frame = pl.concat([member.frame for member in members]).sort(
        [OBJECT, TIME], maintain_order=True
    )
    return [
        replace(
            first,
            name=f"{first.name} and {len(members) - 1} more",
            frame=frame,
            columns=columns,
            sources=tuple(source for member in members for source in member.sources),
        )
    ]


def _one(measured: Measurements, name: str) -> set[str]:
    return {measured.columns[name].share}
