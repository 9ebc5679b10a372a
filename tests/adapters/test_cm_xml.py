"""Plans leave as bulk configuration files and come back exactly; nothing else comes in."""

import io
import math
import os
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from cellhive.adapters.plans.cm_xml import read_plan_xml, write_plan_xml
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.schema import PARAMETERS, Per
from cellhive.core.types import Change, Effect, Network, Plan

GOLDEN = Path(__file__).parents[1] / "golden" / "cm"
SCHEMAS = Path(__file__).parents[3] / "shared" / "data" / "formats_cm" / "sigscale_rim"
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CELLS = ("A-1", "A-2", "B <&> 1")


def small_network(cells: tuple[str, ...] = CELLS) -> Network:
    """Return a network of three cells on two sites in which all are neighbours."""
    zeros = np.zeros(3)
    pairs = [(s, t) for s in range(3) for t in range(3) if s != t]
    return Network(
        name="demo",
        cell_ids=cells,
        site_ids=("A", "A", "B"),
        x_m=zeros,
        y_m=zeros,
        height_m=zeros + 25,
        azimuth_deg=zeros,
        mechanical_tilt_deg=zeros,
        carrier_hz=zeros + 3.5e9,
        bandwidth_hz=zeros + 20e6,
        environment=("UMa",) * 3,
        coverage_cell=np.ones(3, np.bool_),
        protected=np.zeros(3, np.bool_),
        relation_source=np.array([p[0] for p in pairs], np.int32),
        relation_target=np.array([p[1] for p in pairs], np.int32),
    )


NETWORK = small_network()
PLAN = Plan(
    plan_id="mro-17",
    function="MRO",
    time_s=1800.0,
    changes=(
        Change("A-1", "cio_db", 0.0, 1.0, "B <&> 1", "too late -- 12 % of 50 <attempts>"),
        Change("A-1", "a3_offset_db", 3.0, 2.5, reason="too late"),
        Change("A-1", "time_to_trigger_s", 0.32, 0.16),
        Change("A-1", "hysteresis_db", 1.0, 0.5),
        Change("A-1", "filter_coefficient", 4.0, 6.0),
        Change("B <&> 1", "electrical_tilt_deg", 4.0, 5.5, reason="ends with a dash -"),
        Change("B <&> 1", "tx_power_dbm", 46.0, 43.5, reason="two\nlines\r\n"),
        Change("A-2", "asleep", 0.0, 1.0),
    ),
    expected=(Effect("handover_failure_ratio", -0.01, -0.02, 0.1 + 0.2),),
    evidence=("frame 3", ""),
)


def export(plan: Plan, network: Network = NETWORK) -> bytes:
    """Return the file of a plan."""
    out = io.BytesIO()
    write_plan_xml(plan, network, out, dn_prefix="DC=example.com,SubNetwork=Milan", when=WHEN)
    return out.getvalue()


def put(folder: Path, data: bytes | str) -> Path:
    """Write a file to read."""
    path = folder / "plan.xml"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def foreign(*replacements: tuple[str, str]) -> str:
    """Return the foreign file with some text replaced, each exactly once."""
    text = (GOLDEN / "foreign.xml").read_text()
    for old, new in replacements:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def test_file_is_the_golden_one() -> None:
    """The file of a known plan is the one that was read through by hand."""
    path = GOLDEN / "plan.xml"
    if os.environ.get("CELLHIVE_WRITE_GOLDEN"):
        path.write_bytes(export(PLAN))
    assert export(PLAN) == path.read_bytes()


def test_plan_comes_back_exactly(tmp_path: Path) -> None:
    """Before, after, reasons, order, expectation and evidence survive a file."""
    path = tmp_path / "plan.xml"
    write_plan_xml(PLAN, NETWORK, path, dn_prefix="DC=example.com", when=WHEN)
    assert read_plan_xml(path, NETWORK) == PLAN
    assert [p.name for p in tmp_path.iterdir()] == ["plan.xml"]


def test_file_follows_the_hand_written_schema() -> None:
    """Frame, objects, attributes and ranges are those that the standards give."""
    schema = etree.XMLSchema(etree.parse(GOLDEN / "configData.xsd"))
    schema.assertValid(etree.fromstring(export(PLAN)))


def test_frame_follows_the_published_schema() -> None:
    """Header, footer, SubNetwork and ManagedElement satisfy the 3GPP schemas as published.

    The published set contradicts itself outside these parts (an import of epcn3aiNrm names
    another namespace), hence every import but that of genericNrm is left out, and so are
    the NR objects, whose schema is older than the attributes.
    """
    if not SCHEMAS.is_dir():
        pytest.skip("the published schemas (shared/data/formats_cm) are not there")
    frame = etree.parse(SCHEMAS / "schema" / "configData.xsd")
    for imported in frame.findall("{http://www.w3.org/2001/XMLSchema}import"):
        if imported.get("schemaLocation") != "genericNrm.xsd":
            imported.getparent().remove(imported)
    schema = etree.XMLSchema(frame)
    root = etree.fromstring(export(PLAN))
    vendor_data = "{urn:cellhive:cm:1}*"
    for element in [*root.iter("{*}GNBCUCPFunction", "{*}GNBDUFunction"), *root.iter(vendor_data)]:
        if element.getparent() is not None:
            element.getparent().remove(element)
    for container in root.iter("{*}VsDataContainer"):
        namespace = etree.QName(container).namespace
        etree.SubElement(container[0], f"{{{namespace}}}vsData")
    schema.assertValid(root)


def test_only_changed_objects_are_marked() -> None:
    """Objects above a change carry no modifier, neither does the record; all others update."""
    root = etree.fromstring(export(PLAN))
    marked = {etree.QName(e).localname for e in root.iter("{*}*") if e.get("modifier")}
    assert marked == {
        "NRCellRelation",
        "VsDataContainer",
        "CESManagementFunction",
        "NRSectorCarrier",
        "CommonBeamformingFunction",
    }
    assert {e.get("modifier") for e in root.iter("{*}*") if e.get("modifier")} == {"update"}
    record = next(root.iter("{*}vsDataCellHivePlan"))
    assert all(e.get("modifier") is None for e in record.iterancestors())


def test_foreign_file_is_read_without_values_before() -> None:
    """A minimal update from elsewhere becomes changes whose values before are not known."""
    plan = read_plan_xml(GOLDEN / "foreign.xml", NETWORK_OF_FOREIGN, now_s=60.0)
    assert (plan.plan_id, plan.function, plan.time_s) == ("import-foreign", "operator", 60.0)
    cio, asleep, power = plan.changes
    assert (cio.cell, cio.target, cio.parameter, cio.after) == ("A-1", "B-1", "cio_db", -3.0)
    assert (asleep.cell, asleep.parameter, asleep.after) == ("A-1", "asleep", 1.0)
    assert power.parameter == "tx_power_dbm"
    assert power.after == pytest.approx(43.0103, abs=1e-4)  # 10 log10(20000 mW)
    assert all(math.isnan(change.before) for change in plan.changes)


NETWORK_OF_FOREIGN = small_network(("A-1", "A-2", "B-1"))


@pytest.mark.parametrize(
    ("replacements", "message"),
    [
        ([('NRCellCU id="A-1"', 'NRCellCU id="A-9"')], "cell 'A-9'; did you mean 'A-"),
        ([("NRCellCU=B-1", "NRCellCU=C-1")], "found cell 'C-1'"),
        ([("configuredMaxTxPower>20000<", "configuredMaxTxPower>lots<")], "found 'lots'"),
        ([("configuredMaxTxPower>20000<", "configuredMaxTxPower>0<")], "found '0'"),
        ([("configuredMaxTxPower>20000<", "configuredMaxTxPower><")], "found ''"),
        ([("rsrpOffsetSsb>-3<", "rsrpOffsetSsb>-7<")], "found '-7'"),
        ([("<r:rsrpOffsetSsb>-3</r:rsrpOffsetSsb>", "<r:rsrqOffsetSsb>1</r:rsrqOffsetSsb>")],
         "found rsrqOffsetSsb"),
        ([("isEnergySaving", "dozing")], "expected one of toBeNotEnergySaving"),
        ([('NRCellRelation id="42" modifier="update"', 'NRCellRelation id="42" modifier="create"')],
         "it never adds objects"),
        ([('NRCellRelation id="42" modifier="update"', 'NRCellRelation id="42" modifier="delete"')],
         "it never removes objects"),
        ([('NRCellRelation id="42" modifier="update"', 'NRCellRelation id="42" modifier="merge"')],
         'found modifier="merge"'),
        ([('<r:energySavingState>isEnergySaving</r:energySavingState>',
           '<r:energySavingState>isEnergySaving</r:energySavingState>'
           '<r:energySavingControl>toBeEnergySaving</r:energySavingControl>')], "a second value"),
        ([('<fileFooter dateTime="2026-01-01T00:00:00Z"/>', "")], "the element fileFooter"),
        ([('ManagedElement id="1"', 'ManagedElement id="B"')], "below its site A, found site B"),
        ([("<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
           "<!DOCTYPE bulkCmConfigDataFile [<!ENTITY a \"1\">]>")], "without a document type"),
        ([('<?xml version="1.0" encoding="UTF-8"?>',
           '<!DOCTYPE b [<!ENTITY a SYSTEM "file:///etc/hostname">]>'),
          ("isEnergySaving", "&a;")], "without a document type"),
        ([("isEnergySaving", "&nbsp;")], "well-formed XML"),
        ([('encoding="UTF-8"', 'encoding="KLINGON"')], "expected"),
    ],
)  # fmt: skip
def test_bad_files_are_refused_with_a_reason(
    tmp_path: Path, replacements: list[tuple[str, str]], message: str
) -> None:
    """Each way a file can be wrong is named, with the file and what was found."""
    path = put(tmp_path, foreign(*replacements))
    with pytest.raises(BadInput) as caught:
        read_plan_xml(path, NETWORK_OF_FOREIGN)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "an empty file"),
        (b"   \n", "an empty file"),
        (b"plan_id,function\n", "well-formed XML"),
        (b"<a/>", "bulkCmConfigDataFile"),
        (b"<bulkCmConfigDataFile/>", "TS 32.615 or 32.616"),
        (b"\x1f\x8b\x08rubbish", "read to its end"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    """What is no bulk configuration file at all is refused too."""
    with pytest.raises(BadInput, match=message):
        read_plan_xml(put(tmp_path, data), NETWORK)


def test_cut_file_is_refused(tmp_path: Path) -> None:
    """A file that ends in the middle is never read as a smaller plan."""
    data = export(PLAN)
    for end in range(1, len(data) - len("\n") - 1, 97):
        with pytest.raises(BadInput):
            read_plan_xml(put(tmp_path, data[:end]), NETWORK)


def test_snapshot_is_not_a_plan(tmp_path: Path) -> None:
    """A configuration without any update is refused; a published example is one."""
    path = SCHEMAS / "examples" / "nr.xml"
    text = path.read_bytes() if path.is_file() else foreign().replace('modifier="update"', "")
    with pytest.raises(BadInput, match="a snapshot of a configuration is not a plan"):
        read_plan_xml(put(tmp_path, text), NETWORK)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<ch:a3Offset>5<", "<ch:a3Offset>6<"),
        ("<ch:after>43.5<", "<ch:after>43.0<"),
        ("<ch:after>1.0</ch:after>", "<ch:after>nan</ch:after>"),
    ],
)
def test_file_that_contradicts_its_record_is_refused(tmp_path: Path, old: str, new: str) -> None:
    """An edited value is found, whichever of the two places was edited."""
    text = export(PLAN).decode().replace(old, new)
    with pytest.raises(BadInput, match="alike in its object and in the record"):
        read_plan_xml(put(tmp_path, text), NETWORK)


def test_change_missing_from_objects_or_record_is_refused(tmp_path: Path) -> None:
    """Neither a removed object nor a removed record entry goes unnoticed."""
    root = etree.fromstring(export(PLAN))
    tilt = next(root.iter("{*}CommonBeamformingFunction"))
    tilt.getparent().remove(tilt)
    with pytest.raises(BadInput, match=r"nothing in the object, 5\.5 in the record"):
        read_plan_xml(put(tmp_path, etree.tostring(root)), NETWORK)
    root = etree.fromstring(export(PLAN))
    entry = next(root.iter("{*}change"))
    entry.getparent().remove(entry)
    with pytest.raises(BadInput, match="found 1 in the object, nothing in the record"):
        read_plan_xml(put(tmp_path, etree.tostring(root)), NETWORK)


def test_broken_records_are_refused(tmp_path: Path) -> None:
    """A record with a change twice, a part missing or a word for a number is no record."""
    text = export(PLAN).decode()
    start, end = text.index("<ch:change>"), text.index("</ch:change>") + len("</ch:change>")
    for old, new, message in (
        (text[start:end], text[start:end] * 2, "each change recorded once"),
        ("<ch:function>MRO</ch:function>", "", "function in the record"),
        ("<ch:timeS>1800.0<", "<ch:timeS>noon<", "a number for timeS, found 'noon'"),
    ):
        with pytest.raises(BadInput, match=message):
            read_plan_xml(put(tmp_path, text.replace(old, new, 1)), NETWORK)


def test_plain_offset_is_read(tmp_path: Path) -> None:
    """Older models give cellIndividualOffset as one number."""
    text = re.sub(r"<r:rsrpOffsetSsb>-3</r:rsrpOffsetSsb>", "-4", foreign())
    text = re.sub(r"Offset>\s+-4\s+<", "Offset> -4 <", text)
    assert read_plan_xml(put(tmp_path, text), NETWORK_OF_FOREIGN).changes[0].after == -4.0


def test_values_between_grid_points_keep_their_exact_power(tmp_path: Path) -> None:
    """The record keeps what whole milliwatts cannot: 43.23 dBm comes back as 43.23 dBm."""
    plan = replace(PLAN, changes=(Change("A-1", "tx_power_dbm", 46.0, 43.23),))
    assert read_plan_xml(put(tmp_path, export(plan)), NETWORK) == plan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Change("A-9", "asleep", 0, 1), "found cell 'A-9'"),
        (Change("A-1", "cio_db", 0, 1), "a target cell for cio_db"),
        (Change("A-1", "asleep", 0, 1, "A-2"), "no target cell for asleep"),
        (Change("A-1", "cio_db", 0, 1, "A-1"), "a neighbour relation"),
        (Change("A-1", "colour", 0, 1), "found colour"),
        (Change("A-1", "prb_utilisation_ratio", 0, 1), "found prb_utilisation_ratio"),
        (Change("A-1", "cio_db", 0, 7.0, "A-2"), "on the grid of TS 38.331, found 7"),
        (Change("A-1", "a3_offset_db", 0, 15.5), "-30 to 30, found 15.5"),
        (Change("A-1", "electrical_tilt_deg", 0, 4.55), "found 4.55"),
        (Change("A-1", "electrical_tilt_deg", 0, math.nan), "found nan"),
        (Change("A-1", "time_to_trigger_s", 0, 0.05), "found 0.05"),
        (Change("A-1", "asleep", 0, 1, reason="bell \a"), "U+0007"),
    ],
)
def test_plans_that_no_file_can_say_are_refused(change: Change, message: str) -> None:
    """A value that the standard cannot express is refused, not rounded."""
    with pytest.raises(BadInput) as caught:
        export(replace(PLAN, changes=(change,)))
    assert message in str(caught.value)


def test_empty_plans_and_repeated_changes_are_refused() -> None:
    """There is nothing to write, or two values for one attribute."""
    with pytest.raises(BadInput, match="at least one change"):
        export(replace(PLAN, changes=()))
    with pytest.raises(BadInput, match="more than one"):
        export(replace(PLAN, changes=(PLAN.changes[0], PLAN.changes[0])))


def test_refused_plan_leaves_no_file(tmp_path: Path) -> None:
    """Nothing half-written stays behind."""
    path = tmp_path / "plan.xml"
    with pytest.raises(BadInput):
        write_plan_xml(replace(PLAN, changes=()), NETWORK, path, dn_prefix="", when=WHEN)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BadInput, match="a folder that can be written"):
        write_plan_xml(PLAN, NETWORK, tmp_path / "no" / "p.xml", dn_prefix="", when=WHEN)


def test_time_needs_a_zone_and_files_must_exist(tmp_path: Path) -> None:
    """A footer without a zone would be ambiguous; a missing file is said to be missing."""
    with pytest.raises(ValueError, match="time zone"):
        write_plan_xml(
            PLAN, NETWORK, io.BytesIO(), dn_prefix="", when=datetime(2026, 1, 1)
        )  # fmt: skip
    with pytest.raises(NotFound, match="no such file"):
        read_plan_xml(tmp_path / "none.xml", NETWORK)


SLACK = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20)
VALUES = {
    q.name: [v for v in q.grid if q.name not in {"a3_offset_db", "hysteresis_db"} or abs(v) <= 15]
    for q in PARAMETERS
}


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Return any plan for the small network that the standard can express."""
    every = [
        (cell, target, q.name)
        for q in PARAMETERS
        for cell in CELLS
        for target in (CELLS if q.per is Per.RELATION else (None,))
        if cell != target
    ]
    keys = draw(st.lists(st.sampled_from(every), min_size=1, max_size=12, unique=True))
    numbers = st.floats(allow_nan=False)
    changes = tuple(
        Change(cell, name, draw(numbers), draw(st.sampled_from(VALUES[name])), target, draw(TEXT))
        for cell, target, name in keys
    )
    expected = st.builds(Effect, TEXT, numbers, numbers, numbers)
    return Plan(
        draw(TEXT), draw(TEXT), draw(numbers), changes,
        tuple(draw(st.lists(expected, max_size=2))), tuple(draw(st.lists(TEXT, max_size=2))),
    )  # fmt: skip


@SLACK
@given(plan=plans())
def test_any_plan_comes_back_and_follows_the_schema(tmp_path: Path, plan: Plan) -> None:
    """Whatever the standard can express survives a file exactly."""
    text = export(plan)
    schema = etree.XMLSchema(etree.parse(GOLDEN / "configData.xsd"))
    schema.assertValid(etree.fromstring(text))
    assert read_plan_xml(put(tmp_path, text), NETWORK) == plan


@SLACK
@given(data=st.binary(max_size=400))
def test_random_bytes_are_refused(tmp_path: Path, data: bytes) -> None:
    """No bytes give anything but a plan or an error that says what is wrong."""
    with pytest.raises(BadInput):
        read_plan_xml(put(tmp_path, data), NETWORK)


@SLACK
@given(where=st.integers(0, 6000), new=st.binary(max_size=12), cut=st.integers(0, 30))
def test_damaged_files_give_a_plan_or_an_error(
    tmp_path: Path, where: int, new: bytes, cut: int
) -> None:
    """A file with some bytes exchanged is refused or still a whole plan; nothing else happens."""
    data = export(PLAN)
    damaged = data[:where] + new + data[where + cut :]
    try:
        plan = read_plan_xml(put(tmp_path, damaged), NETWORK)
    except BadInput:
        return
    assert len(plan.changes) == len(PLAN.changes)
