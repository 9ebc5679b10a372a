"""Alarm tables are read under the names systems use, or refused with the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellhive.adapters.alarms_csv import AlarmColumns, read_alarms
from cellhive.core.errors import BadInput, NotFound

SECONDS = "alarm_id,device_id,start_timestamp,end_timestamp\n11,28,30685,30835\n1,30,30680,\n"
DATES = "Alarm Name;NE Name;Start Time\nLOS;A;2026-03-01 00:00:10\nLOF;B;2026-03-01T00:00:00Z\n"


def written(folder: Path, text: str, name: str = "alarms.csv") -> Path:
    """Write a table and return where it is."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_alarms_come_in_order_of_time(tmp_path: Path) -> None:
    """Seconds and dates are times; links are pairs of places, also of silent ones."""
    links = written(tmp_path, "from,to\n28,30\n30,31\n", "links.csv")
    found = read_alarms(written(tmp_path, SECONDS), links=links)
    assert [found.kinds[k] for k in found.kind] == ["1", "11"]
    assert found.time_s.tolist() == [30680.0, 30685.0]
    assert found.places == ("28", "30", "31")
    assert found.links.tolist() == [[0, 1], [1, 2]]
    dated = read_alarms(written(tmp_path, DATES))
    assert [dated.kinds[k] for k in dated.kind] == ["LOF", "LOS"]
    assert dated.time_s[1] - dated.time_s[0] == 10.0
    named = AlarmColumns(name="what", place="where", start="when")
    other = read_alarms(written(tmp_path, "what,where,when\na,x,1\nb,y,2\n"), columns=named)
    assert other.kinds == ("a", "b")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("alarm,site\na,b\n", "alarm's start"),
        ("alarm,site,start\na,b,noon\n", "line 2, start.*seconds"),
        ("alarm,site,start\na,,1\n", "line 2, site.*a name"),
        ("alarm,site,start\na,b,inf\n", "seconds"),
        ("alarm,site,start\na,b,1\n", "two kinds"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """The message says what is wrong, and where."""
    with pytest.raises(BadInput, match=said):
        read_alarms(written(tmp_path, text))


def test_links_that_are_none_are_refused(tmp_path: Path) -> None:
    """A table of one column, a blank place, and a file that is not there."""
    alarms = written(tmp_path, SECONDS)
    with pytest.raises(BadInput, match="two columns"):
        read_alarms(alarms, links=written(tmp_path, "from\n28\n", "links.csv"))
    with pytest.raises(BadInput, match="two places"):
        read_alarms(alarms, links=written(tmp_path, "from,to\n28,\n", "links.csv"))
    with pytest.raises(NotFound):
        read_alarms(tmp_path / "none.csv")
