"""Commands that keep memories in step with one another, and that say who is who."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from cellhive.cli.memory_options import MEMORY, AsJson, KeyPlace, MemoryPlace
from cellhive.cli.output import console
from cellhive.core.errors import BadInput

if TYPE_CHECKING:
    from cellhive.adapters.quic.node import Node

identity_app = typer.Typer(
    help="Make and show the certificates by which memories know one another.",
    no_args_is_help=True,
)

IdentityFolder = Annotated[
    Path | None,
    typer.Option(
        "--identity", help="Folder of this node's identity; default: identity in the memory's."
    ),
]
Listen = Annotated[str, typer.Option(help="host:port to listen at (UDP); port 0 takes a free one.")]
Allow = Annotated[
    list[str] | None,
    typer.Option(help="Name that may connect; repeatable; default: all the authority signed."),
]
Limit = Annotated[
    float | None, typer.Option(min=0.001, help="MB/s sent to one peer in bulk; default: no limit.")
]


def serve(
    peer: Annotated[
        list[str] | None, typer.Option(help="name@host:port to connect to; repeatable.")
    ] = None,
    listen: Listen = "127.0.0.1:7700",
    allow: Allow = None,
    limit: Limit = None,
    identity: IdentityFolder = None,
    memory: MemoryPlace = MEMORY,
    key: KeyPlace = "",
) -> None:
    """Run a memory as a node that others can join, until Ctrl-C.

    Nodes talk QUIC (TLS 1.3) and show certificates to each other; whoever has none of the
    same authority gets nothing. Other commands may use the memory meanwhile: what they write
    goes to all nodes.

    Example: cellhive memory serve --memory a --listen 0.0.0.0:7700
    """
    _run(memory, key, identity, listen, peer or [], allow, limit)


def join(
    peers: Annotated[list[str], typer.Argument(help="Nodes to join, each name@host:port.")],
    listen: Listen = "127.0.0.1:0",
    allow: Allow = None,
    limit: Limit = None,
    identity: IdentityFolder = None,
    memory: MemoryPlace = MEMORY,
    key: KeyPlace = "",
) -> None:
    """Run a memory as a node that connects to others, until Ctrl-C.

    It takes in what they have, tells them what it has, and stays in step; a connection that
    breaks is made again. Where all of them refuse its certificate it says so and ends with 1.
    Example: cellhive memory join a@10.0.0.1:7700 --memory b
    """
    _run(memory, key, identity, listen, peers, allow, limit, joining=True)


def _run(
    memory: str, key: str, identity: Path | None, listen: str, peers: list[str],
    allow: list[str] | None, limit: float | None, *, joining: bool = False,
) -> None:  # fmt: skip
    with _needing_the_extra():
        from cellhive.app.memory import node as composition  # noqa: PLC0415

    options = composition.NodeOptions(
        where=memory, identity=identity, listen=listen, peers=tuple(peers),
        allow=frozenset(allow or ()), key=key,
        bandwidth_limit_bytes_s=float("inf") if limit is None else limit * 1e6,
        joining=joining,
    )  # fmt: skip
    composition.run_node(options, _tell_ready)
    print("stopped; everything is on disk")


def _tell_ready(node: Node) -> None:
    told = node.status()
    print(f"node {told['name']} listens on port {told['port']} (UDP); Ctrl-C ends it", flush=True)
    node.tell = _tell_refusal


def _tell_refusal(place: str, why: str) -> None:
    print(f"refused {place}: {why}", file=sys.stderr, flush=True)


@contextmanager
def _needing_the_extra() -> Iterator[None]:
    """Say what to install where a library is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise BadInput(
            place="cellhive memory", expected="the libraries for QUIC and certificates",
            found=f"no {error.name}", remedy="pip install 'cellhive[memory]'",
        ) from error  # fmt: skip


def status(memory: MemoryPlace = MEMORY, as_json: AsJson = False) -> None:
    """Ask the node that runs on a memory how it is, whom it is connected to and how fast.

    Example: cellhive memory status --memory a
    """
    with _needing_the_extra():
        from cellhive.app.memory.node import node_status  # noqa: PLC0415

    told = node_status(memory)
    if as_json:
        print(json.dumps(told, indent=2))
        return
    print(f"node {told['name']}, port {told['port']}, writes as {told['writer']}")
    print(f"{told['written']:,} records written here, {told['applied']:,} taken from peers, "
          f"{told['disk_queue_bytes']:,} bytes on their way to the disk")  # fmt: skip
    links: dict[str, Any] = told["connections"].get("peers", {})
    table = Table("peer", "round trip", "sent", "received", "waiting", "writes behind",
                  box=None, pad_edge=False)  # fmt: skip
    for name, link in links.items():
        behind = told["peers_behind"].get(name)
        table.add_row(
            escape(name), f"{1000 * link['round_trip_s']:.2f} ms",
            f"{link['sent_bytes'] / 1e6:,.1f} MB", f"{link['received_bytes'] / 1e6:,.1f} MB",
            f"{link['backlog_bytes']:,} bytes", "" if behind is None else f"{behind:,}",
        )  # fmt: skip
    if links:
        console().print(table)
    else:
        print("connected to nobody")
    for place, why in told["refusals"].items():
        print(f"refused {place}: {why}")


@identity_app.command("new-ca")
def new_ca(
    folder: Annotated[Path, typer.Argument(help="Folder for the authority; keep it off nodes.")],
    name: Annotated[str, typer.Option(help="Name of the swarm.")] = "cellhive swarm",
) -> None:
    """Make the authority whose certificates the nodes of one swarm trust.

    Example: cellhive memory identity new-ca ca
    """
    with _needing_the_extra():
        from cellhive.app.memory.node import new_authority  # noqa: PLC0415

    print(f"{new_authority(folder, name)}: made; whoever has the key beside it can let nodes in")


@identity_app.command("issue")
def issue_identity(
    node: Annotated[str, typer.Argument(help="Name of the node, such as north-1.")],
    ca: Annotated[Path, typer.Option("--ca", help="Folder of the authority.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to write; default: the memory's.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="How long it is valid.")] = 90,
    memory: MemoryPlace = MEMORY,
) -> None:
    """Issue the certificate and key of a node.

    Example: cellhive memory identity issue north-1 --ca ca --memory a
    """
    with _needing_the_extra():
        from cellhive.app.memory.node import IDENTITY, issue  # noqa: PLC0415

    print(f"{issue(ca, node, out or Path(memory) / IDENTITY, days)}: made for {node}, {days} days")


@identity_app.command("show")
def show_identity(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of an identity; default: the memory's.")
    ] = None,
    memory: MemoryPlace = MEMORY,
    as_json: AsJson = False,
) -> None:
    """Show who a certificate is for, who signed it, and until when it is valid.

    Example: cellhive memory identity show --memory a
    """
    with _needing_the_extra():
        from cellhive.app.memory.node import IDENTITY, shown_identity  # noqa: PLC0415

    told = shown_identity(folder or Path(memory) / IDENTITY)
    if as_json:
        print(json.dumps(told, indent=2))
        return
    for name, value in told.items():
        print(f"{name.replace('_', ' '):12} {value}")
