"""YAML text as a tree that knows the line of everything in it, within bounds.

Only what a form needs is understood: mappings, lists and plain values. Anchors, aliases
and tags are refused, so no text can grow when it is read.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection
from dataclasses import dataclass

import yaml

from cellhive.core.errors import BadInput

MOST_BYTES = 64 * 1024
"""Largest text that is parsed."""
MOST_DEPTH = 8
"""Deepest nesting."""
MOST_SHOWN = 60
"""Characters of a value that are repeated in a message."""


@dataclass(frozen=True)
class Twig:
    """One value in the text, and where it stands."""

    node: yaml.Node
    source: str
    """Name of the text, for messages."""
    path: str = ""
    """Keys that lead to the value."""

    @property
    def place(self) -> str:
        """File, line and keys of the value."""
        where = f"{self.source}, line {self.node.start_mark.line + 1}"
        return f"{where}, {self.path}" if self.path else where

    def wrong(self, *, expected: str, found: str = "", remedy: str = "") -> BadInput:
        """Return the error that something else was expected here."""
        return BadInput(
            place=self.place, expected=expected, found=found or self.shown(), remedy=remedy
        )

    def shown(self) -> str:
        """Return the value as a message names it."""
        if isinstance(self.node, yaml.MappingNode):
            return "a mapping"
        if isinstance(self.node, yaml.SequenceNode):
            return f"a list of {len(self.node.value)}"
        text = str(self.node.value)
        if not text:
            return "nothing"
        return repr(text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "...")

    def text(self, expected: str = "a text") -> str:
        """Return a plain value as it is written."""
        if not isinstance(self.node, yaml.ScalarNode) or not self.node.value.strip():
            raise self.wrong(expected=expected)
        return " ".join(str(self.node.value).split())

    def number(self, expected: str) -> float:
        """Return a finite number; never a date, a time of day or a yes."""
        if not isinstance(self.node, yaml.ScalarNode) or self.node.style is not None:
            raise self.wrong(expected=expected)
        try:
            value = float(self.node.value)
        except ValueError:
            raise self.wrong(expected=expected) from None
        if not math.isfinite(value) or "_" in self.node.value:
            raise self.wrong(expected=expected)
        return value

    def items(self, expected: str) -> list[Twig]:
        """Return the values of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.wrong(expected=expected)
        return [
            Twig(node, self.source, f"{self.path}[{index}]")
            for index, node in enumerate(self.node.value, 1)
        ]

    def branches(self, known: Collection[str], required: Collection[str] = ()) -> dict[str, Twig]:
        """Return the values of a mapping by key.

        Args:
            known: Keys that may be there.
            required: Keys that must be there.

        Raises:
            BadInput: It is no mapping, a key is unknown or there twice, or one is missing.
        """
        expected = f"the keys {', '.join(known)}"
        if not isinstance(self.node, yaml.MappingNode):
            raise self.wrong(expected=expected)
        found: dict[str, Twig] = {}
        for key, value in self.node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
            path = f"{self.path}.{name}" if self.path else name
            twig = Twig(value, self.source, path)
            here = Twig(key, self.source, self.path)
            if name not in known:
                raise here.wrong(
                    expected=f"one of {', '.join(known)}", remedy=_suggestion(name, known)
                )
            if name in found:
                raise here.wrong(
                    expected=f"{name} once", found=f"it again, first {found[name].line}",
                    remedy="take one of them out",
                )  # fmt: skip
            found[name] = twig
        missing = [name for name in required if name not in found]
        if missing:
            raise self.wrong(expected=f"the key {missing[0]}", found="no such key", remedy="add it")
        return found

    @property
    def line(self) -> str:
        """The line of the value, in words."""
        return f"in line {self.node.start_mark.line + 1}"


def _suggestion(name: str, known: Collection[str]) -> str:
    """Return which known key may have been meant; a wrong unit is the likeliest slip."""
    stem = name.rpartition("_")[0] or name
    same = [key for key in known if key == stem or key.rpartition("_")[0] in {stem, name}]
    near = same if stem and same else difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    if not near:
        return ""
    unit = "; the unit is part of the key" if same else ""
    return f"did you mean {near[0]!r}?{unit}"


def read_tree(text: str, source: str) -> Twig:
    """Return the root of a text.

    Args:
        text: YAML of one document.
        source: Name of the text, for messages.

    Raises:
        BadInput: It is too large, empty, not YAML, nested too deep, or uses anchors or tags.
    """
    size = len(text.encode("utf-8", errors="replace"))
    if size > MOST_BYTES:
        raise BadInput(
            place=source, expected=f"at most {MOST_BYTES // 1024} KiB",
            found=f"{size / 1024:.0f} KiB", remedy="a scenario is a page",
        )  # fmt: skip
    try:
        _check_events(text, source)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f", line {mark.line + 1}"
        raise BadInput(
            place=f"{source}{line}", expected="YAML",
            found=" ".join(filter(None, [error.context, error.problem])) or "something else",
        ) from error  # fmt: skip
    except yaml.YAMLError as error:
        raise BadInput(place=source, expected="YAML", found=" ".join(str(error).split())) from error
    if node is None:
        raise BadInput(place=source, expected="a scenario", found="nothing in the file")
    return Twig(node, source)


def _check_events(text: str, source: str) -> None:
    """Refuse what could make a small text large, before anything is built from it."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        mark = event.start_mark
        place = source if mark is None else f"{source}, line {mark.line + 1}"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise BadInput(
                place=place, expected="plain values", found="an anchor or an alias",
                remedy="write the value out",
            )  # fmt: skip
        tag = getattr(event, "tag", None)
        if tag:
            raise BadInput(place=place, expected="plain values", found=f"the tag {tag}")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MOST_DEPTH:
            raise BadInput(
                place=place, expected=f"at most {MOST_DEPTH} levels", found="a deeper nesting"
            )
