"""Which reader a configuration file in XML needs."""

from __future__ import annotations

import re
from pathlib import Path

from cellhive.adapters.cm.bulk_cm import read_bulk_cm
from cellhive.adapters.cm.raml import read_raml
from cellhive.adapters.cm.stated import Stated
from cellhive.adapters.inputs import head_of

CM_XML = re.compile(rb"<(?:\w+:)?(?:bulkCmConfigDataFile|raml)\b")
"""How configuration files begin, in an encoding of one byte per letter."""
_RAML = re.compile(rb"<(?:\w+:)?raml\b")


def read_cm_xml(path: Path, into: Stated) -> int:
    """Add the cells and relations of a bulk CM or a RAML file; return how many cells it has.

    Raises:
        NotFound: There is no such file.
        BadInput: It is no well-formed XML, or declares entities.
    """
    raml = _RAML.search(head_of(path).replace(b"\x00", b""))
    return (read_raml if raml else read_bulk_cm)(path, into)
