"""Reads the rows of the ns-3 study of event A3, as HandoverLab (MIT) publishes them in JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from cellhive.adapters.files import read_bounded
from cellhive.core.errors import BadInput, NotFound
from cellhive.ran.validation.a3_study import A3Setting, Condition, StudyRow
from cellhive.ran.validation.urban_grid import site_positions

STUDY_FILE = Path("..") / "shared" / "data" / "validation" / "ns3_urban_a3.json"
"""Where the rows are looked for."""

_WARM_UP_S = 60.0
_LENGTH_S = {"A": 150.0, "B": 180.0, "C": 180.0}
"""Length of a run with its warm-up where the row does not say."""
_CHANGES = {
    "mobility.users": "users",
    "protocol.prep_s": "preparation_s",
    "protocol.t310_s": "t310_s",
}
"""What part C changes, and the field of ``Condition`` that it is."""


def read_study(path: Path) -> tuple[StudyRow, ...]:
    """Return the rows of the study.

    Args:
        path: ``ns3_urban_a3.json`` of HandoverLab.

    Raises:
        NotFound: There is no such file.
        BadInput: It is not that file, or its sites are elsewhere.
    """
    if not path.exists():
        message = (
            f"{path}: there is no such file; give the rows of the ns-3 study with --reference. "
            "They are verify/data/ns3_urban_a3.json of the package handoverlab (PyPI, MIT)"
        )
        raise NotFound(message)
    try:
        document = json.loads(read_bounded(path))
        _check_sites(document["sites"], path)
        rows = tuple(_row(row) for row in document["rows"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            place=str(path),
            expected="the ns-3 study in the form of HandoverLab",
            found=f"{type(error).__name__}: {error}",
        ) from error
    if not rows:
        raise BadInput(place=str(path), expected="rows", found="none")
    return rows


def _check_sites(sites: dict[str, Any], path: Path) -> None:
    for distance, found in sites.items():
        expected = site_positions(float(distance))
        if not np.array_equal(np.sort(expected, axis=0), np.sort(np.array(found, float), axis=0)):
            raise BadInput(
                place=f"{path}, sites {distance}",
                expected=f"sites at {expected.tolist()}",
                found=str(found),
            )


def _row(row: dict[str, Any]) -> StudyRow:
    part = str(row["part"])
    length_s = float(row.get("duration_s") or _LENGTH_S[part])
    changes = {_CHANGES[key]: value for key, value in (row.get("overrides") or {}).items()}
    condition = Condition(
        site_distance_m=int(row["isd_m"]),
        speed_m_s=float(row["speed_mps"]),
        measured_s=length_s - _WARM_UP_S,
        warm_up_s=_WARM_UP_S,
        **changes,
    )
    return StudyRow(
        part=part,
        condition=condition,
        setting=A3Setting(float(row["a3_offset_db"]), float(row["ttt_ms"]) / 1e3),
        handovers=float(row["handovers_pm"]),
        unnecessary=float(row["unnecessary_pm"]),
        failures=float(row["failures_pm"]),
        sinr_db=float(row["sinr_db"]),
        variant=str(row.get("variant", "")),
    )
