"""Scenarios as files: what they may say, how they are read, and those of the package."""

from cellhive.adapters.scenarios.library import (
    library,
    library_text,
    load_scenario,
    scenario_named,
    scenario_names,
    scenario_of,
)
from cellhive.adapters.scenarios.recipe import parse_scenario, scenario_text

__all__ = [
    "library",
    "library_text",
    "load_scenario",
    "parse_scenario",
    "scenario_named",
    "scenario_names",
    "scenario_of",
    "scenario_text",
]
