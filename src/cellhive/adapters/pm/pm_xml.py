"""Reads measurement files in XML: 3GPP, its older form, and Nokia's OMeS, whatever the vendor.

TS 32.435 ``measCollecFile``, TS 28.532 ``measDataFile``, the older TS 32.401 ``mdc``, and
``OMeS``; packed or not, in both notations of values. The parser streams, fetches nothing,
refuses entity declarations, and keeps what was complete before a cut.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from xml.parsers import expat

from cellhive.adapters.inputs import NotMeasurements, chunks
from cellhive.adapters.pm.pm_3gpp import OldReader, ThreeGppReader
from cellhive.adapters.pm.pm_collect import Batch, PmCollector
from cellhive.adapters.pm.pm_omes import OmesReader
from cellhive.adapters.tabular.mapping import describe
from cellhive.adapters.unpacking.packings import DEFAULT_LIMITS, Limits, Truncated
from cellhive.core.errors import BadInput
from cellhive.core.measurements import Finding, Findings, Measurements, Severity

LONGEST_TOKEN_BYTES = 32 << 20
"""Largest single tag or text; the largest in real files is below 1 MiB."""

_XML_START = re.compile(rb"\s*(?:<\?(?!xml\s).*?\?>\s*|<!--.*?-->\s*)+(?=<\?xml\s)", re.DOTALL)


class XmlReader(Protocol):
    """What turns the elements of one dialect into rows."""

    def begin(self, tag: str, attributes: dict[str, str]) -> None:
        """Take the start of an element."""

    def end(self, tag: str) -> None:
        """Take the end of an element."""


ReaderOf = Callable[[expat.XMLParserType, Batch, Findings], XmlReader]

_DIALECTS: dict[str, ReaderOf] = {
    "measCollecFile": ThreeGppReader,
    "measDataFile": ThreeGppReader,
    "measCollec": ThreeGppReader,
    "mdc": OldReader,
    "OMeS": OmesReader,
}


@dataclass(frozen=True)
class Reading:
    """What was read from one or several inputs."""

    measurements: tuple[Measurements, ...]
    findings: tuple[Finding, ...]


_LATIN = "iso-8859-1"
_MULTIBYTE = {
    "gb2312": "gb18030", "gbk": "gb18030", "gb18030": "gb18030", "big5": "big5hkscs",
    "big5hkscs": "big5hkscs", "shift_jis": "cp932", "cp932": "cp932", "euc_jp": "euc_jp",
    "euc_kr": "cp949", "cp949": "cp949",
}  # fmt: skip
"""Encodings that the parser cannot read itself, and the widest relative of each."""


_HANDLERS = (
    "XmlDeclHandler", "StartElementHandler", "EndElementHandler", "CharacterDataHandler",
    "EntityDeclHandler", "SkippedEntityHandler",
)  # fmt: skip


class _Recode(Exception):
    """The bytes are not in the encoding they claim, or the parser does not know it."""

    def __init__(self, encoding: str, declared: str) -> None:
        """Ask to start again with an encoding in place of the declared one."""
        super().__init__(encoding)
        self.encoding, self.declared = encoding, declared


class _Driver:
    """Feeds one file to the parser and picks the dialect at the root element."""

    def __init__(self, path: Path, findings: Findings, encoding: str | None) -> None:
        self.batch = Batch(str(path))
        known = encoding in {None, "utf-8", _LATIN}
        self._decoder = (
            None if known else codecs.getincrementaldecoder(encoding or "")(errors="replace")
        )
        self.parser = expat.ParserCreate(encoding if known else "utf-8")
        self.parser.XmlDeclHandler = self._declaration
        self.parser.buffer_text = True
        self.parser.buffer_size = 1 << 20
        self.parser.StartElementHandler = self._root
        self.parser.EntityDeclHandler = self._refuse_entity
        self.parser.SkippedEntityHandler = self._refuse_entity
        self._path = path
        self._findings = findings
        self._encoding = encoding
        self._declared = ""
        self._reader: XmlReader | None = None
        self._fed = 0
        self._window = b""

    def read(self, limits: Limits) -> None:
        """Parse the whole file into the batch."""
        try:
            self._parse(limits)
        finally:
            # The parser holds its handlers and they hold it; without a cut, rows of files that
            # are done with would stay until Python looks for such circles.
            for handler in _HANDLERS:
                setattr(self.parser, handler, None)
            self._window = b""

    def _parse(self, limits: Limits) -> None:
        try:
            first = True
            for data in chunks(self._path, limits):
                self._feed(self._without_preamble(data) if first else data)
                first = False
            if first:
                raise BadInput(
                    place=str(self._path),
                    expected="a measurement file",
                    found="an empty file",
                    remedy="fetch it again",
                )
            self.parser.Parse(b"", True)
        except expat.ExpatError as error:
            self._broken(error)
        except Truncated as error:
            self._cut(f"{error}", "a complete packed file")

    def _feed(self, data: bytes) -> None:
        if self._decoder is not None:
            data = self._decoder.decode(data).encode()
        self._window = (self._window[-16:] if self._window else b"") + data
        self._fed += len(data)
        try:
            self.parser.Parse(data, False)
        except (LookupError, ValueError) as error:
            if self._reader is not None:
                raise
            raise self._recode() from error  # the parser cannot read the declared encoding
        if self._fed - max(self.parser.CurrentByteIndex, 0) > LONGEST_TOKEN_BYTES:
            raise BadInput(
                place=self._place(),
                expected=f"tags and texts of at most {LONGEST_TOKEN_BYTES >> 20} MiB",
                found="a longer one",
                remedy="check whether this is a measurement file",
            )

    def _without_preamble(self, data: bytes) -> bytes:
        """Drop instructions before the XML declaration; some vendors write them."""
        found = _XML_START.match(data)
        if found is None:
            return data.lstrip(b" \t\r\n") if data[:1].isspace() else data
        self._findings.add(
            Finding(
                Severity.INFO,
                "text-before-declaration",
                expected="the XML declaration first",
                found=f"{found.group().strip()[:60].decode('ascii', 'replace')!r} before it",
                action="left out",
                file=str(self._path),
                where="line 1",
            )
        )
        # Keep the line numbers of messages right.
        return data[found.end() :].replace(b"?>", b"?>" + b"\n" * found.group().count(b"\n"), 1)

    def _declaration(self, _: str, encoding: str | None, __: int) -> None:
        self._declared = encoding or ""

    def _recode(self) -> _Recode:
        """Return the request to start again with what the declared encoding stands for."""
        try:
            name = codecs.lookup(self._declared).name
        except LookupError:
            name = ""
        return _Recode(_MULTIBYTE.get(name, "utf-8"), self._declared)

    def _root(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        reader = _DIALECTS.get(name)
        if reader is None:
            raise NotMeasurements(
                place=self._place(),
                expected=f"the root element {', '.join(_DIALECTS)}",
                found=f"<{name[:60]}>",
                remedy="this is XML, but not a measurement file that is known here",
            )
        self._reader = reader(self.parser, self.batch, self._findings)
        self.parser.StartElementHandler = self._reader.begin
        self.parser.EndElementHandler = self._reader.end
        self._reader.begin(tag, attributes)

    def _refuse_entity(self, name: str, *_: object) -> None:
        raise BadInput(
            place=self._place(),
            expected="a measurement file without entities",
            found=f"the entity '{name[:60]}'",
            remedy="entities are refused because they can be used for attacks",
        )

    def _place(self) -> str:
        return f"{self._path}, line {self.parser.CurrentLineNumber}"

    def _broken(self, error: expat.ExpatError) -> None:
        index = self.parser.ErrorByteIndex - (self._fed - len(self._window))
        codes = expat.errors.codes
        misnamed = error.code in {
            codes[expat.errors.XML_ERROR_UNKNOWN_ENCODING],
            codes[expat.errors.XML_ERROR_INCORRECT_ENCODING],
        }
        odd_byte = not self._window[max(index, 0) : index + 4].isascii()
        if self._encoding is None and misnamed:
            raise self._recode() from error
        if self._encoding in {None, "utf-8"} and odd_byte:
            raise _Recode(_LATIN, self._declared) from error
        what = expat.errors.messages[error.code]
        at_end = error.code in {
            codes[expat.errors.XML_ERROR_NO_ELEMENTS],
            codes[expat.errors.XML_ERROR_UNCLOSED_TOKEN],
            codes[expat.errors.XML_ERROR_PARTIAL_CHAR],
            codes[expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION],
        }
        if self._reader is None:
            head = self._window[:40].decode("ascii", "replace")
            raise BadInput(
                place=str(self._path),
                expected="a measurement file in XML",
                found=f"something else, which begins with {head!r} ({what})",
                remedy="check what was fetched",
            ) from error
        found = "the end of the file" if at_end else f"{what}, at column {error.offset + 1}"
        self._cut(found, "the rest of the XML" if at_end else "well-formed XML")

    def _cut(self, found: str, expected: str) -> None:
        if self.batch.rows == 0:
            raise BadInput(
                place=self._place(),
                expected=expected,
                found=f"{found}, before any complete measurement",
                remedy="fetch the file again",
            )
        self._findings.add(
            Finding(
                Severity.ERROR,
                "file-cut",
                expected=expected,
                found=found,
                action=f"kept the {self.batch.rows} rows that were complete before it",
                file=str(self._path),
                where=f"line {self.parser.CurrentLineNumber}",
            )
        )


def parse_pm(path: Path, findings: Findings, limits: Limits = DEFAULT_LIMITS) -> Batch:
    """Return the rows of one measurement file in XML.

    Args:
        path: The file; gzip, bzip2 and xz are unpacked on the way.
        findings: Where to say what is wrong with it.
        limits: How large it may be.

    Raises:
        BadInput: Nothing in it can be read.
    """
    found = Findings()
    driver = _Driver(path, found, None)
    while True:
        try:
            driver.read(limits)
            break
        except _Recode as again:
            found = Findings()
            driver = _Driver(path, found, again.encoding)
            _note_encoding(path, again, found)
    findings.extend(found.as_tuple())
    if driver.batch.rows == 0:
        findings.add(
            Finding(
                Severity.WARNING,
                "no-measurements",
                expected="at least one measured value",
                found="none",
                action="the file adds nothing",
                file=str(path),
            )
        )
    return driver.batch


def _note_encoding(path: Path, again: _Recode, findings: Findings) -> None:
    if again.encoding in _MULTIBYTE.values():
        return  # it is what the file declares
    latin = again.encoding == _LATIN
    declared = again.declared or "UTF-8, as none is declared"
    findings.add(
        Finding(
            Severity.WARNING,
            "wrong-encoding",
            expected=f"text in the encoding that the file declares ({declared})",
            found="bytes that are not" if latin else "another, or one that nobody knows",
            action=f"read as {'Latin-1' if latin else 'UTF-8'}; letters outside ASCII may be "
            "wrong, numbers are not",
            file=str(path),
        )
    )


def read_pm_file(path: Path) -> Reading:
    """Return the measurements of one file, one table per class of objects and granularity.

    Raises:
        BadInput: Nothing in it can be read.
    """
    findings = Findings()
    collector = PmCollector(describe, findings)
    collector.add(parse_pm(path, findings))
    return Reading(collector.tables(), findings.as_tuple())


def read_pm_files(
    paths: Sequence[Path], on_progress: Callable[[int, int], None] | None = None
) -> Reading:
    """Return the merged measurements of several files; one bad file does not stop the others.

    Args:
        paths: The files.
        on_progress: Is told how many files of how many are done.
    """
    findings = Findings()
    collector = PmCollector(describe, findings)
    for batch in _batches(paths, findings, on_progress):
        collector.add(batch)
    return Reading(collector.tables(), findings.as_tuple())


def _batches(
    paths: Sequence[Path], findings: Findings, on_progress: Callable[[int, int], None] | None
) -> Iterator[Batch]:
    for index, path in enumerate(paths):
        try:
            yield parse_pm(path, findings)
        except BadInput as error:
            findings.add(unreadable(path, error))
        if on_progress is not None:
            on_progress(index + 1, len(paths))


def unreadable(path: Path, error: BadInput) -> Finding:
    """Return the finding that says why a file could not be read."""
    where = error.place.removeprefix(str(path)).lstrip(", ")
    return Finding(
        Severity.ERROR,
        "unreadable-file",
        expected=error.expected,
        found=error.found,
        action=f"left out; {error.remedy}" if error.remedy else "left out",
        file=str(path),
        where=where,
    )
