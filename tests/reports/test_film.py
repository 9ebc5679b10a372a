"""Films as a page and as a GIF."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from cellhive.adapters.scenarios import scenario_named
from cellhive.core.canvas import HEAT, coloured, stamp, wedge_mask
from cellhive.core.errors import BadInput
from cellhive.flows.decide import Silent
from cellhive.flows.film import Shot, shots
from cellhive.ran.picture import MapPicture
from cellhive.ran.scenarios import build_twin
from cellhive.ran.simulator import Twin
from cellhive.reports.film import drawn, film_gif, film_html


@pytest.fixture(scope="module")
def filmed() -> tuple[Twin, list[Shot], list[np.ndarray]]:
    """A twin, three shots of it, and their pictures."""
    twin = build_twin(scenario_named("highway-corridor"), 1, observed_s=4.0)
    picture = MapPicture(twin.world, size_px=300)
    pairs = list(drawn(shots(twin, Silent(), 3), lambda: picture.draw(twin.simulator)))
    return twin, [shot for shot, _ in pairs], [image for _, image in pairs]


def test_a_page_holds_every_shot_and_loads_nothing(
    filmed: tuple[Twin, list[Shot], list[np.ndarray]],
) -> None:
    """The data in the page are those of the shots; nothing comes from outside."""
    twin, reel, _ = filmed
    page = film_html(twin.world, reel, title="A <b>road</b>")
    assert "A &lt;b&gt;road" in page
    assert not re.search(r'(src|href)="?https?:', page)
    found = re.search(r"const D = (\{.*\});\n", page)
    assert found is not None
    data = json.loads(found.group(1))
    assert len(data["shots"]) == 3
    assert len(data["cells"]) == twin.network.cells
    shot = data["shots"][1]
    assert shot["time"] == "08:15"
    assert shot["x"][5] == round(float(reel[1].x_m[5]) - twin.world.ground.west_m)
    assert shot["load"] == [round(v, 3) for v in reel[1].load.tolist()]
    assert shot["ground"].startswith("data:image/png;base64,")
    satisfied = data["charts"][0]
    assert satisfied["unit"] == "%"
    expected = 100 * reel[2].kpis["demand_satisfied_ratio"]
    assert satisfied["values"][2] == pytest.approx(expected, abs=1e-3)


def test_a_gif_has_every_shot(filmed: tuple[Twin, list[Shot], list[np.ndarray]]) -> None:
    """The file is a GIF of as many pictures, larger by the caption."""
    image_module = pytest.importorskip("PIL.Image")
    _, reel, pictures = filmed
    file = film_gif(zip(reel, pictures, strict=True), title="road")
    with image_module.open(io.BytesIO(file)) as image:
        assert image.n_frames == 3
        assert image.size == (pictures[0].shape[1], pictures[0].shape[0] + 44)
    with pytest.raises(BadInput, match="at least one shot"):
        film_gif([], title="road")


def test_the_command_writes_both(cellhive, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """``cellhive twin film`` writes what its suffix says, and refuses what it cannot write."""
    few = ("--scenario", "highway-corridor", "--hours", 0.5, "--observed", 4)
    for name in ("film.html", "film.gif"):
        done = cellhive("twin", "film", *few, "--out", tmp_path / name)
        assert done.code == 0, done.err
        assert "2 shots" in done.out
        assert (tmp_path / name).stat().st_size > 10_000
    done = cellhive("twin", "film", *few, "--out", tmp_path / "film.mp4")
    assert done.code == 2
    assert "expected a file name ending in .html" in done.err


def test_shapes_and_colours() -> None:
    """By hand: a quarter of a disc, a dot cut off at the edge, and the ends of a scale."""
    rows, columns = np.mgrid[-5:6, -5:6].astype(float)
    mask = wedge_mask(rows, columns, (0.0, 4.0), np.radians(90), np.radians(45))
    assert mask[5, 9]  # four pixels to the right
    assert not mask[5, 10]  # five are too far
    assert not mask[1, 5]  # up is another quarter
    picture = np.zeros((4, 4, 3), np.uint8)
    stamp(picture, np.array([0.0]), np.array([0.0]), 1.0, np.array((9, 9, 9), np.uint8))
    assert picture[..., 0].tolist() == [[9, 9, 0, 0], [9, 0, 0, 0], [0] * 4, [0] * 4]
    ends = coloured([-1.0, 0.0, 1.0, np.nan], HEAT).tolist()
    assert ends == [list(HEAT[0]), list(HEAT[0]), list(HEAT[-1]), list(HEAT[0])]
