"""Commands that move a memory as a whole: import, export, back up, verify, rebuild."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from cellhive.cli.memory_options import (
    MEMORY,
    AsJson,
    KeyPlace,
    Kind,
    MemoryPlace,
    NamespaceName,
    opened,
    progress,
    space_of,
)
from cellhive.cli.output import console
from cellhive.core.errors import CellHiveError
from cellhive.core.records import Namespace, Record, RecordKind

if TYPE_CHECKING:
    from cellhive.adapters.agentdb.source import Source
    from cellhive.app.memory.transfer import Taken
    from cellhive.app.memory.upkeep import IndexState, Verified
    from cellhive.memory.store import Memory

EXPORT_SUFFIXES = (".jsonl", ".ndjson", ".parquet")


def import_files(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Files of the npm package agentdb: .db, .rvf (both kinds), hnswlib .idx."
        ),
    ],
    namespace: Annotated[
        str,
        typer.Option("--namespace", "-n", help="Where it goes; default: what the file is called."),
    ] = "",
    kind: Annotated[
        RecordKind, typer.Option(help="Kind of bare vectors, of which the file says nothing.")
    ] = RecordKind.RESULT,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read everything, write nothing.")
    ] = False,
    memory: MemoryPlace = MEMORY,
    key: KeyPlace = "",
    as_json: AsJson = False,
) -> None:
    """Import what the npm package agentdb has stored, vectors bit by bit.

    The format is told by the first bytes of a file. Files are only read. Patterns, episodes,
    skills, causal edges, facts, certificates, learning sessions and all other tables become
    records; whatever does not is listed with a count and the reason. Importing a file again
    changes nothing, so an import that was interrupted can be given again; a file that has
    grown brings what is new. Ends with exit code 1 where a file was damaged.

    Example: cellhive memory import agentdb.db -n swarm
    """
    from cellhive.adapters.agentdb.opening import open_agentdb  # noqa: PLC0415

    told: list[dict[str, Any]] = []
    damaged = False
    sources = [(path, open_agentdb(path, namespace=namespace, kind=kind)) for path in files]
    for path, source in sources:
        with progress(path.name, source.expected, quiet=as_json) as tell:
            if dry_run:
                taken = _read_only(source, tell)
            else:
                with opened(memory, key) as found:
                    taken = _take(found, source, tell)
        damaged |= any(each.weight == "damaged" for each in source.tally.findings())
        told.append(_import_told(path, source, taken))
        if not as_json:
            _show_import(told[-1], dry_run=dry_run)
    if as_json:
        print(json.dumps(told, indent=2))
    if damaged:
        message = "expected whole files, found damage, which is listed above; the rest is imported"
        raise CellHiveError(message)


def _take(memory: Memory, source: Source, tell: Any) -> Taken:
    from cellhive.app.memory.transfer import Rules, take_in  # noqa: PLC0415

    def items() -> Iterator[Namespace | Record]:
        known = memory.log.namespaces()
        for space in source.namespaces:
            there = known.get(space.name)
            # A namespace that a person declared, kept in another way, is as good.
            fits = there and (there.dimension, there.metric) == (space.dimension, space.metric)
            if not fits:
                yield space
        yield from source.records()

    return take_in(memory, items(), Rules(replace=True, forgiving=True), tell)


def _read_only(source: Source, tell: Any) -> Taken:
    from cellhive.app.memory.transfer import Taken  # noqa: PLC0415

    taken = Taken(declared=list(source.namespaces))
    for _ in source.records():
        taken.new += 1
        if taken.new % 1000 == 0:
            tell(taken.new)
    return taken


def _import_told(path: Path, source: Source, taken: Taken) -> dict[str, Any]:
    findings = [
        {"weight": each.weight.value, "where": each.where, "what": each.what, "count": each.count}
        for each in source.tally.findings()
    ]
    findings += [
        {"weight": "left out", "where": "records", "what": reason, "count": 1}
        for reason in taken.reasons
    ]
    return {
        "file": str(path),
        "format": source.form,
        "namespaces": [
            {"namespace": each.name, "dimension": each.dimension, "metric": each.metric.value}
            for each in source.namespaces
        ],
        "records": taken.total,
        "new": taken.new,
        "changed": taken.changed,
        "unchanged": taken.unchanged,
        "refused": taken.refused,
        "findings": findings,
    }


def _show_import(told: dict[str, Any], *, dry_run: bool) -> None:
    print(f"{told['file']}: {told['format']}")
    spaces = ", ".join(
        f"{each['namespace']} ({each['dimension']} numbers, {each['metric']})"
        for each in told["namespaces"]
    )
    if dry_run:
        print(f"  {told['records']:,} records would go to {spaces}")
    else:
        print(
            f"  {told['records']:,} records: {told['new']:,} new, {told['changed']:,} changed, "
            f"{told['unchanged']:,} there already; in {spaces}"
        )
    if not told["findings"]:
        return
    table = Table("", "count", "where", "what", box=None, pad_edge=False)
    table.columns[3].overflow = "fold"
    for each in told["findings"]:
        table.add_row(
            f"  {each['weight']}", f"{each['count']:,}", escape(each["where"]), escape(each["what"])
        )
    console().print(table)


def export(
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write: .jsonl or .parquet; default: print."),
    ] = None,
    namespace: Annotated[
        list[str] | None,
        typer.Option("--namespace", "-n", help="Only this one; repeatable; default: all."),
    ] = None,
    kind: Kind = None,
    packed: Annotated[
        bool, typer.Option("--packed", help="Write vectors in base64: a third of the room.")
    ] = False,
    memory: MemoryPlace = MEMORY,
    key: KeyPlace = "",
) -> None:
    """Write records as JSON lines or Parquet; cellhive memory add reads both back, exactly.

    Example: cellhive memory export -n cells -o cells.jsonl
    """
    from cellhive.adapters.files import check_output  # noqa: PLC0415
    from cellhive.app.memory.opening import visible  # noqa: PLC0415
    from cellhive.app.memory.transfer import everything  # noqa: PLC0415

    if out is not None:
        check_output(out, "--out", EXPORT_SUFFIXES)
    with opened(memory, key, existing=True) as found:
        every = [each.name for each in visible(found.log)]
        names = [space_of(found, name) for name in namespace or every]
        spaces = [found.log.namespaces()[name] for name in names]
        total = sum(found.count(name, kind=kind) for name in names)
        records = (each for name in names for each in everything(found, name, kind=kind))
        with progress("Exporting", total, quiet=out is None) as tell:
            written = _export(out, spaces, _counted(records, tell), packed=packed)
    if out is not None:
        print(f"{out}: {written:,} records")


def _counted(records: Iterator[Record], tell: Any) -> Iterator[Record]:
    for number, record in enumerate(records):
        if number % 1000 == 0:
            tell(number)
        yield record


def _export(
    out: Path | None, spaces: list[Namespace], records: Iterator[Record], *, packed: bool
) -> int:
    from cellhive.adapters.record_lines import (  # noqa: PLC0415
        write_lines,
        write_lines_file,
        write_namespace,
    )

    if out is None:
        for space in spaces:
            sys.stdout.write(write_namespace(space).decode())
        for line in write_lines(records, packed=packed):
            sys.stdout.write(line.decode())
        return 0
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix.lower() == ".parquet":
        from cellhive.adapters.record_parquet import write_parquet  # noqa: PLC0415

        return write_parquet(out, spaces, records)
    return write_lines_file(out, spaces, records, packed=packed)


def verify(
    namespace: NamespaceName = "",
    memory: MemoryPlace = MEMORY,
    key: KeyPlace = "",
    as_json: AsJson = False,
) -> None:
    """Read everything there is, and check that the index finds what a full scan finds.

    Ends with exit code 1 where something is not in order.

    Example: cellhive memory verify
    """
    from cellhive.app.memory import upkeep  # noqa: PLC0415

    results = []
    with opened(memory, key, existing=True) as found:
        names = [space_of(found, namespace)] if namespace else sorted(found.log.namespaces())
        for name in names:
            with progress(name, found.count(name), quiet=as_json) as tell:
                results.append(upkeep.verify(found, name, tell))
    problems = upkeep.file_problems(memory)
    if as_json:
        told = [{"namespace": r.namespace, "records": r.records, "vectors": r.vectors,
                 "recall": r.recall, "problems": r.problems} for r in results]  # fmt: skip
        print(json.dumps({"file": problems, "namespaces": told}, indent=2))
    else:
        _show_verified(results, problems)
    if problems or any(r.problems for r in results):
        message = "expected a memory in order, found problems, which are listed above"
        raise CellHiveError(message)


def _show_verified(results: list[Verified], problems: list[str]) -> None:
    table = Table(
        "namespace", "records", "vectors", "index finds", "problems", box=None, pad_edge=False
    )
    for r in results:
        recall = "" if r.recall is None else f"{r.recall:.1%}"
        told = "; ".join(r.problems) or "none"
        table.add_row(escape(r.namespace), f"{r.records:,}", f"{r.vectors:,}", recall, escape(told))
    console().print(table)
    for problem in problems:
        print(problem)
    print("The file is in order." if not problems else "The file is damaged.")


def info(
    indexes: Annotated[
        bool,
        typer.Option("--indexes", help="Bring the indexes up to date and say how they search."),
    ] = False,
    memory: MemoryPlace = MEMORY,
    key: KeyPlace = "",
    as_json: AsJson = False,
) -> None:
    """Say what is in a memory, where it is, how large, and what an acknowledged write survives.

    Example: cellhive memory info --indexes
    """
    from cellhive.app.memory import upkeep  # noqa: PLC0415

    with opened(memory, key, existing=True) as found:
        spaces = upkeep.state_of(found, indexes=indexes)
    store = upkeep.store_of(memory, encrypted=bool(key))
    if as_json:
        told = {**asdict(store), "namespaces": [asdict(each) for each in spaces]}
        print(json.dumps(told, indent=2))
        return
    print(f"Memory: {store.place}{', encrypted' if store.encrypted else ''}")
    print(f"Writes: {store.durability}")
    if store.records_bytes is not None:
        saved = f"{_megabytes(store.index_bytes or 0)} of saved indexes"
        print(f"Files: {_megabytes(store.records_bytes)} of records, {saved}")
    table = Table("namespace", "records", "of which", "numbers", "metric", "kept as",
                  *(["searched by"] * indexes), box=None, pad_edge=False)  # fmt: skip
    for each in spaces:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in each.kinds.items())
        space = each.namespace
        searched = [_searched(each.index)] if each.index is not None else []
        table.add_row(
            escape(space.name), f"{each.records:,}", kinds, str(space.dimension), space.metric,
            space.storage, *searched,
        )  # fmt: skip
    console().print(table)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _searched(index: IndexState) -> str:
    if index.exact:
        why = " (faiss-cpu is not installed)" if index.without_library else ""
        return f"looking at all {index.vectors:,} vectors{why}"
    if index.cells == 1:
        return f"comparing the codes of {index.vectors:,} vectors, then {index.pool} vectors"
    return f"looking at {index.probes} of {index.cells:,} parts of {index.vectors:,} vectors"


def rebuild(memory: MemoryPlace = MEMORY, key: KeyPlace = "") -> None:
    """Throw the saved indexes away and make them anew from the records.

    Nothing can be lost by it: indexes are made of the records.

    Example: cellhive memory rebuild
    """
    from cellhive.app.memory import upkeep  # noqa: PLC0415

    with opened(memory, key, existing=True):
        pass  # there is one, and the key fits, before anything is thrown away
    with console(stderr=True).status("Rebuilding ..."):
        upkeep.discard_indexes(memory)
        with opened(memory, key) as found:
            spaces = upkeep.state_of(found, indexes=True)
    for each in spaces:
        if each.index is not None:
            print(f"{each.namespace.name}: {_searched(each.index)}")


def backup(
    folder: Annotated[Path, typer.Argument(help="Folder to write; must hold no memory yet.")],
    memory: MemoryPlace = MEMORY,
    key: KeyPlace = "",
) -> None:
    """Copy a memory while it is in use; the copy is of one moment, checked, and a memory itself.

    An encrypted memory stays encrypted in the copy. To restore, put the folder where the
    memory was, or name it: --memory FOLDER.

    Example: cellhive memory backup backups/monday
    """
    from cellhive.app.memory import upkeep  # noqa: PLC0415

    with console(stderr=True).status("Copying ..."):
        copied = upkeep.back_up(memory, folder)
        problems = upkeep.file_problems(str(folder))
        if problems:
            message = f"{copied}: expected a whole copy, found {problems[0]}; verify the memory"
            raise CellHiveError(message)
        with opened(str(folder), key, existing=True) as found:
            spaces = upkeep.state_of(found)
    total = sum(each.records for each in spaces)
    print(f"{copied}: {total:,} records, {_megabytes(copied.stat().st_size)}, checked")


def new_key(
    file: Annotated[Path, typer.Argument(help="File to write; must not exist yet.")],
) -> None:
    """Make a key to encrypt a new memory with, readable by its owner only.

    Whoever loses it loses the memory: keep a copy elsewhere.

    Example: cellhive memory new-key memory.key
    """
    from cellhive.app.memory.opening import write_new_key  # noqa: PLC0415

    write_new_key(file)
    print(f"{file}: made; use it with --key {file}")
