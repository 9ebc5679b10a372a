"""Returns the text of bytes in whatever encoding they are."""

from __future__ import annotations

import codecs
import re
import unicodedata

from cellhive.adapters.inputs import NotMeasurements
from cellhive.core.measurements import Finding, Findings, Severity

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SCRIPTS = (
    ("gb18030", "CJK", "Chinese (GB 18030)"),
    ("cp1256", "ARABIC", "Windows-1256 (Arabic)"),
    ("cp1251", "CYRILLIC", "Windows-1251 (Cyrillic)"),
    ("cp1253", "GREEK", "Windows-1253 (Greek)"),
    ("cp1255", "HEBREW", "Windows-1255 (Hebrew)"),
    ("cp874", "THAI", "Windows-874 (Thai)"),
)
"""Encodings of other scripts, the script, and what to call them."""
_FOREIGN = re.compile(rb"[\x80-\xff]+")
_RUN = 3
"""Letters of another script come in words: runs of such bytes are longer than accents."""
_SAMPLE_BYTES = 200_000
_SURE = 0.9


def decode(data: bytes, place: str, findings: Findings) -> str:
    """Return the text of bytes in whatever encoding they are.

    Raises:
        BadInput: They are not text.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return data.decode(name, errors="replace")
    head = data[:4096]
    if head.count(0) > len(head) // 4:
        odd = sum(1 for byte in head[1::2] if byte == 0) * 2 >= len(head) * 0.8
        even = sum(1 for byte in head[0::2] if byte == 0) * 2 >= len(head) * 0.8
        if odd or even:
            return data.decode("utf-16-le" if odd else "utf-16-be", errors="replace")
    control = sum(1 for byte in head if byte < 9 or 13 < byte < 32)  # noqa: PLR2004 (ASCII)
    if control > len(head) // 100:
        raise NotMeasurements(
            place=place,
            expected="a table as text, a spreadsheet or Parquet",
            found=f"binary data that begins with {head[:8].hex(' ')}",
            remedy="check what was fetched, or export it as CSV",
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        name, called = encoding_of(data)
        findings.add(
            Finding(
                Severity.WARNING,
                "wrong-encoding",
                expected="UTF-8, or a byte order mark",
                found=f"the byte 0x{data[error.start]:02x}",
                action=f"read as {called}; letters outside ASCII may be wrong, numbers are not",
                file=place,
                where=f"line {data.count(10, 0, error.start) + 1}",
            )
        )
        return data.decode(name, errors="replace")


def encoding_of(data: bytes) -> tuple[str, str]:
    """Return the likeliest encoding of bytes that are not UTF-8, and what to call it.

    Accents stand alone among Latin letters; letters of other scripts come in words of their own.
    """
    runs = _FOREIGN.findall(data[:_SAMPLE_BYTES])
    long = [run for run in runs if len(run) >= _RUN]
    if sum(map(len, long)) >= 0.5 * sum(map(len, runs)):
        best, name, called = 0.0, "", ""
        for encoding, script, words in _SCRIPTS:
            share = _share(long, encoding, script)
            if share > best:
                best, name, called = share, encoding, words
        if best >= _SURE:
            return name, called
    return "cp1252", "Windows-1252"


def _share(runs: list[bytes], encoding: str, script: str) -> float:
    """Return the share of the letters that are of a script, were the bytes in an encoding."""
    letters = of_script = 0
    for run in runs[:500]:
        try:
            text = run.decode(encoding)
        except UnicodeDecodeError:
            letters += len(run)
            continue
        for letter in text:
            letters += 1
            of_script += unicodedata.name(letter, "").startswith(script)
        # words in capitals only, or with capitals inside, are another encoding misread
        if text[1:] != text[1:].lower() and text != text.upper():
            of_script -= len(text)
    return of_script / max(letters, 1)
