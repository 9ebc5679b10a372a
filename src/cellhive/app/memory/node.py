"""Runs a memory as a node of a swarm, asks one how it is, and makes identities."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from cellhive.adapters.quic.control import ControlClient
from cellhive.adapters.quic.identity import (
    AUTHORITY_CERTIFICATE,
    NODE_CERTIFICATE,
    IdentityFiles,
    make_authority,
    make_identity,
)
from cellhive.adapters.quic.node import Node, NodeSettings, serve
from cellhive.adapters.quic.peers import PeerAddress
from cellhive.app.memory.opening import Opened, Place, key_of, now_ms, open_parts
from cellhive.core.errors import BadInput, NotFound
from cellhive.memory.store import Memory

IDENTITY = "identity"
"""Folder of a node's identity, in that of its memory."""


def now() -> dt.datetime:
    """Return the wall clock."""
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True)
class NodeOptions:
    """How to run a node."""

    where: str
    identity: Path | None = None
    listen: str = "127.0.0.1:0"
    peers: tuple[str, ...] = ()
    """Each ``name@host:port``."""
    allow: frozenset[str] = frozenset()
    """Names that may connect; empty: all that the authority has signed."""
    bandwidth_limit_bytes_s: float = float("inf")
    joining: bool = False
    """Whether to end where all peers turn the node away before it has met one."""
    key: str = ""
    """Where the key of an encrypted memory comes from, see ``key_of``."""

    def settings(self) -> NodeSettings:
        """Return the node's settings, with its name as its certificate has it.

        Raises:
            BadInput: An address, or the place of the memory, is none.
            NotFound: There is no identity.
        """
        place = Place(self.where)
        if place.on_server and self.identity is None:
            raise BadInput(
                place="--identity", expected="a folder with the node's identity", found="none",
                remedy="a memory in a server has no folder for it: name one",
            )  # fmt: skip
        identity = self.identity or place.folder / IDENTITY
        host, port = _address(self.listen)
        return NodeSettings(
            name=shown_identity(identity)["name"],
            folder=identity if place.on_server else place.folder,
            identity=IdentityFiles.in_folder(identity, self.allow),
            listen_host=host,
            listen_port=port,
            peers=tuple(PeerAddress.parse(each) for each in self.peers),
            bandwidth_limit_bytes_s=self.bandwidth_limit_bytes_s,
            needs_peer=self.joining,
            disk=(sys.executable, "-m", "cellhive.app.memory.disk", self.where, self.key),
        )


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) < 1 << 16):
        raise BadInput(
            place="--listen", expected="host:port such as 0.0.0.0:7700", found=repr(text)
        )
    return host.strip("[]"), int(port)


def run_node(options: NodeOptions, ready: Callable[[Node], None]) -> None:
    """Run a node until Ctrl-C or SIGTERM.

    Args:
        options: How to run it.
        ready: Told once it listens.

    Raises:
        Untrusted: It was to join peers, and all of them turned it away.
    """
    settings = options.settings()
    logging.getLogger("quic").setLevel(logging.CRITICAL)  # a node's status tells what failed
    opened: list[Opened] = []

    def open_here() -> Memory:
        if opened and (files := opened[-1].files) is not None:
            files.close()  # the memory and the log are closed by the node itself
        opened.append(open_parts(options.where, key=key_of(options.key)))
        return opened[-1].memory

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, stop.set)
        await serve(
            settings, open_here, now_ms=now_ms, rng=np.random.default_rng(), stop=stop, ready=ready
        )

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())
    finally:
        if opened and (files := opened[-1].files) is not None:
            files.close()


def node_status(where: str) -> dict[str, Any]:
    """Return what the running node of a memory says of itself.

    Raises:
        Unavailable: No node runs there.
    """

    async def ask() -> dict[str, Any]:
        client = await ControlClient.connect(Place(where).folder / "node.sock")
        try:
            return await client.status()
        finally:
            await client.close()

    return asyncio.run(ask())


def new_authority(folder: Path, name: str) -> Path:
    """Make the authority of a swarm in a folder; return its certificate."""
    make_authority(folder, name=name, now=now)
    return folder / AUTHORITY_CERTIFICATE


def issue(authority: Path, node: str, folder: Path, days: int) -> Path:
    """Issue a node's identity into a folder; return its certificate."""
    make_identity(authority, folder, node=node, now=now, days=days)
    return folder / NODE_CERTIFICATE


def shown_identity(folder: Path) -> dict[str, Any]:
    """Return what the certificate in a folder says: name, issuer, validity, fingerprint.

    Raises:
        NotFound: There is none.
        BadInput: It cannot be read.
    """
    path = folder / NODE_CERTIFICATE
    if not path.exists():
        path = folder / AUTHORITY_CERTIFICATE
    if not path.exists():
        message = (
            f"{folder}: expected an identity, found none; make one: cellhive memory identity issue"
        )
        raise NotFound(message)
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        names = _names(certificate)
    except (OSError, ValueError) as error:
        raise BadInput(place=str(path), expected="a PEM certificate", found=str(error)) from error
    return {
        "file": str(path),
        "name": names[0] if names else certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "valid_from": certificate.not_valid_before_utc.isoformat(),
        "valid_until": certificate.not_valid_after_utc.isoformat(),
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
    }


def _names(certificate: x509.Certificate) -> Sequence[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return found.value.get_values_for_type(x509.DNSName)
