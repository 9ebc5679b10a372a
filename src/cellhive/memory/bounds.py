"""How large what a memory takes in may be."""

from __future__ import annotations

LONGEST_NAME = 512
"""Characters of an id, a namespace, an origin or a metadata key."""
MOST_METADATA_BYTES = 65_536
"""Of all keys and values of a record, as UTF-8 and 8 bytes a number."""
MOST_TEXT_BYTES = 1 << 20
MOST_PAYLOAD_BYTES = 64 << 20
MOST_COMPONENTS = 65_536
SURELY_FINE = (1e-30, 1e35)
"""Squared lengths of vectors that need no closer look, whatever the rounding of float32."""
