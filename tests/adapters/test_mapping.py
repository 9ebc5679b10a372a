"""Guessing what columns mean, and the file that corrects the guesses.

The expected meanings were written down by hand from vendors' published KPI lists.
"""

from __future__ import annotations

import csv
from pathlib import Path

import polars as pl
import pytest

from cellhive.adapters.reading import read_paths
from cellhive.adapters.tabular.mapping import (
    MAPPING_NAME,
    SURE,
    ColumnRule,
    Mapping,
    apply_mapping,
    describe,
    find_mapping,
    load_mapping,
    mapping_of,
    save_mapping,
    unit_of,
)
from cellhive.adapters.tabular.vocabulary import RULES, words_of
from cellhive.app.analysis import analyse_paths, save_guesses
from cellhive.core.errors import BadInput
from cellhive.core.measurements import ColumnInfo, Measurements, Role
from cellhive.core.schema import COUNTERS, KPIS, QUANTITIES


@pytest.mark.parametrize(
    ("header", "quantity"),
    [
        ("DL PRB Utilization Rate(%)", "prb_utilisation_ratio"),
        ("Downlink Physical Resource Block Usage (%)", "prb_utilisation_ratio"),
        ("PRB_Util_DL_%", "prb_utilisation_ratio"),
        ("RRC Establishment Success Rate(%)", "rrc_setup_success_ratio"),
        ("RRC Setup SR", "rrc_setup_success_ratio"),
        ("Success Rate of Outgoing Handover(Cell)(%)", "handover_success_ratio"),
        ("HOSR", "handover_success_ratio"),
        ("Intra-Freq HO Out Success Rate", "handover_success_ratio"),
        ("HO Failure Ratio [%]", "handover_failure_ratio"),
        ("Ping-Pong HO Rate (%)", "ping_pong_ratio"),
        ("no_ping_pong_ho_count", "x.HoPingPong"),
        ("User DL Average Throughput (kbps)", "ue_throughput_mbps"),
        ("DL\N{NO-BREAK SPACE}User\N{NO-BREAK SPACE}Throughput(Mbps)", "ue_throughput_mbps"),
        ("DL Traffic Volume (GB)", "DRB.PdcpSduVolumeDL"),
        ("mean_no_rrc_users", "RRC.ConnMean"),
        ("Maximum Number of RRC Connection User", "RRC.ConnMax"),
        ("pmRrcConnEstabAtt", "RRC.ConnEstabAtt"),
        ("InterEnbOutAtt_X2HO", "MM.HoExeInterReq"),
        ("Energy Consumption (kWh)", "PEE.Energy"),
        ("Average SINR (dB)", "sinr_mean_db"),
        ("RRU.PrbTotDl", "RRU.PrbTotDl"),
    ],
)
def test_vendor_names_are_recognised(header: str, quantity: str) -> None:
    """Names as vendors write them lead to the registry."""
    info = describe(header)
    assert info.quantity == quantity
    assert SURE <= info.confidence <= 1.0
    assert info.better == QUANTITIES[quantity].better


def test_parts_of_a_counter_are_not_the_counter() -> None:
    """One slice's PRBs have the unit of all PRBs (TS 28.552 names parts by a suffix), no share."""
    part = describe("RRU.PrbUsedDl.226F04")
    whole = describe("RRU.PrbUsedDl")
    assert (part.quantity, part.unit, part.role) == (None, "PRB", whole.role)
    assert describe("DRB.UEThpDl.01.5").unit == "kbit/s"
    assert describe("vendor.thing.01").unit == ""


@pytest.mark.parametrize(
    "header",
    [
        "UL PRB Utilization Rate(%)",  # the registry has no uplink
        "E-RAB Setup Success Rate(%)",
        "Intra RAT HO preparation success rate",
        "RRC Reestablishment Success Rate",
        "PS Traffic Volume(GB)",  # both directions
        "Cell Throughput UL (Mbps)",
        "Data Integrity",
        "pmMacRBSymUsedPdschTypeA",  # a number of symbols, not a share
        "pmLicDlPrbUsedSum",
        "pmUeThpTimeDl",  # a time
        "pmRadioSinrPuschDistr",
        "SNR / max",  # the registry has means
        "RSRP min (dBm)",
        "longitude",
        "eNodeB ID",
        "RSRP2",  # of a neighbour
        "x",
    ],
)
def test_what_is_not_ours_stays_itself(header: str) -> None:
    """A near miss is worse than none."""
    assert describe(header).quantity is None


@pytest.mark.parametrize(
    ("header", "role", "better"),
    [
        ("E-RAB Drop Rate(%)", Role.RATIO, "lower"),
        ("E-RAB Setup Success Rate(%)", Role.RATIO, "higher"),
        ("Cell Availability(%)", Role.RATIO, "higher"),
        ("cell_dl_bler_rate_%", Role.RATIO, "lower"),
        ("PS Traffic Volume(GB)", Role.COUNTER, "higher"),
        ("Number of Call Drops", Role.COUNTER, "lower"),
        ("avg_rssi_dbm", Role.GAUGE, ""),
        ("dl-latency", Role.GAUGE, "lower"),
        ("dl_avg_mcs", Role.GAUGE, "higher"),
        ("latitude", Role.ATTRIBUTE, ""),
        ("Physical Cell Id (PCI)", Role.ATTRIBUTE, ""),
        ("blorp", Role.UNKNOWN, ""),
    ],
)
def test_unknown_kpis_have_a_role_and_a_direction(header: str, role: Role, better: str) -> None:
    """What is not in the registry is still understood."""
    info = describe(header)
    assert (info.role, info.better, info.origin) == (role, better, "guess")


@pytest.mark.parametrize(
    ("header", "unit"),
    [
        ("Traffic (GB)", "GB"),
        ("Throughput [Mbps]", "Mbit/s"),
        ("avg_ta_km", "km"),
        ("rate_%", "%"),
        ("Success Rate of Outgoing Handover(Cell)(%)", "%"),
        ("PS Volume(GB)_ITBBU&SDR", "GB"),
        ("RSRP", ""),
        ("Delay (ms)", "ms"),
    ],
)
def test_units_are_found_in_headings(header: str, unit: str) -> None:
    """In brackets, as a suffix, or as a sign."""
    assert unit_of(header) == unit


def test_scales_lead_to_the_unit_of_the_registry() -> None:
    """1 GB is 8000 Mbit, 1 kbit/s a thousandth Mbit/s, 1 % a hundredth."""
    assert describe("DL Traffic Volume (GB)").scale == 8000.0
    assert describe("User DL Average Throughput (kbps)").scale == 0.001
    assert describe("DL PRB Utilization Rate(%)").scale == 0.01


def test_rules_name_quantities_that_exist() -> None:
    """A rule for a quantity that was renamed would never be noticed otherwise."""
    known = {quantity.name for quantity in (*COUNTERS, *KPIS)}
    assert {rule.quantity for rule in RULES} <= known


def test_words_are_one_spelling() -> None:
    """Abbreviations, camel case and punctuation make no difference."""
    assert words_of("E-RAB_SR") == words_of("erab success rate") == {"erab", "success", "rate"}
    assert words_of("pmHoExeAtt") >= {"handover", "execution", "attempt"}


def measured() -> Measurements:
    """Return two columns that a mapping can speak of."""
    frame = pl.DataFrame({"object": ["c"], "Load": [0.5], "Odd\u00a0Name": [3.0]})
    columns = {
        "Load": ColumnInfo("Load", "Load", share="fraction"),
        "Odd\u00a0Name": ColumnInfo("Odd\u00a0Name", "Odd\u00a0Name"),
    }
    return Measurements("t", frame, columns)


def test_a_person_overrides_guesses(tmp_path: Path) -> None:
    """Meaning, unit, scale, direction; spaces and case of the heading do not matter."""
    path = tmp_path / "map.yaml"
    path.write_text(
        "time: When\nobject: [Site, Cell]\ntime_zone: Africa/Tripoli\n"
        "columns:\n"
        "  load: {as: prb_utilisation_ratio, unit: '%', better: lower}\n"
        "  odd  name: {scale: 2, role: counter}\n",
        encoding="utf-8",
    )
    mapping = load_mapping(path)
    assert (mapping.time, mapping.object) == (("When",), ("Site", "Cell"))
    result = apply_mapping(measured(), mapping)
    load, odd = result.columns.values()
    assert (load.quantity, load.scale, load.better) == ("prb_utilisation_ratio", 1.0, "lower")
    assert (load.confidence, load.origin) == (1.0, "mapping")
    assert (odd.scale, odd.role, odd.quantity) == (2.0, Role.COUNTER, None)
    assert result.in_registry_unit("Odd\u00a0Name").to_list() == [6.0]


def test_ignored_columns_are_gone() -> None:
    """A person may say that a column is of no use."""
    result = apply_mapping(measured(), Mapping({"Load": ColumnRule(ignore=True)}))
    assert result.frame.columns == ["object", "Odd\u00a0Name"]
    assert list(result.columns) == ["Odd\u00a0Name"]


def test_a_saved_mapping_reads_back(tmp_path: Path) -> None:
    """What was understood can be edited and used next time."""
    path = tmp_path / "map.yaml"
    first = mapping_of(measured())
    save_mapping(first, path)
    again = load_mapping(path)
    assert again.columns == first.columns
    assert [entry.name for entry in tmp_path.iterdir()] == ["map.yaml"]


def test_an_empty_mapping_is_one(tmp_path: Path) -> None:
    """An empty file says nothing, which is allowed."""
    path = tmp_path / "map.yaml"
    path.write_text("# nothing yet\n", encoding="utf-8")
    assert load_mapping(path).columns == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colums: {}", "did you mean 'columns'"),
        ("- a\n- b", "found a list"),
        ("columns: [a]", "found a list"),
        ("columns: {a: {as: prb_utilization_ratio}}", "did you mean prb_utilisation_ratio"),
        ("columns: {a: {unti: '%'}}", "did you mean 'unit'"),
        ("columns: {a: {scale: wide}}", "expected a number other than 0, found 'wide'"),
        ("columns: {a: {scale: true}}", "expected a number other than 0, found True"),
        ("columns: {a: {scale: 0}}", "expected a number other than 0, found 0"),
        ("columns: {a: {scale: .nan}}", "expected a number other than 0, found nan"),
        ("columns: {a: {scale: -.inf}}", "expected a number other than 0, found -inf"),
        ("columns: {a: {as: [PEE.Energy]}}", "found ['PEE.Energy']"),
        ("columns: {a: {better: [lower]}}", "expected higher or lower, found ['lower']"),
        ("columns: {a: {role: {gauge: 1}}}", "found {'gauge': 1}"),
        ("columns:\n  a: {unit: s}\n  b: {}\n  a: {unit: h}\n", "'a' for the second time"),
        ("a: " + "[" * 5000, "expected a YAML file"),
        ("columns: {a: {better: more}}", "expected higher or lower"),
        ("columns: {a: {role: king}}", "found 'king'"),
        ("columns: {a: {ignore: 1}}", "expected true or false"),
        ("columns: {a: 3}", "found 3"),
        ("time: 3", "expected a heading"),
        ("time_zone: Mars/Olympus", "expected a time zone"),
        ("columns: {a: [", "expected a YAML file"),
        ("a: !!python/object/apply:os.system ['true']", "expected a YAML file"),
    ],
)
def test_mistakes_in_a_mapping_are_explained(tmp_path: Path, text: str, message: str) -> None:
    """Place, expected, found, and the likely cure."""
    path = tmp_path / "map.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        load_mapping(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_mapping_is_explained(tmp_path: Path) -> None:
    """Not a traceback."""
    with pytest.raises(BadInput, match="expected a YAML file"):
        load_mapping(tmp_path / "none.yaml")
    (tmp_path / "no").touch()
    with pytest.raises(BadInput, match="can be written"):
        save_mapping(Mapping(), tmp_path / "no" / "map.yaml")


def test_a_mapping_goes_into_a_new_folder(tmp_path: Path) -> None:
    """As a report does; it must not fail after the report was written."""
    save_mapping(Mapping(time=("Day",)), tmp_path / "new" / "deep" / "map.yaml")
    assert load_mapping(tmp_path / "new" / "deep" / "map.yaml").time == ("Day",)


# -- names of vendors


def vendor_names() -> list[tuple[str, str]]:
    """Return names of KPIs and counters as vendors' users write them, and what each is.

    "*" before a quantity: it is that one or a part of it, so not knowing it is right, too.
    The names were collected from public sources: Huawei's eNodeBFunction and NetAct counter
    references, comparisons of Nokia's KPIs with those of Ericsson and Huawei, ZTE's acceptance
    lists, and the code of people who process such exports.
    """
    path = Path(__file__).with_name("vendor_kpi_names.csv")
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines(), delimiter="|")
    return [(row["name"], row["right"]) for row in rows]


def test_names_of_vendors_are_hardly_ever_mistaken() -> None:
    """Wrong is much worse than unknown; 90 % confidence is to be right nine times in ten."""
    right = wrong = missed = 0
    sure: list[bool] = []
    for name, answer in vendor_names():
        info = describe(name)
        wanted = answer.removeprefix("*")
        good = info.quantity == wanted
        right += good
        wrong += info.quantity is not None and not good
        missed += info.quantity is None and answer not in {"", f"*{wanted}"}
        if info.quantity is not None and info.confidence >= 0.9:
            sure.append(good)
    assert len(vendor_names()) > 240
    assert wrong == 0
    assert missed == 0
    assert right >= 70
    assert len(sure) >= 25
    assert sum(sure) / len(sure) >= 0.9


@pytest.mark.parametrize(
    ("name", "scale"),
    [("pmPdcpVolDlDrb", 1e-3), ("L.Thrp.bits.DL (bit)", 1e-6), ("DL Traffic Volume(GB)", 8000.0)],
)
def test_counters_in_units_of_their_own_are_scaled(name: str, scale: float) -> None:
    """A vendor's kbit are not our Mbit."""
    info = describe(name)
    assert (info.quantity, info.scale) == ("DRB.PdcpSduVolumeDL", scale)


def test_a_volume_without_a_unit_is_less_sure(tmp_path: Path) -> None:
    """It may be Mbit or GB: said, and settled by a mapping."""
    assert describe("PDCP SDU Volume, DL").confidence <= 0.8
    path = tmp_path / "v.csv"
    path.write_text('Time,Cell,"PDCP SDU Volume, DL"\n2024-03-14,A,5\n2024-03-15,A,6\n')
    result = read_paths([path])
    assert [one.column for one in result.findings if one.code == "unit-missing"] == [
        "PDCP SDU Volume, DL"
    ]
    rule = Mapping({"PDCP SDU Volume, DL": ColumnRule("DRB.PdcpSduVolumeDL", "GB")})
    result = read_paths([path], rule)
    assert "unit-missing" not in {one.code for one in result.findings}
    measured = result.measurements[0]
    assert measured.in_registry_unit("PDCP SDU Volume, DL").to_list() == [40_000.0, 48_000.0]


# -- a mapping that is found


def test_a_saved_mapping_is_used_the_next_time(tmp_path: Path) -> None:
    """What was guessed stays a guess, what a person has changed is certain."""
    (tmp_path / "kpis.csv").write_text(
        "Time,Cell,DL PRB Utilization (%),Strange\n"
        + "".join(f"2024-03-{d},A,{d},1{d}\n" for d in range(11, 20))
    )
    target = tmp_path / "cellhive-mapping.yaml"
    result, _ = analyse_paths([tmp_path])
    assert result.mapping.path == ""
    save_guesses(result, target)
    text = target.read_text()
    assert text.count("inferred: true") == 2
    again, _ = analyse_paths([tmp_path])
    assert again.mapping.path == str(target)
    before, after = result.measurements[0].columns, again.measurements[0].columns
    assert after["DL PRB Utilization (%)"].confidence == before["DL PRB Utilization (%)"].confidence
    assert after["Strange"].origin == "guess"
    rule = "  Strange:\n    role: counter\n    better: lower\n"
    target.write_text(text[: text.index("  Strange:")] + rule)
    edited, _ = analyse_paths([tmp_path / "kpis.csv"])  # also where the file itself is named
    strange = edited.measurements[0].columns["Strange"]
    assert (strange.role, strange.better, strange.origin) == (Role.COUNTER, "lower", "mapping")
    save_guesses(edited, target)
    assert "better: lower" in target.read_text()
    assert target.read_text().count("inferred: true") == 1


def test_a_mapping_that_is_given_goes_before_one_that_is_found(tmp_path: Path) -> None:
    """And the user's configuration is looked at last."""
    data, home = tmp_path / "data", tmp_path / "home"
    data.mkdir()
    home.mkdir()
    (data / "kpis.csv").write_text("Time,Cell,Strange\n2024-03-11,A,1\n2024-03-12,A,2\n")
    (home / MAPPING_NAME).write_text("columns: {Strange: {better: higher}}\n")
    assert find_mapping([data], home) == home / MAPPING_NAME
    (data / MAPPING_NAME).write_text("columns: {Strange: {better: lower}}\n")
    assert find_mapping([data / "kpis.csv"], home) == data / MAPPING_NAME
    given = tmp_path / "given.yaml"
    given.write_text("columns: {Strange: {role: counter}}\n")
    result, _ = analyse_paths([data], given)
    assert result.measurements[0].columns["Strange"].better == ""


def test_a_mapping_that_is_found_need_not_fit_every_table(tmp_path: Path) -> None:
    """One that is given has to."""
    (tmp_path / "a.csv").write_text("When,Cell,Drops\n2024-03-11,A,1\n2024-03-12,A,2\n")
    (tmp_path / "b.csv").write_text("Time,Site,Users\n2024-03-11,S,1\n2024-03-12,S,2\n")
    said = "time: When\nobject: Cell\ncolumns: {Drops: {better: lower}}\n"
    (tmp_path / MAPPING_NAME).write_text(said)
    result, _ = analyse_paths([tmp_path])
    assert sorted(one.status for one in result.files if one.kind == "text") == ["read", "read"]
    given = tmp_path / "given.yaml"
    given.write_text(said)
    result, _ = analyse_paths([tmp_path], given)
    assert sorted(one.status for one in result.files if one.kind == "text") == ["failed", "read"]
