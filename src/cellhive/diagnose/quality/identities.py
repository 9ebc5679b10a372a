"""Do names and identifiers still tell objects apart, and are they written in one way?"""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

from cellhive.core.measurements import OBJECT, TIME, Finding, Measurements, Severity
from cellhive.diagnose.quality.column import listed

NEARLY_EMPTY = 0.05
"""Share of filled values up to which a column is called nearly empty."""

_FORMS = (
    ("a number", re.compile(r"^\d+$")),
    ("a number with an exponent", re.compile(r"^\d+([.,]\d+)?[eE]\+?\d+$")),
    ("a number with a decimal point", re.compile(r"^\d+\.\d+$")),
)
_ID = re.compile(
    r"(?i)(^|[^a-z])(id|identity|identifier|cgi|ecgi|ncgi|eci|nci)s?([^a-z]|$)|[a-z]I[dD]$"
)
_ROUNDED = re.compile(r"^\d{16,}$")
LEAST_SHARED = 5
"""Identifiers that a loss of digits must have merged or spoilt at least, to be told from chance."""


def say_labels(m: Measurements, found: list[Finding]) -> None:
    """Find labels that are hardly filled, and identifiers that are spoilt or in several forms."""
    for label in m.labels:
        values = m.frame[label].cast(pl.String)
        known = values.drop_nulls().filter(values.drop_nulls() != "")
        empty = values.len() - known.len()
        if values.len() and known.len() <= NEARLY_EMPTY * values.len():
            found.append(
                Finding(
                    Severity.INFO, "nearly-empty-column", "a value in every row",
                    f"{known.len()} of {values.len()} rows filled",
                    "kept; not used for anything", column=label, count=empty, counted="rows",
                )
            )  # fmt: skip
        elif _ID.search(label):
            _say_forms(label, known.unique().sort().to_list(), found)
    _say_forms(OBJECT, m.objects, found, only_lost=True)
    _say_spellings(m, found)


def _form(text: str) -> str:
    return next((name for name, pattern in _FORMS if pattern.match(text)), "text")


def _say_forms(
    label: str, values: Sequence[str], found: list[Finding], *, only_lost: bool = False
) -> None:
    """Say where identifiers have lost digits, or where a few are written in another form."""
    forms: dict[str, list[str]] = {}
    for value in values:
        forms.setdefault(_form(value), []).append(value)
    _say_lost(label, forms, found)
    if only_lost:
        return
    usual = max(forms, key=lambda name: len(forms[name]), default="")
    odd = sorted(value for name, group in forms.items() if name != usual for value in group)
    if odd and 2 * len(forms[usual]) >= len(values) and usual != "text":
        found.append(
            Finding(
                Severity.WARNING, "identifier-forms", f"{usual}, as in most rows "
                f"(for example {sorted(forms[usual])[0]})",
                f"{len(odd)} of {len(values)} in another form: {listed(odd)}",
                "kept as written; joining with other tables by this column will miss them",
                column=label, count=len(odd), counted="identifiers",
            )
        )  # fmt: skip
    _say_zeros(label, forms.get("a number", []), found)


def _say_lost(label: str, forms: dict[str, list[str]], found: list[Finding]) -> None:
    exponents = forms.get("a number with an exponent", [])
    # More than 15 digits do not fit a spreadsheet's number: the last ones become 0.
    long = [value for value in forms.get("a number", []) if _ROUNDED.match(value)]
    zeros = [value for value in long if value.endswith("0")]
    rounded = zeros if len(zeros) >= max(LEAST_SHARED, 0.5 * len(long)) else []
    lost = sorted([*exponents, *rounded])
    if lost:
        how = "in exponent notation" if exponents else "of more than 15 digits that end in 0"
        found.append(
            Finding(
                Severity.WARNING, "identifier-lost-digits", "identifiers in full",
                f"{len(lost)} {how}, for example {lost[0]}: a spreadsheet has rounded them",
                "kept as written; different objects may share one name", column=label,
                count=len(lost), counted="identifiers", objects=len(lost) * (label == OBJECT),
                named=tuple(lost[:100]) if label == OBJECT else (),
            )
        )  # fmt: skip


def _say_zeros(label: str, numbers: Sequence[str], found: list[Finding]) -> None:
    """Say where leading zeros are lost: short numbers beside ones of one length with zeros."""
    padded = [value for value in numbers if len(value) > 1 and value.startswith("0")]
    lengths = {len(value) for value in padded}
    short = [value for value in numbers if len(lengths) == 1 and len(value) < min(lengths)]
    if padded and short:
        found.append(
            Finding(
                Severity.WARNING, "identifier-zeros-lost",
                f"{min(lengths)} digits, as in {padded[0]}",
                f"{len(short)} shorter ones: {listed(short)}; their leading zeros may be lost",
                "kept as written; the same object may have two names", column=label,
                count=len(short), counted="identifiers",
            )
        )  # fmt: skip


_SEPARATORS = r"[\s_\-./\\:|]+"


def _say_spellings(m: Measurements, found: list[Finding]) -> None:
    """Say which objects have names that differ only in case, separators or leading zeros."""
    names = pl.Series("name", m.objects, pl.String)
    plain = (
        names.str.to_lowercase().str.strip_chars().str.replace_all(_SEPARATORS, "-")
        .str.replace_all(r"(^|\D)0+(\d)", "${1}${2}").alias("plain")
    )  # fmt: skip
    table = pl.DataFrame([names, plain])
    twice = table.filter(pl.col("plain").is_duplicated())
    if twice.is_empty():
        return
    rows = m.frame.select(OBJECT, TIME).filter(pl.col(OBJECT).is_in(twice["name"].implode()))
    together = (
        rows.join(twice, left_on=OBJECT, right_on="name")
        .group_by("plain").agg(pl.len().alias("rows"), pl.col(TIME).n_unique().alias("times"))
        .filter(pl.col("rows") <= pl.col("times") * 1.05)["plain"]
    )  # fmt: skip
    apart = twice.filter(pl.col("plain").is_in(together.implode())).sort("plain", "name")
    if apart.is_empty():
        return
    groups = apart.group_by("plain", maintain_order=True).agg(pl.col("name"))["name"].to_list()
    told = [" / ".join(map(repr, group)) for group in groups]
    found.append(
        Finding(
            Severity.WARNING, "object-names-differ", "one name for one object",
            f"{len(groups)} objects under names that differ only in case, separators or leading "
            f"zeros, never at the same time: {listed(told)}",
            "kept as separate objects; name them alike before the export",
            object=groups[0][0], count=len(groups), counted="objects", objects=apart.height,
            named=tuple(apart["name"].head(100).to_list()),
        )
    )  # fmt: skip
