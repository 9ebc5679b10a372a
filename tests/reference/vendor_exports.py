"""Exports as the OSS of vendors and BI tools write them, made up, with the truth beside them.

Each function writes one file and returns what a reader must get out of it: for each column,
the value of every object at every time. Layouts follow what the vendors' and their users'
public documents show: U2020/PRS result files with counter ids and a row of units, ENM/ITK and
Business Objects reports with a semicolon and a decimal comma, NetAct reports with two heading
rows and distinguished names, and so on.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path

CELLS = ("LTE0101A", "LTE0101B", "LTE0202A")
HOURS = tuple(datetime(2024, 3, 14, tzinfo=UTC) + timedelta(hours=h) for h in range(5))
DAYS = tuple(datetime(2024, 3, 11, tzinfo=UTC) + timedelta(days=d) for d in range(4))

Key = tuple[str, datetime]
Values = dict[Key, float | None]


@dataclass
class Truth:
    """What a reader must get out of a file."""

    path: Path
    columns: dict[str, Values] = field(default_factory=dict)
    """By heading as it is read."""


def value(kpi: int, cell: int, step: int) -> float:
    """Return a value with two decimals that no other place has."""
    return round(1000 * (kpi + 1) + 100 * cell + 7 * step + 0.25 * (step + 1), 2)


def table(
    headings: Sequence[str], objects: Sequence[str], times: Sequence[datetime]
) -> dict[str, Values]:
    """Return values for every heading, object and time."""
    return {
        heading: {
            (name, when): value(k, c, t)
            for c, name in enumerate(objects)
            for t, when in enumerate(times)
        }
        for k, heading in enumerate(headings)
    }


def comma(number: float, group: str = "") -> str:
    """Return a number with a decimal comma and, if asked for, grouped thousands."""
    return (
        f"{number:,.2f}".replace(",", group).replace(".", ",")
        if group
        else f"{number:.2f}".replace(".", ",")
    )


# -- spreadsheets

_KINDS = "application/vnd.openxmlformats-officedocument"
_SPACE = "http://schemas.openxmlformats.org"

Rows = Sequence[Sequence[str | float | None]]


def write_xlsx(
    path: Path,
    sheets: Mapping[str, Rows],
    *,
    hidden: Sequence[str] = (),
    merged: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Write a plain spreadsheet of texts and numbers, with hidden sheets and merged cells."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{_SPACE}/package/2006/content-types">'
            '<Default Extension="xml" ContentType="application/xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{_KINDS}.spreadsheetml.sheet.'
            'main+xml"/></Types>',
        )
        book.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{_SPACE}/package/2006/relationships"><Relationship Id="r1" '
            f'Type="{_SPACE}/officeDocument/2006/relationships/officeDocument" '
            'Target="xl/workbook.xml"/></Relationships>',
        )
        entries = "".join(
            f'<sheet name="{escape(name)}" sheetId="{n}" r:id="r{n}"'
            + (' state="hidden"/>' if name in hidden else "/>")
            for n, name in enumerate(sheets, 1)
        )
        book.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{_SPACE}/spreadsheetml/2006/main" xmlns:r="{_SPACE}/officeDocument'
            f'/2006/relationships"><sheets>{entries}</sheets></workbook>',
        )
        links = "".join(
            f'<Relationship Id="r{n}" Type="{_SPACE}/officeDocument/2006/relationships/worksheet"'
            f' Target="worksheets/sheet{n}.xml"/>'
            for n in range(1, len(sheets) + 1)
        )
        book.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{_SPACE}/package/2006/relationships">{links}</Relationships>',
        )
        for n, (name, rows) in enumerate(sheets.items(), 1):
            body = "".join(f"<row>{''.join(map(_cell, row))}</row>" for row in rows)
            ranges = (merged or {}).get(name, ())
            merges = "".join(f'<mergeCell ref="{one}"/>' for one in ranges)
            book.writestr(
                f"xl/worksheets/sheet{n}.xml",
                f'<worksheet xmlns="{_SPACE}/spreadsheetml/2006/main"><sheetData>{body}'
                f"</sheetData>{f'<mergeCells>{merges}</mergeCells>' if merges else ''}"
                "</worksheet>",
            )


def _cell(one: str | float | None) -> str:
    if one is None or one == "":
        return "<c/>"
    if isinstance(one, str):
        return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(one)}</t></is></c>'
    return f"<c><v>{one}</v></c>"


def serial(when: datetime) -> float:
    """Return a time as a spreadsheet counts it [days]."""
    return (when - datetime(1899, 12, 30, tzinfo=UTC)).total_seconds() / 86400


# -- Huawei


def huawei_u2020_results(folder: Path) -> Truth:
    """U2020 pmresult: counter ids, a row of units, NIL, the object in one long name."""
    path = folder / "pmresult_1526726658_60_202403140000_202403140500.csv"
    headings = ["1526726658", "1526726659", "1526728433"]
    names = [
        f"eNodeB1/Cell:eNodeB Function Name=eNodeB1, Local Cell ID={i}, Cell Name={cell}, "
        "eNodeB ID=101, Cell FDD TDD indication=CELL_FDD"
        for i, cell in enumerate(CELLS)
    ]
    truth = Truth(path, table(headings, names, HOURS))
    lines = [
        "Result Time,Granularity Period,Object Name,Reliability," + ",".join(headings),
        ",Minutes,,,times,times,times",
    ]
    for t, when in enumerate(HOURS):
        for c, name in enumerate(names):
            cells = [f"{value(k, c, t):.2f}" for k in range(3)]
            if (t, c) == (1, 1):
                cells[2] = "NIL"
                truth.columns[headings[2]][name, when] = None
            lines.append(f'"{when:%Y-%m-%d %H:%M}","60","{name}","Reliable",' + ",".join(cells))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return truth


def huawei_prs_report(folder: Path) -> Truth:
    """PRS: report title and filters above, names with dots and units in brackets, a footer."""
    path = folder / "LTE_KPI_Report_Hourly.csv"
    headings = ["L.RRC.ConnReq.Att", "L.Thrp.bits.DL (bit)", "VS.RRC.AttConnEstab.Sum"]
    truth = Truth(path, table(headings, CELLS, HOURS))
    lines = [
        "LTE_KPI_Report_Hourly", "Start Time:,2024-03-14 00:00", "End Time:,2024-03-14 05:00",
        "Filter:,City = 'Muscat',Object Type = Cell", "",
        "Start Time,Period (min),eNodeB Name,Cell Name,LocalCell Id," + ",".join(headings),
    ]  # fmt: skip
    for t, when in enumerate(HOURS):
        for c, cell in enumerate(CELLS):
            numbers = ",".join(f"{value(k, c, t):.2f}" for k in range(3))
            lines.append(f"{when:%Y-%m-%d %H:%M:%S},60,{cell[:-1]},{cell},{c},{numbers}")
    lines += ["", "Total records: 15"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return truth


def huawei_lst_cells(folder: Path) -> Truth:
    """LST CELL of MML: text in columns with a dashed line, a configuration."""
    path = folder / "lst_cell.txt"
    path.write_text(
        "+++    ENODEB1        2024-03-14 10:11:12\n"
        "O&M    #12345\n"
        "%%/*1879048*/LST CELL:;%%\n"
        "RETCODE = 0  Operation succeeded.\n\n"
        "List Cell static parameters\n"
        "---------------------------\n"
        "Local Cell ID  Cell Name  Csg indicator  Downlink EARFCN  Physical cell ID  State\n\n"
        "0              LTE0101A   False          1300             101               Active\n"
        "1              LTE0101B   False          1300             102               Active\n"
        "2              LTE 0202A  False          1300             101               Active\n"
        "(Number of results = 3)\n\n\n"
        "---    END\n",
        encoding="utf-8",
    )
    return Truth(path)


# -- Ericsson


def ericsson_itk(folder: Path) -> Truth:
    """ITK: semicolon, decimal comma, pm counters, the hour in a column of its own."""
    path = folder / "itk_EUtranCellFDD.csv"
    headings = ["pmRrcConnEstabSucc", "pmErabEstabAttInit", "pmPdcpVolDlDrb"]
    names = [f"{cell[:-1]}/{cell}" for cell in CELLS]
    truth = Truth(path, table(headings, names, HOURS))
    lines = ["DATE_ID;HOUR_ID;ERBS;EUtranCellFDD;" + ";".join(headings)]
    for t, when in enumerate(HOURS):
        for c, cell in enumerate(CELLS):
            numbers = ";".join(comma(value(k, c, t)) for k in range(3))
            lines.append(f"{when:%d/%m/%Y};{when.hour};{cell[:-1]};{cell};{numbers}")
    path.write_text("\r\n".join(lines) + "\r\n", encoding="cp1252")
    # the site tells no rows apart that the cell does not: the cell alone names them
    truth.columns = table(headings, CELLS, HOURS)
    return truth


def ericsson_bo(folder: Path) -> Truth:
    """Business Objects: a sheet with titles, repeated headings, sums per day and at the end."""
    path = folder / "Busy_hour.xlsx"
    headings = ["RRC Setup Success Rate (%)", "Traffic Volume DL (GB)"]
    truth = Truth(path, table(headings, CELLS, HOURS))
    head: list[str | float | None] = ["Date", "Hour", "Cell", *headings]
    rows: list[list[str | float | None]] = [
        ["LTE busy hour report", None, None, None, None],
        ["Refreshed: 2024-03-15 07:00", None, None, None, None], [None] * 5, head,
    ]  # fmt: skip
    for t, when in enumerate(HOURS):
        if t == 3:
            rows.append(head)
        rows += [
            [serial(when.replace(hour=0)), when.hour, cell, value(0, c, t), value(1, c, t)]
            for c, cell in enumerate(CELLS)
        ]
    rows += [["Sum:", None, None, None, 12345.5], ["Average", None, None, 99.1, None]]
    write_xlsx(path, {"Report1": rows}, merged={"Report1": ["A1:E1"]})
    return truth


# -- Nokia


def nokia_netact(folder: Path) -> Truth:
    """RAISA: two heading rows (names over ids), month first, a hidden sheet of formulas."""
    path = folder / "RSLTE_report.xlsx"
    names = ["Total E-UTRAN RRC conn stp SR", "E-UTRAN Avg PRB usage per TTI DL"]
    ids = ["LTE_5218c", "LTE_5276b"]
    headings = [f"{name} / {one}" for name, one in zip(names, ids, strict=True)]
    objects = [f"MRBTS-{101 + c}/LNBTS-{101 + c}/LNCEL-{c + 11}" for c in range(3)]
    truth = Truth(path, table(headings, objects, HOURS))
    keys: list[str | float | None] = ["Period start time", "MRBTS name", "DN"]
    rows: list[list[str | float | None]] = [
        [*keys, *names],
        ["", "", "", *ids],
        *(
            [
                f"{when:%m.%d.%Y %H:%M:%S}",
                f"Site{c}",
                f"PLMN-PLMN/{name}",
                value(0, c, t),
                value(1, c, t),
            ]
            for t, when in enumerate(HOURS)
            for c, name in enumerate(objects)
        ),
    ]
    truth.columns = table(headings, [f"PLMN-PLMN/{name}" for name in objects], HOURS)
    formulas = [["KPI ID", "Formula"], ["LTE_5218c", "100*sum([SIGN_CONN_ESTAB_COMP])"]]
    write_xlsx(
        path, {"Data": rows, "KPI Formulas": formulas}, hidden=["KPI Formulas"],
        merged={"Data": ["A1:A2", "B1:B2", "C1:C2"]},
    )  # fmt: skip
    return truth


def nokia_counters(folder: Path) -> Truth:
    """Raw counters: bars between fields, ids as headings, a co_gid besides the names."""
    path = folder / "LCELLD.txt"
    headings = ["M8001C147", "M8012C19", "M8013C17"]
    truth = Truth(
        path, table(headings, [f"{cell[:-1]}/{c + 1}" for c, cell in enumerate(CELLS)], HOURS)
    )
    lines = ["PERIOD_START_TIME|PERIOD_DURATION|LNBTS_NAME|LNCEL_ID|" + "|".join(headings)]
    for t, when in enumerate(HOURS):
        for c, cell in enumerate(CELLS):
            numbers = "|".join(f"{value(k, c, t):.2f}" for k in range(3))
            lines.append(f"{when:%Y%m%d%H%M}|60|{cell[:-1]}|{c + 1}|{numbers}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return truth


# -- others


def zte_netnumen(folder: Path) -> Truth:
    """NetNumen: a running number, begin and end, per cent signs at the values."""
    path = folder / "History Performance_LTE.csv"
    ratio, count = "RRC Establishment Success Rate(%)", "C373200001:RRC Connection Attempts"
    truth = Truth(path, table([ratio, count], CELLS, HOURS))
    lines = [
        "Index,Start Time,End Time,Query Granularity,SubnetWork ID,ManagedElement ID,"
        f"Cell Name,{ratio},{count}"
    ]
    number = 0
    for t, when in enumerate(HOURS):
        for c, cell in enumerate(CELLS):
            number += 1
            until = when + timedelta(hours=1)
            share = 90 + c + t / 4
            truth.columns[ratio][cell, when] = share
            lines.append(
                f"{number},{when:%Y-%m-%d %H:%M:%S},{until:%Y-%m-%d %H:%M:%S},1 Hour(s),12,"
                f'{500 + c},{cell},{share:.2f}%,"{value(1, c, t):,.2f}"'
            )
    path.write_text("\n".join(lines) + "\n", encoding="gb18030")
    return truth


def samsung_lsm(folder: Path) -> Truth:
    """LSM: tabs, hours to 24:00 that end a period, counters with units in brackets."""
    path = folder / "lsm_stat.tsv"
    headings = ["ConnEstabAtt(count)", "CellUnavailableTime(s)"]
    names = [f"{cell[:-1]}/{c}" for c, cell in enumerate(CELLS)]
    times = [datetime(2024, 3, 14, tzinfo=UTC) + timedelta(hours=h) for h in range(22, 25)]
    truth = Truth(path, table(headings, names, times))
    lines = ["TIME\tNE_NAME\tCELL_NUM\t" + "\t".join(headings)]
    for t in range(3):
        for c, cell in enumerate(CELLS):
            numbers = "\t".join(f"{value(k, c, t):.2f}" for k in range(2))
            lines.append(f"2024-03-14 {22 + t}:00\t{cell[:-1]}\t{c}\t{numbers}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return truth


def french_bi(folder: Path) -> Truth:
    """A French export: narrow spaces in thousands, decimal comma, words for nothing, averages."""
    path = folder / "export.csv"
    headings = ["Taux de coupure (%)", "Trafic DL (Mo)", "Débit moyen (kbit/s)"]
    truth = Truth(path, table(headings, CELLS, HOURS))
    nothing = {(1, 0): "N/A", (2, 1): "#DIV/0!", (3, 2): "-", (4, 0): "NIL"}
    lines = [
        "Rapport;;;;;",
        "Période : 14/03/2024;;;;;",
        "Date;Heure;Cellule;" + ";".join(headings),
    ]
    for t, when in enumerate(HOURS):
        for c, cell in enumerate(CELLS):
            cells = [comma(value(k, c, t), ("\u202f", "\xa0", " ")[k]) for k in range(3)]
            if (t, c) in nothing:
                cells[1] = nothing[t, c]
                truth.columns[headings[1]][cell, when] = None
            lines.append(f"{when:%d/%m/%Y};{when:%Hh};{cell};" + ";".join(cells))
    lines.append(f"Moyenne;;;{comma(12.5)};{comma(3.25)};{comma(1.5)}")
    path.write_bytes(("\r\n".join(lines) + "\r\n").encode("utf-16"))
    return truth


def arabic_headings(folder: Path) -> Truth:
    """Headings in Arabic in the code page of its Windows."""
    path = folder / "taqrir.csv"
    headings = ["نسبة النجاح (%)", "عدد المكالمات"]
    truth = Truth(path, table(headings, CELLS, HOURS))
    lines = ["التاريخ;الخلية;" + ";".join(headings)]
    for t, when in enumerate(HOURS):
        for c, cell in enumerate(CELLS):
            numbers = ";".join(f"{value(k, c, t):.2f}" for k in range(2))
            lines.append(f"{when:%Y-%m-%d %H:%M};{cell};{numbers}")
    path.write_bytes(("\r\n".join(lines) + "\r\n").encode("cp1256"))
    return truth


# -- layouts


def wide_by_day(folder: Path) -> Truth:
    """A column per day, the KPI in a column of its own."""
    path = folder / "trend.xlsx"
    headings = ["Call Drop Rate (%)", "DL Traffic Volume (GB)"]
    truth = Truth(path, table(headings, CELLS, DAYS))
    rows: list[list[str | float | None]] = [["KPI", "Cell Name", *(serial(day) for day in DAYS)]]
    rows += [
        [heading, cell, *(value(k, c, t) for t in range(len(DAYS)))]
        for k, heading in enumerate(headings)
        for c, cell in enumerate(CELLS)
    ]
    write_xlsx(path, {"Trend": rows})
    return truth


def wide_by_day_one_kpi(folder: Path) -> Truth:
    """A column per day; the title says which KPI it is."""
    path = folder / "drops.csv"
    truth = Truth(path, table(["Call Drop Rate (%)"], CELLS, DAYS))
    lines = ["Call Drop Rate (%),,,,", "Cell," + ",".join(f"{day:%d-%b-%Y}" for day in DAYS)]
    lines += [
        f"{cell}," + ",".join(f"{value(0, c, t):.2f}" for t in range(len(DAYS)))
        for c, cell in enumerate(CELLS)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return truth


def wide_by_cell(folder: Path) -> Truth:
    """A column per cell; the title says which KPI it is."""
    path = folder / "users.csv"
    truth = Truth(path, table(["Average RRC Connected Users"], CELLS, HOURS))
    lines = ["Average RRC Connected Users;;;", "Time;" + ";".join(CELLS)]
    lines += [
        f"{when:%Y-%m-%d %H:%M};" + ";".join(f"{value(0, c, t):.2f}" for c in range(len(CELLS)))
        for t, when in enumerate(HOURS)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return truth


def long_layout(folder: Path) -> Truth:
    """A row per value: the name of the KPI and its value in two columns."""
    path = folder / "long.csv"
    headings = ["RRC Success Rate", "PRB Utilization DL"]
    truth = Truth(path, table(headings, CELLS, HOURS))
    lines = ["Timestamp,Cell Name,KPI Name,KPI Value"]
    lines += [
        f"{when:%Y-%m-%dT%H:%M:%SZ},{cell},{heading},{value(k, c, t):.2f}"
        for k, heading in enumerate(headings)
        for t, when in enumerate(HOURS)
        for c, cell in enumerate(CELLS)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return truth


def tables_below_one_another(folder: Path) -> Truth:
    """Two tables of other columns on one sheet, each with a title, a blank row between."""
    path = folder / "stacked.xlsx"
    first, second = ["RRC Attempts", "RRC Success"], ["DL Volume (GB)", "UL Volume (GB)"]
    truth = Truth(path, table([*first, *second], CELLS, HOURS))
    rows: list[list[str | float | None]] = []
    for offset, headings in ((0, first), (2, second)):
        rows += [[f"Table {offset // 2 + 1}", None, None, None], ["Time", "Cell", *headings]]
        rows += [
            [f"{when:%Y-%m-%d %H:%M}", cell, value(offset, c, t), value(offset + 1, c, t)]
            for t, when in enumerate(HOURS)
            for c, cell in enumerate(CELLS)
        ]
        rows += [[None] * 4, [None] * 4]
    write_xlsx(path, {"All": rows})
    return truth


def tables_side_by_side(folder: Path) -> Truth:
    """Two tables beside one another on one sheet, an empty column between."""
    path = folder / "beside.xlsx"
    first, second = ["RRC Attempts", "RRC Success"], ["DL Volume (GB)", "UL Volume (GB)"]
    truth = Truth(path, table([*first, *second], CELLS, HOURS))
    rows: list[list[str | float | None]] = [["Time", "Cell", *first, None, "Time", "Cell", *second]]
    for t, when in enumerate(HOURS):
        for c, cell in enumerate(CELLS):  # the second table is in another order
            other = len(CELLS) - 1 - c
            hour = f"{when:%Y-%m-%d %H:%M}"
            right = [hour, CELLS[other], value(2, other, t), value(3, other, t)]
            rows.append([hour, cell, value(0, c, t), value(1, c, t), None, *right])
    write_xlsx(path, {"All": rows})
    return truth


def units_in_a_row(folder: Path) -> Truth:
    """Names in one row, units in the next, several columns that together name the object."""
    path = folder / "bi.xlsx"
    headings = ["DL throughput (Mbps)", "Availability (%)", "Interference (dBm)"]
    names = [f"{cell[:-1]}/{c + 1}" for c, cell in enumerate(CELLS)]
    truth = Truth(path, table(headings, names, HOURS))
    rows: list[list[str | float | None]] = [
        ["Region", "Site", "Sector", "Time", "DL throughput", "Availability", "Interference"],
        ["", "", "", "", "Mbps", "%", "dBm"],
    ]
    rows += [
        ["North", cell[:-1], c + 1, serial(when), *(value(k, c, t) for k in range(3))]
        for t, when in enumerate(HOURS)
        for c, cell in enumerate(CELLS)
    ]
    write_xlsx(path, {"Data": rows})
    return truth


def grouped_headings(folder: Path) -> Truth:
    """A merged heading over several columns, and the hidden sheet of last month beside it."""
    path = folder / "dashboard.xlsx"
    headings = ["Accessibility / RRC SR", "Accessibility / ERAB SR", "Retainability / Drop Rate"]
    truth = Truth(path, table(headings, CELLS, DAYS))
    rows: list[list[str | float | None]] = [
        ["Daily dashboard", None, None, None, None],
        ["", "", "Accessibility", "", "Retainability"],
        ["Date", "Cell", "RRC SR", "ERAB SR", "Drop Rate"],
    ]
    rows += [
        [f"{when:%d.%m.%Y}", cell, *(value(k, c, t) for k in range(3))]
        for t, when in enumerate(DAYS)
        for c, cell in enumerate(CELLS)
    ]
    old = [*rows[:3], ["01.02.2024", "LTE0101A", 1.0, 2.0, 3.0]]
    write_xlsx(path, {"Old": old, "Now": rows}, hidden=["Old"], merged={"Now": ["A1:E1", "C2:D2"]})
    return truth


def pivot_outline(folder: Path) -> Truth:
    """A pivot table: the cell stands once above its days; another column is merged."""
    path = folder / "pivot.xlsx"
    headings = ["RRC Attempts", "RRC Success"]
    truth = Truth(path, table(headings, CELLS, DAYS))
    rows: list[list[str | float | None]] = [["Region", "Cell", "Date", *headings]]
    for c, cell in enumerate(CELLS):
        for t, day in enumerate(DAYS):
            numbers = [value(k, c, t) for k in range(2)]
            region = "North" if c == t == 0 else None
            rows.append([region, cell if t == 0 else None, f"{day:%Y-%m-%d}", *numbers])
    write_xlsx(path, {"Pivot": rows}, merged={"Pivot": [f"A2:A{len(rows)}"]})
    return truth


def hours_across(folder: Path) -> Truth:
    """A row per cell and day, a column per hour, and the line that tells the separator."""
    path = folder / "hours.csv"
    times = [DAYS[0] + timedelta(hours=h) for h in range(8)]
    truth = Truth(path, table(["DL PRB Utilization (%)"], CELLS, times))
    lines = [
        "sep=;",
        "DL PRB Utilization (%)",
        "Cell;Date;" + ";".join(f"{t:%H:%M}" for t in times),
    ]
    lines += [
        f"{cell};{DAYS[0]:%d.%m.%Y};" + ";".join(comma(value(0, c, t)) for t in range(8))
        for c, cell in enumerate(CELLS)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return truth


def cells_over_kpis(folder: Path) -> Truth:
    """Merged headings of cells over the same KPIs each."""
    path = folder / "matrix.xlsx"
    headings = ["RRC Success Rate (%)", "DL Throughput (Mbps)"]
    truth = Truth(path, table(headings, CELLS, HOURS))
    upper: list[str | float | None] = ["Time"]
    for cell in CELLS:
        upper += [cell, None]
    rows: list[list[str | float | None]] = [upper, [None, *headings * len(CELLS)]]
    rows += [
        [serial(when), *(value(k, c, t) for c in range(len(CELLS)) for k in range(2))]
        for t, when in enumerate(HOURS)
    ]
    write_xlsx(path, {"Matrix": rows}, merged={"Matrix": ["A1:A2", "B1:C1", "D1:E1", "F1:G1"]})
    return truth


EXPORTS: tuple[Callable[[Path], Truth], ...] = (
    huawei_u2020_results, huawei_prs_report, ericsson_itk, ericsson_bo, nokia_netact,
    nokia_counters, zte_netnumen, samsung_lsm, french_bi, arabic_headings, wide_by_day,
    wide_by_day_one_kpi, wide_by_cell, long_layout, tables_below_one_another,
    tables_side_by_side, units_in_a_row, grouped_headings, pivot_outline, hours_across,
    cells_over_kpis,
)  # fmt: skip
"""Every export of measurements; ``huawei_lst_cells`` is one of configuration."""
