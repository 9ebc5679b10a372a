"""The one way kernels are compiled: single-threaded, cached, released from the GIL."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])

Scalar = Any
"""A number inside a kernel, of the width its formula is computed in (often float32)."""
Word = Any
"""32 bits inside a kernel."""


def source_digest() -> str:
    """Return what identifies the sources of core and ran: runs by the same ones are equal."""
    return _digest("ran")


@cache
def _digest(room: str) -> str:
    """Return what identifies the sources of core and of a room."""
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for source in sorted((*package.glob("core/*.py"), *package.glob(f"{room}/**/*.py"))):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _cache_folder(module: str) -> str:
    """Return a cache folder that changes whenever any source of a module's kernels does.

    Numba notices a change in the file of a cached function but not in the files
    of the functions it calls or of the constants it holds, so a cache kept beside the
    sources can serve stale kernels after an upgrade. Kernels for causes build on core and on
    each other, all others on core and ran and on their own file.
    """
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    room = "causal" if module.startswith("cellhive.causal.") else "ran"
    return str(Path(root) / "cellhive" / f"kernels-{_digest(room)}")


_CHOSEN = bool(os.environ.get("NUMBA_CACHE_DIR"))
"""Whether whoever runs this keeps the cache elsewhere."""


_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "forceinline": True,
    "error_model": "numpy",
    "fastmath": {"nsz", "arcp", "contract", "afn", "reassoc"},
    "no_cfunc_wrapper": True,
}


def compiled(function: Function) -> Function:
    """Return the function compiled for one thread, with its result cached on disk.

    ``fastmath`` leaves out what relies on NaN and infinity: kernels say "absent"
    with masks and finite sentinels.

    Everything is inlined. A call that is left is bound by name when machine code is
    loaded, to the callee's own code or to the copy in its caller, whichever came first;
    the two round differently, so a run would not repeat the one that compiled it.

    Within another kernel a function is compiled without its entry from Python: the code
    that unpacks the arguments takes about as long to make as the function itself.
    """
    if not _CHOSEN:  # read by Numba when it meets the function
        settings: Any = numba.config
        settings.CACHE_DIR = _cache_folder(function.__module__)
    make: Any = njit  # whose types do not know all of its options
    entry = make(cache=True, **_OPTIONS)(function)
    part = make(no_cpython_wrapper=True, **_OPTIONS)(function)
    entry.get_call_template, entry.get_overload = part.get_call_template, part.get_overload
    return cast("Function", entry)
