"""Opens input files whatever they are packed in, and says what they hold from their content."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cellhive.adapters.unpacking.archives import archive_of, member
from cellhive.adapters.unpacking.packings import DEFAULT_LIMITS, Limits, Truncated, pieces
from cellhive.core.errors import BadInput


class NotMeasurements(BadInput):
    """The file may be in order, but it holds no measurements."""


def chunks(path: Path, limits: Limits = DEFAULT_LIMITS) -> Iterator[bytes]:
    """Yield the unpacked content of a file in pieces.

    Raises:
        BadInput: It cannot be read, or unpacks to more than the limits allow.
        Truncated: The packing is cut or damaged; what came before was yielded.
    """
    inside = archive_of(path)
    try:
        if inside is None:
            packed_bytes = path.stat().st_size
            raw: IO[bytes] = path.open("rb")
        else:
            one = member(*inside)
            packed_bytes, raw = one.packed_bytes, one.open()
        with raw:
            yield from pieces(raw, str(path), packed_bytes, limits)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise BadInput(
            place=str(path),
            expected="a file that can be read",
            found=str(getattr(error, "strerror", "") or error),
        ) from error


def whole(path: Path, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return the unpacked content of a file.

    Raises:
        BadInput: It cannot be read, is damaged, or is too large.
    """
    parts: list[bytes] = []
    total = 0
    try:
        for data in chunks(path, limits):
            total += len(data)
            if total > limits.whole_bytes:
                raise BadInput(
                    place=str(path),
                    expected=f"at most {limits.whole_bytes >> 20} MiB in one table",
                    found="more",
                    remedy="split the file, or convert it to Parquet",
                )
            parts.append(data)
    except Truncated as error:
        raise BadInput(
            place=str(path), expected="a complete file", found=str(error), remedy="fetch it again"
        ) from error
    return b"".join(parts)


def head_of(path: Path, size: int = 4096) -> bytes:
    """Return the first bytes of the unpacked content; fewer where the file is cut.

    Raises:
        BadInput: It cannot be read, or nothing of it can be unpacked.
    """
    data = b""
    try:
        for part in chunks(path):
            data += part
            if len(data) >= size:
                break
    except Truncated as error:
        if not data:
            raise BadInput(
                place=str(path), expected="a file that can be unpacked", found=str(error),
                remedy="fetch it again",
            ) from error  # fmt: skip
    return data[:size]
