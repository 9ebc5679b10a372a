"""Opens a drive-test log of whichever form it is, told by its header."""

from __future__ import annotations

from pathlib import Path

from cellhive.adapters.drive import gnettrack, ntu, plain
from cellhive.adapters.drive.rows import header_of, missing
from cellhive.core.errors import BadInput
from cellhive.ran.trace import DriveTest


def open_drive_test(path: Path, run: str = "") -> DriveTest:
    """Return a drive test whose runs are read as they are asked for.

    Args:
        path: The log; packed with gzip or not.
        run: Name of the one run to read from a file that holds several.

    Raises:
        NotFound: There is no such file.
        BadInput: It is none of the forms that are read.
    """
    header = header_of(path)
    if not missing(header, ntu.COLUMNS):
        return DriveTest(ntu.FORM, str(path), ntu.read_ntu(path, run), ntu.NOTES, True)
    if run:
        raise BadInput(
            place="--run", expected="a log that holds several runs", found=f"{path}",
            remedy="leave the option out",
        )  # fmt: skip
    if not missing(header, gnettrack.COLUMNS):
        beside = () if gnettrack.has_neighbours(header) else (gnettrack.NO_NEIGHBOURS,)
        return DriveTest(
            gnettrack.FORM, str(path), gnettrack.read_gnettrack(path), (*beside, *gnettrack.NOTES)
        )
    if plain.TIME in header:
        return DriveTest(plain.FORM, str(path), plain.read_plain(path), plain.NOTES)
    raise BadInput(
        place=f"{path}, line 1",
        expected=f"a header with {plain.TIME} and one column per cell,"
        f" or with {', '.join(gnettrack.COLUMNS)} (G-NetTrack),"
        f" or with {', '.join(ntu.COLUMNS)} (NTU WMN-Lab)",
        found=", ".join(header[:12])[:200],
        remedy="see docs/how-to/replay-drive-tests.md",
    )
