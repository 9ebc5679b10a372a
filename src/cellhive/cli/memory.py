"""Commands that write, find and read records of a memory."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer
from rich.markup import escape
from rich.table import Table

from cellhive.cli import memory_swarm as swarm
from cellhive.cli import memory_upkeep as upkeep
from cellhive.cli.memory_options import (
    MEMORY,
    AsJson,
    KeyPlace,
    Kind,
    MemoryPlace,
    MetricName,
    NamespaceName,
    opened,
    parsed_where,
    progress,
    ranking_of,
    read_text,
    refuse_nothing,
    space_of,
)
from cellhive.cli.output import console
from cellhive.core.errors import NotFound
from cellhive.core.records import Namespace, Record, Storage

if TYPE_CHECKING:
    from cellhive.core.types import Floats32
    from cellhive.memory.store import Match, Memory

memory_app = typer.Typer(
    help="Remember records and find them again: by what they resemble, by words, by facts.\n\n"
    "A record has an id and a kind, and may have a vector, facts (metadata), words and a "
    "payload. Records whose vectors can be compared live in one namespace.\n\n"
    "Start: [bold]cellhive memory namespace create cells --dimension 3[/bold], then "
    "[bold]cellhive memory add cells.jsonl -n cells[/bold], then "
    "[bold]cellhive memory search --vector '\\[0.1, 0.8, 0.2]'[/bold].",
    no_args_is_help=True,
)
memory_app.command("import")(upkeep.import_files)
memory_app.command()(upkeep.export)
memory_app.command()(upkeep.info)
memory_app.command()(upkeep.verify)
memory_app.command()(upkeep.rebuild)
memory_app.command()(upkeep.backup)
memory_app.command("new-key")(upkeep.new_key)
memory_app.command()(swarm.serve)
memory_app.command()(swarm.join)
memory_app.command()(swarm.status)
memory_app.add_typer(swarm.identity_app, name="identity")
namespace_app = typer.Typer(
    help="Declare where records live whose vectors can be compared.", no_args_is_help=True
)
memory_app.add_typer(namespace_app, name="namespace")

LONGEST_SHOWN = 60
"""Characters of words and of facts that a table shows."""


@namespace_app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Name, for example cells.")],
    dimension: Annotated[int, typer.Option("--dimension", "-d", min=1, help="Numbers per vector.")],
    metric: Annotated[MetricName, typer.Option(help="How near two vectors are.")] = (
        MetricName.COSINE
    ),
    storage: Annotated[
        Storage,
        typer.Option(help="How vectors are kept in memory: all but float32 take less room."),
    ] = Storage.FLOAT32,
    features: Annotated[
        str, typer.Option(help="Names of the numbers, with commas: results are explained by them.")
    ] = "",
    memory: MemoryPlace = MEMORY,
    key: KeyPlace = "",
) -> None:
    """Declare a namespace; doing it again with the same settings changes nothing.

    Example: cellhive memory namespace create cells -d 3 --features load,edge_share,speed
    """
    names = tuple(part.strip() for part in features.split(",")) if features else ()
    namespace = Namespace(name, dimension, metric.metric, storage, names)
    with opened(memory, key) as found:
        found.declare(namespace)
    print(f"{name}: {dimension} numbers, {namespace.metric}, kept as {storage}")


@namespace_app.command("list")
def list_namespaces(
    memory: MemoryPlace = MEMORY, key: KeyPlace = "", as_json: AsJson = False
) -> None:
    """List the namespaces and how many records are in each.

    Example: cellhive memory namespace list --json
    """
    from cellhive.app.memory.opening import visible  # noqa: PLC0415

    with opened(memory, key, existing=True) as found:
        spaces = visible(found.log)
        rows = [(space, found.count(space.name)) for space in spaces]
    if as_json:
        told = [{**described(space), "records": count} for space, count in rows]
        print(json.dumps(told, indent=2))
        return
    table = Table("namespace", "records", "numbers", "metric", "kept as", box=None, pad_edge=False)
    for space, count in rows:
        table.add_row(
            escape(space.name), f"{count:,}", str(space.dimension), space.metric, space.storage
        )
    console().print(table)


def described(space: Namespace) -> dict[str, Any]:
    """Return a namespace as JSON has it."""
    return {
        "namespace": space.name, "dimension": space.dimension, "metric": space.metric.value,
        "storage": space.storage.value, "features": list(space.features),
    }  # fmt: skip


@memory_app.command()
def add(
    files: Annotated[
        list[str] | None, typer.Argument(help='Files of JSON lines, or "-" for standard input.')
    ] = None,
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="For records that name none themselves.")
    ] = "",
    metric: Annotated[
        MetricName,
        typer.Option(help="Of a namespace that is not there yet; its first vector declares it."),
    ] = MetricName.COSINE,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let records replace those of the same id.")
    ] = False,
    memory: MemoryPlace = MEMORY,
    key: KeyPlace = "",
    as_json: AsJson = False,
) -> None:
    """Write records from JSON lines, one object a line.

    Fields: id (needed), namespace, kind (pattern, result, action, outcome, model; default
    result), vector (numbers, or float32 in base64), metadata (names to text, number, true,
    false, null or a list of texts), text (words to be found by), payload (base64), time_s,
    origin. Parquet files that export has written go in as well.

    Example: echo '{"id": "c1", "vector": \\[0.1, 0.8], "metadata": {"load": 0.7}}' |
    cellhive memory add - -n cells

    Records that are there with the same content are passed over, so a command that was
    interrupted can be given again. Every batch is on disk before the next is read.
    """
    from cellhive.app.memory.transfer import Rules, take_in  # noqa: PLC0415

    refuse_nothing(files, expected='files of records, or "-" for standard input')
    rules = Rules(replace=replace, metric=metric.metric)
    with opened(memory, key) as found, progress("Adding", None, quiet=as_json) as tell:
        taken = take_in(found, _items(files or [], namespace), rules, tell)
    if as_json:
        told = {"new": taken.new, "changed": taken.changed, "unchanged": taken.unchanged}
        print(json.dumps(told))
        return
    for space in taken.declared:
        print(f"declared {space.name}: {space.dimension} numbers, {space.metric}")
    print(f"{taken.new:,} new, {taken.changed:,} changed, {taken.unchanged:,} there already")


def _items(files: list[str], namespace: str) -> Iterator[Namespace | Record]:
    from cellhive.adapters.record_lines import read_lines  # noqa: PLC0415
    from cellhive.adapters.record_parquet import read_parquet  # noqa: PLC0415

    for name in files:
        if name.lower().endswith(".parquet"):
            yield from read_parquet(Path(name))
            continue
        with ExitStack() as stack:
            yield from read_lines(
                _binary(name, stack), place="standard input" if name == "-" else name,
                namespace=namespace,
            )  # fmt: skip


def _binary(name: str, stack: ExitStack) -> BinaryIO:
    if name == "-":
        return sys.stdin.buffer
    path = Path(name)
    try:
        return stack.enter_context(path.open("rb"))
    except OSError as error:
        message = f"{name}: expected a file that can be read, found: {error.strerror or error}"
        raise NotFound(message) from error


@memory_app.command()
def get(
    ids: Annotated[list[str], typer.Argument(help="Ids of records.")],
    namespace: NamespaceName = "",
    memory: MemoryPlace = MEMORY,
    key: KeyPlace = "",
) -> None:
    """Print records, whole, as JSON lines; ends with exit code 2 where one is not there.

    Example: cellhive memory get cell-7/09:00 -n cells
    """
    from cellhive.adapters.record_lines import write_lines  # noqa: PLC0415

    with opened(memory, key, existing=True) as found:
        space = space_of(found, namespace)
        records = found.get(space, ids)
    print_lines(write_lines(record for record in records if record is not None))
    missing = [name for name, record in zip(ids, records, strict=True) if record is None]
    if missing:
        message = f"{space}: expected ids of records, found none of these: {', '.join(missing[:9])}"
        raise NotFound(message)


def print_lines(lines: Iterator[bytes]) -> None:
    """Print lines that are bytes already."""
    for line in lines:
        sys.stdout.write(line.decode())


@memory_app.command()
def search(
    words: Annotated[list[str] | None, typer.Argument(help="Words to look for.")] = None,
    vector: Annotated[
        str, typer.Option(help='Look for what is near: a JSON list, @FILE with one, or "-".')
    ] = "",
    like: Annotated[str, typer.Option(help="Look for what is near the record of this id.")] = "",
    where: Annotated[
        str,
        typer.Option(
            help="Only records with these facts, as JSON; operators: $eq $ne $gt $gte $lt $lte "
            "$in $nin $contains $exists $and $or $not."
        ),
    ] = "",
    k: Annotated[int, typer.Option("-k", min=1, help="How many.")] = 10,
    kind: Kind = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say which numbers made them similar.")
    ] = False,
    diversity: Annotated[
        float,
        typer.Option(min=0, max=1, help="Towards 1, rather unlike records than near twins."),
    ] = 0.0,
    half_life: Annotated[
        float | None, typer.Option(help="Hours of age after which a record counts half.")
    ] = None,
    outcome: Annotated[
        str,
        typer.Option(
            help="Prefer what went well: names of the facts with the mean outcome (0 to 1) and "
            "with the number of trials, such as success_rate,uses."
        ),
    ] = "",
    namespace: NamespaceName = "",
    memory: MemoryPlace = MEMORY,
    key: KeyPlace = "",
    as_json: AsJson = False,
) -> None:
    """Find the records that fit best: near a vector, with these words, or both.

    Examples:

    cellhive memory search --vector '\\[0.1, 0.8, 0.2]' -k 3 --explain

    cellhive memory search --like cell-7/09:00 --where '{"load": {"$gt": 0.7}}'

    cellhive memory search late handover motorway --outcome success_rate,uses
    """
    from cellhive.adapters.record_lines import parse_vector  # noqa: PLC0415

    refuse_nothing(words, vector, like, expected="words, --vector or --like")
    query = None
    if vector:
        query = parse_vector(read_text(vector, "--vector"), "--vector")
    with opened(memory, key, existing=True) as found:
        space = space_of(found, namespace)
        if like:
            query = _vector_of(found, space, like)
        matches = found.find(
            space, vector=query, text=" ".join(words or []), k=k, where=parsed_where(where),
            kind=kind, ranking=ranking_of(diversity, half_life, outcome),
        )  # fmt: skip
        features = found.log.namespaces()[space].features
    if as_json:
        print(json.dumps([_told(match, explain=explain) for match in matches], indent=2))
        return
    if explain and not features:
        console(stderr=True).print(f"[dim]The numbers of {escape(space)} have no names.[/dim]")
    console().print(_shown(matches, explain=explain))


def _vector_of(memory: Memory, space: str, name: str) -> Floats32:
    (known,) = memory.get(space, [name])
    if known is None or known.vector is None:
        what = "no record" if known is None else "a record without a vector"
        message = f"--like: expected the id of a record with a vector, found {what}: {name}"
        raise NotFound(message)
    return known.vector


def _told(match: Match, *, explain: bool) -> dict[str, Any]:
    """Return a result as JSON has it; its vector is left out."""
    from cellhive.adapters.record_lines import as_plain  # noqa: PLC0415

    record = as_plain(match.record)
    record.pop("vector", None)
    told: dict[str, Any] = {"score": match.score, "similarity": match.similarity, "record": record}
    if explain:
        told["contributions"] = dict(match.contributions or {})
    return told


def _shown(matches: list[Match], *, explain: bool) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("score", "id", "kind", "when"):
        table.add_column(name, no_wrap=True)
    table.add_column("words and facts", overflow="fold")
    if explain:
        table.add_column("similar because of", overflow="fold")
    for match in matches:
        row = [f"{match.score:.4f}", *_row(match.record)]
        if explain:
            row.append(_because(match))
        table.add_row(*row)
    return table


def _row(record: Record) -> list[str]:
    words = " ".join(record.text.split())
    facts = ", ".join(f"{name}={_fact(value)}" for name, value in record.metadata.items())
    told = " · ".join(_cut(part) for part in (words, facts) if part)
    return [escape(record.id), record.kind.value, _when(record.time_s), escape(told)]


def _fact(value: object) -> str:
    if isinstance(value, tuple):
        return "+".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"


def _when(time_s: float) -> str:
    """Return a time as people read it: of day where it is since the epoch, else seconds."""
    if not time_s:
        return ""
    try:
        when = dt.datetime.fromtimestamp(time_s, dt.UTC)
    except (OverflowError, ValueError, OSError):
        return f"{time_s:g} s"
    return f"{time_s:g} s" if when.year < 1990 else f"{when:%Y-%m-%d %H:%M:%S}"  # noqa: PLR2004


def _because(match: Match) -> str:
    parts = sorted((match.contributions or {}).items(), key=lambda each: -abs(each[1]))
    return ", ".join(f"{escape(name)} {share:+.3f}" for name, share in parts[:5])


@memory_app.command("list")
def list_records(
    kind: Kind = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    namespace: NamespaceName = "",
    memory: MemoryPlace = MEMORY,
    key: KeyPlace = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print whole records, one a line.")] = (
        False
    ),
) -> None:
    """List records in the order they were first written.

    Example: cellhive memory list --kind pattern --limit 5
    """
    from cellhive.adapters.record_lines import write_lines  # noqa: PLC0415
    from cellhive.app.memory.transfer import everything  # noqa: PLC0415

    with opened(memory, key, existing=True) as found:
        space = space_of(found, namespace)
        records = everything(found, space, kind=kind, limit=limit)
        if as_json:
            print_lines(write_lines(records))
            return
        table = Table("id", "kind", "when", "words and facts", box=None, pad_edge=False)
        for record in records:
            table.add_row(*_row(record))
        total = found.count(space, kind=kind)
    console().print(table)
    if total > limit:
        console(stderr=True).print(f"[dim]{limit} of {total:,}; more with --limit[/dim]")


@memory_app.command()
def delete(
    ids: Annotated[list[str], typer.Argument(help="Ids of records.")],
    namespace: NamespaceName = "",
    memory: MemoryPlace = MEMORY,
    key: KeyPlace = "",
) -> None:
    """Delete records; other replicas of the memory delete them too.

    Example: cellhive memory delete cell-7/09:00 -n cells
    """
    with opened(memory, key, existing=True) as found:
        space = space_of(found, namespace)
        gone = found.delete(space, ids)
    print(
        f"{space}: {gone} of {len(ids)} deleted"
        + ("" if gone == len(ids) else "; the others are not there")
    )


@memory_app.command()
def count(
    kind: Kind = None,
    where: Annotated[str, typer.Option(help="Only with these facts; see search.")] = "",
    namespace: NamespaceName = "",
    memory: MemoryPlace = MEMORY,
    key: KeyPlace = "",
) -> None:
    """Print how many records there are.

    Example: cellhive memory count --kind outcome --where '{"success": false}'
    """
    with opened(memory, key, existing=True) as found:
        space = space_of(found, namespace)
        print(found.count(space, kind=kind, where=parsed_where(where)))
