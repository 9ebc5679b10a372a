"""Where the kernel counts what: columns of its accumulators, and how many there are."""

from __future__ import annotations

import numpy as np

(
    PRB_USED,
    PRB_AVAILABLE,
    VOLUME_MBIT,
    OFFERED_MBIT,
    ACTIVE,
    ELASTIC,
    ELASTIC_MBPS,
    CONNECTED_TIME,
    CONNECTED_MOST,
    SETUP_ATTEMPT,
    SETUP_SUCCESS,
    REESTABLISHMENT,
    PREPARATION_REQUEST,
    PREPARATION_SUCCESS,
    PREPARATION_FAILURE,
    EXECUTION_REQUEST,
    EXECUTION_SUCCESS,
    EXECUTION_FAILURE,
    TOO_LATE,
    TOO_EARLY,
    WRONG_CELL,
    PING_PONG,
    RADIO_LINK_FAILURE,
    COVERAGE_HOLE,
    INTERRUPTED,
    ENERGY_J,
    MEASURED,
    RSRP_DBM,
    SINR_DB,
    WEAK,
    INTERFERED,
    STEPS,
) = range(32)
"""Per cell. Times and users are sums over steps: divide by STEPS for means."""

THROUGHPUT_BINS = 24
"""Histogram of best-effort throughput behind the other columns."""
THROUGHPUT_EDGES_MBPS = np.concatenate([[0.0], np.geomspace(0.05, 100.0, THROUGHPUT_BINS - 1)])
"""Lower edge of each bin [Mbit/s]; the last one is open."""
THROUGHPUT_FIRST = 32
CELL_ACCUMULATORS = THROUGHPUT_FIRST + THROUGHPUT_BINS

(
    RELATION_PREPARATION,
    RELATION_SUCCESS,
    RELATION_FAILURE,
    RELATION_TOO_LATE,
    RELATION_TOO_EARLY,
    RELATION_WRONG_CELL,
    RELATION_WRONG_TAKEN,
    RELATION_PING_PONG,
    RELATION_BORDER,
) = range(9)
"""Per relation, in the order of ``core.schema.RELATION_COUNTERS``."""

RELATION_ACCUMULATORS = 9
