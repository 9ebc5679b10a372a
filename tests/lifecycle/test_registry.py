"""Rules of the registry: references, what fits, what differs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from model_stores import ROLE, manifest, tensors

from cellhive.core.errors import BadInput, NotFound
from cellhive.core.models import ModelManifest
from cellhive.lifecycle.registry import (
    check_fit,
    differences,
    next_version,
    parse_reference,
    resolve,
)
from cellhive.rl.policy import FLAT, PolicyShape, role_of, shape_of


def test_references() -> None:
    """A name alone is its champion."""
    assert parse_reference("city") == ("city", "champion")
    assert parse_reference("city:12") == ("city", 12)
    assert parse_reference("city:candidate") == ("city", "candidate")
    for bad in ("", ":", "city:", "city:0", "city:-1", "city:1:2", "../x:1", "city:A", "3:city"):
        with pytest.raises(BadInput):
            parse_reference(bad)


def test_versions() -> None:
    """Numbers follow the highest there ever was; what is not there is named."""
    assert next_version([]) == 1
    assert next_version([3, 1]) == 4
    assert resolve("city", "champion", [1, 2], {"champion": 2}) == 2
    with pytest.raises(NotFound, match=r"champion \(2\); found 'candidate'"):
        resolve("city", "candidate", [1, 2], {"champion": 2})
    with pytest.raises(NotFound, match="1 to 2; found 3"):
        resolve("city", 3, [2, 1], {})


def test_a_shape_travels_and_fits() -> None:
    """A manifest made from a shape gives the shape, and fits the code that made it."""
    for shape in (PolicyShape(), PolicyShape(("cio_db", "asleep"), 3, 16, 8, FLAT)):
        role = role_of("joint", shape)
        assert shape_of(role) == shape
        check_fit(manifest(roles=(role,)), {"joint": role})
    with pytest.raises(BadInput, match="heads"):
        shape_of(replace(role, heads=("beam_deg",)))


def test_what_was_trained_for_something_else_is_refused() -> None:
    """Names, units and order of features, heads and tensors are compared, and named."""
    now = role_of("joint", PolicyShape())
    swapped = (now.features[1], now.features[0], *now.features[2:])
    units = ("%", *now.units[1:])
    wide = {**now.tensors, "own.bias": (65,)}
    for changed, what in (
        ({"features": swapped}, "'prb_utilisation_ratio' in place 1"),
        ({"features": now.features[:-1], "units": now.units[:-1]}, "found 'nothing'"),
        ({"units": units}, "units of features"),
        ({"heads": now.heads[:-1]}, "heads"),
        ({"tensors": wide}, "tensors"),
    ):
        made = manifest(roles=(replace(now, **changed),), version=4)
        with pytest.raises(BadInput, match="city:4, role joint") as caught:
            check_fit(made, {"joint": now})
        assert what in str(caught.value)
        assert "0.6.0" in str(caught.value)


def test_differences_name_facts_and_weights() -> None:
    """Equal things are left out."""
    one = manifest(version=1), tensors(1.0)
    assert differences(one, (manifest(version=2), tensors(1.0))) == ()
    changed: ModelManifest = manifest(
        version=2, metrics={"reward": -1.0, "share": 0.5}, gates=(),
        roles=(replace(ROLE, hidden=4),),
    )  # fmt: skip
    found = differences(one, (changed, {**tensors(1.0), "joint/own.bias": tensors(2.0)[
        "joint/own.bias"]}))  # fmt: skip
    assert {(d.what, d.one, d.other) for d in found} == {
        ("joint: network", "flat, hidden 2, message 1, neighbours 1",
         "flat, hidden 4, message 1, neighbours 1"),
        ("metric: reward", "-1.25", "-1"), ("metric: share", "-", "0.5"),
        ("gate: rules", "passed: 0.62 points better", "-"),
        ("joint/own.bias, root mean square", "1", "2, apart 1"),
    }  # fmt: skip
