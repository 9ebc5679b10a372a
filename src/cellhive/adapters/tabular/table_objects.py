"""Finds which columns of a table name the measured object."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

_NODES = (
    "e ?node ?b|g ?node ?b|enb|gnb|node ?b|bts|lnbts|mrbts|nrbts|wbts|site|ne|rbs|erbs|"
    "managed ?element"
)
_SCORES: tuple[tuple[int, str, re.Pattern[str]], ...] = tuple(
    (score, kind, re.compile(pattern, re.IGNORECASE))
    for score, kind, pattern in (
        (100, "cell", r"\bcell ?name\b|\bname of cell\b|\bcell\b.*\bname\b"),
        (98, "cell", r"\b(lncel|nrcel|nrcell|wcel|eutrancell\w*|nrcell\w+)\b.*\bname\b"),
        (95, "cell", r"^(nr|eutran|utran|lte|gsm)? ?cell( ?(fdd|tdd|du|cu))?$"),
        (95, "cell", r"^(lncel|nrcel|wcel|eutrancell(fdd|tdd)?|nrcell(du|cu)?)$"),
        (
            94,
            "cell",
            r"^(nom ?(de ?la )?)?(cellule|celda|zelle|cella|celula|hucre|sota)( ?(name|nom))?$",
        ),
        (90, "", r"^(object|object ?name|mo|mo ?name|modn|dn|managed ?object|ldn|meas ?obj ?ldn)$"),
        (88, "cell", r"\b(nr|e)?cgi\b|cell ?identity$|\bcell ?key\b"),
        (70, "cell", r"\bcell ?(id|no|num|number)$|\blocal ?cell\b|^ci$|^eci$|^nci$"),
        (70, "cell", r"^(lncel|nrcel|wcel)( ?id)?$"),
        (65, "sector", r"\bsector( ?(name|id))?$"),
        (
            60,
            "site",
            rf"\b({_NODES}|station)\b.*name",
        ),
        (
            55,
            "site",
            rf"^({_NODES}|node ?(id|name)|sitio|standort)$",
        ),
        (
            50,
            "site",
            r"\b(e ?node ?b|g ?node ?b|enb|gnb|node ?b|bts|site|ne|node|du)\b ?(id|code)?$",
        ),
        (45, "ue", r"\b(imsi|supi|imei)\b"),
        (40, "ue", r"\b(rnti|ue ?id|device|phone)\b"),
        (30, "cluster", r"\b(cluster|region|area|district|city|operator(name)?|plmn|market)\b"),
        (20, "run", r"^(file|run|log|session|trace|test)( ?(name|id))?$"),
        (10, "slice", r"\bslice ?(id|name)?$|\b(5qi|qci)$"),
    )
)
_SOURCE = re.compile(r"\b(source|serving|from|src|own)\b", re.IGNORECASE)
_TARGET = re.compile(r"\b(target|neighbou?r|to|dst|dest|destination|adjacent)\b", re.IGNORECASE)
_CELLISH = re.compile(r"cell|cgi|\bci\b|node|enb|gnb|site|id|name", re.IGNORECASE)
_WORD = r"\p{L}"
_MOSTLY = 0.8
"""Share of values with a letter from which a column holds words."""
_ENOUGH = 0.01
_NAMES_ALONE = 45
"""Score from which a column is a name even if it has only one value."""
_LOCAL = (65, 70)
"""Scores of identities that may repeat from site to site."""


@dataclass(frozen=True)
class ObjectColumns:
    """Which columns name the object."""

    columns: tuple[int, ...]
    object_class: str
    """"cell", "site", "relation", ...; "" where unknown."""
    relation: bool = False
    """Whether the columns are the source and the target of a relation."""
    unique: bool = True
    """Whether object and time tell the rows apart."""
    guessed: bool = False
    """Whether the last column was chosen by its values, as no heading says that it is one."""


def spaced(header: str) -> str:
    """Return a heading as words: "eNodeB_Name" is "eNodeB Name"."""
    plain = unicodedata.normalize("NFKD", header)
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    text = re.sub(r"[^A-Za-z0-9]+", " ", plain)
    text = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", text)
    return " ".join(text.split())


def score(header: str) -> tuple[int, str]:
    """Return how well a heading suits the name of an object, and of what class; 0 if not."""
    words = spaced(header)
    return next(((s, kind) for s, kind, pattern in _SCORES if pattern.search(words)), (0, ""))


def find_objects(
    headers: Sequence[str], columns: Sequence[pl.Series], times: pl.Series | None
) -> ObjectColumns:
    """Return the columns that together name the object.

    The best heading is taken; where it leaves rows of one time apart only by another such
    column (local cell ids repeat from site to site), that column joins it.

    Args:
        headers: Heading of each column.
        columns: Values of each column as text.
        times: Time of each row, None where the table has none.
    """
    relation = _relation(headers)
    if relation is not None:
        return ObjectColumns(relation, "relation", relation=True)
    ranked = sorted(
        (
            (points, -index, kind)
            for index, header in enumerate(headers)
            for points, kind in (score(header),)
            if points and (points >= _NAMES_ALONE or columns[index].n_unique() > 1)
            and columns[index].null_count() < columns[index].len() * 0.5
        ),
        reverse=True,
    )  # fmt: skip
    if not ranked or ranked[0][0] < _NAMES_ALONE:  # no cell and no site: perhaps in other words
        coarse = [] if not ranked else [-ranked[0][1]]
        by_values = _by_values(coarse, columns, times)
        if by_values is not None:
            return by_values
    if not ranked:
        return ObjectColumns((), "", unique=_repeats([], times) <= _ENOUGH)
    chosen = [-ranked[0][1]]
    site = _site_of(ranked, columns)
    if site is not None:
        chosen = [site, *chosen]
    repeats = _repeats([columns[index] for index in chosen], times)
    while repeats > _ENOUGH:
        options = [
            (_repeats([columns[i] for i in (*chosen, -entry[1])], times), order, -entry[1])
            for order, entry in enumerate(ranked)
            if -entry[1] not in chosen
        ]
        if not options or min(options)[0] > repeats * 0.8:
            break
        best = min(options)
        # A coarser column goes first: site before cell.
        coarser = columns[best[2]].n_unique() <= columns[chosen[0]].n_unique()
        chosen = [best[2], *chosen] if coarser else [*chosen, best[2]]
        repeats = best[0]
    return ObjectColumns(tuple(chosen), ranked[0][2], unique=repeats <= _ENOUGH)


def _by_values(
    coarse: Sequence[int], columns: Sequence[pl.Series], times: pl.Series | None
) -> ObjectColumns | None:
    """Return the first column of words that tells the rows of one time apart, if they need it.

    Headings come in any language; that a cell has one row per time holds in all of them.
    """
    if times is None or _repeats([columns[index] for index in coarse], times) <= _ENOUGH:
        return None
    for index, column in enumerate(columns):
        if (
            index not in coarse
            and 1 < column.n_unique() < column.len()
            and column.null_count() < _ENOUGH * column.len()
            and int(column.str.contains(_WORD).sum()) > _MOSTLY * column.len()
            and _repeats([columns[i] for i in coarse] + [column], times) <= _ENOUGH
        ):
            return ObjectColumns((*coarse, index), "", guessed=True)
    return None


def _site_of(ranked: Sequence[tuple[int, int, str]], columns: Sequence[pl.Series]) -> int | None:
    """Return the column of sites that local cell identities need to be told apart."""
    points, negative, _ = ranked[0]
    if points not in _LOCAL:
        return None
    cell = columns[-negative]
    for _, other, kind in ranked[1:]:
        if kind == "site":
            pairs = pl.DataFrame([cell.alias("cell"), columns[-other].alias("site")]).n_unique()
            bare = bool(cell.drop_nulls().str.contains(r"^\d{1,3}(\.0)?$").all())
            return -other if pairs > cell.n_unique() or bare else None
    return None


def _relation(headers: Sequence[str]) -> tuple[int, int] | None:
    words = [spaced(header) for header in headers]
    cellish = [index for index, text in enumerate(words) if _CELLISH.search(text)]
    sources = [index for index in cellish if _SOURCE.search(words[index])]
    targets = [index for index in cellish if _TARGET.search(words[index])]
    if not targets:
        return None
    target = max(targets, key=lambda index: ("name" in words[index].lower(), -index))
    if not sources:
        own = [i for i in cellish if i not in targets and score(headers[i])[0] >= 70]  # noqa: PLR2004
        sources = own
    if not sources:
        return None
    source = max(sources, key=lambda index: ("name" in words[index].lower(), -index))
    return (source, target) if source != target else None


def _repeats(names: Sequence[pl.Series], times: pl.Series | None) -> float:
    """Return the share of rows that object and time do not tell apart."""
    keys = [name.alias(str(index)) for index, name in enumerate(names)]
    if times is not None:
        keys.append(times.alias("time"))
    if not keys:
        return 1.0
    frame = pl.DataFrame(keys)
    if frame.height == 0:
        return 0.0
    return 1.0 - frame.n_unique() / frame.height
