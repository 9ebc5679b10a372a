"""Commits what a node sends through a pipe to the node's memory: the process beside a node."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cellhive.adapters.quic.disk_process import commit_all, give_way
from cellhive.app.memory.opening import key_of, open_parts


def main(words: Sequence[str]) -> None:
    """Commit until standard input ends.

    Args:
        words: Place of the memory, and where its key comes from or "".
    """
    where, key = words
    give_way()
    opened = open_parts(where, key=key_of(key))
    try:
        commit_all(opened.log, sys.stdin.buffer, sys.stdout.buffer)
    finally:
        opened.close()


if __name__ == "__main__":
    main(sys.argv[1:])
