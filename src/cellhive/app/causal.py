"""Puts a causal model together from files, and keeps it in one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from cellhive.adapters.files import read_bounded, write_whole
from cellhive.adapters.reading import read_paths
from cellhive.adapters.tabular.mapping import load_mapping
from cellhive.causal.queries.validation import Study, Verdict, held_out, residual_checks, together
from cellhive.core.errors import BadInput
from cellhive.core.measurements import Findings
from cellhive.flows.analyse import parts_of
from cellhive.flows.causes.model import (
    Asked,
    CausalModel,
    Told,
    knowledge_of,
    model_bytes,
    model_of,
    modelled,
    told_of,
)
from cellhive.flows.causes.observations import Observations, centred, observations_of
from cellhive.flows.causes.why import independent_share

MODEL_SUFFIXES = (".causal",)
_MOST_BYTES = 2_000_000_000
_PERIODS_TO_CHECK = 20


def observed(
    paths: Sequence[Path],
    *,
    mapping: Path | None = None,
    select: Sequence[str] = (),
    cell_class: str = "",
    on_progress: Callable[[int, int, Path], None] | None = None,
) -> Observations:
    """Return the observations in measurement files.

    Args:
        paths: Files and folders.
        mapping: YAML file that says what columns mean.
        select: Names or patterns of the variables; empty: those that are mostly there.
        cell_class: Class of objects to take; empty: the richest.
        on_progress: Is told of every file.
    """
    rules = None if mapping is None else load_mapping(mapping)
    result = read_paths(paths, rules, on_progress, tables_only=True)
    parts = parts_of(result.measurements, Findings(), [], attributes=True)
    return observations_of(parts, select=select, cell_class=cell_class)


def read_knowledge(path: Path | None) -> Told:
    """Return what a YAML file says of the variables.

    Args:
        path: The file; None: nothing but what is known of radio networks.
    """
    if path is None:
        return Told()
    try:
        content: Any = yaml.safe_load(read_bounded(path, max_bytes=1_000_000))
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        found = " ".join(str(error).split())[:200]
        raise BadInput(place=str(path), expected="a YAML file in UTF-8", found=found) from error
    if not isinstance(content, dict):
        raise BadInput(
            place=str(path), expected="keys such as `like` and `forbidden`",
            found=type(content).__name__,
        )  # fmt: skip
    try:
        return told_of(content)
    except BadInput as problem:
        raise BadInput(place=str(path), expected=problem.expected, found=problem.found) from problem


def discovered(seen: Observations, told: Told, asked: Asked) -> tuple[CausalModel, Verdict]:
    """Return the model of observations, and whether it holds on them.

    Args:
        seen: What was observed.
        told: What is known beforehand.
        asked: How to make it.
    """
    if asked.lags == 0:  # with lags, what rows have in common with earlier ones is in the model
        asked = replace(asked, counted=independent_share(seen.values))
    model = modelled(seen, told, asked)
    return model, checked(model)


def checked(model: CausalModel) -> Verdict:
    """Return what checks say of a model: predictions of later periods, and residuals.

    Args:
        model: With its observations.
    """
    import numpy as np  # noqa: PLC0415  # beside its only use

    panel = model.seen.chosen_exactly(model.names).values
    lags, within = model.asked.lags, model.asked.within_cells
    knowledge, _ = knowledge_of(model.told, model.names, lags)
    verdicts = [
        residual_checks(model.mechanisms(), centred(panel) if within else panel)
    ]  # fmt: skip
    if len(panel) >= _PERIODS_TO_CHECK:
        study = Study(panel, model.names, lags, within, knowledge, model.asked.settings)
        verdicts.append(held_out(study, np.random.default_rng([model.asked.seed, 2])))
    return together(verdicts)


def save_model(model: CausalModel, path: Path) -> None:
    """Write a model; the file appears whole or not at all.

    Args:
        model: With its observations.
        path: Ends in ``.causal``.
    """
    write_whole(path, model_bytes(model))


def load_model(path: Path) -> CausalModel:
    """Return the model in a file.

    Args:
        path: As ``save_model`` wrote it.

    Raises:
        BadInput: If it is no model, or damaged.
    """
    try:
        return model_of(read_bounded(path, max_bytes=_MOST_BYTES))
    except BadInput as problem:
        if problem.place:
            raise
        raise BadInput(
            place=str(path), expected="a model that `cellhive causal discover` wrote",
            found=problem.found, remedy="make it again",
        ) from problem  # fmt: skip
