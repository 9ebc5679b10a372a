"""Maps put sectors, colours and pictures where they belong."""

from __future__ import annotations

import base64
import re
import struct
import xml.etree.ElementTree as ET
import zlib
from dataclasses import replace

import numpy as np
import pytest

from cellhive.core.types import Network
from cellhive.flows.trial import Raster, RunRecord
from cellhive.reports.drawing.colours import ColourScale, change_scale, scale_for
from cellhive.reports.drawing.png import palette_png
from cellhive.reports.map import Overlay, is_wide, network_map

SVG = "{http://www.w3.org/2000/svg}"
SCALE = ColourScale(0.0, 10.0)


@pytest.fixture
def network(run_record: RunRecord) -> Network:
    """Two sites, 500 m apart from west to east."""
    return run_record.network


def sectors(svg: str) -> dict[str, ET.Element]:
    """Return the sector shapes by the first line of their tooltip."""
    tree = ET.fromstring(svg)  # noqa: S314  # made by the code under test
    found = {}
    for path in tree.iter(f"{SVG}path"):
        if "sector" in (path.get("class") or ""):
            title = path.find(f"{SVG}title")
            found[(title.text or "").split("\n")[0] if title is not None else ""] = path
    return found


def decode(png: bytes) -> tuple[np.ndarray, np.ndarray, bytes]:
    """Return indices, palette and transparency of a PNG, read by the format's own rules."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        (crc,) = struct.unpack(">I", png[at + 8 + length : at + 12 + length])
        assert crc == zlib.crc32(kind + data)
        chunks[kind], at = data, at + 12 + length
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour) == (8, 3)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return rows[:, 1:], np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3), chunks[b"tRNS"]


def test_every_cell_is_a_wedge_of_its_colour(network: Network) -> None:
    """Value, unit and colour of each cell; the unknown one has no colour."""
    values = [0.0, 5.0, 10.0, 2.0, 3.0, np.nan]
    drawn = sectors(network_map(network, values, title="t", scale=SCALE, unit="dB"))
    assert len(drawn) == 6
    assert drawn["A-1"].get("style") == f"fill:{SCALE.hex(0.0)}"
    assert "5\u00a0dB" in "".join(drawn["A-2"].itertext())
    unknown = drawn[network.cell_ids[5]]
    assert unknown.get("style") is None
    assert "not known" in "".join(unknown.itertext())


def test_a_wedge_points_along_its_azimuth(network: Network) -> None:
    """The sector at azimuth 0 lies above its site, those at 120 and 240 below, right and left."""
    drawn = sectors(network_map(network, np.zeros(6), title="t", scale=SCALE))

    def middle(cell: str) -> tuple[float, float, float, float]:
        numbers = [float(n) for n in re.findall(r"-?\d+\.\d", drawn[cell].get("d") or "")]
        x, y, x1, y1 = numbers[:4]
        x2, y2 = numbers[-2:]
        return (x1 + x2) / 2 - x, (y1 + y2) / 2 - y, x, y

    assert middle("A-1")[0] == pytest.approx(0, abs=0.2)
    assert middle("A-1")[1] < 0
    assert middle("A-2")[0] > 0
    assert middle("A-2")[1] > 0
    assert middle("A-3")[0] < 0
    assert middle("B-1")[2] > middle("A-1")[2]  # east is right


def test_carriers_of_one_sector_lie_in_rings(network: Network) -> None:
    """Two cells with one site and bearing do not hide one another."""
    stacked = replace(network, azimuth_deg=np.array([0.0, 5.0, 240.0, 0.0, 120.0, 240.0]))
    drawn = sectors(network_map(stacked, np.zeros(6), title="t", scale=SCALE))
    assert "L" in (drawn["A-1"].get("d") or "")
    assert (drawn["A-2"].get("d") or "").count("A") == 2  # an inner and an outer arc


def test_an_omnidirectional_cell_is_a_circle(network: Network) -> None:
    """No pattern, no wedge."""
    omni = np.array([True, *[False] * 5])
    drawn = sectors(
        network_map(replace(network, omnidirectional=omni), np.zeros(6), title="t", scale=SCALE)
    )
    assert "a" in (drawn["A-1"].get("d") or "")
    assert "L" not in (drawn["A-1"].get("d") or "")


def test_changed_cells_are_outlined_and_noted(network: Network) -> None:
    """Outline and note of a changed cell, relation lines as asked for."""
    overlay = Overlay(notes={0: "tilt <4> to 6"}, outlined=(0,), relations=[(0, 3)])
    svg = network_map(network, np.zeros(6), title="t", scale=SCALE, overlay=overlay)
    drawn = sectors(svg)
    assert drawn["A-1"].get("class") == "sector changed"
    assert "tilt <4> to 6" in "".join(drawn["A-1"].itertext())
    assert svg.count('class="relation"') == 1
    assert network.cell_ids[5] not in svg  # hostile, so only escaped
    assert "N</text>" in svg


def test_a_raster_is_drawn_north_up_with_holes(network: Network) -> None:
    """Row 0 lies in the south, so it is the last row of the picture; NaN is transparent."""
    values = np.array([[0.0, 10.0], [5.0, np.nan]], np.float32)
    raster = Raster(0.0, 0.0, 100.0, values)
    svg = network_map(network, None, title="t", scale=SCALE, overlay=Overlay(raster=raster))
    (uri,) = re.findall(r'href="data:image/png;base64,([^"]+)"', svg)
    indices, palette, opacity = decode(base64.b64decode(uri))
    assert indices.tolist() == [[128, 0], [1, 255]]
    assert opacity[0] == 0
    assert palette[1].tolist() == SCALE.rgb(0.0).tolist()
    assert palette[255].tolist() == SCALE.rgb(10.0).tolist()


def test_a_png_reads_back_as_it_was_written() -> None:
    """Indices and palette survive."""
    rng = np.random.default_rng(3)
    picture = rng.integers(0, 256, (7, 5), dtype=np.uint8)
    palette = rng.integers(0, 256, (256, 3), dtype=np.uint8)
    indices, colours, _ = decode(palette_png(picture, palette))
    assert np.array_equal(indices, picture)
    assert np.array_equal(colours, palette)


def test_colours_run_from_dark_to_bright() -> None:
    """Perceived lightness rises along the sequential scale (Rec. 709 luma)."""
    luma = SCALE.rgb(np.linspace(0, 10, 50)) @ np.array([0.2126, 0.7152, 0.0722])
    assert np.all(np.diff(luma) > 0)


def test_no_change_is_grey_and_better_is_blue() -> None:
    """Zero is neutral; where lower is better, a negative change is blue."""
    higher = change_scale([-3.0, 2.0], better="higher")
    lower = change_scale([-3.0, 2.0], better="lower")
    assert (higher.low, higher.high) == (-3.0, 3.0)
    red, green, blue = higher.rgb(0.0).tolist()
    assert max(red, green, blue) - min(red, green, blue) < 5
    assert higher.rgb(3.0)[2] > higher.rgb(3.0)[0]
    assert higher.rgb(3.0).tolist() == lower.rgb(-3.0).tolist()


def test_scales_fit_what_they_compare() -> None:
    """Two maps share limits; nothing known still gives a scale."""
    assert (scale_for([1.0, np.nan], [9.0]).low, scale_for([1.0], [9.0]).high) == (0.0, 10.0)
    assert scale_for([np.nan]).high == 1.0
    assert change_scale([np.nan]).high == 1.0
    assert change_scale([0.0]).high == 1.0


def test_a_corridor_takes_the_full_width(network: Network) -> None:
    """Ten kilometres by one are wide, a single site is not."""
    long = replace(network, x_m=np.repeat([0.0, 500.0], 3) * 20)
    corridor = replace(network, x_m=np.arange(6) * 1000.0)
    assert is_wide(corridor)
    assert not is_wide(replace(network, x_m=np.zeros(6)))
    assert network_map(long, np.zeros(6), title="t", scale=SCALE)


def test_a_single_site_can_be_drawn(network: Network) -> None:
    """One place has no distances to scale by, and still a map."""
    alone = replace(network, x_m=np.zeros(6), site_ids=("A",) * 6)
    svg = network_map(alone, np.zeros(6), title="t", scale=SCALE)
    assert "nan" not in svg
    assert "inf" not in svg
