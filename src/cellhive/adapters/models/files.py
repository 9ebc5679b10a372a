"""A model as two files: its manifest as JSON, its tensors as safetensors.

A folder of models, which is only read, is ``NAME/VERSION/manifest.json`` and
``NAME/VERSION/tensors.safetensors``, with ``NAME/aliases.json`` beside the versions. The
models that come with the package are kept so, and so is what is exported.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from cellhive.core.errors import BadInput, CellHiveError, NotFound, Unavailable
from cellhive.core.models import MANIFEST_FORMAT, ModelManifest, Tensors
from cellhive.lifecycle.registry import (
    MOST_BYTES,
    check_alias,
    check_manifest,
    check_model_tensors,
    check_name,
    resolve,
)

MANIFEST, TENSORS, ALIASES = "manifest.json", "tensors.safetensors", "aliases.json"
MOST_MANIFEST_BYTES = 4 * 2**20
_REMEDY = "copy it again from where it came, or take another version"


def manifest_bytes(manifest: ModelManifest) -> bytes:
    """Return a manifest as JSON."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def manifest_of(data: bytes, place: str) -> ModelManifest:
    """Return the manifest that JSON holds.

    Raises:
        BadInput: It is none, of another format, or contradicts itself.
    """
    try:
        found = msgspec.json.decode(data, type=_Format).format
        if found == MANIFEST_FORMAT:
            manifest = msgspec.json.decode(data, type=ModelManifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(
            place=place, expected="the manifest of a model", found=str(error)[:300], remedy=_REMEDY
        ) from error
    if found != MANIFEST_FORMAT:
        raise BadInput(
            place=place, expected=f"a manifest of format {MANIFEST_FORMAT}",
            found=f"format {found}",
            remedy="use the version of CellHive that wrote it, or a newer one",
        )  # fmt: skip
    check_manifest(manifest)
    return manifest


class _Format(msgspec.Struct):
    format: int


def tensor_bytes(tensors: Tensors, name: str) -> bytes:
    """Return tensors of a model as a safetensors file, the same bytes for the same tensors.

    Raises:
        BadInput: They are more than ``MOST_BYTES``.
    """
    ordered = {each: np.ascontiguousarray(tensors[each], np.float32) for each in sorted(tensors)}
    data = save(ordered)
    if len(data) > MOST_BYTES:
        raise BadInput(
            place=f"model {name}", expected=f"at most {MOST_BYTES} bytes of tensors",
            found=str(len(data)),
        )  # fmt: skip
    return data


def tensors_of(data: bytes, manifest: ModelManifest, place: str) -> dict[str, np.ndarray]:
    """Return the tensors that a safetensors file holds, if they are those of a manifest.

    Raises:
        BadInput: The file is cut or changed, or holds something else.
    """
    digest = sha256(data)
    if len(data) != manifest.tensors_bytes or digest != manifest.tensors_sha256:
        raise BadInput(
            place=place,
            expected=f"{manifest.tensors_bytes} bytes with SHA-256 {manifest.tensors_sha256[:12]}…",
            found=f"{len(data)} bytes with {digest[:12]}…", remedy=_REMEDY,
        )  # fmt: skip
    try:
        tensors = load(data)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise BadInput(
            place=place, expected="a safetensors file", found=str(error)[:300], remedy=_REMEDY
        ) from error
    check_model_tensors(manifest, tensors)
    return tensors


def sha256(data: bytes) -> str:
    """Return the digest that files are known by."""
    return hashlib.sha256(data).hexdigest()


def read_at_most(path: Path, most: int) -> bytes:
    """Return the bytes of a file.

    Raises:
        BadInput: It cannot be read, or is larger.
        FileNotFoundError: It is not there.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadInput(
            place=str(path), expected="a file that can be read", found=error.strerror or str(error),
            remedy=_REMEDY,
        ) from error  # fmt: skip
    if len(data) > most:
        raise BadInput(place=str(path), expected=f"at most {most} bytes", found="more")
    return data


def write_durably(path: Path, data: bytes) -> None:
    """Write a file that is there whole, after a power loss too, or not at all.

    Raises:
        Unavailable: There is no room on the disk, or the folder cannot be written.
    """
    draft = ""
    try:
        handle, draft = tempfile.mkstemp(prefix=".draft-", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if draft:
            Path(draft).unlink(missing_ok=True)
        message = (
            f"{path}: expected room to write {len(data)} bytes, found {error.strerror or error}; "
            "nothing of the model was kept, and the models there are still there"
        )
        raise Unavailable(message, retry_after_s=60.0) from error


def readable(
    wanted: Iterable[Callable[[], ModelManifest]], unreadable: list[CellHiveError] | None
) -> list[ModelManifest]:
    """Return the manifests that can be read.

    Args:
        wanted: Reads one each.
        unreadable: Takes what is wrong with the others; without it the first is an error.
    """
    found = []
    for read in wanted:
        try:
            found.append(read())
        except (BadInput, NotFound) as error:
            if unreadable is None:
                raise
            unreadable.append(error)
    return found


class FolderModels:
    """ModelSource over a folder of models, which is only read; a missing one is empty."""

    def __init__(self, folder: Path) -> None:
        """Look into a folder."""
        self.folder = folder

    def names(self) -> list[str]:
        """Return the names of all models, in order."""
        if not self.folder.is_dir():
            return []
        return sorted(x.name for x in self.folder.iterdir() if self._versions(x.name))

    def models(self, unreadable: list[CellHiveError] | None = None) -> list[ModelManifest]:
        """Return every version, by name and then by version; see ``ModelSource``."""
        wanted = [
            partial(self.manifest, name, version)
            for name in self.names()
            for version in self._versions(name)
        ]
        return readable(wanted, unreadable)

    def aliases(self, name: str) -> Mapping[str, int]:
        """Return version by alias."""
        path = self.folder / check_name(name) / ALIASES
        try:
            data = read_at_most(path, MOST_MANIFEST_BYTES)
            found = msgspec.json.decode(data, type=dict[str, int])
        except FileNotFoundError:
            return {}
        except msgspec.MsgspecError as error:
            raise BadInput(
                place=str(path), expected="versions by alias", found=str(error), remedy=_REMEDY
            ) from error
        return {check_alias(alias): version for alias, version in found.items()}

    def manifest(self, name: str, which: int | str) -> ModelManifest:
        """Return the manifest of a version or alias."""
        version = resolve(check_name(name), which, self._versions(name), self.aliases(name))
        path = self.folder / name / str(version) / MANIFEST
        try:
            manifest = manifest_of(read_at_most(path, MOST_MANIFEST_BYTES), str(path))
        except FileNotFoundError:
            message = f"{path}: there is no such file"
            raise NotFound(message) from None
        if (manifest.name, manifest.version) != (name, version):
            raise BadInput(
                place=str(path), expected=f"the manifest of {name}:{version}",
                found=f"that of {manifest.reference}", remedy=_REMEDY,
            )  # fmt: skip
        return manifest

    def get(self, name: str, which: int | str) -> tuple[ModelManifest, Tensors]:
        """Return manifest and tensors of a version or alias."""
        manifest = self.manifest(name, which)
        path = self.folder / name / str(manifest.version) / TENSORS
        try:
            data = read_at_most(path, MOST_BYTES)
        except FileNotFoundError:
            message = f"{path}: there is no such file"
            raise NotFound(message) from None
        return manifest, tensors_of(data, manifest, str(path))

    def _versions(self, name: str) -> list[int]:
        folder = self.folder / name
        if not folder.is_dir():
            return []
        return sorted(
            int(entry.name) for entry in folder.iterdir()
            if entry.name.isascii() and entry.name.isdigit() and (entry / MANIFEST).is_file()
        )  # fmt: skip


def export_model(folder: Path, manifest: ModelManifest, tensors: Tensors,
                 aliases: Mapping[str, int]) -> Path:  # fmt: skip
    """Write a version into a folder of models and return where.

    Args:
        folder: Of models; made where it is missing.
        manifest: As a store returned it.
        tensors: As a store returned them.
        aliases: Those the folder is to have for that name from now on.

    Raises:
        BadInput: The folder cannot be made, or has another model of that version.
        Unavailable: There is no room on the disk.
    """
    target = folder / check_name(manifest.name) / str(manifest.version)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            place=str(target), expected="a folder that can be made",
            found=error.strerror or str(error), remedy="name another folder",
        ) from error  # fmt: skip
    told = manifest_bytes(manifest)
    if (target / MANIFEST).exists() and (target / MANIFEST).read_bytes() != told:
        raise BadInput(
            place=str(target), expected=f"no other model as {manifest.reference}", found="one",
            remedy="name another folder",
        )  # fmt: skip
    write_durably(target / TENSORS, tensor_bytes(tensors, manifest.name))
    write_durably(target / MANIFEST, told)  # last: it makes the version visible
    write_durably(target.parent / ALIASES, msgspec.json.encode(dict(aliases), order="sorted"))
    return target
