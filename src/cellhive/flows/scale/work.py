"""How the pieces of a long piece of work are done: one after the other, or as a caller likes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Work(Protocol):
    """Does the pieces of a stage; may do so in several threads, and tell how far it is."""

    def __call__(
        self, stage: str, function: Callable[[Item], Result], items: Sequence[Item]
    ) -> list[Result]:
        """Return the function's result for every item, in the order of the items.

        Args:
            stage: What is done, for a person who waits: "Looking for incidents".
            function: Does one piece; pieces do not depend on each other.
            items: The pieces.
        """
        ...


def in_turn(
    stage: str,  # told to nobody
    function: Callable[[Item], Result],
    items: Sequence[Item],
) -> list[Result]:
    """Do one piece after the other.

    Args:
        stage: What is done.
        function: Does one piece.
        items: The pieces.
    """
    return [function(item) for item in items]
