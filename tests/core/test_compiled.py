"""Kernels give the same numbers in the process that compiles them and in every later one."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, cast

import numba
import numpy as np
import pytest

from cellhive.causal import scores
from cellhive.causal.queries import prediction
from cellhive.core.compiled import compiled, source_digest
from cellhive.core.types import Floats32
from cellhive.ran import link


@compiled
def _sum_of_squares(values: Floats32) -> np.float32:
    total = np.float32(0.0)
    for value in values:
        total += value * value
    return total


@compiled
def _twice(values: Floats32) -> np.float32:
    return np.float32(_sum_of_squares(values) + _sum_of_squares(values[1:]))


def test_no_call_of_another_kernel_is_left() -> None:
    """A call left in machine code would be bound to whichever copy was loaded first."""
    # 1 + 4 + 9 and 4 + 9, by hand
    assert _twice(np.array([1, 2, 3], np.float32)) == 27.0
    # What comes from the cache has no code to look at, so it is compiled again.
    fresh = numba.jit(**_twice.targetoptions)(_twice.py_func)
    fresh(np.ones(3, np.float32))
    (code,) = fresh.inspect_llvm().values()
    calls = [line for line in code.splitlines() if re.search(r"\bcall\b", line)]
    assert [line for line in calls if "_sum_of_squares" in line] == []


def test_a_part_of_a_kernel_is_made_without_an_entry_from_python() -> None:
    """Entries that nobody calls would cost as much compiling time as the kernels."""
    fresh = numba.jit(**_twice.targetoptions)(_twice.py_func)
    before = len(_sum_of_squares.overloads)
    fresh(np.ones((2, 3), np.float32)[:, 0])  # a layout that nothing else here has
    assert len(_sum_of_squares.overloads) == before
    assert _sum_of_squares(np.array([1, 2, 3], np.float32)) == 14.0  # 1 + 4 + 9


@pytest.mark.skipif("NUMBA_CACHE_DIR" in os.environ, reason="the cache is kept elsewhere")
def test_kernels_of_a_room_are_kept_by_all_of_its_sources() -> None:
    """A constant that changes in another file must not find the old machine code."""

    def folder(kernel: object) -> str:
        return Path(cast("Any", kernel).stats.cache_path).parent.name

    assert folder(prediction._bend) == folder(scores._prune) != folder(link.log2_f32)
    assert folder(link.log2_f32) == f"kernels-{source_digest()}"
