"""Takes over what becomes champion while decisions go on: looks often, at one number."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from cellhive.core.errors import NotFound, Unavailable
from cellhive.core.models import CHAMPION, ModelManifest, Tensors
from cellhive.core.ports import ModelStore, Observer

LOOK_EVERY_S = 0.05
"""A look costs some 20 µs: one question to the store's books."""


@dataclass(frozen=True)
class ModelTaken:
    """Another version decides from now on."""

    name: str
    version: int
    before: int


@dataclass(frozen=True)
class ModelNotTaken:
    """A version was promoted, but what decides is still the one before."""

    name: str
    before: int
    why: str


class Follower:
    """Hands every version that an alias is set to, once, to whoever decides."""

    def __init__(
        self, store: ModelStore, name: str, take: Callable[[ModelManifest, Tensors], object], *,
        version: int = 0, alias: str = CHAMPION, observer: Observer | None = None,
    ) -> None:  # fmt: skip
        """Follow an alias of a model.

        Args:
            store: Where it is.
            name: Of the model.
            take: Checks a version and puts it into use, or raises and leaves what was.
            version: The version in use already.
            alias: Which to follow.
            observer: Is told what was taken, and what was not and why.
        """
        self._store, self._name, self._take, self._alias = store, name, take, alias
        self._observer = observer or (lambda event: None)
        self.version = version
        """The version in use."""
        self._change = -1
        self._refused = 0
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def look(self) -> bool:
        """Take over what the alias points at, if it is another; return whether it was."""
        try:
            change = self._store.last_change()
            if change == self._change:
                return False
            version = self._store.aliases(self._name).get(self._alias, self.version)
        except Unavailable as error:  # busy: the next look tells
            self._say_not_taken(error)
            return False
        taken = False
        if version == self.version:
            self._refused = 0  # promoted once more it is tried once more
        if version not in (self.version, self._refused):
            try:
                taken = self._took(version)
            except Unavailable as error:
                self._say_not_taken(error)
                return False
            except NotFound as error:  # removed between two looks
                self._say_not_taken(error)
        self._change = change
        return taken

    def _took(self, version: int) -> bool:
        try:
            self._take(*self._store.get(self._name, version))
        except (Unavailable, NotFound):
            raise
        except Exception as error:  # whatever is wrong with it, the old one goes on deciding
            self._refused = version
            self._say_not_taken(error)
            return False
        before, self.version, self._refused = self.version, version, 0
        self._observer(ModelTaken(self._name, version, before))
        return True

    def _say_not_taken(self, error: Exception) -> None:
        self._observer(ModelNotTaken(self._name, self.version, f"{error}"))

    def start(self, every_s: float = LOOK_EVERY_S) -> None:
        """Look again and again in a thread of its own, until ``close``."""
        self._thread = threading.Thread(
            target=self._go_on, args=(every_s,), name=f"follow {self._name}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _go_on(self, every_s: float) -> None:
        while not self._end.wait(every_s):
            try:
                self.look()
            except Exception as error:  # a damaged store, say: it may be mended while we decide
                self._say_not_taken(error)
