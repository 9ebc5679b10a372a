"""Decisions of a trained policy without torch: for every cell at once, and swapped in flight.

Everything is laid out when an ``Acting`` is made; a call makes no array. Weights are one
read-only row that readers take hold of by a single reference: whoever is deciding finishes
with the row it began with, and the next decision finds the new one. Nobody waits, and no
decision mixes two versions, however many roles it has.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from cellhive.core.errors import BadInput, Conflict, NotFound
from cellhive.core.types import Floats32, Ints, Network
from cellhive.rl.actions import OPTIONS
from cellhive.rl.forward import IMPOSSIBLE, draw, forward, packed, pick, scratch_floats, sizes_of
from cellhive.rl.forward import spread as spread_over
from cellhive.rl.policy import PolicyShape, check_tensors, next_cells

Chosen = npt.NDArray[np.int64]
Masks = npt.NDArray[Any]

JOINT = "joint"
"""Role of a policy that turns every knob by itself."""
_BETWEEN = "/"


@dataclass(frozen=True)
class Weights:
    """One version of the weights of every role; never changed."""

    serial: int
    """Counts what was published in this process, from 1."""
    label: str
    """Where they come from, for example "city:3"."""
    rows: Mapping[str, Floats32]
    """By role, as ``forward.packed`` lays them out."""


class Published:
    """The weights in use, shared by all that decide with them, in any thread."""

    def __init__(
        self, shapes: Mapping[str, PolicyShape], tensors: Mapping[str, Floats32], label: str = ""
    ) -> None:
        """Publish the first weights.

        Args:
            shapes: By role.
            tensors: By "ROLE/tensor"; the role may be left out where there is one only.
            label: Where they come from.

        Raises:
            BadInput: A tensor lacks, is unknown, has another shape or is not finite.
        """
        if not shapes:
            raise BadInput(place="policy", expected="one role or more", found="none")
        self.shapes = MappingProxyType(dict(shapes))
        self._count = itertools.count(1)
        self._current = self._made(tensors, label)

    @property
    def current(self) -> Weights:
        """What decides now; take it once per decision."""
        return self._current

    def swap(self, tensors: Mapping[str, Floats32], label: str = "") -> Weights:
        """Publish new weights: the next decision of every thread is made with them.

        Raises:
            BadInput: The tensors are not those of the shapes; the old weights stay.
        """
        made = self._made(tensors, label)
        self._current = made
        return made

    def _made(self, tensors: Mapping[str, Floats32], label: str) -> Weights:
        parts = by_role(tuple(self.shapes), tensors)
        rows = {}
        for role, shape in self.shapes.items():
            check_tensors(shape, parts[role])
            rows[role] = packed(shape, parts[role])
        return Weights(next(self._count), label, MappingProxyType(rows))


def by_role(
    roles: tuple[str, ...], tensors: Mapping[str, Floats32]
) -> dict[str, dict[str, Floats32]]:
    """Return tensors by role and by their name within it; see ``Published``.

    Raises:
        BadInput: A name is of no role.
    """
    parts: dict[str, dict[str, Floats32]] = {role: {} for role in roles}
    for name, array in tensors.items():
        role, between, tensor = name.rpartition(_BETWEEN)
        if not between and len(roles) == 1:
            role = roles[0]
        if role not in parts:
            raise BadInput(
                place=f"tensor {name}", expected=f"ROLE/tensor, of {', '.join(roles)}",
                found=f"role {role!r}",
            )  # fmt: skip
        parts[role][tensor] = array
    return parts


class Acting:
    """Decides for the cells of one network, or of several copies of it, in one role.

    Axis ``A`` counts who decides: the cells, or one for all of them where the encoder is that
    of the network (``PolicyShape.deciding``; ``PolicyShape.joined`` makes the mask for it).

    One thread at a time: what a call returns is overwritten by the next. For another
    thread make ``beside()``, which has room of its own and shares the weights.
    """

    def __init__(
        self, shape: PolicyShape, near: Ints, arrays: Mapping[str, Floats32], *, networks: int = 1
    ) -> None:
        """Lay out a policy of one role.

        Args:
            shape: Of the policy.
            near: Cells next to each cell, (C, K), -1 for none (``policy.next_cells``).
            arrays: Tensors by name, as ``PolicyShape.actor_tensors`` lists them.
            networks: Copies of the network that decide together, E.

        Raises:
            BadInput: Tensors or neighbours do not belong to the shape.
        """
        self._lay_out(Published({JOINT: shape}, arrays), JOINT, near, networks)

    @classmethod
    def of(cls, published: Published, role: str, near: Ints, *, networks: int = 1) -> Acting:
        """Return what decides in one role with weights that others decide with too.

        Raises:
            NotFound: There is no such role.
            BadInput: The neighbours do not belong to the shape.
        """
        made = cls.__new__(cls)
        made._lay_out(published, role, near, networks)
        return made

    def beside(self) -> Acting:
        """Return another with room of its own, for another thread; it shares the weights."""
        return Acting.of(self.published, self.role, self._near, networks=self.networks)

    def _lay_out(self, published: Published, role: str, near: Ints, networks: int) -> None:
        if role not in published.shapes:
            message = f"expected a role out of {', '.join(published.shapes)}, found {role!r}"
            raise NotFound(message)
        self.published, self.role, self.networks = published, role, networks
        self.shape = shape = published.shapes[role]
        self._sizes = sizes_of(shape)
        self._near = _checked_near(near, shape.neighbours)
        self.cells = len(self._near)
        if networks < 1:
            raise BadInput(place="networks", expected="1 or more", found=str(networks))
        rows = (networks, shape.deciding(self.cells), shape.columns)
        self._seen = np.zeros((networks, self.cells, shape.features), np.float32)
        self._mask = np.ones((*rows, OPTIONS), np.int8)
        self._logits = np.zeros((*rows, OPTIONS), np.float32)
        self._flat_logits = self._logits.reshape(*rows[:2], -1)
        self._chances = np.zeros((*rows, OPTIONS), np.float32)
        self._uniform = np.zeros(rows, np.float32)
        self._actions = np.ones(rows, np.int64)
        self._scratch = np.zeros(scratch_floats(self._sizes, self.cells), np.float32)
        self._pairs = self._logits.reshape(-1, OPTIONS)
        self._pair_chances = self._chances.reshape(-1, OPTIONS)
        self._line_uniform, self._line_actions = (
            self._uniform.reshape(-1),
            self._actions.reshape(-1),
        )
        self._free = [True]  # taking from a list is one step, so two threads cannot both
        rng = np.random.default_rng(0)
        self.sample(self._seen, self._mask, rng)  # kernels are loaded before anybody waits
        self.choose(self._seen)

    def swap(self, tensors: Mapping[str, Floats32], label: str = "") -> None:
        """Publish new weights, from any thread, while others decide; see ``Published.swap``."""
        self.published.swap(tensors, label)

    def choose(
        self, seen: Floats32, mask: Masks | None = None, *, weights: Weights | None = None,
        out: Chosen | None = None,
    ) -> Chosen:  # fmt: skip
        """Return the most likely option that may be chosen of every column, (E, A, D).

        Args:
            seen: Observations, (E, C, F); float32 in one piece is read where it lies.
            mask: 1 where an option may be chosen, (E, A, D, 3); None means everywhere.
            weights: Decide with these; by default with those published last.
            out: Where to write it; by default an array that the next call overwrites.

        Returns:
            0 down, 1 keep, 2 up. "Keep" where it is as likely as another.

        Raises:
            BadInput: Shapes differ, or a feature is not finite.
            Conflict: Another thread is deciding with it.
        """
        self._take()
        try:
            self._infer(seen, weights)
            pick(self._pairs, self._masked(mask), self._line_actions)
            if out is None:
                return self._actions
            np.copyto(out, self._actions)
            return out
        finally:
            self._free.append(True)

    def logits(
        self, seen: Floats32, mask: Masks | None = None, *, weights: Weights | None = None
    ) -> Floats32:
        """Return the logits, (E, A, D, 3), -1e9 where masked; arguments as for ``choose``."""
        self._take()
        try:
            self._infer(seen, weights)
            if mask is not None:
                np.copyto(self._logits, IMPOSSIBLE, where=self._masked(mask).reshape(
                    self._logits.shape) == 0)  # fmt: skip
            return self._logits
        finally:
            self._free.append(True)

    def probabilities(
        self, seen: Floats32, mask: Masks | None = None, *, weights: Weights | None = None
    ) -> Floats32:
        """Return the probability of every option, (E, A, D, 3), 0 where masked."""
        self._take()
        try:
            self._infer(seen, weights)
            spread_over(self._pairs, self._masked(mask), self._pair_chances)
            return self._chances
        finally:
            self._free.append(True)

    def sample(
        self, seen: Floats32, mask: Masks | None, rng: np.random.Generator, *,
        weights: Weights | None = None,
    ) -> Chosen:  # fmt: skip
        """Return options drawn with their probabilities, (E, A, D); as ``choose`` otherwise."""
        self._take()
        try:
            self._infer(seen, weights)
            spread_over(self._pairs, self._masked(mask), self._pair_chances)
            rng.random(dtype=np.float32, out=self._uniform)
            draw(self._pair_chances, self._line_uniform, self._line_actions)
            return self._actions
        finally:
            self._free.append(True)

    def _take(self) -> None:
        try:
            self._free.pop()
        except IndexError:
            message = "expected one thread at a time, found another deciding; use beside()"
            raise Conflict(message) from None

    def _infer(self, seen: Floats32, weights: Weights | None) -> None:
        if seen.shape != self._seen.shape:
            raise BadInput(
                place="observations", expected=f"shape {self._seen.shape} (networks, cells, "
                "features)", found=f"shape {seen.shape}",
            )  # fmt: skip
        if seen.dtype != np.float32 or not seen.flags.c_contiguous:
            np.copyto(self._seen, seen)
            seen = self._seen
        row = (weights or self.published.current).rows[self.role]
        bad = forward(self._sizes, seen, self._near, row, self._scratch, self._flat_logits)
        if bad >= 0:
            network, cell = divmod(int(bad), self.cells)
            raise BadInput(
                place=f"observation of network {network}, cell {cell}", expected="finite features",
                found=f"{int((~np.isfinite(seen[network, cell])).sum())} that are not",
            )  # fmt: skip

    def _masked(self, mask: Masks | None) -> npt.NDArray[np.int8]:
        """Return a mask as the kernels read it, (N, 3)."""
        if mask is None:
            self._mask[...] = 1
            return self._mask.reshape(-1, OPTIONS)
        if mask.shape != self._mask.shape:
            raise BadInput(
                place="mask", expected=f"shape {self._mask.shape} (networks, who "
                "decides, columns, options)", found=f"shape {mask.shape}",
            )  # fmt: skip
        if mask.dtype != np.int8 or not mask.flags.c_contiguous:
            np.not_equal(mask, 0, out=self._mask.view(np.bool_))
            mask = self._mask
        return mask.reshape(-1, OPTIONS)


class ActingTogether:
    """Every role of one policy, each decision with one version of the weights of all."""

    def __init__(self, published: Published, network: Network, *, networks: int = 1) -> None:
        """Lay out all roles over the cells of a network; E copies of it decide together."""
        self.published = published
        self.roles = {
            role: Acting.of(
                published, role, next_cells(network, shape.neighbours), networks=networks
            )
            for role, shape in published.shapes.items()
        }

    def choose(self, seen: Mapping[str, Floats32], mask: Mapping[str, Masks]) -> dict[str, Chosen]:
        """Return the options of every role, each (E, A, D); see ``Acting.choose``."""
        weights = self.published.current
        return {
            role: acting.choose(seen[role], mask.get(role), weights=weights)
            for role, acting in self.roles.items()
        }


def _checked_near(near: Ints, neighbours: int) -> Ints:
    near = np.ascontiguousarray(near, np.int32)
    good = near.ndim == 2 and near.shape[1] == neighbours and len(near) > 0  # noqa: PLR2004
    if not good or near.min() < -1 or near.max() >= len(near):
        raise BadInput(
            place="cells next to each cell", expected=f"(cells, {neighbours}), each -1 or a cell",
            found=f"shape {near.shape}" + (
                f", from {near.min()} to {near.max()}" if near.size else ""
            ),
        )  # fmt: skip
    return near
