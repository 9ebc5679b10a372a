"""The adapters that every contract suite runs on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from record_logs import RECORD_LOGS, SERVERS, Stores

from cellhive.core.ports import RecordLog

LASTING = [name for name, (_, keeps) in RECORD_LOGS.items() if keeps]


def made(request: pytest.FixtureRequest, folder: Path) -> Iterator[Stores]:
    """Yield stores of the adapter that is the parameter of a request; close them afterwards."""
    opener, keeps = RECORD_LOGS[request.param]
    stores = Stores(folder, opener, keeps)
    if request.param in SERVERS:
        stores.url = request.getfixturevalue(request.param).url()
    yield stores
    for log in stores.opened:
        log.close()


@pytest.fixture(params=list(RECORD_LOGS))
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """Each adapter of the record log in turn."""
    yield from made(request, tmp_path)


@pytest.fixture(params=LASTING)
def lasting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """Each adapter that keeps what was written, in turn."""
    yield from made(request, tmp_path)


@pytest.fixture
def log(stores: Stores) -> RecordLog:
    """Return an empty log with the namespaces of the tests declared."""
    return stores.open()
