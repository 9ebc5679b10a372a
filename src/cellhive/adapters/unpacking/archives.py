"""Files inside ZIP archives, as if the archive were a folder; nothing is written to the disk.

A path such as ``exports.zip/day1.csv`` stands for a member. Archives are bounded in members, in
content and in how much it was packed; archives in archives are refused.
"""

from __future__ import annotations

import zipfile
from functools import lru_cache
from pathlib import Path, PurePosixPath

from cellhive.core.errors import BadInput

MOST_MEMBERS = 10_000
_MOST_NAME = 1000


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


def members_of(path: Path, *, most_bytes: int, ratio: float, ratio_from_bytes: int) -> list[Path]:
    """Return the paths of the files in an archive.

    Args:
        path: The archive.
        most_bytes: Largest content of all of them together.
        ratio: Largest content over packed size.
        ratio_from_bytes: The ratio is not looked at below this content.

    Raises:
        BadInput: It is damaged, encrypted or too large, or a name leads out of it.
    """
    infos = [one for one in opened(path).infolist() if not one.is_dir()]
    if len(infos) > MOST_MEMBERS:
        raise _refused(path, f"at most {MOST_MEMBERS:,} files in an archive", f"{len(infos):,}")
    total = sum(one.file_size for one in infos)
    packed = max(path.stat().st_size, 1)
    if total > most_bytes or (total > ratio_from_bytes and total > ratio * packed):
        raise _refused(
            path, f"at most {most_bytes >> 20} MiB, and {ratio:g} times the packed size",
            f"{total >> 20} MiB, {total // packed} times the packed size",
        )  # fmt: skip
    found: dict[Path, None] = {}
    for one in infos:
        name = PurePosixPath(one.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
            raise _refused(path, "names inside the archive", f"{one.filename[:60]!r}")
        if len(one.filename) > _MOST_NAME:
            raise _refused(path, f"names of at most {_MOST_NAME} letters", "a longer one")
        hidden = any(part.startswith((".", "~$", "__MACOSX")) for part in name.parts)
        if not hidden:
            found[path / name] = None
    return list(found)


def _refused(path: Path, expected: str, found: str) -> BadInput:
    return BadInput(
        place=str(path), expected=expected, found=found,
        remedy="unpack it yourself if it is what you want, and name the folder",
    )  # fmt: skip


def member(archive: Path, name: str) -> tuple[zipfile.ZipFile, zipfile.ZipInfo]:
    """Return a member of an archive, and the archive to read it from.

    Raises:
        BadInput: There is none of this name, or it is encrypted.
    """
    book = opened(archive)
    for one in book.infolist():
        if PurePosixPath(one.filename.replace("\\", "/")).as_posix() == name:
            if one.flag_bits & 1:
                raise BadInput(
                    place=f"{archive}/{name}", expected="a file without a password",
                    found="an encrypted one", remedy="unpack it with its password first",
                )  # fmt: skip
            return book, one
    raise BadInput(place=f"{archive}/{name}", expected="a file in the archive", found="none")


def opened(archive: Path) -> zipfile.ZipFile:
    """Return an open archive.

    Raises:
        BadInput: It is damaged.
    """
    state = archive.stat()
    return _opened(str(archive), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)
def _opened(archive: str, _: int, __: int) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise BadInput(
            place=archive, expected="a complete ZIP archive", found=str(error),
            remedy="fetch it again",
        ) from error  # fmt: skip
