"""Which sources a figure follows from: a module and whatever it imports, however deep.

A digest of whole folders would change with every module that happens to lie there, and hours of
results with it.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[2]


@cache
def digest_of(*modules: str) -> str:
    """Return what identifies the sources of modules of this package and of all they import.

    Args:
        modules: Names such as "cellhive.flows.decide".
    """
    digest = hashlib.sha256()
    for path in modules_under(*modules).values():
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def modules_under(*modules: str) -> dict[str, Path]:
    """Return the modules of this package that some import, themselves included, by name.

    Imports within functions count, those for type checks alone too.
    """
    found: dict[str, Path] = {}
    left = list(modules)
    while left:
        name = left.pop()
        path = _file_of(name)
        if path is None or name in found:
            continue
        found[name] = path
        left += [name.rpartition(".")[0], *_imported(ast.parse(path.read_bytes()))]
    return dict(sorted(found.items()))


def _file_of(module: str) -> Path | None:
    """Return the file of a module of this package; None for others and for mere names.

    The package itself is left out: it holds the version, which decides nothing.
    """
    first, *parts = module.split(".")
    if first != _PACKAGE.name or not parts:
        return None
    place = _PACKAGE.joinpath(*parts)
    for path in (place / "__init__.py", place.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _imported(tree: ast.Module) -> Iterator[str]:
    """Yield what a module imports; of "from a import b" both a and a.b, one of them a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
