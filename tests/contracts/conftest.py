"""The adapters that every contract suite runs on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from record_logs import RECORD_LOGS, SERVERS, Stores

from cellhive.core.ports import RecordLog


@pytest.fixture(params=list(RECORD_LOGS))
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """Each adapter of the record log in turn."""
    opener, keeps = RECORD_LOGS[request.param]
    made = Stores(tmp_path, opener, keeps)
    if request.param in SERVERS:
        made.url = request.getfixturevalue(request.param).url()
    yield made
    for log in made.opened:
        log.close()


@pytest.fixture
def log(stores: Stores) -> RecordLog:
    """Return an empty log with the namespaces of the tests declared."""
    return stores.open()


@pytest.fixture
def lasting(stores: Stores) -> Stores:
    """Return stores that keep what was written; adapters that cannot are left out."""
    if not stores.keeps:
        pytest.skip("forgets on purpose")
    return stores
