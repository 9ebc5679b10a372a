"""Named arrays and a few plain values as bytes, and back: nothing is run when they are read.

Twelve bytes say what this is (``CHCAUSAL``, then the format's number as four little-endian
bytes), the next 32 are the SHA-256 digest of all that follows: four bytes with the length of
a header in JSON, the header, and each array's bytes in the sequence that the header lists.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cellhive.core.errors import BadInput

FORMAT = 1
_MAGIC = b"CHCAUSAL"
_START, _DIGEST, _LENGTH = 12, 32, 4
_OTHER, _CHANGED = "other bytes", "bytes that are not those written"
_KINDS = {"<f8", "<f4", "<i4", "<i8", "|b1"}

Arrays = Mapping[str, npt.NDArray[Any]]


def packed(values: Mapping[str, Any], arrays: Arrays) -> bytes:
    """Return values and arrays as bytes.

    Args:
        values: What JSON can hold.
        arrays: Of floats, 32- or 64-bit integers or truth values.
    """
    listed, parts = [], []
    for name, array in arrays.items():
        kind = array.dtype.newbyteorder("<").str
        if kind not in _KINDS:
            raise BadInput(expected="arrays of numbers", found=f"{name} of {array.dtype}")
        listed.append([name, kind, list(array.shape)])
        parts.append(np.ascontiguousarray(array, kind).tobytes())
    header = json.dumps({"values": values, "arrays": listed}, sort_keys=True).encode()
    body = b"".join([len(header).to_bytes(_LENGTH, "little"), header, *parts])
    return _MAGIC + FORMAT.to_bytes(4, "little") + hashlib.sha256(body).digest() + body


def unpacked(data: bytes) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return the values and arrays of a snapshot.

    Args:
        data: As ``packed`` gave them.

    Raises:
        BadInput: If they are damaged, of another version, or no snapshot.
    """
    if len(data) < _START + _DIGEST + _LENGTH or not data.startswith(_MAGIC):
        raise _refused(_OTHER)
    version = int.from_bytes(data[len(_MAGIC) : _START], "little")
    if version != FORMAT:
        raise BadInput(
            expected=f"a snapshot of format {FORMAT}", found=f"format {version}",
            remedy="begin anew, or read it with the version that wrote it",
        )  # fmt: skip
    body = data[_START + _DIGEST :]
    if hashlib.sha256(body).digest() != data[_START : _START + _DIGEST]:
        raise _refused(_CHANGED)
    try:
        end = _LENGTH + int.from_bytes(body[:_LENGTH], "little")
        header = json.loads(body[_LENGTH:end])
        arrays, at = {}, end
        for name, kind, shape in header["arrays"]:
            if kind not in _KINDS:
                raise TypeError(kind)  # noqa: TRY301  # told with all else that is wrong below
            count = math.prod(shape)
            if min(shape, default=0) < 0 or not isinstance(count, int):
                raise TypeError(shape)  # noqa: TRY301  # likewise
            arrays[name] = np.frombuffer(body, kind, count, at).reshape(shape).copy()
            at += arrays[name].nbytes
        return dict(header["values"]), arrays
    except (KeyError, ValueError, TypeError, OverflowError, RecursionError) as problem:
        found = f"a header that cannot be read ({problem})"
        raise _refused(found) from problem


def _refused(found: str) -> BadInput:
    return BadInput(
        expected="a snapshot of a causal posterior", found=found,
        remedy="restore an earlier one, or begin anew",
    )  # fmt: skip
