"""Many records, kept with what is known of all of them."""

from __future__ import annotations

from typing import Any

from cellhive.core.records import Record


class Together(tuple[Record, ...]):
    """Records that are written or sent together, and have no ``fault``.

    What has been worked out for all of them stays with them, as peers and the disk need the
    same: a lot is taken apart into columns once, however often it is encoded.
    """

    apart: Any = None
    """Columns, vectors and payloads (``columns.columns_of``); None while nobody has asked."""
    weight_bytes = 0
    """What they weigh (``faults.weights_bytes``); 0 while nobody has asked."""
