"""Certificates and keys of nodes: made, kept to their owner, and checked when loaded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cellhive.adapters.quic.identity import (
    AUTHORITY_KEY,
    NODE_CERTIFICATE,
    NODE_KEY,
    IdentityFiles,
    Untrusted,
    check_name,
    load_identity,
    make_authority,
    make_identity,
)
from cellhive.core.errors import BadInput, Conflict

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def now() -> datetime:
    """Return a fixed time."""
    return NOW


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an authority and the node north."""
    make_authority(tmp_path / "authority", name="swarm", now=now)
    make_identity(tmp_path / "authority", tmp_path / "north", node="north", now=now, days=30)
    return tmp_path


def test_keys_are_readable_by_their_owner_only(folder: Path) -> None:
    """Both keys have mode 0600, and a key that others may read is refused."""
    files = IdentityFiles.in_folder(folder / "north")
    for key in (folder / "authority" / AUTHORITY_KEY, folder / "north" / NODE_KEY):
        assert key.stat().st_mode & 0o777 == 0o600
    load_identity(files, node="north", now=now)
    files.key.chmod(0o640)
    with pytest.raises(BadInput, match="chmod 600"):
        load_identity(files, node="north", now=now)


def test_a_node_knows_when_its_certificate_ends(folder: Path) -> None:
    """Valid to its last day, and refused on the day after, before anybody is asked."""
    files = IdentityFiles.in_folder(folder / "north")
    load_identity(files, node="north", now=lambda: NOW + timedelta(days=29))
    with pytest.raises(BadInput, match="issue the identity anew"):
        load_identity(files, node="north", now=lambda: NOW + timedelta(days=31))


def test_a_certificate_is_for_one_name(folder: Path) -> None:
    """Another node cannot start with it."""
    with pytest.raises(BadInput, match="'south'"):
        load_identity(IdentityFiles.in_folder(folder / "north"), node="south", now=now)


def test_the_key_must_be_that_of_the_certificate(folder: Path) -> None:
    """A key of another node is noticed when loaded."""
    make_identity(folder / "authority", folder / "south", node="south", now=now)
    (folder / "north" / NODE_KEY).write_bytes((folder / "south" / NODE_KEY).read_bytes())
    with pytest.raises(BadInput, match="another key"):
        load_identity(IdentityFiles.in_folder(folder / "north"), node="north", now=now)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_damaged_file_is_named(folder: Path, content: bytes) -> None:
    """The error says which file cannot be used."""
    (folder / "north" / NODE_CERTIFICATE).write_bytes(content)
    with pytest.raises(BadInput, match=r"node\.crt"):
        load_identity(IdentityFiles.in_folder(folder / "north"), node="north", now=now)


def test_nothing_is_overwritten(folder: Path) -> None:
    """A second authority or identity in the same place would lock everybody out."""
    with pytest.raises(Conflict):
        make_authority(folder / "authority", name="swarm", now=now)
    with pytest.raises(Conflict):
        make_identity(folder / "authority", folder / "north", node="north", now=now)


def test_only_allowed_nodes_are_trusted(folder: Path) -> None:
    """A list of names keeps others of the same authority out."""
    make_identity(folder / "authority", folder / "south", node="south", now=now)
    files = IdentityFiles.in_folder(folder / "north", frozenset({"south"}))
    north = load_identity(files, node="north", now=now)
    south = load_identity(IdentityFiles.in_folder(folder / "south"), node="south", now=now)
    assert north.verify(south.certificate) == "south"
    with pytest.raises(Untrusted, match="allow it"):
        north.verify(north.certificate)


@pytest.mark.parametrize(
    "name", ["", "North", "a b", "-a", "a-", "a..b", "a/b", "ä", "a" * 65, "*"]
)
def test_names_are_what_certificates_can_carry(name: str) -> None:
    """No wildcard, no path, nothing that two programs could read differently."""
    with pytest.raises(BadInput):
        check_name(name)
