"""Cells and relations come out of every form of file, and nonsense is named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from cellhive.app.audit import audit_paths
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.measurements import Severity

TOPOLOGY = Path(__file__).parents[4] / "shared" / "data" / "topology_onap_ransim"

BULK = """<?xml version="1.0"?>
<bulkCmConfigDataFile xmlns="urn:c" xmlns:xn="urn:g" xmlns:nn="urn:n">
 <configData><xn:SubNetwork id="1">
  <xn:ManagedElement id="A"><nn:GNBCUCPFunction id="1">
   <nn:NRCellCU id="A1"><nn:attributes><nn:nRPCI>5</nn:nRPCI><nn:arfcnDL>630000</nn:arfcnDL>
     <nn:qOffset>2</nn:qOffset></nn:attributes>
    <nn:NRCellRelation id="1"><nn:attributes>
     <nn:adjacentCell>DC=x,SubNetwork=1,ManagedElement=B,GNBCUCPFunction=1,NRCellCU=B1</nn:adjacentCell>
     <nn:isHOAllowed>false</nn:isHOAllowed></nn:attributes></nn:NRCellRelation>
   </nn:NRCellCU></nn:GNBCUCPFunction></xn:ManagedElement>
  <xn:ManagedElement id="B"><nn:GNBCUCPFunction id="1">
   <nn:NRCellCU id="B1"><nn:attributes><nn:nRPCI>5</nn:nRPCI><nn:arfcnDL>630000</nn:arfcnDL>
     <nn:qOffset>0</nn:qOffset></nn:attributes>
    <nn:NRCellRelation id="1"><nn:attributes>
     <nn:adjacentCell>ManagedElement=A,GNBCUCPFunction=1,NRCellCU=A1</nn:adjacentCell>
    </nn:attributes></nn:NRCellRelation>
   </nn:NRCellCU></nn:GNBCUCPFunction></xn:ManagedElement>
 </xn:SubNetwork></configData>
</bulkCmConfigDataFile>
"""


def test_tables_of_cells_and_relations_are_put_together(tmp_path: Path) -> None:
    """Semicolons, units in headings and yes/no flags; the handovers weigh the relations."""
    (tmp_path / "cells.csv").write_text(
        "Cell Name;Site;Latitude;Longitude;Azimuth;PCI;EARFCN;hysteresis\n"
        "A1;A;48.0;11.0;0;10;1300;2\nA2;A;48.0;11.0;120;11;1300;2\nB1;B;48.01;11.0;180;10;1300;4\n"
    )
    (tmp_path / "relations.csv").write_text(
        "source,target,isHoAllowed,handovers\nA1,B1,true,120\nB1,A1,false,80\nA2,C9,true,3\n"
    )
    conf, found, reading = audit_paths([tmp_path])
    assert conf.cell_ids == ("A1", "A2", "B1")
    assert conf.physical_cell_id.tolist() == [10, 11, 10]
    assert conf.settings["hysteresis"].tolist() == [2.0, 2.0, 4.0]
    assert conf.relation_weight is not None
    assert conf.relation_weight.tolist() == [120.0, 80.0]
    assert conf.handover_allowed.tolist() == [True, False]
    assert conf.unresolved == (("A2", "C9"),)
    assert found.count("pci-collision") == 1
    assert reading == ()


def test_counts_are_no_parameters(tmp_path: Path) -> None:
    """How many stations a row stands for is nothing that is set."""
    (tmp_path / "cells.csv").write_text(
        "No.,cell,lat,lon,n_base_stations,tilt\n1,A,48,11,3,2\n2,B,48,11.1,24,4\n"
    )
    conf, _, _ = audit_paths([tmp_path])
    assert set(conf.settings) == {"tilt"}


def test_bulk_cm(tmp_path: Path) -> None:
    """Cells, identities, relations by distinguished name, and parameters."""
    (tmp_path / "cm.xml").write_text(BULK)
    conf, found, _ = audit_paths([tmp_path / "cm.xml"])
    assert conf.cell_ids == ("A1", "B1")
    assert conf.site_ids == ("1", "1")
    assert conf.carrier == ("630000", "630000")
    assert conf.handover_allowed.tolist() == [False, True]
    assert found.count("pci-collision") == 1
    same = BULK.replace('"B1"', '"A1"').replace("NRCellCU=B1", "NRCellCU=A1")
    (tmp_path / "cm.xml").write_text(same)
    conf, found, _ = audit_paths([tmp_path / "cm.xml"])
    assert conf.cell_ids == ("A/A1", "B/A1")
    assert found.count("pci-collision") == 1


@pytest.mark.skipif(not TOPOLOGY.exists(), reason="shared/data/topology_onap_ransim is absent")
def test_a_real_topology_is_clean_until_an_identity_is_changed(tmp_path: Path) -> None:
    """1,001 cells without a collision (as their README says); one changed PCI is found."""
    conf, found, _ = audit_paths([TOPOLOGY / "1050cells.json.gz"])
    assert (conf.cells, conf.relation_source.size) == (1001, 23764)
    assert found.count("pci-collision") == found.count("pci-confusion") == 0
    assert found.count("one-way") == 0
    document = json.loads(gzip.decompress((TOPOLOGY / "1050cells.json.gz").read_bytes()))
    cell = document["cellList"][5]
    near = cell["neighbor"][0]["nodeId"]
    cell["Cell"]["physicalCellId"] = next(
        c["Cell"]["physicalCellId"] for c in document["cellList"] if c["Cell"]["nodeId"] == near
    )
    (tmp_path / "changed.json").write_text(json.dumps(document))
    _, found, _ = audit_paths([tmp_path / "changed.json"])
    worst = [one for one in found.findings if one.severity is Severity.ERROR]
    assert {cell["Cell"]["nodeId"], near} <= {name for one in worst for name in one.cells}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut.json", b'{"cellList": [{"Cell": {"nodeId": "a"'),
        ("cut.xml", BULK[:400].encode()),
        ("entity.xml", b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'),
        ("binary.csv", bytes(range(256)) * 8),
        ("empty.csv", b""),
        ("deep.json", b"[" * 100_000 + b"]" * 100_000),
        ("nothing.csv", b"a,b\n1,2\n"),
    ],
)
def test_a_bad_file_is_named_and_the_others_go_on(
    tmp_path: Path, name: str, content: bytes
) -> None:
    """Truncated, hostile, binary, empty: an error that names the file, never a crash."""
    (tmp_path / "good.csv").write_text("cell,pci\n<b>A</b>,1\nB,2\n")
    (tmp_path / name).write_bytes(content)
    conf, _, reading = audit_paths([tmp_path])
    assert conf.cells == 2
    assert [one.file for one in reading if one.severity is Severity.ERROR] == [name]
    with pytest.raises(BadInput, match="no cell"):
        audit_paths([tmp_path / name])


def test_odd_values_are_left_out_and_said(tmp_path: Path) -> None:
    """A latitude of 480, a PCI of 2.5 and a contradiction between files."""
    (tmp_path / "a.csv").write_text("cell,lat,lon,pci\nA,480,11,2.5\nB,48,11,3\n,48,11,4\n")
    (tmp_path / "b.csv").write_text("cell,pci\nB,9\n")
    conf, _, reading = audit_paths([tmp_path])
    assert conf.physical_cell_id.tolist() == [-1, 3]
    assert {one.code for one in reading} == {
        "lat-not-readable", "pci-not-readable", "cell-without-name", "cell-stated-differently",
    }  # fmt: skip
    with pytest.raises(NotFound):
        audit_paths([tmp_path / "absent"])


def cells_csv(path: Path, latitude: float, *, pci: int = 0) -> None:
    """Write a list of six cells, 2 km from one another; the first has no place."""
    rows = [f"C{i},{latitude + 0.02 * i if i else ''},{11.0 if i else ''},{pci + i}"
            for i in range(6)]  # fmt: skip
    path.write_text("\n".join(["cell,latitude,longitude,pci", *rows]) + "\n")


def test_another_network_of_the_same_names_is_left_out(tmp_path: Path) -> None:
    """Two networks whose cells bear the same names do not become one full of conflicts."""
    cells_csv(tmp_path / "a.csv", 48.0)
    cells_csv(tmp_path / "b.csv", 20.0, pci=3)
    (tmp_path / "c.csv").write_text("source,target\nC1,C2\nC2,C1\n")
    conf, _, reading = audit_paths([tmp_path])
    assert conf.physical_cell_id.tolist() == [0, 1, 2, 3, 4, 5]
    assert conf.relation_source.size == 2
    (only,) = reading
    assert (only.code, only.file, only.count) == ("another-network", "b.csv", 6)
    assert "as in a.csv" in only.expected
    assert "5 of 5 elsewhere, 3.11e+03 km" in only.found


def test_the_same_network_again_is_not_another(tmp_path: Path) -> None:
    """Cells moved by some 100 m are the same ones; what differs is told once a file and field."""
    cells_csv(tmp_path / "a.csv", 48.0)
    cells_csv(tmp_path / "b.csv", 48.001)
    conf, _, reading = audit_paths([tmp_path])
    assert conf.cells == 6
    (only,) = reading
    assert (only.code, only.file, only.column) == (
        "cell-stated-differently", "b.csv", "latitude_deg",
    )  # fmt: skip
    assert only.count == 5


def test_relations_of_a_second_export_are_no_repetition(tmp_path: Path) -> None:
    """Only what one file states twice is stated twice; weights stay of use."""
    cells_csv(tmp_path / "cells.csv", 48.0)
    relations = "source,target\nC1,C2\nC2,C1\nC1,C9\n"
    (tmp_path / "one.csv").write_text(relations)
    (tmp_path / "two.csv").write_text(relations + "C1,C2\n")
    conf, _, _ = audit_paths([tmp_path])
    assert conf.relation_source.size == 2
    assert conf.repeated == (("C1", "C2"),)
    assert conf.unresolved == (("C1", "C9"),)
