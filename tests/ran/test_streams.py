"""Counter-based random numbers: the right words, and no pattern in them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from cellhive.ran import streams

_SPEC = importlib.util.spec_from_file_location(
    "reference_streams", Path(__file__).parents[1] / "reference" / "streams.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
reference = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(reference)

KEYS = [
    (0, 1, 0, 0),
    (1, 1, 0, 0),
    (123456789, 4, 57, 1000),
    (2**32 - 1, 6, 9999, 2**31),
    (42, 6, 3, 2**32 - 1),
]


def test_the_streams_are_numbered_as_in_the_twin() -> None:
    """Both sides mean the same stream by the same name."""
    for name in ("SESSION_START", "SESSION_LENGTH", "SESSION_CLASS", "LEG_TURN", "LEG_LENGTH",
                 "MEASUREMENT"):  # fmt: skip
        assert int(getattr(streams, name)) == getattr(reference, name)


@pytest.mark.parametrize("key", KEYS)
def test_draws_agree_with_plain_integers(key: tuple[int, int, int, int]) -> None:
    """Words bit for bit, and the draws made of them."""
    words = [np.uint32(part) for part in key]
    assert int(streams.mixed(words[0])) == reference.lowbias32(key[0])
    assert int(streams.keyed(*words)) == reference.keyed(*key)
    assert streams.uniform(*words) == reference.uniform(*key)
    assert streams.exponential(*words) == pytest.approx(reference.exponential(*key), rel=1e-12)
    word = reference.keyed(*key)
    assert streams.normal_from_word(np.uint32(word)) == pytest.approx(
        reference.normal(word), abs=2e-6
    )


def _uniforms(draws: int) -> np.ndarray:
    """Return draws over objects and counts, (draws, draws)."""
    return np.array([[reference.uniform(7, 3, u, k) for k in range(draws)] for u in range(draws)])


def test_uniform_draws_are_uniform_and_open() -> None:
    """14 400 draws pass Kolmogorov-Smirnov at 0.1 %, and none is 0 or 1."""
    draws = _uniforms(120)
    assert draws.min() > 0
    assert draws.max() < 1
    assert stats.kstest(draws.ravel(), "uniform").pvalue > 1e-3


def test_neighbouring_keys_are_independent() -> None:
    """No correlation along counts, objects, streams or seeds; 4 sigma of n = 14 400."""
    draws = _uniforms(120)
    limit = 4 / 120
    other_stream = np.array(
        [[reference.uniform(7, 4, u, k) for k in range(120)] for u in range(120)]
    )
    other_seed = np.array([[reference.uniform(8, 3, u, k) for k in range(120)] for u in range(120)])
    pairs = [
        (draws[1:], draws[:-1]),
        (draws[:, 1:], draws[:, :-1]),
        (draws, other_stream),
        (draws, other_seed),
    ]
    for left, right in pairs:
        assert abs(np.corrcoef(left.ravel(), right.ravel())[0, 1]) < limit


def test_every_input_bit_moves_half_of_the_output_bits() -> None:
    """Avalanche: flipping one bit of the word changes each output bit with probability 1/2."""
    rng = np.random.default_rng(1)
    words = rng.integers(0, 2**32, 400).tolist()
    for bit in range(32):
        changed = [reference.lowbias32(w) ^ reference.lowbias32(w ^ 1 << bit) for w in words]
        flips = np.array([[c >> k & 1 for k in range(32)] for c in changed]).mean()
        assert flips == pytest.approx(0.5, abs=0.02)  # 12 800 bits: sigma 0.0044
