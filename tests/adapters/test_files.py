"""Files are read with a bound and written whole; delimited text keeps its line numbers."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellhive.adapters.files import (
    check_text,
    disarmed,
    parse_number,
    parse_table,
    read_bounded,
    rearmed,
    write_whole,
)
from cellhive.core.errors import BadInput, NotFound


def test_plain_and_packed_files_are_read_alike(tmp_path: Path) -> None:
    """Gzip is recognised by its content, not by its name."""
    (tmp_path / "a").write_bytes(b"text")
    (tmp_path / "b").write_bytes(gzip.compress(b"text"))
    assert read_bounded(tmp_path / "a") == read_bounded(tmp_path / "b") == b"text"


def test_bound_is_exact(tmp_path: Path) -> None:
    """As many bytes as allowed are read, one more is refused, packed or not."""
    for name, data in (("a", b"1234"), ("b", gzip.compress(b"1234"))):
        (tmp_path / name).write_bytes(data)
        assert read_bounded(tmp_path / name, max_bytes=4) == b"1234"
        with pytest.raises(BadInput, match="at most 0 MiB"):
            read_bounded(tmp_path / name, max_bytes=3)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    """Missing, folder, empty and cut files are told apart."""
    with pytest.raises(NotFound):
        read_bounded(tmp_path / "none")
    with pytest.raises(BadInput, match="a folder"):
        read_bounded(tmp_path)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"text" * 1000)[:-12])
    with pytest.raises(BadInput, match="copy the file again"):
        read_bounded(tmp_path / "cut.gz")


def test_writing_replaces_whole_files(tmp_path: Path) -> None:
    """The new content stands alone; nothing else is left in the folder."""
    path = tmp_path / "a"
    write_whole(path, b"old and longer")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_failed_write_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    """A target that is a folder is refused and no temporary file stays."""
    (tmp_path / "a").mkdir()
    with pytest.raises(BadInput, match="a path that can be written"):
        write_whole(tmp_path / "a", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_lines_are_those_of_the_file() -> None:
    """Blank lines, a separator line and line breaks inside quotes count."""
    table = parse_table(b'sep=;\n\nx;y\n1;2\n\n"3\n4";5\n', place="f", max_rows=9)
    assert table.header == ("x", "y")
    assert table.rows == (("1", "2"), ("3\n4", "5"))
    assert table.lines == (4, 7)
    assert table.separator == ";"
    assert table.decimal_comma


@pytest.mark.parametrize(
    ("first", "separator"), [("a,b;c,d", ","), ("a;b", ";"), ("a\tb", "\t"), ("a|b", "|"),
                             ('"a;b;c",d', ","), ("a", ",")],
)  # fmt: skip
def test_separator_is_what_the_header_holds_most_of(first: str, separator: str) -> None:
    """Separators inside quotes do not count."""
    row = separator.join(["1"] * len(first.split(separator))) if '"' not in first else "1,2"
    assert parse_table(f"{first}\n{row}\n".encode(), place="f", max_rows=9).separator == separator


def test_row_limit_is_exact() -> None:
    """As many rows as allowed are read, one more is refused."""
    assert len(parse_table(b"x\n1\n2\n", place="f", max_rows=2).rows) == 2
    with pytest.raises(BadInput, match="at most 1 rows"):
        parse_table(b"x\n1\n2\n", place="f", max_rows=1)


def test_wrong_encoding_names_the_line() -> None:
    """Text in another encoding is refused at its first foreign byte."""
    with pytest.raises(BadInput, match=r"f, line 3: .*0xfc; save the file as UTF-8"):
        parse_table("x\na\nMünchen\n".encode("latin-1"), place="f", max_rows=9)


@pytest.mark.parametrize(
    ("text", "comma", "value"),
    [("1.5", False, 1.5), (" -1,5 ", True, -1.5), ("1e3", False, 1000.0), ("7", True, 7.0)],
)
def test_numbers_are_read(text: str, comma: bool, value: float) -> None:
    """Decimal points always, decimal commas where they can be nothing else."""
    assert parse_number(text, decimal_comma=comma) == value


@pytest.mark.parametrize("text", ["", "x", "1,5", "nan", "inf", "1_000", "1.000,5", "0x1f"])
def test_what_is_no_number_is_refused(text: str) -> None:
    """Neither words nor infinities nor digit groups are numbers."""
    with pytest.raises(ValueError, match=r".+"):
        parse_number(text)


@given(st.text(st.one_of(st.characters(), st.sampled_from("'=+-@\t\r")), max_size=8))
def test_text_is_disarmed_and_rearmed(text: str) -> None:
    """Disarmed text never starts a formula and comes back exactly."""
    assert not disarmed(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert rearmed(disarmed(text)) == text


def test_text_that_xml_cannot_carry_is_refused() -> None:
    """Control characters and lone surrogates are named; line breaks and emoji pass."""
    assert check_text("a\tb\nc😀\ufffd", place="p") == "a\tb\nc😀\ufffd"
    for bad in ("\0", "\x1b", "\ud800", "\uffff"):
        with pytest.raises(BadInput, match=f"U\\+{ord(bad):04X}"):
            check_text(bad, place="p")
