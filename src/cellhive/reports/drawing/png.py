"""A PNG encoder for palette images, small enough to read; pictures in reports need no library."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
import numpy.typing as npt


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def palette_png(
    indices: npt.NDArray[np.uint8], palette: npt.NDArray[np.uint8], *, transparent: int = 0
) -> bytes:
    """Return a PNG file of an indexed image (W3C PNG, colour type 3, 8 bits).

    Args:
        indices: Palette index of each pixel, (rows, columns), first row on top.
        palette: Red, green and blue of each index, (N, 3), N up to 256.
        transparent: Index that is drawn as nothing.
    """
    rows, columns = indices.shape
    lines = np.zeros((rows, columns + 1), np.uint8)  # each line begins with filter 0
    lines[:, 1:] = indices
    opacity = bytes(0 if index == transparent else 255 for index in range(transparent + 1))
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0))
        + _chunk(b"PLTE", palette.astype(np.uint8).tobytes())
        + _chunk(b"tRNS", opacity)
        + _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9))
        + _chunk(b"IEND", b"")
    )


def data_uri(png: bytes) -> str:
    """Return a PNG file as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
