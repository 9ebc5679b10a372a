"""Codes of vectors, from which candidates are nominated: what the index asks of them.

Two kinds, both made by faiss: ``lists`` (an inverted file of product codes) and ``signs``
(one bit per component, for namespaces that are to be small). Codes only nominate; the index
scores what they name exactly. They are values: adding to them makes new ones, so a search
needs no lock. faiss is optional: ``available`` tells whether it is there.

Axis letters: ``B`` queries, ``D`` components, ``N`` vectors, ``C`` candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cellhive.core.types import Floats32

Slots = npt.NDArray[np.integer[Any]]
Take = Callable[[Slots], Floats32]
Bytes = npt.NDArray[np.uint8]

_MODULE = "faiss"


class Codes(Protocol):
    """Codes by slot."""

    @property
    def count(self) -> int:
        """Codes held, those of deleted vectors included."""
        ...

    @property
    def lists(self) -> int:
        """Into how many lists they are divided; 1 where every code is looked at."""
        ...

    @property
    def code_bytes(self) -> int:
        """Size of the codes alone."""
        ...

    @property
    def bound(self) -> int:
        """One more than the highest slot that can be nominated."""
        ...

    def cost(self, probes: int, wanted: int) -> float:
        """Return about how long it takes to nominate [ns]."""
        ...

    def nominated(
        self, queries: Floats32, probes: int, wanted: int, open_: Bytes | None
    ) -> npt.NDArray[np.int64]:
        """Return the slots that promise most for each query, (B, C), -1 where there are fewer.

        Args:
            queries: As stored vectors are, (B, D).
            probes: How many lists to look into.
            wanted: How many slots to return for each.
            open_: Which slots may be found, a bit each, lowest first; None where all may.
        """
        ...

    def extended(self, slots: Slots, take: Take, skip: Bytes) -> Codes:
        """Return codes of more vectors, without those that ``skip``, by slot, names."""
        ...

    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return what to save."""
        ...


def available() -> bool:
    """Return whether faiss can be imported."""
    return find_spec(_MODULE) is not None


def library() -> Any:
    """Return faiss, set to one thread for the thread that asks.

    Its type stubs do not know what its Python wrappers take: hence ``Any``.
    """
    import faiss  # noqa: PLC0415  # optional

    faiss.omp_set_num_threads(1)
    return faiss


def selector(open_: Bytes) -> Any:
    """Return what tells faiss which slots may be found."""
    return library().IDSelectorBitmap(open_)
