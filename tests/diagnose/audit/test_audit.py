"""The audit finds what was put wrong, names it, and says nothing of a sound network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from cellhive.core.errors import BadInput
from cellhive.core.measurements import Severity
from cellhive.diagnose.audit.configuration import Configuration
from cellhive.diagnose.audit.run import audit

STEP_M = 500.0


def sound(side: int = 5) -> Configuration:
    """Return a grid of three-sector sites: sectors that face each other are neighbours."""
    ids, sites, east, north, azimuth = [], [], [], [], []
    for row in range(side):
        for column in range(side):
            for sector in range(3):
                ids.append(f"S{row}{column}-{sector}")
                sites.append(f"S{row}{column}")
                east.append((column + 0.5 * (row % 2)) * STEP_M)
                north.append(row * STEP_M * 3**0.5 / 2)
                azimuth.append(30.0 + 120 * sector)
    x, y, bearing = np.array(east), np.array(north), np.array(azimuth)
    latitude = 48.0 + np.degrees(y / 6_371_008.8)
    middle = np.radians(np.median(latitude))
    longitude = 11.0 + np.degrees(x / 6_371_008.8 / np.cos(middle))
    away = np.hypot(x[:, None] - x, y[:, None] - y)
    near = (away < 1.9 * STEP_M) & ~np.eye(x.size, dtype=bool)
    source, target = np.nonzero(near)
    # the handovers of a cell go to where it points
    heading = np.degrees(np.arctan2(x[target] - x[source], y[target] - y[source]))
    off = np.abs((heading - bearing[source] + 180) % 360 - 180)
    weight = np.where(away[source, target] > 1, np.where(off < 70, 100.0, 3.0), 40.0)
    return Configuration(
        tuple(ids), tuple(sites), latitude, longitude, bearing,
        np.arange(x.size, dtype=np.int32) * 7 % 504, ("1815",) * x.size,
        source.astype(np.int32), target.astype(np.int32), np.ones(source.size, bool), weight,
        settings={"hysteresis_db": np.full(x.size, 2.0)},
    )  # fmt: skip


def _codes(conf: Configuration) -> dict[str, int]:
    found = audit(conf)
    return {check.code: found.count(check.code) for check in found.checks if not check.skipped}


def _with_relations(conf: Configuration, keep: npt.NDArray[np.bool_]) -> Configuration:
    """Return a configuration with some of its relations."""
    assert conf.relation_weight is not None
    return replace(
        conf,
        relation_source=conf.relation_source[keep],
        relation_target=conf.relation_target[keep],
        handover_allowed=conf.handover_allowed[keep],
        relation_weight=conf.relation_weight[keep],
    )


def test_a_sound_network_has_nothing_but_hints() -> None:
    """Every check is made; none finds more than alike primary sequences."""
    found = audit(sound())
    assert not [check.code for check in found.checks if check.skipped]
    assert {one.code for one in found.findings} <= {"pci-mod-3"}


def test_a_collision_and_its_confusions_are_laid_to_the_cell_that_was_changed() -> None:
    """The advice goes to the cell with most conflicts, and following it leaves none."""
    conf = sound()
    centre = conf.cell_ids.index("S22-0")
    other = conf.cell_ids.index("S23-0")
    pci = conf.physical_cell_id.copy()
    pci[centre] = pci[other]
    wrong = replace(conf, physical_cell_id=pci)
    found = audit(wrong)
    collisions = [one for one in found.findings if one.code == "pci-collision"]
    assert len(collisions) == 1
    assert set(collisions[0].cells) == {"S22-0", "S23-0"}
    assert found.count("pci-confusion") > 3
    pci[conf.cell_ids.index(collisions[0].cells[0])] = int(
        collisions[0].action.split("example to ")[1].split(",")[0]
    )
    mended = audit(replace(conf, physical_cell_id=pci))
    assert mended.count("pci-collision") == mended.count("pci-confusion") == 0


def test_another_carrier_is_no_collision() -> None:
    """A PCI may be used again by a neighbour on another carrier."""
    conf = sound()
    pci = np.full(conf.cells, 7, np.int32)
    carrier = tuple(str(i) for i in range(conf.cells))
    codes = _codes(replace(conf, physical_cell_id=pci, carrier=carrier))
    assert codes["pci-collision"] == codes["pci-confusion"] == 0


def test_one_way_and_barred_relations() -> None:
    """A relation taken out is reported once; a barred way back is only asked about."""
    conf = sound()
    keep = np.ones(conf.relation_source.size, bool)
    keep[17] = False
    cut = _with_relations(conf, keep)
    one_way = [one for one in audit(cut).findings if one.code == "one-way"]
    assert [one.severity for one in one_way] == [Severity.WARNING]
    assert one_way[0].cells == (
        conf.cell_ids[conf.relation_source[17]], conf.cell_ids[conf.relation_target[17]],
    )  # fmt: skip
    allowed = conf.handover_allowed.copy()
    allowed[17] = False
    barred = [one for one in audit(replace(conf, handover_allowed=allowed)).findings
              if one.code == "one-way"]  # fmt: skip
    assert [one.severity for one in barred] == [Severity.INFO]


def test_missing_neighbours_are_those_that_face_each_other() -> None:
    """Both relations of a pair on one mast are taken out."""
    conf = sound()
    a, b = conf.cell_ids.index("S22-0"), conf.cell_ids.index("S22-1")
    ends = np.stack([conf.relation_source, conf.relation_target], 1)
    keep = ~(((ends == [a, b]) | (ends == [b, a])).all(axis=1))
    cut = _with_relations(conf, keep)
    missing = [one for one in audit(cut).findings if one.code == "missing-neighbour"]
    assert [set(one.cells) for one in missing] == [{"S22-0", "S22-1"}]


def test_swapped_feeders_are_seen_in_the_handovers() -> None:
    """The bearings of two sectors are exchanged in the inventory; handovers stay as they are."""
    conf = sound()
    a, b = conf.cell_ids.index("S22-0"), conf.cell_ids.index("S22-1")
    azimuth = conf.azimuth_deg.copy()
    azimuth[[a, b]] = azimuth[[b, a]]
    swapped = [one for one in audit(replace(conf, azimuth_deg=azimuth)).findings
               if one.code == "swapped-sectors"]  # fmt: skip
    assert [set(one.cells) for one in swapped] == [{"S22-0", "S22-1"}]
    few = replace(
        conf, azimuth_deg=azimuth, relation_weight=np.full(conf.relation_source.size, 0.1)
    )
    check = next(one for one in audit(few).checks if one.code == "swapped-sectors")
    assert check.skipped  # too few handovers to say anything


def test_positions_and_settings_that_stand_apart() -> None:
    """A lost sign, a cell torn off its site, a hysteresis of its own, a neighbour far away."""
    conf = sound()
    latitude = conf.latitude_deg.copy()
    latitude[0] = -latitude[0]
    latitude[10] += 0.01
    hysteresis = conf.settings["hysteresis_db"].copy()
    hysteresis[5] = 0.0
    found = audit(replace(conf, latitude_deg=latitude, settings={"hysteresis_db": hysteresis}))
    by_code = {code: [one.cells[0] for one in found.findings if one.code == code]
               for code in ("far-position", "torn-site", "outlier")}  # fmt: skip
    assert by_code["far-position"] == [conf.cell_ids[0]]
    assert conf.cell_ids[10] in [cell for one in found.findings if one.code == "torn-site"
                                 for cell in one.cells]  # fmt: skip
    assert by_code["outlier"] == [conf.cell_ids[5]]
    measured = {"height_m": np.linspace(10, 60, conf.cells)}
    assert _codes(replace(conf, settings=measured))["outlier"] == 0


def test_what_the_files_do_not_say_is_not_checked() -> None:
    """Without identities, positions and relations, each check says what it needs."""
    nothing = Configuration(
        ("a", "b"), ("", ""), np.full(2, np.nan), np.full(2, np.nan), np.full(2, np.nan),
        np.full(2, -1, np.int32), ("", ""), np.zeros(0, np.int32), np.zeros(0, np.int32),
        np.zeros(0, bool),
    )  # fmt: skip
    found = audit(nothing)
    assert found.findings == ()
    assert all(check.skipped for check in found.checks)
    with pytest.raises(BadInput, match="latitude_deg has 1"):
        replace(nothing, latitude_deg=np.zeros(1))
