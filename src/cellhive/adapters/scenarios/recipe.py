"""Between the text of a scenario file and the scenario it means, both ways."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import yaml

from cellhive.adapters.scenarios import fields as f
from cellhive.adapters.scenarios.tree import Twig, read_tree
from cellhive.core.errors import BadInput
from cellhive.core.schema import KPIS
from cellhive.ran.layout import SiteDesign
from cellhive.ran.scenarios import (
    FLAT_CURVE,
    HOUR_S,
    MOST_SHARE,
    URBAN_CURVE,
    Curve,
    Event,
    HexLayout,
    HighwayLayout,
    RealSites,
    Scenario,
    SiteListLayout,
    Splits,
)
from cellhive.ran.users import Traffic, UserMix

ReadSites = Callable[[str, str], RealSites]
"""Returns the sites of a file and a bounding box."""

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_FOCUS = (*(quantity.name for quantity in KPIS), "power_w")
_MHZ = 1e6

_MIX_PAIRS = {
    "indoor_loss_db": ("indoor_loss_mean_db", "indoor_loss_sigma_db"),
    "car_loss_db": ("car_loss_mean_db", "car_loss_sigma_db"),
}
_TRAFFIC_NAMES = {"best_effort_mbps": "elastic_mbps"}
_PARAMETER_NAMES = {"electrical_tilt_deg": "tilt_deg"}
_SPOT_NAMES = {
    "count": "hot_spots", "user_share": "hot_spot_share", "radius_m": "hot_spot_radius_m"
}  # fmt: skip
_FAULT_NAMES = {
    "tilt": {"cell_share": "mistilted_share", "off_by_deg": "mistilt_deg"},
    "a3": {"cell_share": "wrong_a3_share", "off_by_db": "wrong_a3_db"},
}


def parse_scenario(text: str, source: str, read_sites: ReadSites | None = None) -> Scenario:
    """Return the scenario that a text describes.

    Args:
        text: YAML, see the how-to.
        source: Name of the text, for messages.
        read_sites: Reads the site list of a layout of kind "sites"; None refuses those.

    Raises:
        BadInput: With the line, what was expected there, and what was found.
    """
    top = read_tree(text, source).branches(f.TOP, f.REQUIRED)
    version = f.Number(1, f.VERSION, "", "", whole=True)
    version.read(top["version"])
    values: dict[str, Any] = {
        "name": _name(top["name"]),
        "title": top["title"].text(),
        "focus": _focus(top["focus"]),
        "network": _layout(top["layout"], read_sites),
    }
    values |= _users(top["users"])
    if "time" in top:
        values |= _renamed(f.read_fields(top["time"], f.TIME), {"duration_h": "hours"})
    if "hot_spots" in top:
        values |= _hot_spots(top["hot_spots"], values["network"])
    if "traffic" in top:
        values |= _traffic(top["traffic"])
    if "events" in top:
        values["events"] = _events(top["events"], values)
    if "parameters" in top:
        values |= _parameters(top["parameters"], values["network"])
    if "faults" in top:
        values |= _faults(top["faults"])
    if "splits" in top:
        values["splits"] = _splits(top["splits"])
    return Scenario(**values)


def _renamed(values: f.Values, names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in values.items()}


def _name(twig: Twig) -> str:
    expected = "a name of lower-case letters, digits and hyphens, 40 at most"
    name = twig.text(expected)
    if not _NAME.fullmatch(name):
        raise twig.wrong(expected=expected)
    return name


def _focus(twig: Twig) -> tuple[str, ...]:
    expected = "a list of KPIs"
    names = tuple(f.Word("", _FOCUS).read(item) for item in twig.items(expected))
    if not names or len(set(names)) < len(names):
        raise twig.wrong(expected="different KPIs, at least one", found=", ".join(names) or "none")
    return names


def _layout(twig: Twig, read_sites: ReadSites | None) -> Callable[[], Any]:
    every = tuple(dict.fromkeys(["kind", *(key for keys in f.LAYOUTS.values() for key in keys)]))
    kind = f.Word("", tuple(f.LAYOUTS)).read(twig.branches(every, ("kind",))["kind"])
    twigs = twig.branches(("kind", *f.LAYOUTS[kind]), f.LAYOUT_REQUIRES[kind])
    given = {name: f.LAYOUTS[kind][name].read(twigs[name]) for name in twigs if name != "kind"}
    if kind == "sites":
        if read_sites is None:
            raise twig.wrong(expected="a generated layout", found="a site list")
        file, bbox = str(given["file"]), str(given.get("bbox", ""))
        return SiteListLayout(read_sites(file, bbox), file, bbox)
    design: dict[str, Any] = {}
    for name, value in given.items():
        if name.endswith("_mhz"):
            design[name.removesuffix("_mhz") + "_hz"] = float(round(_one(value) * _MHZ))
        elif name in {"height_m", "environment", "mechanical_tilt_deg"}:
            design[name] = value
    if kind == "highway":
        standard: dict[str, Any] = {"environment": "RMa", "height_m": 35.0}
        layout: Callable[[], Any] = HighwayLayout(
            int(_one(given["sites"])), _one(given["spacing_m"]),
            SiteDesign(**(standard | design)),
        )  # fmt: skip
    else:
        layout = HexLayout(
            int(_one(given["sites"])), _one(given["inter_site_distance_m"]), SiteDesign(**design)
        )
    if design.get("capacity_carrier_hz") == design["carrier_hz"]:
        raise twigs["capacity_carrier_mhz"].wrong(expected="another carrier than carrier_mhz")
    try:
        layout()
    except BadInput as error:  # what only the network itself can judge, with the line
        spot = twigs.get(error.place.replace("_hz", "_mhz"), twig)
        raise spot.wrong(expected=error.expected, found=error.found) from error
    return layout


def _one(value: float | tuple[float, float] | str) -> float:
    """Return a value that the form knows to be one number."""
    return value if isinstance(value, float) else float(str(value))


def _users(twig: Twig) -> dict[str, Any]:
    values = f.read_fields(twig, f.USERS, ("per_cell",))
    per_cell = values.pop("per_cell")
    mix = UserMix(users=0)
    for name, (mean, sigma) in _MIX_PAIRS.items():
        standard = getattr(mix, name)
        pair: Any = (values.pop(mean, standard[0]), values.pop(sigma, standard[1]))
        changes: dict[str, Any] = {name: pair}
        mix = replace(mix, **changes)
    given = [name for name in f.KINDS if name in values]
    if given and len(given) < len(f.KINDS):
        missing = next(name for name in f.KINDS if name not in values)
        raise twig.wrong(
            expected="all four shares of kinds of users, or none",
            found=f"no {missing}",
            remedy="add it",
        )
    if given:
        total = sum(_one(values[name]) for name in f.KINDS)
        if abs(total - 1) > 1e-6:  # noqa: PLR2004
            raise twig.wrong(expected=f"{', '.join(f.KINDS)} that add up to 1", found=f"{total:g}")
    changed: dict[str, Any] = dict(values)
    return {"users_per_cell": per_cell, "mix": replace(mix, **changed)}


def _hot_spots(twig: Twig, layout: Callable[[], Any]) -> dict[str, Any]:
    values = f.read_fields(twig, f.HOT_SPOTS, ("count", "user_share"))
    values["count"] = count = int(_one(values["count"]))
    sites = len(set(layout().site_ids))
    if count > sites:
        raise twig.wrong(expected=f"at most as many hot spots as sites, {sites}", found=str(count))
    return _renamed(values, _SPOT_NAMES)


def _traffic(twig: Twig) -> dict[str, Any]:
    twigs = dict(twig.branches((*f.TRAFFIC, "daily_curve")))
    found: dict[str, Any] = {}
    if "daily_curve" in twigs:
        found["curve"] = _curve(twigs.pop("daily_curve"))
    values = {name: f.TRAFFIC[name].read(value) for name, value in twigs.items()}
    if "peak_session_share" in values:
        found["peak_share"] = values.pop("peak_session_share")
    traffic: dict[str, Any] = _renamed(values, _TRAFFIC_NAMES)
    return {**found, "traffic": Traffic(**traffic)}


def _curve(twig: Twig) -> Curve:
    if not isinstance(twig.node, yaml.SequenceNode):
        name = f.Word("", (*f.CURVES, "a list of [hour, share]")).read(twig)
        return URBAN_CURVE if name == "urban" else FLAT_CURVE
    points = []
    for item in twig.items(""):
        pair = item.items("[hour, share of the busiest hour]")
        if len(pair) != len(f.CURVE_POINT):
            raise item.wrong(expected="[hour, share of the busiest hour]")
        of_hour, of_level = f.CURVE_POINT
        points.append((of_hour.read(pair[0]), of_level.read(pair[1])))
    hours = [hour for hour, _ in points]
    if not points or hours != sorted(set(hours)) or hours[-1] >= 24:  # noqa: PLR2004
        raise twig.wrong(
            expected="hours that ascend from 0 to below 24",
            found=str([f"{hour:g}" for hour in hours]),
        )
    return tuple(points)


def _events(twig: Twig, values: dict[str, Any]) -> tuple[Event, ...]:
    events = []
    for item in twig.items("a list of events"):
        given = f.read_fields(item, f.EVENT, ("start_h", "end_h", "factor"))
        start_h, end_h, factor = (_one(given[name]) for name in ("start_h", "end_h", "factor"))
        if end_h <= start_h or end_h - start_h > 24:  # noqa: PLR2004
            raise item.wrong(
                expected="an end after the start, within 24 h", found=f"{start_h:g} to {end_h:g} h",
                remedy="add 24 to the end of an event that passes midnight",
            )  # fmt: skip
        peak = values.get("peak_share", Scenario.peak_share) * factor
        if peak > MOST_SHARE:
            raise item.wrong(
                expected=f"peak_session_share times factor of at most {MOST_SHARE:g}",
                found=f"{peak:g}",
                remedy="more users cannot be in a session than there are: lower either",
            )  # fmt: skip
        events.append(Event(start_h * HOUR_S, end_h * HOUR_S, factor))
    if events and not values.get("hot_spots"):
        raise twig.wrong(expected="hot spots, whose users join events", found="no hot_spots")
    return tuple(events)


def _parameters(twig: Twig, layout: Callable[[], Any]) -> dict[str, Any]:
    values = f.read_fields(twig, f.PARAMETERS)
    if values.get("capacity_offset_db") and bool(layout().coverage_cell.all()):
        raise twig.wrong(
            expected="a capacity layer, for capacity_offset_db to prefer", found="one carrier",
            remedy="give layout.capacity_carrier_mhz",
        )  # fmt: skip
    return _renamed(values, _PARAMETER_NAMES)


def _faults(twig: Twig) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, fault in twig.branches(tuple(f.FAULTS)).items():
        values = f.read_fields(fault, f.FAULTS[name], tuple(f.FAULTS[name]))
        found |= _renamed(values, _FAULT_NAMES[name])
    return found


def _splits(twig: Twig) -> Splits:
    ranges: dict[str, tuple[int, int]] = {}
    for name, value in twig.branches(f.SPLITS, f.SPLITS).items():
        low, high = f.SEEDS.read(value)
        for other, (first, last) in ranges.items():
            if low <= last and first <= high:
                raise value.wrong(
                    expected=f"seeds that are not in {other} ({first} to {last})",
                    found=f"{low:g} to {high:g}", remedy="a city is in one split only",
                )  # fmt: skip
        ranges[name] = (int(low), int(high))
    return Splits(**ranges)


# --------------------------------------------------------------------------- to text


def scenario_text(scenario: Scenario) -> str:
    """Return the whole of a scenario as YAML, with everything that defaults leave unsaid.

    Raises:
        BadInput: Its network is not one of the layouts that files know.
    """
    mix, traffic = asdict(scenario.mix), asdict(scenario.traffic)
    users: dict[str, Any] = {"per_cell": scenario.users_per_cell}
    for name in ("near_sites_share", *f.KINDS, "pedestrian_m_s"):
        users[name] = mix[name]
    for name in ("street_m_s", "highway_m_s"):
        users[name] = list(mix[name])
    for name, keys in _MIX_PAIRS.items():
        users |= dict(zip(keys, mix[name], strict=True))
    content: dict[str, Any] = {
        "version": f.VERSION,
        "name": scenario.name,
        "title": scenario.title,
        "focus": list(scenario.focus),
        "layout": _layout_values(scenario),
        "time": {"start_h": scenario.start_h, "duration_h": scenario.hours},
        "users": users,
    }
    if scenario.hot_spots:
        content["hot_spots"] = {key: getattr(scenario, name) for key, name in _SPOT_NAMES.items()}
    old = {new: key for key, new in _TRAFFIC_NAMES.items()}
    content["traffic"] = {
        "peak_session_share": scenario.peak_share,
        "daily_curve": _curve_value(scenario.curve),
        **{old.get(name, name): value for name, value in traffic.items()},
    }
    if scenario.events:
        content["events"] = [
            {"start_h": e.start_s / HOUR_S, "end_h": e.end_s / HOUR_S, "factor": e.factor}
            for e in scenario.events
        ]
    content["parameters"] = {
        name: getattr(scenario, _PARAMETER_NAMES.get(name, name)) for name in f.PARAMETERS
    }
    content["faults"] = {
        kind: {key: getattr(scenario, name) for key, name in names.items()}
        for kind, names in _FAULT_NAMES.items()
    }
    content["splits"] = {name: list(getattr(scenario.splits, name)) for name in f.SPLITS}
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=90))


def _curve_value(curve: Curve) -> str | list[list[float]]:
    named = {URBAN_CURVE: "urban", FLAT_CURVE: "flat"}
    return named.get(curve) or [list(point) for point in curve]


def _layout_values(scenario: Scenario) -> dict[str, Any]:
    match scenario.network:
        case HexLayout(sites, distance_m, design):
            values = {"kind": "hex", "sites": sites, "inter_site_distance_m": distance_m}
        case HighwayLayout(sites, spacing_m, design):
            values = {"kind": "highway", "sites": sites, "spacing_m": spacing_m}
        case SiteListLayout(_, file, bbox):
            return {"kind": "sites", "file": file} | ({"bbox": bbox} if bbox else {})
        case _:
            raise BadInput(
                place=scenario.name, expected="a layout that files know",
                found=type(scenario.network).__name__,
            )  # fmt: skip
    for name, value in asdict(design).items():
        if value is not None:
            key = name.removesuffix("_hz") + "_mhz" if name.endswith("_hz") else name
            values[key] = value / _MHZ if name.endswith("_hz") else value
    return values
