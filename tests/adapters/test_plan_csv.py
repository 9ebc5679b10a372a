"""Plans as tables come back exactly, survive spreadsheets, and never run as formulas."""

import csv
import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellhive.adapters.plans.plan_csv import COLUMNS, read_plan_csv, write_plan_csv
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Change, Network, Plan

ZEROS = np.zeros(3)
NETWORK = Network(
    name="demo",
    cell_ids=("A-1", "=B", " C "),
    site_ids=("A", "A", "B"),
    x_m=ZEROS,
    y_m=ZEROS,
    height_m=ZEROS + 25,
    azimuth_deg=ZEROS,
    mechanical_tilt_deg=ZEROS,
    carrier_hz=ZEROS + 3.5e9,
    bandwidth_hz=ZEROS + 20e6,
    environment=("UMa",) * 3,
    coverage_cell=np.ones(3, np.bool_),
    protected=np.zeros(3, np.bool_),
    relation_source=np.array([0, 1], np.int32),
    relation_target=np.array([1, 0], np.int32),
)
PLAN = Plan(
    "mro-17",
    "MRO",
    1800.0,
    (
        Change("A-1", "cio_db", 0.0, 1.0, "=B", 'too late, "12 %"\nof 50'),
        Change("=B", "electrical_tilt_deg", 4.0, 5.5, reason="=HYPERLINK(1)"),
        Change(" C ", "tx_power_dbm", 46.0, 43.1, reason="-3 dB"),
    ),
)
HEADER = "cell,target,parameter,after"


def put(folder: Path, data: bytes | str) -> Path:
    """Write a table to read."""
    path = folder / "plan.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def export(plan: Plan) -> bytes:
    """Return the table of a plan."""
    out = io.BytesIO()
    write_plan_csv(plan, out)
    return out.getvalue()


def test_table_is_what_a_person_expects() -> None:
    """Header, numbers, units and quoting, written down by hand."""
    lines = export(PLAN).decode().split("\r\n")
    assert lines[0] == "plan_id,function,time_s,cell,target,parameter,before,after,unit,reason"
    assert lines[1].startswith('mro-17,MRO,1800.0,A-1,\'=B,cio_db,0.0,1.0,dB,"too late, ""12 %')
    assert lines[2] == "mro-17,MRO,1800.0,'=B,,electrical_tilt_deg,4.0,5.5,deg,'=HYPERLINK(1)"
    assert lines[3] == "mro-17,MRO,1800.0, C ,,tx_power_dbm,46.0,43.1,dBm,'-3 dB"


def test_plan_comes_back_exactly(tmp_path: Path) -> None:
    """Numbers, line breaks, quotes and formula-like text survive."""
    path = tmp_path / "plan.csv"
    write_plan_csv(PLAN, path)
    assert read_plan_csv(path, NETWORK) == PLAN
    assert [p.name for p in tmp_path.iterdir()] == ["plan.csv"]


def test_no_text_starts_a_formula() -> None:
    """Whatever text a plan holds, no field but a number starts as a formula would."""
    texts = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''+1", "'plain")
    for text in texts:
        plan = Plan(text, text, -5.0, (Change("=B", "a3_offset_db", -1.0, -2.0, reason=text),))
        for row in csv.DictReader(io.StringIO(export(plan).decode(), newline="")):
            for name in ("plan_id", "function", "cell", "target", "parameter", "unit", "reason"):
                assert not row[name].startswith(("=", "+", "-", "@", "\t", "\r"))
            assert float(row["time_s"]) == -5.0


def test_what_spreadsheets_make_of_it_is_read(tmp_path: Path) -> None:
    """Semicolons, decimal commas, a byte order mark, another order, blank rows and columns."""
    text = (
        "\ufeffAfter;Cell;Parameter;Before;Plan_ID\r\n;;;;\r\n"
        "5,5;A-1;electrical_tilt_deg;4;p1\r\n43,25; A-1 ;tx_power_dbm;;p1;;\r\n"
    )
    plan = read_plan_csv(put(tmp_path, text), NETWORK, now_s=7.0)
    assert (plan.plan_id, plan.function, plan.time_s) == ("p1", "operator", 7.0)
    assert [change.after for change in plan.changes] == [5.5, 43.25]
    assert plan.changes[0].before == 4.0
    assert math.isnan(plan.changes[1].before)


def test_utf16_and_sep_line_are_read(tmp_path: Path) -> None:
    """Spreadsheets also write UTF-16 with tabs, and a line that names the separator."""
    utf16 = f"{HEADER}\r\nA-1,,asleep,1\r\n".replace(",", "\t").encode("utf-16")
    assert read_plan_csv(put(tmp_path, utf16), NETWORK).changes[0].after == 1.0
    named = "sep=;\n" + f"{HEADER}\nA-1,,asleep,x\n".replace(",", ";")
    with pytest.raises(BadInput, match="line 3, column 'after'"):
        read_plan_csv(put(tmp_path, named), NETWORK)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cell,parameter\nA-1,asleep\n", "found no column after"),
        (f"{HEADER},colour\nA-1,,asleep,1,red\n", "found the column 'colour'"),
        ("cell,cell,parameter,after\nA-1,A-1,asleep,1\n", "found cell twice"),
        (HEADER, "found no rows"),
        (f"{HEADER}\nA-9,,asleep,1\n", "line 2, column 'cell': expected one of the 3 cells"),
        (f"{HEADER}\nA-1,,sleepy,1\n", "line 2, column 'parameter'"),
        (f"{HEADER}\nA-1,,asleep,yes\n", "column 'after': expected a number, found 'yes'"),
        (f"{HEADER}\nA-1,,asleep,nan\n", "found 'nan'"),
        (f"{HEADER}\nA-1,,asleep,\n", "found ''"),
        (f"{HEADER}\nA-1,,asleep,1_0\n", "found '1_0'"),
        (f"{HEADER}\nA-1,,asleep,2\n", "asleep from 0 to 1, found 2"),
        (f'{HEADER}\nA-1,,asleep,"1,0"\n', "found '1,0'"),
        (f"{HEADER}\nA-1,,cio_db,1\n", "a target cell for cio_db"),
        (f"{HEADER}\nA-1, C ,cio_db,1\n", "a neighbour relation"),
        (f"{HEADER},unit\nA-1,,tx_power_dbm,40,W\n", "tx_power_dbm in dBm, found 'W'"),
        (f"{HEADER}\nA-1,,asleep,1\nA-1,,asleep,0\n", "a second one; the first is on line 2"),
        (f"plan_id,{HEADER}\np,A-1,,asleep,1\nq,=B,,asleep,1\n", "line 3, column 'plan_id'"),
        (f"{HEADER}\nA-1,asleep,1\n", "line 2: expected 4 fields as in the header, found 3"),
        (f'{HEADER}\nA-1,,asleep,"1\n', "a malformed row"),
        ("", "an empty file"),
        ("\x00\x01\x02", "a binary file"),
        (b"cell,parameter,after\nA-1,asleep,\xff\n", "line 2: expected text in UTF-8"),
    ],
)
def test_bad_tables_are_refused_with_line_and_column(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    """Each way a table can be wrong is named, with its place."""
    with pytest.raises(BadInput) as caught:
        read_plan_csv(put(tmp_path, text), NETWORK)
    assert message in str(caught.value)


def test_nothing_to_write_and_nothing_to_read(tmp_path: Path) -> None:
    """An empty plan has no table; a missing file is said to be missing."""
    with pytest.raises(BadInput, match="at least one change"):
        export(replace(PLAN, changes=()))
    with pytest.raises(NotFound, match="no such file"):
        read_plan_csv(tmp_path / "none.csv", NETWORK)


SLACK = settings(
    deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TEXT = st.text(
    st.one_of(
        st.characters(
            codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"
        ),
        st.sampled_from("=+-@'\t\r\n\",;"),
    ),
    max_size=12,
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Return any plan whose texts and numbers a table may hold."""
    names = draw(
        st.lists(
            st.sampled_from(["electrical_tilt_deg", "hysteresis_db", "filter_coefficient"]),
            min_size=1,
            unique=True,
        )
    )
    changes = tuple(
        Change("=B", name, draw(NUMBERS), draw(st.floats(0, 15)), None, draw(TEXT))
        for name in names
    )
    return Plan(draw(TEXT.filter(bool)), draw(TEXT.filter(bool)), draw(NUMBERS), changes)


@SLACK
@given(plan=plans())
def test_any_plan_comes_back(tmp_path: Path, plan: Plan) -> None:
    """Every finite number and every text comes back exactly."""
    assert read_plan_csv(put(tmp_path, export(plan)), NETWORK) == plan


@SLACK
@given(data=st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)))
def test_random_bytes_are_refused(tmp_path: Path, data: bytes) -> None:
    """No bytes give anything but an error that says what is wrong."""
    with pytest.raises(BadInput):
        read_plan_csv(put(tmp_path, data), NETWORK)


@SLACK
@given(where=st.integers(0, 400), new=st.binary(max_size=6), cut=st.integers(0, 20))
def test_damaged_tables_give_a_plan_or_an_error(
    tmp_path: Path, where: int, new: bytes, cut: int
) -> None:
    """A table with some bytes exchanged is refused or read; nothing else happens."""
    data = export(PLAN)
    try:
        plan = read_plan_csv(put(tmp_path, data[:where] + new + data[where + cut :]), NETWORK)
    except BadInput:
        return
    assert {change.cell for change in plan.changes} <= set(NETWORK.cell_ids)


def test_header_is_the_documented_one() -> None:
    """The columns are those of the format, in order."""
    assert export(PLAN).decode().split("\r\n")[0].split(",") == list(COLUMNS)
