"""Puts advice together: limits, what is known of a network, and the files of a plan."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from cellhive.adapters.files import check_output
from cellhive.adapters.plans.cm_xml import write_plan_xml
from cellhive.adapters.plans.plan_csv import write_plan_csv
from cellhive.adapters.plans.work_orders import write_work_orders
from cellhive.core.errors import BadInput
from cellhive.core.types import Plan
from cellhive.diagnose.advice.recommendation import Limits
from cellhive.diagnose.audit.configuration import Audit, Configuration
from cellhive.flows.advice.advise import Advised, Known, advise
from cellhive.flows.advice.plan import undo_of
from cellhive.flows.analyse import Analysis
from cellhive.flows.causes.why import Causes

PLAN_SUFFIXES = (".xml", ".csv")
"""Forms of a plan: bulk CM XML, or a table."""

DN_PREFIX = "SubNetwork=1"
_SETTABLE = tuple(one.name for one in fields(Limits))


def advise_on(
    analysis: Analysis,
    causes: Causes | None = None,
    audited: tuple[Configuration, Audit] | None = None,
    limits: Limits | None = None,
) -> Advised:
    """Return what to change in an analysed network.

    Args:
        analysis: The analysis.
        causes: What the causal engine says of it.
        audited: Configuration and its audit, where files gave them.
        limits: From where on something is to be done.
    """
    known = Known(*audited) if audited is not None else Known()
    return advise(analysis, causes, known, limits=limits)


def limits_told(told: Sequence[str]) -> Limits:
    """Return limits with some set, each told as "name=value".

    Raises:
        BadInput: A name is not known or a value is no positive number.
    """
    limits = Limits()
    for text in told:
        name, _, number = text.partition("=")
        name = name.strip()
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if name not in _SETTABLE or not value > 0:
            raise BadInput(
                place="--limit", expected=f"NAME=NUMBER with NAME one of {', '.join(_SETTABLE)}",
                found=repr(text[:60]),
            )  # fmt: skip
        limits = replace(limits, **{name: type(getattr(limits, name))(value)})
    return limits


def check_plan_path(path: Path) -> None:
    """Refuse a path that no plan can be written to.

    Raises:
        UsageError: Its suffix or folder is not right.
    """
    check_output(path, "--plan", PLAN_SUFFIXES)


def files_of_plan(path: Path) -> tuple[Path, Path, Path]:
    """Return the plan, the plan that takes it back, and the table of work orders beside it."""
    undo = path.with_name(f"{path.stem}-undo{path.suffix}")
    return path, undo, path.with_name(f"{path.stem}-work-orders.csv")


def write_advice(advised: Advised, path: Path) -> dict[str, Path]:
    """Write the plan, the plan that takes it back, and all recommendations as a table.

    Each file appears whole or not at all; the plan last, so that none is there without its undo.
    Where no recommendation has a present value to start from there is no plan.

    Args:
        advised: What to change.
        path: Of the plan, ".xml" or ".csv"; the others stand beside it, named after it.

    Returns:
        What was written, by what it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path, undo, orders = files_of_plan(path)
    write_work_orders(advised.recommendations, orders)
    written = {"Work orders": orders}
    plan = advised.plan.plan
    if plan is not None:
        _write(undo_of(plan), advised, undo)
        _write(plan, advised, path)
        written |= {"Undo": undo, "Plan": path}
    return written


def _write(plan: Plan, advised: Advised, path: Path) -> None:
    if path.suffix.lower() == ".csv":
        write_plan_csv(plan, path)
        return
    when = dt.datetime.fromtimestamp(plan.time_s, dt.UTC)
    write_plan_xml(plan, advised.plan.network, path, dn_prefix=DN_PREFIX, when=when)
