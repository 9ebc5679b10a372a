"""Configurations as Nokia and Huawei export them read like bulk CM, and damage is named."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from cellhive.adapters.cm.mml import read_mml
from cellhive.adapters.cm.raml import read_raml
from cellhive.adapters.cm.stated import Stated
from cellhive.adapters.reading import read_paths
from cellhive.app.audit import audit_paths
from cellhive.core.errors import BadInput
from cellhive.diagnose.audit.configuration import Configuration

CELL = """
 <managedObject class="LNCEL" version="xL21B" distName="PLMN-PLMN/MRBTS-{b}/LNBTS-{b}/LNCEL-{c}">
  <p name="cellName">S{b}_{c}</p><p name="phyCellId">{pci}</p><p name="lcrId">{c}</p>
  <p name="a3Offset">{a3}</p>
  <list name="qci"><p>1</p><p>9</p></list>
  <list name="drx"><item><p name="timer">10</p></item><item><p name="timer">20</p></item></list>
 </managedObject>
 <managedObject class="LNCEL_FDD" distName="PLMN-PLMN/MRBTS-{b}/LNBTS-{b}/LNCEL-{c}/LNCEL_FDD-0">
  <p name="earfcnDL">1300</p><p name="rootSeqIndex">{c}</p>
 </managedObject>"""
RELATION = """
 <managedObject class="LNREL" distName="PLMN-PLMN/MRBTS-{b}/LNBTS-{b}/LNCEL-{c}/LNREL-{n}">
  <p name="ecgiAdjEnbId">{to}</p><p name="ecgiLcrId">{cell}</p>
  <p name="handoverAllowed">{allowed}</p><p name="cellIndOffNeigh">15</p>
 </managedObject>"""
RAML = (
    """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE raml SYSTEM 'raml20.dtd'>
<raml version="2.0" xmlns="raml20.xsd"><cmData type="actual" scope="all">
 <header><log dateTime="2024-03-01T00:00:00" action="created">exported</log></header>"""
    + RELATION.format(b=7, c=1, n=1, to=8, cell=1, allowed="forbidden")
    + CELL.format(b=7, c=1, pci=5, a3=2)
    + CELL.format(b=8, c=1, pci=5, a3=4)
    + RELATION.format(b=8, c=1, n=1, to=7, cell=1, allowed="allowed")
    + RELATION.format(b=8, c=1, n=2, to=99, cell=1, allowed="1")
    + """
 <managedObject class="LNCEL" distName="PLMN-PLMN/MRBTS-8/LNBTS-8/LNCEL-2" operation="delete"/>
 <managedObject class="LNADJG" distName="PLMN-PLMN/MRBTS-8/LNBTS-8/LNADJG-2"/>
</cmData></raml>
"""
)
NODE = """//****************MML script file****************
//Export start time: 2024-03-01 00:00:00
/* the node */ ADD ENODEBFUNCTION:ENODEBFUNCTIONNAME="Site {b}",APPLICATIONREF=1,ENODEBID={b};
ADD CELL:LOCALCELLID=0, CELLNAME="S{b}, north; \\"0\\"", CELLID=3, PHYCELLID=1, DLEARFCN=1300,
  TXPOWER=15;
MOD CELL:LocalCellId=0,PhyCellId=5,HIGHSPEEDFLAG=LOW_SPEED;
MOD CELLSEL:LOCALCELLID=0,QRXLEVMIN=-64;
ADD INTRAFREQHOGROUP:LOCALCELLID=0,INTRAFREQHOGROUPID=0,INTRAFREQHOA3OFFSET=2;
ADD INTRAFREQHOGROUP:LOCALCELLID=0,INTRAFREQHOGROUPID=1,INTRAFREQHOA3OFFSET=4;
SET MONAME:PARAM1="VALUE ONE", PARAM4="Some string, with, commas";
ADD EUTRANINTRAFREQNCELL:LOCALCELLID=0,MCC="460",MNC="01",ENODEBID={to},CELLID=3,NOHOFLAG={ho};
ADD CELL:LOCALCELLID=9,CELLNAME="gone",CELLID=9;
RMV CELL:LOCALCELLID=9;
""".replace('\\"', "")
NR_NODE = """ADD GNODEBFUNCTION:GNODEBFUNCTIONNAME="G1",GNBID=100;{Site G}
ADD NRCELL:NRCELLID=11,CELLNAME="N11",CELLID=1,FREQUENCYBAND=N78;{Site G}
ADD NRDUCELL:NRDUCELLID=21,NRDUCELLNAME="D21",CELLID=1,PHYSICALCELLID=77,DLNARFCN=630000;{Site G}
MOD NRDUCELLTRP:NRDUCELLID=21,MAXTRANSMITPOWER=349;{Site G}
ADD NRCELLRELATION:NRCELLID=11,MCC="460",MNC="01",GNBID=100,CELLID=2;{Site G}
"""


def audited(path: Path) -> Configuration:
    """Return what a file says, read by the analysis and by the audit alike."""
    conf, _, _ = audit_paths([path])
    other = read_paths([path]).configuration
    assert other is not None
    assert (other.cell_ids, other.unresolved) == (conf.cell_ids, conf.unresolved)
    return conf


def named(number: int) -> str:
    """Return the distinguished name of the first cell of a site."""
    return f"PLMN=PLMN,MRBTS={number},LNBTS={number},LNCEL=1"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_raml(tmp_path: Path, encoding: str) -> None:
    """Cells, identities, relations by eNodeB and cell, parameters in lists and below the cell."""
    path = tmp_path / "plan.xml"
    path.write_text(RAML.replace("UTF-8", encoding), encoding)
    conf = audited(path)
    assert conf.cell_ids == (named(7), named(8))
    assert conf.site_ids == ("7", "8")
    assert conf.carrier == ("1300", "1300")
    assert conf.physical_cell_id.tolist() == [5, 5]
    ends = zip(conf.relation_source, conf.relation_target, conf.handover_allowed, strict=True)
    assert sorted(ends) == [(0, 1, False), (1, 0, True)]
    assert conf.unresolved == ((named(8), "eNB 99, cell 1"),)
    settings = {name: values.tolist() for name, values in conf.settings.items()}
    assert settings == {
        "lcrId": [1, 1], "a3Offset": [2, 4], "qci[1]": [1, 1], "qci[2]": [9, 9],
        "drx[1].timer": [10, 10], "drx[2].timer": [20, 20], "LNCEL_FDD-0.rootSeqIndex": [1, 1],
    }  # fmt: skip
    _, found, reading = audit_paths([path])
    assert found.count("pci-collision") == 1
    assert {one.code for one in reading} == {"object-deleted", "handover-allowed-not-readable"}


def test_mml(tmp_path: Path) -> None:
    """Commands in their order, quoted separators, names in any case, objects removed again."""
    for node, other, allowed in ((7, 8, "FORBID_HO_ENUM"), (8, 7, "PERMIT_HO_ENUM")):
        script = NODE.format(b=node, to=other, ho=allowed)
        (tmp_path / f"{node}.txt").write_text(script.replace("\n", "\r\n"))
    conf = audited(tmp_path)
    assert conf.cell_ids == ("S7, north; 0", "S8, north; 0")
    assert conf.site_ids == ("Site 7", "Site 8")
    assert conf.carrier == ("1300", "1300")
    assert conf.physical_cell_id.tolist() == [5, 5]
    ends = zip(conf.relation_source, conf.relation_target, conf.handover_allowed, strict=True)
    assert sorted(ends) == [(0, 1, False), (1, 0, True)]
    settings = {name: values.tolist() for name, values in conf.settings.items()}
    assert settings == {
        "TXPOWER": [15, 15], "CELLSEL.QRXLEVMIN": [-64, -64],
        "INTRAFREQHOGROUP INTRAFREQHOGROUPID=0.INTRAFREQHOA3OFFSET": [2, 2],
        "INTRAFREQHOGROUP INTRAFREQHOGROUPID=1.INTRAFREQHOA3OFFSET": [4, 4],
    }  # fmt: skip


def test_mml_of_nr(tmp_path: Path) -> None:
    """The distributed unit numbers its cells apart; the cell id joins them."""
    path = tmp_path / "nr.mml"
    path.write_text(NR_NODE)
    stated = Stated()
    assert read_mml(path, stated) == 1
    (cell,) = stated.cells
    assert (cell.name, cell.site, cell.carrier) == ("N11", "Site G", "630000")
    assert cell.physical_cell_id == 77
    assert cell.settings == {"NRDUCELLTRP.MAXTRANSMITPOWER": 349.0}
    assert [(one.source, one.target) for one in stated.relations] == [("N11", "gNB 100, cell 2")]


def test_cells_are_called_as_other_files_call_them(tmp_path: Path) -> None:
    """A site list or a table that uses the label of a cell; its other name else."""
    (tmp_path / "plan.xml").write_text(RAML)
    (tmp_path / "kpi.csv").write_text(
        "time,cell,drops\n2024-03-01 00:00,S7_1,1\n2024-03-01 01:00,S7_1,2\n"
    )
    conf = read_paths([tmp_path]).configuration
    assert conf is not None
    assert conf.cell_ids == ("S7_1", named(8))
    (tmp_path / "sites.csv").write_text("cell,lat,lon\nS7_1,48,11\nS8_1,48,12\n")
    conf = read_paths([tmp_path]).configuration
    assert conf is not None
    assert conf.cell_ids == ("S7_1", "S8_1")
    assert conf.longitude_deg.tolist() == [11, 12]
    assert conf.relation_source.size == 2


@pytest.mark.parametrize("cut", [200, 700, 1500])
def test_raml_that_is_cut_or_hostile_is_refused(tmp_path: Path, cut: int) -> None:
    """Nothing of it is taken over."""
    stated = Stated()
    path = tmp_path / "a.xml"
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 9))
    bombs = f"<!DOCTYPE raml SYSTEM 'a>b' [<!ENTITY l0 \"ha\">{laughs}]>"
    for content, words in (
        (RAML[:cut].encode(), "expected well-formed XML"),
        (RAML.replace("<!DOCTYPE raml SYSTEM 'raml20.dtd'>", bombs).encode(), "declares some"),
        (RAML.replace("S7_1", "S7_\xff").encode("latin-1"), "XML"),
        (RAML.replace("UTF-8", "no-such").encode(), "XML"),
    ):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=words):
            read_raml(path, stated)
    assert (stated.cells, stated.relations) == ([], [])


def test_commands_that_make_no_sense_are_counted_and_the_others_go_on(tmp_path: Path) -> None:
    """An open quote, a word of prose, an end that is cut."""
    path = tmp_path / "a.txt"
    path.write_text(
        'ADD CELL:LOCALCELLID=0,CELLNAME="A",PHYCELLID=1;\n'
        'MOD CELL:LOCALCELLID=0,CELLNAME="B,PHYCELLID=2;\n'
        "hello world;\n"
        "ADD CELL:LOCALCELLID=1,CELLNAME=\"C\",PHYCELLID=seven,X=inf;\n"
        'ADD CELL:LOCALCELLID=2,CELLNAME="D",PHYCE'
    )  # fmt: skip
    stated = Stated()
    assert read_mml(path, stated) == 2
    assert [(one.name, one.physical_cell_id) for one in stated.cells] == [("A", 1), ("C", -1)]
    found = {one.code: (one.count, one.where) for one in stated.findings.as_tuple()}
    assert found == {"command-not-readable": (3, "line 2"), "pci-not-readable": (1, "line 4")}


@pytest.mark.parametrize(
    "content", [b"", b"//only words\n", b"\x00\x01\x02ADD CELL:LOCALCELLID=0;"]
)
def test_files_without_commands_are_refused(tmp_path: Path, content: bytes) -> None:
    """Empty, comments, binary."""
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(BadInput):
        read_mml(path, Stated())
    with pytest.raises(BadInput):
        read_paths([path])


def test_other_scripts_and_letters_are_read(tmp_path: Path) -> None:
    """GB 18030, as a node in China writes it."""
    path = tmp_path / "a.txt"
    path.write_bytes(
        'ADD CELL:LOCALCELLID=0,CELLNAME="北京东站一小区",PHYCELLID=1;'.encode("gb18030")
    )
    conf = audited(path)
    assert conf.cell_ids == ("北京东站一小区",)


def test_the_memory_of_a_large_raml_file_is_that_of_its_cells(tmp_path: Path) -> None:
    """Five times as many objects that are no cells take nothing more."""
    head, tail = RAML.split("</cmData>")
    other = '<managedObject class="X" distName="A-{}/X-1"><p name="a">1</p></managedObject>\n'
    peaks = []
    for count in (20_000, 100_000):
        path = tmp_path / f"{count}.xml"
        path.write_text(head + "".join(map(other.format, range(count))) + "</cmData>" + tail)
        tracemalloc.start()
        assert read_raml(path, Stated()) == 2
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
