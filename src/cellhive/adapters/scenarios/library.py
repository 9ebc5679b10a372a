"""Scenario files: those that come with the package, and those of the user."""

from __future__ import annotations

import difflib
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path

from cellhive.adapters.files import read_bounded
from cellhive.adapters.scenarios.recipe import parse_scenario
from cellhive.adapters.scenarios.tree import MOST_BYTES
from cellhive.adapters.sites.site_sectors import BoundingBox
from cellhive.adapters.sites.topology import read_sites
from cellhive.core.errors import BadInput, NotFound
from cellhive.ran.scenarios import RealSites, Scenario, SiteListLayout

SUFFIXES = (".yaml", ".yml")
"""What makes a scenario that is named a file."""

_ORDER = ("hex-urban", "highway-corridor", "stadium-surge", "night-energy", "mis-tilted", "healthy")


def _folder() -> resources.abc.Traversable:
    return resources.files("cellhive.adapters.scenarios") / "files"


@cache
def scenario_names() -> tuple[str, ...]:
    """Return the names of the scenarios that come with the package, the main ones first."""
    names = {
        entry.name.removesuffix(".yaml")
        for entry in _folder().iterdir()
        if entry.name.endswith(".yaml")
    }
    return (*(name for name in _ORDER if name in names), *sorted(names - set(_ORDER)))


def library_text(name: str) -> str:
    """Return the file of a scenario of the package, comments included.

    Raises:
        NotFound: With the names there are.
    """
    if name not in scenario_names():
        near = difflib.get_close_matches(name, scenario_names(), n=1)
        remedy = f"; did you mean {near[0]}?" if near else "; files end in .yaml"
        message = (
            f"expected a scenario out of {', '.join(scenario_names())} or a YAML file, "
            f"found {name!r}{remedy}"
        )
        raise NotFound(message)
    return (_folder() / f"{name}.yaml").read_text(encoding="utf-8")


@cache
def _of_package(name: str) -> Scenario:
    return parse_scenario(library_text(name), f"{name}.yaml")


def scenario_named(name: str) -> Scenario:
    """Return a scenario of the package, or that of a file where the name ends in .yaml.

    Raises:
        NotFound: There is no such scenario or file.
        BadInput: The file is not a scenario.
    """
    return load_scenario(Path(name)) if name.lower().endswith(SUFFIXES) else _of_package(name)


def library() -> dict[str, Scenario]:
    """Return every scenario that comes with the package by name."""
    return {name: _of_package(name) for name in scenario_names()}


def load_scenario(path: Path) -> Scenario:
    """Return the scenario in a file; a site list is looked for beside it.

    Raises:
        NotFound: There is no such file.
        BadInput: It is not a scenario: with the line, what was expected, and what was found.
    """
    data = read_bounded(path, max_bytes=MOST_BYTES)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(
            place=str(path), expected="text in UTF-8", found=f"byte {error.start} is none"
        ) from error

    def beside(file: str, bbox: str) -> RealSites:
        return sites_of(str(path.parent / file), bbox)

    scenario = parse_scenario(text, str(path), beside)
    if isinstance(scenario.network, SiteListLayout):  # findable from anywhere
        file = str((path.parent / scenario.network.file).resolve())
        return replace(scenario, network=replace(scenario.network, file=file))
    return scenario


def scenario_of(text: str, source: str, sites: RealSites | None = None) -> Scenario:
    """Return the scenario of a text that was written for a record.

    Args:
        text: YAML, with the whole path of a site list.
        source: Name of the text, for messages.
        sites: Sites to take whatever list is named: a replay needs no file.
    """
    return parse_scenario(
        text, source, lambda file, bbox: sites_of(file, bbox) if sites is None else sites
    )


def sites_of(file: str, bbox: str) -> RealSites:
    """Return the sites of a list as scenarios take them."""
    box = BoundingBox.parse(bbox) if bbox else None
    listed = read_sites(Path(file), bbox=box)
    return RealSites(listed.network, listed.electrical_tilt_deg, listed.tx_power_dbm)
