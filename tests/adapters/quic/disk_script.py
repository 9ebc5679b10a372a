"""Commits to the SQLite log named on the command line, as a node's process beside does."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from cellhive.adapters.embedded.sqlite_log import SqliteLog
from cellhive.adapters.quic.disk_process import commit_all


def now_ms() -> int:
    """Return the wall clock."""
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    log = SqliteLog(Path(sys.argv[1]), now_ms=now_ms)
    commit_all(log, sys.stdin.buffer, sys.stdout.buffer)
    log.close()
