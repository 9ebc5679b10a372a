"""Files inside ZIP and tar archives, as if the archive were a folder.

A path such as ``exports.zip/day1.csv`` stands for a member. Archives are bounded in members, in
content and in how much it was packed; archives in archives are refused. No member is ever
written under its name.
"""

from __future__ import annotations

import errno
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from cellhive.adapters.unpacking.packings import DEFAULT_LIMITS, Limits, pieces
from cellhive.adapters.unpacking.tars import MOST_MEMBERS, Tar, TarError, is_tar
from cellhive.core.errors import BadInput

_MOST_NAME = 1000
_ZIP_MAGIC = b"PK\x03\x04"


class Member(Protocol):
    """A file in an archive."""

    @property
    def packed_bytes(self) -> int:
        """How much room it takes in the archive [bytes]."""

    def open(self) -> IO[bytes]:
        """Return its content, from the beginning.

        Raises:
            BadInput: It is encrypted.
        """


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in an archive."""

    members: list[Path]
    """Files, as paths into the archive."""
    refused: list[tuple[Path, str]]
    """Members that are no files, and what they are."""
    cut: str = ""
    """What is wrong with an archive that ends or breaks in the middle; "" where nothing is."""


def archive_of(path: Path) -> tuple[Path, str] | None:
    """Return the archive that a path leads into and the name of the member, or None.

    Only looks at the disk where the path itself is not there.
    """
    if path.exists():
        return None
    for parent in path.parents:
        if parent.is_file():
            return parent, path.relative_to(parent).as_posix()
        if parent.is_dir():
            return None
    return None


def archive_kind(head: bytes) -> str:
    """Return "zip", "tar", "7z", "rar" or "" by the first bytes of unpacked content."""
    marks = {_ZIP_MAGIC: "zip", b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "rar"}
    kind = next((name for mark, name in marks.items() if head.startswith(mark)), "")
    return kind or ("tar" if is_tar(head) else "")


def contents_of(path: Path, limits: Limits = DEFAULT_LIMITS) -> Contents:
    """Return what is in an archive.

    Args:
        path: The archive.
        limits: How much may be in all of them together.

    Raises:
        BadInput: It is damaged, encrypted or too large, or a name leads out of it.
    """
    book = _opened_now(path)
    if len(book.sizes) > MOST_MEMBERS:
        raise _refused(
            path, f"at most {MOST_MEMBERS:,} files in an archive", f"{len(book.sizes):,}"
        )
    total = sum(book.sizes.values())
    packed = max(path.stat().st_size, 1)
    much = total > limits.ratio_from_bytes and total > limits.ratio * packed
    if much or total > limits.unpacked_bytes:
        most = f"at most {limits.unpacked_bytes >> 20} MiB, and {limits.ratio:g}"
        found = f"{total >> 20} MiB, {total // packed} times the packed size"
        raise _refused(path, f"{most} times the packed size", found)
    members: dict[Path, None] = {}
    for raw in book.sizes:
        name = _inside(path, raw)
        hidden = any(part.startswith((".", "~$", "__MACOSX")) for part in name.parts)
        if not hidden:
            members[path / name] = None
    refused = [(path / _shown(raw), what) for raw, what in book.refused.items()]
    return Contents(list(members), refused, book.cut)


def _inside(path: Path, raw: str) -> PurePosixPath:
    """Return the name of a member; refuse the archive where it leads out."""
    name = PurePosixPath(_plain(raw))
    if not name.parts or name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
        raise _refused(path, "names inside the archive", f"{raw[:60]!r}")
    if len(raw) > _MOST_NAME:
        raise _refused(path, f"names of at most {_MOST_NAME} letters", "a longer one")
    return name


def _shown(raw: str) -> str:
    """Return the name of what is not looked at, such that it shows where it stands only."""
    return _plain(raw)[:_MOST_NAME].replace("..", "").strip("/") or "unnamed"


def _plain(raw: str) -> str:
    return raw.replace("\\", "/").removeprefix("./")


def _refused(path: Path, expected: str, found: str) -> BadInput:
    return BadInput(
        place=str(path), expected=expected, found=found,
        remedy="unpack it yourself if it is what you want, and name the folder",
    )  # fmt: skip


def member(archive: Path, name: str) -> Member:
    """Return a member of an archive.

    Raises:
        BadInput: There is none of this name, or the archive is damaged.
    """
    book = _opened_now(archive)
    for raw in book.sizes:
        if PurePosixPath(_plain(raw)).as_posix() == name:
            return book.member(raw)
    raise BadInput(place=f"{archive}/{name}", expected="a file in the archive", found="none")


class _Zip:
    """An open ZIP archive."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._book = zipfile.ZipFile(archive)
        self._infos = {one.filename: one for one in self._book.infolist() if not one.is_dir()}
        self.sizes = {name: one.file_size for name, one in self._infos.items()}
        self.refused: dict[str, str] = {}
        self.cut = ""

    def member(self, name: str) -> _ZipMember:
        """Return a member."""
        return _ZipMember(self._archive, self._book, self._infos[name])


@dataclass(frozen=True, slots=True)
class _ZipMember:
    """A file in a ZIP archive."""

    archive: Path
    book: zipfile.ZipFile
    info: zipfile.ZipInfo

    @property
    def packed_bytes(self) -> int:
        """How much room it takes in the archive [bytes]."""
        return self.info.compress_size

    def open(self) -> IO[bytes]:
        """Return its content."""
        if self.info.flag_bits & 1:
            raise BadInput(
                place=f"{self.archive}/{self.info.filename}",
                expected="a file without a password", found="an encrypted one",
                remedy="unpack it with its password first",
            )  # fmt: skip
        return self.book.open(self.info)


def _opened_now(archive: Path) -> _Zip | Tar:
    state = archive.stat()
    return _opened(archive, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)  # members are opened one after the other
def _opened(archive: Path, _: int, size: int) -> _Zip | Tar:
    try:
        with archive.open("rb") as raw:
            zipped = raw.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC
            raw.seek(0)
            return _Zip(archive) if zipped else Tar(pieces(raw, str(archive), size, DEFAULT_LIMITS))
    except (zipfile.BadZipFile, TarError, OSError, NotImplementedError, ValueError) as error:
        full = getattr(error, "errno", 0) == errno.ENOSPC
        raise BadInput(
            place=str(archive), expected="room to unpack it" if full else "a complete archive",
            found=str(error),
            remedy="set TMPDIR to a folder with more room" if full else "fetch it again",
        ) from error  # fmt: skip
