"""Recommendations that differ in nothing but where, told once with a table of the places."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from cellhive.diagnose.advice.recommendation import Recommendation

FEWEST_ALIKE = 3
"""Recommendations of one kind from which they are told together."""

Ranked = tuple[int, Recommendation]
"""A recommendation with its rank."""


@dataclass(frozen=True)
class Alike:
    """Recommendations that are told together: one, or some that differ in where only."""

    headline: str
    members: tuple[Ranked, ...]
    places: tuple[str, ...] = ()
    """What sets the headlines of the members apart; empty where there is one member."""

    @property
    def first(self) -> Recommendation:
        """Return the one whose risk, undo and further words hold for all."""
        return self.members[0][1]

    @property
    def ranks(self) -> str:
        """Return the ranks of the members: "3", "1 to 14", or "1 to 14 and others"."""
        numbers = [rank for rank, _ in self.members]
        if len(numbers) == 1:
            return str(numbers[0])
        run = next((k for k, n in enumerate(numbers) if n != numbers[0] + k), len(numbers))
        head = str(numbers[0]) if run == 1 else f"{numbers[0]} to {numbers[run - 1]}"
        return head if run == len(numbers) else f"{head} and others"


def alike(every: Sequence[Recommendation]) -> list[Alike]:
    """Return recommendations in their order, those of one kind in one place, that of the first.

    Args:
        every: Recommendations, the most useful first.
    """
    kinds: dict[Hashable, list[Ranked]] = {}
    for rank, one in enumerate(every, 1):
        kinds.setdefault(_kind(rank, one), []).append((rank, one))
    out: list[Alike] = []
    for members in kinds.values():
        shared, places = _apart([one.headline for _, one in members])
        if len(members) < FEWEST_ALIKE or not shared:
            out += [Alike(one.headline, ((rank, one),)) for rank, one in members]
        else:
            headline = f"{shared} ({len(members)} places)"
            out.append(Alike(headline, tuple(members), tuple(places)))
    return sorted(out, key=lambda group: group.members[0][0])


def _kind(rank: int, one: Recommendation) -> Hashable:
    """Return what recommendations share that are told together; the rank where it stands alone.

    What has figures of its own (an effect, steps, users, a time to watch) stands alone.
    """
    own = one.steps or one.effect is not None or one.verify is not None
    if own or math.isfinite(one.users) or not one.evidence:
        return rank
    said = one.evidence[0].partition(":")[0]
    return (one.topic, said, one.evidence[1:], one.risk, one.risk_probability, one.undo,
            one.confidence, one.missing, len(one.objects))  # fmt: skip


def _apart(headlines: Sequence[str]) -> tuple[str, list[str]]:
    """Return what headlines have in common, at their beginning or end, and the rest of each."""
    words = [text.split(" ") for text in headlines]
    start = " ".join(_common(words))
    end = " ".join(reversed(_common([one[::-1] for one in words])))
    end = end.partition(": ")[2] or end  # what stands before a colon says where
    if len(start) >= len(end):
        return start.rstrip(":"), [text.removeprefix(start).strip() for text in headlines]
    return end[:1].upper() + end[1:], [text.removesuffix(end).rstrip(" :") for text in headlines]


def _common(words: Sequence[Sequence[str]]) -> list[str]:
    """Return the words that all begin with."""
    same = itertools.takewhile(lambda each: len(set(each)) == 1, zip(*words, strict=False))
    return [each[0] for each in same]
