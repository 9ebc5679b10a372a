"""Models in MLflow: its database or tracking server holds versions, aliases and artifacts.

A version is an MLflow model version; its manifest and tensors are artifacts of the run that it
came of, whose metrics and parameters are those of the manifest, so that MLflow's own pages show
them. Aliases are MLflow's. A version is registered after its artifacts are written, and carries
the digest of its manifest: what was changed since is refused.

MLflow has no step that does several things or nothing. A lock beside a database of this machine
makes writers take turns, so that ``before`` is kept to the letter. On a server two who promote
within the same moment may both succeed; the last one stands.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, astuple, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cellhive.adapters.models.files import (
    MANIFEST,
    MOST_MANIFEST_BYTES,
    TENSORS,
    manifest_bytes,
    manifest_of,
    read_at_most,
    readable,
    sha256,
    tensor_bytes,
    tensors_of,
)
from cellhive.core.errors import BadInput, CellHiveError, Conflict, NotFound, Unavailable
from cellhive.core.models import AliasMove, ModelManifest, Tensors
from cellhive.lifecycle.registry import (
    MOST_BYTES,
    check_addition,
    check_before,
    check_name,
    check_promotion,
    check_removal,
    resolve,
)

EXPERIMENT = "cellhive-models"
"""The experiment that the runs of our versions are in."""
LOOK_EVERY_S = 0.5
"""How often changes by others are looked for at most [s]: each look is a question to a server."""
_KIND, _DIGEST, _MOVE = "cellhive", "cellhive.manifest_sha256", "cellhive.move."
_MODELS = "models"
_FOLDER = "model"
_SQLITE = "sqlite:///"
_METRIC = re.compile(r"[^\w\-. :/]")
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nobody is told that a model was registered
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # where commands print JSON
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",  # seconds; with the line above: no minutes of silence
}
_REMEDY = "restore it in MLflow, or register the model again"


class MlflowModels:
    """ModelStore in MLflow; several processes and threads may share it."""

    def __init__(self, uri: str, *, now_s: Callable[[], float], patience_s: float = 10.0) -> None:
        """Open a store; a database that is not there is made, which takes some seconds.

        Args:
            uri: As MLflow takes it: ``sqlite:///PATH``, ``http(s)://HOST:PORT``, another database.
                Names and passwords go into MLflow's variables and not in here.
            now_s: Wall clock [s since the epoch].
            patience_s: How long to wait while another process writes [s].

        Raises:
            BadInput: MLflow is not installed, or it cannot open this.
            Unavailable: The server does not answer.
        """
        check_uri(uri)
        self._uri, self._now_s, self._patience_s = uri, now_s, patience_s
        self._lock = threading.RLock()
        self._closed = False
        self._manifests: dict[tuple[str, int, str], ModelManifest] = {}
        self._seen: Any = None
        self._change, self._looked_s = 0, -LOOK_EVERY_S
        file = database_file(uri)
        if file is not None:
            _check_database(file)
        self._turn = None if file is None else file.with_name(f"{file.name}.lock")
        self._mlflow = _package(uri)
        with self._translated():
            self._client: Any = self._mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
            self._experiment = ""
            if file is not None:
                with self._writing():
                    self._experiment = self._own_experiment((file.parent / "artifacts").as_uri())

    # ------------------------------------------------------------------------- reading

    def names(self) -> list[str]:
        """Return the names of all models, in order."""
        with self._reading():
            return sorted(name for name in self._registered() if self._versions(name))

    def models(self, unreadable: list[CellHiveError] | None = None) -> list[ModelManifest]:
        """Return every version, by name and then by version; see ``ModelSource``."""
        with self._reading():
            wanted = [
                partial(self._manifest, name, made)
                for name in sorted(self._registered())
                for _, made in sorted(self._versions(name).items())
            ]
            return readable(wanted, unreadable)

    def aliases(self, name: str) -> Mapping[str, int]:
        """Return version by alias; empty where there is no such model."""
        check_name(name)
        with self._reading():
            return self._aliases(name)

    def manifest(self, name: str, which: int | str) -> ModelManifest:
        """Return the manifest of a version or alias."""
        check_name(name)
        with self._reading():
            return self._found(name, which)[0]

    def get(self, name: str, which: int | str) -> tuple[ModelManifest, Tensors]:
        """Return manifest and tensors of a version or alias; see the port."""
        check_name(name)
        with self._reading():
            manifest, made = self._found(name, which)
            data = self._artifact(made, TENSORS, MOST_BYTES)
            return manifest, tensors_of(data, manifest, self._place(made, TENSORS))

    def history(self, name: str) -> list[AliasMove]:
        """Return how the aliases of a model were set, oldest first."""
        check_name(name)
        with self._reading():
            known = self._registered(name).get(name)
            tags = {} if known is None else known.tags
            return [
                AliasMove(*json.loads(tags[key])) for key in sorted(tags) if key.startswith(_MOVE)
            ]

    def last_change(self) -> int:
        """Return a number that grows with every change, those made in MLflow's pages included.

        Changes of others are seen within ``LOOK_EVERY_S``. The number is this opening's own.
        """
        with self._reading():
            now_s = self._now_s()
            if abs(now_s - self._looked_s) >= LOOK_EVERY_S:  # a wall clock may be set back
                seen = [
                    (name, one.last_updated_timestamp, sorted(one.aliases.items()), len(one.tags))
                    for name, one in sorted(self._registered().items())
                ]
                self._change += seen != self._seen
                self._seen, self._looked_s = seen, now_s
            return self._change

    # ------------------------------------------------------------------------- writing

    def add(self, manifest: ModelManifest, tensors: Tensors, *, alias: str = "") -> int:
        """Keep a new version and return its number, once it is durable; see the port.

        Where an alias cannot be set any more, for example because the server went away, the
        version is there without it.
        """
        check_addition(manifest, tensors, alias)
        data = tensor_bytes(tensors, manifest.name)
        whole = replace(
            manifest, created_s=self._now_s(), tensors_sha256=sha256(data), tensors_bytes=len(data)
        )
        told = manifest_bytes(whole)
        with self._writing():
            self._own_name(manifest.name)
            run_id, source = self._kept({MANIFEST: told, TENSORS: data}, whole)
            try:
                made = self._client.create_model_version(
                    manifest.name, source, run_id=run_id, description=manifest.note or None,
                    tags={_KIND: _MODELS, _DIGEST: sha256(told)},
                )  # fmt: skip
            except BaseException:
                with suppress(Exception):
                    self._client.delete_run(run_id)
                raise
            version = int(made.version)
            if alias:
                self._move(manifest.name, alias, version, "")
        return version

    def set_alias(
        self, name: str, alias: str, version: int, *, before: int | None = None, reason: str = ""
    ) -> AliasMove:
        """Point an alias at a version; 0 takes it away; see the port."""
        check_name(name)
        with self._writing():
            aliases = self._aliases(name)
            if version:
                check_promotion(self._found(name, version)[0], alias, reason)
            else:
                resolve(name, alias, self._versions(name), aliases)
            check_before(name, alias, aliases.get(alias, 0), before)
            return self._move(name, alias, version, reason)

    def remove(self, name: str, version: int) -> None:
        """Forget a version that no alias points at; MLflow keeps its run as a deleted one."""
        check_name(name)
        with self._writing():
            there = self._versions(name)
            resolve(name, version, there, {})
            check_removal(name, version, self._aliases(name))
            self._client.delete_model_version(name, str(version))
            if there[version].run_id:
                self._client.delete_run(there[version].run_id)

    def close(self) -> None:
        """Let go; closing again does nothing."""
        with self._lock:
            self._closed = True

    # ------------------------------------------------------------------- what MLflow has

    def _registered(self, name: str = "") -> dict[str, Any]:
        """Return the registered models that are ours, by name; or one of them."""
        wanted = f"name='{name}'" if name else f"tags.{_KIND}='{_MODELS}'"
        found: dict[str, Any] = {}
        token = None
        while True:
            page = self._client.search_registered_models(wanted, max_results=100, page_token=token)
            found |= {one.name: one for one in page if one.tags.get(_KIND) == _MODELS}
            token = page.token
            if not token:
                return found

    def _versions(self, name: str) -> dict[int, Any]:
        """Return the versions of a model that are ours: others lack a manifest to be read by."""
        found: dict[int, Any] = {}
        token = None
        while True:
            page = self._client.search_model_versions(f"name='{name}'", page_token=token)
            found |= {int(one.version): one for one in page if one.tags.get(_KIND) == _MODELS}
            token = page.token
            if not token:
                return found

    def _aliases(self, name: str) -> dict[str, int]:
        known = self._registered(name).get(name)
        return {} if known is None else {a: int(v) for a, v in known.aliases.items()}

    def _found(self, name: str, which: int | str) -> tuple[ModelManifest, Any]:
        there = self._versions(name)
        version = resolve(name, which, there, self._aliases(name) if there else {})
        if version not in there:
            message = (
                f"{name}: expected {which} at a version that CellHive registered, found it at "
                f"{version}; point it at one of {', '.join(map(str, sorted(there)))}"
            )
            raise NotFound(message)
        return self._manifest(name, there[version]), there[version]

    def _manifest(self, name: str, made: Any) -> ModelManifest:
        version, digest = int(made.version), str(made.tags.get(_DIGEST, ""))
        known = self._manifests.get((name, version, digest))
        if known is not None:
            return known
        place = self._place(made, MANIFEST)
        data = self._artifact(made, MANIFEST, MOST_MANIFEST_BYTES)
        if sha256(data) != digest:
            raise BadInput(
                place=place, expected="a manifest as it was written", found="another",
                remedy=_REMEDY,
            )  # fmt: skip
        manifest = replace(manifest_of(data, place), version=version)
        if manifest.name != name:
            raise BadInput(
                place=place, expected=f"the manifest of {name}", found=f"that of {manifest.name}",
                remedy=_REMEDY,
            )  # fmt: skip
        self._manifests[name, version, digest] = manifest
        return manifest

    def _place(self, made: Any, file: str) -> str:
        return f"{self._uri}, model {made.name}:{made.version}, {file}"

    def _artifact(self, made: Any, file: str, most: int) -> bytes:
        with tempfile.TemporaryDirectory(prefix="cellhive-mlflow-") as folder:
            try:
                path = self._mlflow.artifacts.download_artifacts(
                    artifact_uri=f"{made.source}/{file}", dst_path=folder, tracking_uri=self._uri
                )
                return read_at_most(Path(path), most)
            except (OSError, self._mlflow.exceptions.MlflowException) as error:
                raise BadInput(
                    place=self._place(made, file), expected="its file", found=_said(error),
                    remedy=_REMEDY,
                ) from error  # fmt: skip

    def _own_experiment(self, artifacts: str | None) -> str:
        """Return the id of the experiment of our runs, made where there is none."""
        known = self._client.get_experiment_by_name(EXPERIMENT)
        if known is not None:
            return str(known.experiment_id)
        return str(self._client.create_experiment(EXPERIMENT, artifact_location=artifacts))

    def _own_name(self, name: str) -> None:
        """Register a name, unless it is ours already.

        Raises:
            Conflict: Somebody else has registered it.
        """
        if self._registered(name):
            return
        if self._client.search_registered_models(f"name='{name}'"):
            message = (
                f"{self._uri}: expected a name that only CellHive uses, found {name}, which was "
                "registered by something else; choose another name"
            )
            raise Conflict(message)
        self._client.create_registered_model(name, tags={_KIND: _MODELS})

    def _kept(self, files: Mapping[str, bytes], manifest: ModelManifest) -> tuple[str, str]:
        """Return the run that files were written to, and where they are in it."""
        self._experiment = self._experiment or self._own_experiment(None)
        run = self._client.create_run(
            self._experiment, tags={_KIND: _MODELS}, run_name=manifest.name
        )
        run_id = str(run.info.run_id)
        try:
            with tempfile.TemporaryDirectory(prefix="cellhive-mlflow-") as folder:
                for name, data in files.items():
                    (Path(folder) / name).write_bytes(data)
                self._client.log_artifacts(run_id, folder, artifact_path=_FOLDER)
            for name, value in manifest.metrics.items():
                self._client.log_metric(run_id, _METRIC.sub("/", name.replace(", ", "/")), value)
            for name, text in _parameters(manifest).items():
                self._client.log_param(run_id, name, text)
            self._client.set_terminated(run_id)
        except BaseException:
            with suppress(Exception):
                self._client.delete_run(run_id)
            raise
        return run_id, f"{run.info.artifact_uri}/{_FOLDER}"

    def _move(self, name: str, alias: str, version: int, reason: str) -> AliasMove:
        known = self._registered(name)[name]
        before = int(known.aliases.get(alias, 0))
        move = AliasMove(alias, version, before, self._now_s(), reason)
        if version:
            self._client.set_registered_model_alias(name, alias, str(version))
        else:
            self._client.delete_registered_model_alias(name, alias)
        number = 1 + sum(key.startswith(_MOVE) for key in known.tags)
        told = json.dumps(astuple(move), ensure_ascii=False)
        self._client.set_registered_model_tag(name, f"{_MOVE}{number:06d}", told)
        return move

    # --------------------------------------------------------------------- turns, errors

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock, self._translated():
            if self._closed:
                message = f"{self._uri}: expected an open store of models, found it closed"
                raise Unavailable(message, retry_after_s=0.0)
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the turn to write, among the processes of this machine where that decides."""
        with ExitStack() as stack:
            stack.enter_context(self._reading())
            if self._turn is not None:
                stack.enter_context(_turn(self._turn, self._patience_s))
            self._looked_s = -LOOK_EVERY_S  # what is written now is seen at once
            yield

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except CellHiveError:
            raise
        except (OSError, self._mlflow.exceptions.MlflowException) as error:
            raise _meaning(error, self._uri) from error


def check_uri(uri: str) -> None:
    """Refuse what is no address of MLflow, and what has a password in it.

    Raises:
        BadInput: With how to give it.
    """
    place = "models"
    parts = urlsplit(uri)
    if not parts.scheme or not (parts.netloc or parts.path.strip("/")):
        raise BadInput(
            place=place, expected="mlflow:sqlite:///PATH or mlflow:http://HOST:PORT",
            found=f"mlflow:{uri}",
        )  # fmt: skip
    if parts.password is not None:
        raise BadInput(
            place=place, expected="an address without a password, as it is kept in records",
            found="one with a password", remedy="set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or for PostgreSQL PGPASSWORD",
        )  # fmt: skip


def database_file(uri: str) -> Path | None:
    """Return the file of an SQLite database; None where an address is another."""
    if not uri.startswith(_SQLITE):
        return None
    return Path(unquote(uri.removeprefix(_SQLITE).partition("?")[0])).absolute()


def _check_database(file: Path) -> None:
    """Make the folder of a database; refuse a file that something else wrote.

    MLflow would write its tables into any database.

    Raises:
        BadInput: The folder cannot be written, or the file is of something else.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or not file.stat().st_size:
            return
        with sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True) as database:
            tables = {row[0] for row in database.execute("SELECT name FROM sqlite_schema")}
        database.close()
    except (OSError, sqlite3.Error) as error:
        raise BadInput(
            place=str(file), expected="a database of MLflow, or none yet", found=str(error),
            remedy="choose another file",
        ) from error  # fmt: skip
    if "alembic_version" not in tables or "experiments" not in tables:
        raise BadInput(
            place=str(file), expected="a database of MLflow, or none yet",
            found="an SQLite database of something else", remedy="choose another file",
        )  # fmt: skip


def _package(uri: str) -> Any:
    """Return MLflow, loaded so that it talks to nobody but the address given."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        package = importlib.import_module("mlflow")
        importlib.import_module("mlflow.artifacts")
        if "://" in uri and not uri.startswith(("http:", "https:")):
            importlib.import_module("sqlalchemy")
    except ImportError as error:
        raise BadInput(
            place=f"mlflow:{uri}", expected="the package mlflow", found=str(error),
            remedy="install the extra: pip install 'cellhive[mlflow]'",
        ) from error  # fmt: skip
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return package


@contextmanager
def _turn(path: Path, patience_s: float) -> Iterator[None]:
    """Hold the turn to write to a database of this machine; SQLite does the waiting."""
    with closing(sqlite3.connect(path, timeout=patience_s, isolation_level=None)) as turn:
        try:
            turn.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            message = (
                f"{path}: expected its turn within {patience_s:g} s, found another "
                f"process writing all the time ({error}); try again"
            )
            raise Unavailable(message, retry_after_s=max(patience_s, 1.0)) from None
        yield


def _parameters(manifest: ModelManifest) -> dict[str, str]:
    """Return what a model came of, as MLflow shows it."""
    line = asdict(manifest.lineage)
    told = {name: ", ".join(map(str, line[name])) for name in ("scenarios", "seeds", "parents")}
    told |= {name: str(line[name]) for name in ("code", "command")}
    told |= {f"budget/{name}": f"{spent:g}" for name, spent in line["budget"].items()}
    for gate in manifest.gates:
        verdict = "passed" if gate.passed else "failed"
        told[f"gate/{_METRIC.sub('_', gate.name)}"] = f"{verdict}: {gate.found}"
    return {name: text for name, text in told.items() if text}


def _meaning(error: Exception, uri: str) -> CellHiveError:
    code = str(getattr(error, "error_code", ""))
    found = _said(error)
    if code == "RESOURCE_DOES_NOT_EXIST":
        return NotFound(f"{uri}: {found}")
    if code == "RESOURCE_ALREADY_EXISTS":
        return Conflict(f"{uri}: expected to be the only one to make it, found {found}; try again")
    if code in {"INVALID_PARAMETER_VALUE", "PERMISSION_DENIED", "UNAUTHENTICATED", "BAD_REQUEST"}:
        return BadInput(
            place=uri, expected="what MLflow takes", found=found,
            remedy="see to the address, and to MLFLOW_TRACKING_USERNAME and _PASSWORD where it "
            "asks who you are",
        )  # fmt: skip
    message = f"{uri}: expected MLflow to answer, found {found}; see whether it runs, and try again"
    return Unavailable(message, retry_after_s=10.0)


def _said(error: Exception) -> str:
    """Return the first line of what went wrong, without what MLflow adds for its developers."""
    text = str(getattr(error, "message", "") or error)
    return text.strip().partition("\n")[0][:300] or type(error).__name__
