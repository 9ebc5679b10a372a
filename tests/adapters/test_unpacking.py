"""Packed files and archives: read as they are, bounded, and never more than they should be."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import zstandard
from vendor_exports import write_xlsx

from cellhive.adapters.inputs import chunks, whole
from cellhive.adapters.reading import ReadResult, read_paths
from cellhive.adapters.tabular.sheets import read_sheet_grids
from cellhive.adapters.unpacking import archives, tars
from cellhive.adapters.unpacking.packings import Limits, Truncated
from cellhive.core.errors import BadInput
from cellhive.core.measurements import Findings

CSV = "Time,Cell,Drops\n2024-03-14,A,{}\n2024-03-15,A,{}\n"
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor().compress,
}


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    """Write an archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        for name, data in members.items():
            book.writestr(name, data)
    return path


def tarred(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    """Write a tar archive."""
    with tarfile.open(path, mode) as book:  # type: ignore[call-overload]  # any mode
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            book.addfile(info, io.BytesIO(data))
    return path


def notes(result: ReadResult) -> dict[str, str]:
    """Return what became of each file, by its name."""
    return {one.path.name: f"{one.status}: {one.note}" for one in result.files}


@pytest.mark.parametrize("packing", PACKERS)
def test_every_packing_and_two_of_it_in_a_row(tmp_path: Path, packing: str) -> None:
    """Members that follow one another are one content, as the tools have it."""
    pack = PACKERS[packing]
    first, second = CSV.format(1, 2), "2024-03-16,A,3\n"
    path = tmp_path / f"a.csv.{packing}"
    path.write_bytes(pack(first.encode()) + pack(second.encode()))
    (measured,) = read_paths([path]).measurements
    assert measured.frame["Drops"].to_list() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("packing", PACKERS)
def test_a_cut_is_an_error_and_what_came_before_was_given(tmp_path: Path, packing: str) -> None:
    """For a stream; a table is refused whole, as its rows may be cut too."""
    content = "".join(f"2024-03-14,{i},{i * i}\n" for i in range(50_000)).encode()
    path = tmp_path / f"a.csv.{packing}"
    packed = PACKERS[packing](content)
    path.write_bytes(packed[: len(packed) * 2 // 3])
    given: list[bytes] = []
    with pytest.raises(Truncated, match="ends or breaks"):
        given.extend(chunks(path))
    assert content.startswith(b"".join(given))
    with pytest.raises(BadInput, match="expected a complete file"):
        whole(path)


@pytest.mark.parametrize("packing", PACKERS)
def test_bombs_are_stopped_early(tmp_path: Path, packing: str) -> None:
    """Before much of them is held."""
    path = tmp_path / f"a.csv.{packing}"
    path.write_bytes(PACKERS[packing](b"0" * (8 << 20)))
    limits = Limits(ratio=50, ratio_from_bytes=1 << 20)
    with pytest.raises(BadInput, match="decompression bomb"):
        whole(path, limits)
    with pytest.raises(BadInput, match="at most 1 MiB"):
        whole(path, Limits(whole_bytes=1 << 20))


def test_an_archive_is_a_folder(tmp_path: Path) -> None:
    """Members of every kind, packed ones too; what is no measurement is said as in a folder."""
    write_xlsx(tmp_path / "book.xlsx", {"S": [["Time", "Cell", "Users"], [45366, "B", 5]]})
    table = io.BytesIO()
    pl.DataFrame({"Time": ["2024-03-14"], "Cell": ["C"], "Load": [0.5]}).write_parquet(table)
    path = zipped(
        tmp_path / "all.zip",
        {
            "day1.csv": CSV.format(1, 2).encode(), "deep/er/day2.csv.gz":
            gzip.compress(CSV.format(3, 4).replace("A", "B").encode()),
            "book.xlsx": (tmp_path / "book.xlsx").read_bytes(), "t.parquet": table.getvalue(),
            "README.md": b"# hello", "__MACOSX/._day1.csv": b"\0\1", "notes.txt": b"call Ali",
        },
    )  # fmt: skip
    result = read_paths([path])
    assert notes(result).keys() == {
        "day1.csv", "day2.csv.gz", "book.xlsx", "t.parquet", "README.md", "notes.txt",
    }  # fmt: skip
    drops = next(m for m in result.measurements if "Drops" in m.columns)
    assert drops.frame["Drops"].to_list() == [1.0, 2.0, 3.0, 4.0]
    assert drops.sources == (f"{path}/day1.csv", f"{path}/deep/er/day2.csv.gz")
    assert {name for m in result.measurements for name in m.columns} == {"Drops", "Users", "Load"}


def test_archives_in_archives_are_refused_and_the_rest_is_read(tmp_path: Path) -> None:
    """With a clear word; no quine keeps a reader busy."""
    inner = zipped(tmp_path / "inner.zip", {"a.csv": CSV.format(1, 2).encode()}).read_bytes()
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as book:
        book.addfile(tarfile.TarInfo("x"), io.BytesIO())
    outer = zipped(
        tmp_path / "outer.zip",
        {"inner.zip": inner, "b.csv": CSV.format(5, 6).encode(), "c.tar": tar.getvalue()},
    )
    result = read_paths([outer])
    assert notes(result)["b.csv"].startswith("read")
    assert "an archive inside an archive" in notes(result)["inner.zip"]
    assert "archive" in notes(result)["c.tar"]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("layout", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_tar_archive_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, layout: int
) -> None:
    """Whatever it is packed in, called and laid out, larger than what is held in memory too."""
    monkeypatch.setattr(tars, "_IN_MEMORY_BYTES", 1 << 12)
    monkeypatch.setattr(tarfile, "DEFAULT_FORMAT", layout)
    deep = "deep/" * 18 + "day2.csv.gz"
    path = tarred(
        tmp_path / "export.bin",
        {
            "./day1.csv": CSV.format(1, 2).encode(),
            "noise/README.txt": zlib.compress(bytes(range(256)) * 400),
            deep: gzip.compress(CSV.format(3, 4).replace("A", "B").encode()),
            ".hidden.csv": b"x",
        },
        mode,
    )
    result = read_paths([path])
    (measured,) = result.measurements
    assert measured.frame["Drops"].to_list() == [1.0, 2.0, 3.0, 4.0]
    assert measured.sources == (f"{path}/day1.csv", f"{path}/{deep}")
    assert len(result.files) == 3


def test_links_and_devices_in_a_tar_archive_are_refused_and_the_rest_is_read(
    tmp_path: Path,
) -> None:
    """With a finding for each; nothing that they point to is looked at."""
    secret = tmp_path / "secret.csv"
    secret.write_text(CSV.format(8, 9))
    path = tarred(tmp_path / "a.tar", {"a.csv": CSV.format(1, 2).encode()})
    with tarfile.open(path, "a") as book:
        for name, kind in (
            ("soft.csv", tarfile.SYMTYPE), ("hard.csv", tarfile.LNKTYPE),
            ("pipe.csv", tarfile.FIFOTYPE), ("../disk", tarfile.BLKTYPE),
        ):  # fmt: skip
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, str(secret)
            book.addfile(info)
    result = read_paths([path])
    assert notes(result).keys() == {"a.csv", "soft.csv", "hard.csv", "pipe.csv", "disk"}
    assert "found a link to" in notes(result)["soft.csv"]
    assert "a device or a pipe" in notes(result)["pipe.csv"]
    (measured,) = result.measurements
    assert measured.frame["Drops"].to_list() == [1.0, 2.0]
    refused = [one for one in result.findings if one.expected == "a file in the archive"]
    assert len(refused) == 4


@pytest.mark.parametrize("packing", ["", "gz"])
def test_what_stands_before_the_cut_of_a_tar_archive_is_read(tmp_path: Path, packing: str) -> None:
    """And the cut is an error of the archive."""
    noise = np.random.default_rng(3).bytes(40_000)
    whole_one = tarred(
        tmp_path / "whole.tar", {"a.csv": CSV.format(1, 2).encode(), "b.bin": noise},
        f"w:{packing}",
    ).read_bytes()  # fmt: skip
    path = tmp_path / "cut.tar"
    path.write_bytes(whole_one[: len(whole_one) // 2])
    result = read_paths([path])
    assert notes(result)["a.csv"].startswith("read")
    assert notes(result)["cut.tar"].startswith("failed: expected a complete archive")
    assert any("ends" in one.found and one.file.endswith("cut.tar") for one in result.findings)


def test_bombs_in_tar_archives_are_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros, many members, headers that ask for everything, and files with holes."""
    with pytest.raises(BadInput, match="decompression bomb"):
        read_paths([tarred(tmp_path / "zeros.tgz", {"a.csv": b"0" * (80 << 20)}, "w:gz")])
    data = bytearray(
        tarred(tmp_path / "pax.tar", {"a.csv": b"x", "b.csv": b"0" * (3 << 20)}).read_bytes()
    )
    second = 1024
    data[second + 156 : second + 157] = tarfile.XHDTYPE
    data[second + 148 : second + 156] = b" " * 8
    data[second + 148 : second + 156] = b"%06o\0 " % sum(data[second : second + 512])
    (tmp_path / "pax.tar").write_bytes(data)
    with pytest.raises(BadInput, match="a header of"):
        read_paths([tmp_path / "pax.tar"])
    monkeypatch.setattr(tars, "MOST_MEMBERS", 10)
    many = {f"folder{i}/": b"" for i in range(12)}
    with pytest.raises(BadInput, match="more than 10 members"):
        read_paths([tarred(tmp_path / "many.tar", many)])


@pytest.mark.parametrize("name", ["../evil.csv", "/etc/passwd", "a/../../evil.csv"])
def test_names_that_lead_out_of_a_tar_archive_are_refused(tmp_path: Path, name: str) -> None:
    """As in a ZIP archive."""
    with pytest.raises(BadInput, match="names inside the archive"):
        read_paths([tarred(tmp_path / "a.tar", {name: CSV.format(1, 2).encode()})])


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"7z\xbc\xaf\x27\x1c\0\4" + bytes(40), "7z"), (b"Rar!\x1a\x07\1\0" + bytes(40), "rar")],
)
def test_other_archives_are_to_be_unpacked_first(tmp_path: Path, data: bytes, kind: str) -> None:
    """One line says so."""
    path = tmp_path / "export.csv"
    path.write_bytes(data)
    with pytest.raises(BadInput, match=f"found a {kind} archive; unpack it and name the folder"):
        read_paths([path])


@pytest.mark.parametrize(
    "name", ["../evil.csv", "/etc/passwd", "a/../../evil.csv", "C:\\evil.csv", "..\\evil.csv"]
)
def test_names_that_lead_out_of_an_archive_are_refused(tmp_path: Path, name: str) -> None:
    """Nothing outside is ever looked at."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as book:
        book.writestr(zipfile.ZipInfo(name), CSV.format(1, 2))
    with pytest.raises(BadInput, match="names inside the archive"):
        read_paths([path])


def test_archives_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In members and in how much their content was packed."""
    many = zipped(tmp_path / "many.zip", {f"{i}.csv": b"a" for i in range(12)})
    monkeypatch.setattr(archives, "MOST_MEMBERS", 10)
    with pytest.raises(BadInput, match="at most 10 files in an archive"):
        read_paths([many])
    bomb = zipped(tmp_path / "bomb.zip", {"a.csv": b"0" * (80 << 20)})
    with pytest.raises(BadInput, match="times the packed size"):
        read_paths([bomb])


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_a_cut_archive_is_an_error(tmp_path: Path, cut: float) -> None:
    """Its list of members stands at the end."""
    path = zipped(tmp_path / "a.zip", {"a.csv": CSV.format(1, 2).encode() * 100})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * cut)])
    with pytest.raises(BadInput, match=r"cannot be opened|complete"):
        read_paths([path])


def test_a_password_is_asked_for_in_words(tmp_path: Path) -> None:
    """Not in a traceback."""
    path = zipped(tmp_path / "a.zip", {"a.csv": b"x" * 40})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(BadInput, match="without a password"):
        read_paths([path])


def test_a_spreadsheet_that_holds_more_than_it_says_is_refused(tmp_path: Path) -> None:
    """The sizes in an archive are words of whoever made it."""
    path = tmp_path / "liar.xlsx"
    write_xlsx(path, {"S": [["Time", "Cell", "A"], [45366, "x", 1]]})
    with zipfile.ZipFile(path) as book:
        entries = {one.filename: book.read(one) for one in book.infolist()}
    huge = b" " * (4 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        for name, data in entries.items():
            book.writestr(name, data + (huge if name.endswith("sheet1.xml") else b""))
    data = bytearray(path.read_bytes())
    at = data.index(b"xl/worksheets/sheet1.xml", data.index(b"PK\x01\x02"))
    struct.pack_into("<I", data, at - 46 + 24, 1000)  # its size in the list of members
    path.write_bytes(bytes(data))
    with pytest.raises(BadInput, match="a spreadsheet"):
        read_sheet_grids(path, Findings(), Limits(whole_bytes=1 << 16))


def test_huge_lines_and_entities_end_with_a_word(tmp_path: Path) -> None:
    """A line without end, a billion laughs: an error that says what, in no time."""
    line = tmp_path / "line.csv"
    line.write_text("Time,Cell,A\n" + '"' + "x" * (2 << 20) + '",a,1\n')
    with pytest.raises(BadInput):
        read_paths([line])
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 9))
    for name, root in (("pm.xml", "measCollecFile"), ("cm.xml", "bulkCmConfigDataFile")):
        path = tmp_path / name
        path.write_text(
            f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY l0 "ha">{laughs}]><{root}>&l8;</{root}>'
        )
        with pytest.raises(BadInput, match=r"entit|DOCTYPE"):
            read_paths([path])


def test_zstandard_in_small_pieces_gives_all(tmp_path: Path) -> None:
    """Frames, their ends and empty ones fall on any byte."""
    parts = [bytes([i]) * (i * 997) for i in range(40)]
    pack = zstandard.ZstdCompressor(level=1).compress
    path = tmp_path / "a.bin.zst"
    path.write_bytes(b"".join(pack(part) for part in parts))
    assert zlib.crc32(whole(path)) == zlib.crc32(b"".join(parts))
