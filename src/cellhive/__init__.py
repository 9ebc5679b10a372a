"""CellHive observes, explains and safely changes a mobile radio network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellhive.app.notebook import Analysed

__version__ = "0.1.0"
__all__ = ["__version__", "analyse"]


def analyse(data: Any, *, mapping: Any = None, causes: bool = True) -> Analysed:
    """Analyse measurements of a network: is the data sound, what went wrong, where and why.

    The result shows itself in a notebook; ``.incidents``, ``.findings`` and ``.columns`` are
    polars frames, ``.incident(1)`` is one incident with its plot, ``.report(path)`` writes
    the whole report.

    Args:
        data: A polars or pandas frame or a mapping of columns, with a column of times and
            one or more that name the object, a row per object and period; or the path of a
            file or folder with measurements, or a list of paths.
        mapping: Path of a YAML file that says what columns mean.
        causes: Whether to ask the causal model why.

    Raises:
        BadInput: Nothing in it can be read.
        NotFound: A path does not exist.
    """
    from cellhive.app.notebook import analyse_any  # noqa: PLC0415  # importing stays quick

    return analyse_any(data, mapping=mapping, causes=causes)
