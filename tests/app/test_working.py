"""Pieces of work in threads come back in order, and stop when something goes wrong."""

from __future__ import annotations

import threading

import pytest

from cellhive.app.working import Threads


@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_keep_the_order_and_every_piece_is_told(count: int) -> None:
    """However many threads there are."""
    told: list[tuple[str, int, int]] = []
    work = Threads(lambda *what: told.append(what), count)
    assert work("Squares", lambda n: n * n, range(7)) == [n * n for n in range(7)]
    assert told == [("Squares", done, 7) for done in range(8)]


def test_pieces_run_at_once() -> None:
    """Two that wait for each other both get through."""
    barrier = threading.Barrier(2, timeout=20)
    assert sorted(Threads(count=2)("Meet", lambda _: barrier.wait(), range(2))) == [0, 1]


@pytest.mark.parametrize("count", [1, 2])
def test_what_goes_wrong_ends_the_stage(count: int) -> None:
    """Pieces that have not begun are left."""
    begun: list[int] = []

    def piece(n: int) -> int:
        begun.append(n)
        if n == 0:
            raise KeyboardInterrupt
        threading.Event().wait(0.02)
        return n

    with pytest.raises(KeyboardInterrupt):
        Threads(count=count)("Fails", piece, range(100))
    assert len(begun) < 50
