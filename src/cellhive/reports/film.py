"""Films of a run: a page that plays it, and a GIF to show around."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from cellhive.core.canvas import HEAT, NIGHT, Picture, coloured
from cellhive.core.errors import BadInput
from cellhive.core.schema import QUANTITIES
from cellhive.core.types import Network
from cellhive.flows.film import Shot, changed_cells
from cellhive.ran.picture import ASLEEP, CUT_OFF, SERVED, WAITING, layer_of
from cellhive.ran.radio_map import site_distance_m
from cellhive.ran.simulator import World
from cellhive.reports.drawing.png import data_uri, palette_png
from cellhive.reports.numbers import format_clock
from cellhive.reports.page import render

CHARTED = ("demand_satisfied_ratio", "ue_throughput_p5_mbps", "rlf_per_ue_min", "power_w")
"""KPIs that a film shows over time."""

_LEVELS = 40
_GIF_S = 0.12
_CAPTION_PX, _LEGEND_PX = 44, 90


def film_html(world: World, shots: Sequence[Shot], *, title: str, subtitle: str = "") -> str:
    """Return a self-contained page that plays a film.

    Args:
        world: The place.
        shots: The film, in order.
        title: What it shows.
        subtitle: How it was made.
    """
    text = json.dumps(_data(world, shots), separators=(",", ":"), allow_nan=False)
    safe = text.replace("<", "\\u003c").replace("&", "\\u0026")  # it stands inside a script
    return render(
        "film.html", title=title, subtitle=subtitle, shots=len(shots),
        data=Markup(safe),  # noqa: S704  # escaped above
    )  # fmt: skip


def _data(world: World, shots: Sequence[Shot]) -> dict[str, Any]:
    """Return what the page plays, as JSON values."""
    ground, network, radio_map = world.ground, world.network, world.radio_map
    return {
        "west": ground.west_m, "north": ground.north_m,
        "wide": ground.east_m - ground.west_m, "high": ground.north_m - ground.south_m,
        "ground": [radio_map.x0_m, radio_map.y0_m, radio_map.columns * radio_map.pixel_m,
                   radio_map.rows * radio_map.pixel_m],
        "radius": 0.26 * site_distance_m(network, alone_m=500.0),
        "cells": [_cell(network, cell) for cell in range(network.cells)],
        "heat": HEAT, "asleep": ASLEEP, "looks": [WAITING, SERVED, CUT_OFF],
        "charts": [_chart(name, shots) for name in CHARTED],
        "shots": [_shot(world, shot) for shot in shots],
    }  # fmt: skip


def _cell(network: Network, cell: int) -> list[Any]:
    omni = network.omnidirectional is not None and bool(network.omnidirectional[cell])
    return [
        network.cell_ids[cell], round(float(network.x_m[cell]), 1),
        round(float(network.y_m[cell]), 1), round(float(network.azimuth_deg[cell]), 1),
        *layer_of(network, cell), int(omni),
    ]  # fmt: skip


def _chart(name: str, shots: Sequence[Shot]) -> dict[str, Any]:
    """Return one KPI over time; ratios in per cent, power in kW."""
    label, unit, factor = "Power drawn", "kW", 1e-3
    if name != "power_w":
        quantity = QUANTITIES[name]
        label, unit, factor = quantity.label, quantity.unit, 1.0
        if unit == "ratio":
            unit, factor = "%", 100.0
    values = [shot.kpis[name] * factor for shot in shots]
    return {
        "label": label, "unit": unit,
        "values": [round(value, 4) if math.isfinite(value) else None for value in values],
    }  # fmt: skip


def _shot(world: World, shot: Shot) -> dict[str, Any]:
    """Return one shot; positions in metres east of the west and south of the north."""
    ground = world.ground
    across = np.rint(shot.x_m - ground.west_m).astype(int).tolist()
    down = np.rint(ground.north_m - shot.y_m).astype(int).tolist()
    indices = (1 + np.rint(shot.ground[::-1] * (_LEVELS - 1))).astype(np.uint8)
    colours = coloured(np.linspace(0.0, 1.0, _LEVELS), NIGHT)
    palette = np.concatenate([np.zeros((1, 3), np.uint8), colours])
    return {
        "time": format_clock(shot.time_s), "x": across, "y": down,
        "look": "".join(map(str, shot.looks.tolist())),
        "load": [round(value, 3) for value in shot.load.tolist()],
        "asleep": np.flatnonzero(shot.asleep).tolist(),
        "changed": changed_cells(world.network, shot), "changes": len(shot.changes),
        "ground": data_uri(palette_png(indices, palette)),
    }  # fmt: skip


def film_gif(pictures: Iterable[tuple[Shot, Picture]], *, title: str) -> bytes:
    """Return a film as a GIF file.

    Args:
        pictures: Shots with their pictures, in order; taken one by one.
        title: Stands above every picture.

    Raises:
        BadInput: Pillow is not installed, or there is no picture.
    """
    try:
        from PIL import Image  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise BadInput(
            place="film", expected="Pillow, to write a GIF", found="no such package",
            remedy="pip install 'cellhive[rl]', or ask for .html",
        ) from error  # fmt: skip
    colours = Image.new("P", (1, 1))
    colours.putpalette(_palette().tobytes())
    frames = [
        _captioned(Image.fromarray(picture), shot, title).quantize(
            palette=colours, dither=Image.Dither.NONE
        )
        for shot, picture in pictures
    ]
    if not frames:
        raise BadInput(place="film", expected="at least one shot", found="none")
    file = io.BytesIO()
    frames[0].save(
        file, "GIF", save_all=True, append_images=frames[1:], duration=int(1000 * _GIF_S), loop=0,
        optimize=True,
    )  # fmt: skip
    return file.getvalue()


def _palette() -> Picture:
    """Return the colours of every picture of a film, (N, 3): what is equal stays equal."""
    parts = [
        coloured(np.linspace(0.0, 1.0, _LEVELS), NIGHT),
        coloured(np.linspace(0.0, 1.0, 64), HEAT),
        coloured(np.linspace(0.0, 1.0, 16), ((12, 14, 20), (255, 255, 255))),
        np.array([ASLEEP, WAITING, SERVED, CUT_OFF], np.uint8),
    ]
    return np.concatenate(parts)


def _captioned(image: Any, shot: Shot, title: str) -> Any:
    """Return a picture with what it shows written above it."""
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415  # an extra

    framed = Image.new("RGB", (image.width, image.height + _CAPTION_PX), (12, 14, 20))
    framed.paste(image, (0, _CAPTION_PX))
    draw = ImageDraw.Draw(framed)
    font, small = ImageFont.load_default(15), ImageFont.load_default(12)
    draw.text((8, 5), f"{title}  {format_clock(shot.time_s)}", font=font, fill=(255, 255, 255))
    satisfied = shot.kpis["demand_satisfied_ratio"]
    words = [f"demand satisfied {satisfied:.1%}"] if math.isfinite(satisfied) else []
    words.append(f"{shot.kpis['power_w'] / 1e3:.1f} kW")
    words += [f"{len(shot.changes)} changes"] if shot.changes else []
    draw.text((8, 25), "   ".join(words), font=small, fill=(190, 198, 210))
    _legend(draw, framed.width - 100, small)
    return framed


def _legend(draw: Any, left: int, font: Any) -> None:
    """Draw the colours of the load."""
    for step in range(_LEGEND_PX):
        colour = tuple(coloured(step / (_LEGEND_PX - 1), HEAT).tolist())
        draw.line([(left + step, 8), (left + step, 18)], fill=colour)
    draw.text((left, 24), "load 0 to 100 %", font=font, fill=(170, 178, 190))


def drawn(film: Iterable[Shot], draw: Any) -> Iterator[tuple[Shot, Picture]]:
    """Yield every shot with the picture that ``draw`` makes right after it."""
    for shot in film:
        yield shot, draw()
