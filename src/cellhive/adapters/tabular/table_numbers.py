"""Reads the numbers of a text column: decimal commas, separators, per cent signs, gaps."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from cellhive.adapters.tabular.headings import MISSING_WORDS

_SAMPLE = 5000
_DECIMAL_COMMA = r"^[-+]?(\d+,(\d{1,2}|\d{4,})|\d{1,3}(\.\d{3})+,\d+|0,\d+)([eE][-+]?\d+)?$"
_DECIMAL_DOT = r"^[-+]?(\d*\.(\d{1,2}|\d{4,})|\d{1,3}(,\d{3})+\.\d+|0?\.\d+)([eE][-+]?\d+)?$"
_GROUPED_COMMA = r"^[-+]?[1-9]\d{0,2}(,\d{3})+$"
_GROUPED_DOTS = r"^[-+]?[1-9]\d{0,2}(\.\d{3}){2,}$"


@dataclass(frozen=True)
class Numbers:
    """What the texts of a column are as numbers."""

    values: pl.Series
    """Float64; null where there is no number."""
    missing: int
    """Cells with nothing in them or a word for nothing."""
    missing_words: tuple[str, ...]
    """The words for nothing that occur, other than an empty cell."""
    odd: int
    """Cells with something that is not a number."""
    first_odd: int
    """Row of the first of them; -1 if there is none."""
    percent: int
    """Cells with a per cent sign."""
    ambiguous: bool
    """Whether "1,234" had to be guessed to be a thousand or a bit above one."""


def prepared(values: pl.Series) -> pl.Series:
    """Return texts without outer spaces; null where they are a word for nothing."""
    texts = values.str.strip_chars(" \t\u00a0\u202f'")
    return texts.set(texts.str.to_lowercase().is_in(list(MISSING_WORDS)), None)


def decimal_mark(columns: list[pl.Series]) -> str:
    """Return the decimal mark of a table, "," or ".", or "" where nothing tells."""
    commas = dots = 0
    for column in columns:
        sample = prepared(column.drop_nulls().head(_SAMPLE)).drop_nulls().str.strip_suffix("%")
        commas += int(sample.str.contains(_DECIMAL_COMMA).sum())
        dots += int(sample.str.contains(_DECIMAL_DOT).sum())
    if commas == dots:
        return ""
    return "," if commas > dots else "."


def numbers_of(values: pl.Series, table_mark: str) -> Numbers:
    """Return the texts of a column as numbers.

    Args:
        values: The texts.
        table_mark: Decimal mark of the whole table; the column's own evidence goes first.
    """
    texts = prepared(values)
    missing = texts.null_count()
    gone = values.filter(texts.is_null()).drop_nulls().str.strip_chars()
    words = tuple(sorted(set(gone.filter(gone != "").unique().to_list())))
    if table_mark != ",":
        simple = texts.cast(pl.Float64, strict=False)
        if simple.null_count() == missing and not bool(simple.is_infinite().any()):
            return Numbers(simple, missing, words, 0, -1, 0, ambiguous=False)
    percent = int(texts.str.ends_with("%").sum() or 0)
    plain = texts.str.strip_suffix("%").str.replace_all(r"(\d)[ \u00a0\u202f'](\d{3})", "$1$2")
    plain = plain.str.strip_chars()
    mark, ambiguous = _mark_of(plain, table_mark)
    other = "." if mark == "," else ","
    grouped = rf"^[-+]?\d{{1,3}}(\{other}\d{{3}})+(\{mark}\d+)?([eE][-+]?\d+)?$"
    has_group = plain.str.contains(grouped).fill_null(value=False)
    if bool(has_group.any()):
        plain = plain.str.replace_all(other, "", literal=True).zip_with(has_group, plain)
    if mark == ",":
        plain = plain.str.replace(",", ".", literal=True)
    # Python and polars both take "1_000" or "nan" for numbers; a measurement is plainer.
    legal = plain.str.contains(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$").fill_null(value=False)
    result = plain.set(~legal, None).cast(pl.Float64, strict=False)
    result = result.set(result.is_infinite().fill_null(value=False), None)
    odd = texts.is_not_null() & result.is_null()
    count = int(odd.sum())
    first = int(odd.arg_true()[0]) if count else -1
    return Numbers(result, missing, words, count, first, percent, ambiguous)


def _mark_of(plain: pl.Series, table_mark: str) -> tuple[str, bool]:
    """Return the decimal mark of a column and whether it was a guess that matters."""
    sample = plain.drop_nulls().head(_SAMPLE)
    commas = int(sample.str.contains(_DECIMAL_COMMA).sum())
    dots = int(sample.str.contains(_DECIMAL_DOT).sum())
    if commas != dots:
        return ("," if commas > dots else "."), False
    if bool(sample.str.contains(_GROUPED_DOTS).any()):
        return ",", False
    if table_mark:
        return table_mark, False
    unclear = bool(sample.str.contains(_GROUPED_COMMA).any())
    return ".", unclear and not bool(sample.str.contains(r"(,\d{3}){2}").any())


def lost_precision(values: pl.Series) -> int:
    """Return how many texts are identities that a spreadsheet has rounded ("4.24E+11")."""
    texts = values.drop_nulls().str.strip_chars()
    rounded = texts.str.contains(r"^\d(\.\d+)?[eE]\+?\d+$")
    long = texts.str.contains(r"^\d{16,}$") & texts.str.ends_with("0")
    return int((rounded | long).sum())
