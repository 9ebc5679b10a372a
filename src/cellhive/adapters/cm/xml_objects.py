"""Objects of a configuration file in XML, one after the other, however large the file is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from cellhive.adapters.inputs import chunks
from cellhive.adapters.unpacking.packings import Truncated
from cellhive.core.errors import BadInput

_PROLOG_BYTES = 1 << 20
"""How far down a document type is looked for."""
_DECLARES = re.compile(rb"""<!DOCTYPE(?:"[^"]*"|'[^']*'|[^>\["'])*\[|<!ENTITY""")
"""A document type that declares anything itself; one that only names a file is not fetched."""


def local_name(element: etree._Element) -> str:
    """Return the name of an element without its namespace; "" for comments."""
    return etree.QName(element).localname if isinstance(element.tag, str) else ""


def elements_of(path: Path) -> Iterator[etree._Element]:
    """Yield each element of a file as soon as it is complete, with what it lies in.

    Raises:
        BadInput: It is no well-formed XML, or its document type declares entities.
    """
    parser = etree.XMLPullParser(
        events=("end",), resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    prolog = b""
    try:
        for data in chunks(path):
            if len(prolog) < _PROLOG_BYTES:
                prolog = (prolog + data)[:_PROLOG_BYTES]
                _refuse_entities(prolog, path)
            parser.feed(data)
            yield from _complete(parser)
        parser.close()
        yield from _complete(parser)
    except Truncated as error:
        raise BadInput(
            place=str(path), expected="a complete file", found=str(error), remedy="fetch it again"
        ) from error
    except etree.XMLSyntaxError as error:
        raise BadInput(
            place=f"{path}, line {error.lineno or 1}", expected="well-formed XML",
            found=error.msg or "a syntax error",
            remedy="if the file was cut while it was copied, copy it again",
        ) from error  # fmt: skip


def _complete(parser: etree.XMLPullParser) -> Iterator[etree._Element]:
    for _, element in parser.read_events():
        if isinstance(element, etree._Element):
            yield element


def _refuse_entities(prolog: bytes, path: Path) -> None:
    if _DECLARES.search(prolog.replace(b"\x00", b"")):
        raise BadInput(
            place=str(path), expected="XML without entities of its own",
            found="a DOCTYPE that declares some", remedy="remove it; entities are not read",
        )  # fmt: skip
