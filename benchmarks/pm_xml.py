"""Promise: 100 MB of measurement XML parses in under 30 s with flat memory.

Generates type C files as an element manager writes them (many elements, many measInfo per
element, thousands of cells, 7 % of the values vectors), reads them with ``read_pm_files``,
and sets beside it what a script would do: parse the whole tree with ``xml.etree``, or stream
it with ``lxml``, and collect (object, time, counter, value) tuples in a list.
"""

from __future__ import annotations

import argparse
import random  # noqa: TID251 (seeded; only makes the input)
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from _bench import Row, report

GROUPS = (("NRCellDU", 120), ("NRCellCU", 90), ("EUtranCellFDD", 150), ("GNBDUFunction", 40))
CELLS_PER_ELEMENT = 12


def write_file(path: Path, megabytes: float, seed: int) -> int:
    """Write a file of about this size and return the number of values in it."""
    rng = random.Random(seed)  # noqa: S311 (makes test input)
    size, values = 0, 0
    limit = megabytes * 1e6
    with path.open("w", encoding="utf-8") as out:
        size += out.write(_header())
        element = 0
        while size < limit:
            element += 1
            for text, count in _element(element, rng):
                size += out.write(text)
                values += count
        out.write(
            '  <fileFooter><measCollec endTime="2024-03-01T12:15:00+00:00"/></fileFooter>\n'
            "</measCollecFile>\n"
        )
    return values


def _header() -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<measCollecFile xmlns='
        '"http://www.3gpp.org/ftp/specs/archive/32_series/32.435#measCollec">\n'
        '  <fileHeader fileFormatVersion="32.435 V10.0" vendorName="Vendor" '
        'dnPrefix="SubNetwork=Net"><fileSender localDn="OSS=1"/>'
        '<measCollec beginTime="2024-03-01T12:00:00+00:00"/></fileHeader>\n'
    )


def _element(element: int, rng: random.Random) -> Iterator[tuple[str, int]]:
    end = datetime(2024, 3, 1, 12, 15, tzinfo=UTC).isoformat()
    yield f'  <measData>\n    <managedElement localDn="ManagedElement=NE{element}"/>\n', 0
    for group, counters in GROUPS:
        head = [
            f'    <measInfo measInfoId="PM=1,PmGroup={group}">\n      <job jobId="1"/>\n'
            f'      <granPeriod duration="PT900S" endTime="{end}"/>\n'
            '      <repPeriod duration="PT900S"/>\n'
        ]
        head += [f'      <measType p="{p}">pm{group}C{p}</measType>\n' for p in _span(counters)]
        yield "".join(head), 0
        for cell in range(1 if group.endswith("Function") else CELLS_PER_ELEMENT):
            body = [f'      <measValue measObjLdn="{group}={cell}">\n']
            count = 0
            for p in _span(counters):
                bins = 16 if p % 14 == 0 else 1
                value = ",".join(str(rng.randrange(100000)) for _ in range(bins))
                body.append(f'        <r p="{p}">{value}</r>\n')
                count += bins
            body.append("      </measValue>\n")
            yield "".join(body), count
        yield "    </measInfo>\n", 0
    yield "  </measData>\n", 0


def _span(count: int) -> range:
    return range(1, count + 1)


_OURS = """
from pathlib import Path
from cellhive.adapters.pm.pm_xml import read_pm_files
reading = read_pm_files([Path(path)])
values = sum(m.frame.select(list(m.columns)).count().sum_horizontal()[0]
             for m in reading.measurements)
"""
_TREE = """
import xml.etree.ElementTree as ET
N = "{http://www.3gpp.org/ftp/specs/archive/32_series/32.435#measCollec}"
rows = []
for data in ET.parse(path).getroot().iter(N + "measData"):
    for info in data.iter(N + "measInfo"):
        end = info.find(N + "granPeriod").get("endTime")
        names = {t.get("p"): t.text for t in info.iter(N + "measType")}
        for value in info.iter(N + "measValue"):
            dn = value.get("measObjLdn")
            for r in value.iter(N + "r"):
                if "," in r.text:
                    rows += [(dn, end, names[r.get("p")], i, float(v))
                             for i, v in enumerate(r.text.split(","))]
                else:
                    rows.append((dn, end, names[r.get("p")], -1, float(r.text)))
values = len(rows)
"""
_LXML = """
from lxml import etree
N = "{http://www.3gpp.org/ftp/specs/archive/32_series/32.435#measCollec}"
rows = []
for _, info in etree.iterparse(path, tag=N + "measInfo", resolve_entities=False):
    end = info.find(N + "granPeriod").get("endTime")
    names = {t.get("p"): t.text for t in info.iter(N + "measType")}
    for value in info.iter(N + "measValue"):
        dn = value.get("measObjLdn")
        for r in value.iter(N + "r"):
            if "," in r.text:
                rows += [(dn, end, names[r.get("p")], i, float(v))
                         for i, v in enumerate(r.text.split(","))]
            else:
                rows.append((dn, end, names[r.get("p")], -1, float(r.text)))
    info.clear()
    while info.getprevious() is not None:
        del info.getparent()[0]
values = len(rows)
"""
_FRAME = """
import resource, sys, time
path = sys.argv[1]
begin = time.perf_counter()
{body}
seconds = time.perf_counter() - begin
used = resource.getrusage(resource.RUSAGE_SELF)
print(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, int(values))
"""


@dataclass(frozen=True)
class Run:
    """What one reader took in a process of its own."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    values: int


def measure(body: str, path: Path) -> Run:
    """Run a reader in a process of its own, imports included."""
    done = subprocess.run(  # noqa: S603 (our own code)
        [sys.executable, "-c", _FRAME.format(body=body), str(path)],
        check=True,
        capture_output=True,
        text=True,
    )
    wall, cpu, peak, values = done.stdout.split()
    return Run(float(wall), float(cpu), float(peak), int(values))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=100.0)
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "C20240301.1200-1215.xml"
        begin = perf_counter()
        expected = write_file(path, options.megabytes, seed=1)
        size = path.stat().st_size / 1e6
        print(f"wrote {size:.0f} MB, {expected} values, in {perf_counter() - begin:.1f} s")
        ours = measure(_OURS, path)
        if ours.values != expected:
            message = f"expected {expected} values, read {ours.values}"
            raise SystemExit(message)
        peers = {} if options.no_peers else {"xml.etree whole tree": _TREE, "lxml iterparse": _LXML}
        rows.append(Row(f"time for {size:.0f} MB", ours.wall_s, "s", goal="< 30"))
        rows.append(Row(f"processor time for {size:.0f} MB", ours.cpu_s, "s"))
        rows.append(Row(f"peak memory for {size:.0f} MB", ours.peak_mib, "MiB", goal="flat"))
        for name, body in peers.items():
            peer = measure(body, path)
            for label, unit, mine, other in (
                ("processor time", "s", ours.cpu_s, peer.cpu_s),
                ("peak memory", "MiB", ours.peak_mib, peer.peak_mib),
            ):
                rows.append(Row(f"{label} against {name}", mine, unit, peer=name,
                                peer_value=other, ratio=other / mine))  # fmt: skip
        half = Path(folder) / "half.xml"
        fewer = write_file(half, options.megabytes / 4, seed=1)
        smaller = measure(_OURS, half)
        per_value = (ours.peak_mib - smaller.peak_mib) * 1048576 / (expected - fewer)
        rows.append(Row("memory per value beyond the start", per_value, "B", goal="< 40"))
    report(
        "pm_xml",
        rows,
        packages=("polars", "numpy", "lxml"),
        notes=(
            f"{expected} values; vectors count per bin",
            "the peers only collect tuples; ours also builds the tables and checks the values",
            "one period of 900 s; one run each; other work shared the machine",
        ),
    )


if __name__ == "__main__":
    main()
