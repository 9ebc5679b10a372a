"""Rules of the registry of models, whatever it is kept in.

A name has versions 1, 2, 3 …; a version never changes and its number is never used again.
Aliases point at versions: ``candidate`` at the one that may come into use, ``champion`` at
the one that is in use. A version becomes champion only if it passed every gate it was put
to, and it was put to one at least; or if somebody says why it may all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import zip_longest

import numpy as np

from cellhive.core.errors import BadInput, Conflict, NotFound
from cellhive.core.models import (
    CHAMPION,
    MANIFEST_FORMAT,
    Difference,
    ModelManifest,
    ModelRole,
    Tensors,
)

MOST_BYTES = 256 * 2**20
"""Largest file of tensors [bytes]."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_ALIAS = re.compile(r"[a-z][a-z0-9-]{0,30}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_TENSOR = re.compile(r"[a-z][a-z0-9_.]{0,62}")
_MOST_ROLES, _MOST_LISTED, _MOST_TEXT = 16, 10_000, 10_000
_BETWEEN = "/"


def check_name(name: str, place: str = "model") -> str:
    """Return a name unchanged if it can be one: of a model or of a role.

    Raises:
        BadInput: It has other characters than lower-case letters, digits, dash and underscore,
            does not begin with a letter, or is longer than 63.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadInput(
            place=place, expected="a name of lower-case letters, digits, - and _, a letter first, "
            "at most 63", found=repr(name)[:80],
        )  # fmt: skip
    return name


def check_alias(alias: str) -> str:
    """Return an alias unchanged if it can be one.

    Raises:
        BadInput: It cannot.
    """
    if not isinstance(alias, str) or not _ALIAS.fullmatch(alias):
        raise BadInput(
            place="alias", expected="lower-case letters, digits and -, a letter first, at most 31",
            found=repr(alias)[:80],
        )  # fmt: skip
    return alias


def parse_reference(text: str) -> tuple[str, int | str]:
    """Return name, and version or alias, of "NAME", "NAME:VERSION" or "NAME:ALIAS".

    Without either it is the champion.

    Raises:
        BadInput: It is neither of these.
    """
    name, _, which = text.partition(":")
    check_name(name)
    if not which and ":" not in text:
        return name, CHAMPION
    if _VERSION.fullmatch(which):
        return name, int(which)
    return name, check_alias(which)


def next_version(ever: Iterable[int]) -> int:
    """Return the number of a new version, given all that there ever were."""
    return max(ever, default=0) + 1


def resolve(
    name: str, which: int | str, versions: Iterable[int], aliases: Mapping[str, int]
) -> int:
    """Return the version that is meant.

    Args:
        name: Of the model.
        which: Version or alias.
        versions: Those there are.
        aliases: Version by alias.

    Raises:
        NotFound: With what there is.
        BadInput: It is neither a version nor an alias.
    """
    there = sorted(versions)
    if not there:
        message = f"expected a model that is registered, found {name!r}, which is not"
        raise NotFound(message)
    if isinstance(which, str):
        if check_alias(which) not in aliases:
            known = ", ".join(f"{a} ({v})" for a, v in sorted(aliases.items())) or "none"
            message = f"{name}: expected one of its aliases, {known}; found {which!r}"
            raise NotFound(message)
        return aliases[which]
    if which not in there:
        listed = f"{there[0]} to {there[-1]}" if len(there) > 1 else str(there[0])
        message = f"{name}: expected one of its versions, {listed}; found {which}"
        raise NotFound(message)
    return which


def check_manifest(manifest: ModelManifest) -> None:
    """Refuse a manifest that contradicts itself, or says things that cannot be kept.

    Raises:
        BadInput: With the first thing that is wrong.
    """
    check_name(manifest.name)
    if manifest.format != MANIFEST_FORMAT:
        newer = manifest.format > MANIFEST_FORMAT
        raise BadInput(
            place=f"model {manifest.name}", expected=f"a manifest of format {MANIFEST_FORMAT}",
            found=f"format {manifest.format}",
            remedy="use the version of CellHive that wrote it, or a newer one" if newer else "",
        )  # fmt: skip
    names = [role.name for role in manifest.roles]
    if not 1 <= len(names) <= _MOST_ROLES or len(set(names)) != len(names):
        raise BadInput(
            place=f"model {manifest.name}", expected=f"1 to {_MOST_ROLES} roles, each once",
            found=", ".join(names) or "none",
        )  # fmt: skip
    for role in manifest.roles:
        _check_role(manifest.name, role)
    _check_numbers(manifest)
    texts = [manifest.note, manifest.lineage.code, manifest.lineage.command]
    texts += [f"{gate.name}{gate.found}" for gate in manifest.gates]
    longest = max(map(len, texts))
    if longest > _MOST_TEXT:
        raise BadInput(
            place=f"model {manifest.name}", expected=f"texts of at most {_MOST_TEXT} characters",
            found=str(longest),
        )  # fmt: skip
    for parent in manifest.lineage.parents:
        if not isinstance(parse_reference(parent)[1], int):
            raise BadInput(
                place=f"model {manifest.name}, parents", expected="NAME:VERSION", found=parent
            )


def _check_role(model: str, role: ModelRole) -> None:
    place = f"model {model}, role {role.name}"
    check_name(role.name, place)
    if len(role.features) != len(role.units) or not 1 <= len(role.features) <= _MOST_LISTED:
        raise BadInput(
            place=place, expected="a unit for every feature, and one feature at least",
            found=f"{len(role.features)} features and {len(role.units)} units",
        )  # fmt: skip
    for name, size in role.tensors.items():
        if not _TENSOR.fullmatch(name) or not all(n >= 1 for n in size):
            raise BadInput(
                place=place, expected="tensors with a plain name and sizes of 1 and more",
                found=f"{name!r:.80} of {size}",
            )  # fmt: skip
    if not role.tensors:
        raise BadInput(place=place, expected="one tensor at least", found="none")


def _check_numbers(manifest: ModelManifest) -> None:
    numbers = {**manifest.metrics, **manifest.lineage.budget}
    wrong = [name for name, value in numbers.items() if not np.isfinite(value)]
    if wrong:
        raise BadInput(
            place=f"model {manifest.name}, {wrong[0]}", expected="a finite number",
            found=str(numbers[wrong[0]]),
        )  # fmt: skip


def check_model_tensors(manifest: ModelManifest, tensors: Tensors) -> None:
    """Refuse tensors that are not those of a manifest.

    Raises:
        BadInput: A tensor lacks, is unknown, is not float32, has another shape or is not finite.
    """
    wanted = {
        f"{role.name}{_BETWEEN}{name}": tuple(size)
        for role in manifest.roles
        for name, size in role.tensors.items()
    }
    place = f"model {manifest.name}"
    if wanted.keys() != tensors.keys():
        lacking = sorted(wanted.keys() - tensors.keys())
        unknown = sorted(tensors.keys() - wanted.keys())
        raise BadInput(
            place=place, expected="the tensors that its manifest lists",
            found=f"lacking: {', '.join(lacking) or 'none'}; "
            f"unknown: {', '.join(unknown) or 'none'}"[:500],
        )  # fmt: skip
    for name, size in wanted.items():
        array = tensors[name]
        if array.dtype != np.float32 or array.shape != size or not np.isfinite(array).all():
            raise BadInput(
                place=f"{place}, tensor {name}", expected=f"finite float32 of shape {size}",
                found=f"{array.dtype} of shape {array.shape}, "
                f"{int((~np.isfinite(array)).sum())} numbers not finite",
            )  # fmt: skip


def check_fit(manifest: ModelManifest, present: Mapping[str, ModelRole]) -> None:
    """Refuse a model that was trained for other inputs or outputs than there are now.

    A wrong order of features would give wrong decisions without any error.

    Args:
        manifest: Of the model.
        present: By role, what this version of the code gives a model of that shape, and
            expects of it.

    Raises:
        BadInput: With the first thing that differs.
    """
    for role in manifest.roles:
        now = present[role.name]
        lists = {
            "features": (role.features, now.features),
            "units of features": (role.units, now.units),
            "heads": (role.heads, now.heads),
            "tensors": tuple(
                tuple(f"{n} {tuple(s)}" for n, s in sorted(x.tensors.items())) for x in (role, now)
            ),
        }
        for what, (trained, today) in lists.items():
            if trained == today:
                continue
            pairs = enumerate(zip_longest(trained, today, fillvalue="nothing"))
            place, (was, wanted) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
            raise BadInput(
                place=f"model {manifest.reference}, role {role.name}, {what}",
                expected=f"{wanted!r} in place {place + 1}", found=repr(was),
                remedy="use the version of CellHive it was trained with "
                f"({manifest.lineage.code or 'not noted'}), or train it anew",
            )  # fmt: skip


def check_addition(manifest: ModelManifest, tensors: Tensors, alias: str) -> None:
    """Refuse what cannot become a new version.

    Raises:
        BadInput: It has a number already, contradicts itself, or the tensors are not its own.
        Conflict: It is to be champion and did not pass its gates.
    """
    if manifest.version:
        raise BadInput(
            place=f"model {manifest.name}", expected="version 0: the store gives the number",
            found=str(manifest.version),
        )  # fmt: skip
    check_manifest(manifest)
    check_model_tensors(manifest, tensors)
    if alias:
        check_promotion(manifest, alias, "")


def check_before(name: str, alias: str, now: int, before: int | None) -> None:
    """Refuse to move an alias that is not where somebody believes it is.

    Args:
        name: Of the model.
        alias: Which.
        now: Version that it is at; 0 means none.
        before: Version that it is believed to be at; None believes nothing.

    Raises:
        Conflict: It is elsewhere.
    """
    if before is not None and now != before:
        message = (
            f"{name}: expected {alias} at version {before or 'none'}, found it at "
            f"{now or 'none'}; look at it again, then set it"
        )
        raise Conflict(message)


def check_promotion(manifest: ModelManifest, alias: str, reason: str) -> None:
    """Refuse a champion that failed a gate, or was put to none, unless a reason is given.

    Raises:
        Conflict: With the gates.
        BadInput: The alias cannot be one, or the reason is too long.
    """
    check_alias(alias)
    if len(reason) > _MOST_TEXT:
        raise BadInput(
            place="reason", expected=f"at most {_MOST_TEXT} characters", found=str(len(reason))
        )
    if alias != CHAMPION or reason:
        return
    failed = [f"{gate.name}: {gate.found}" for gate in manifest.gates if not gate.passed]
    if failed or not manifest.gates:
        found = f"failed: {'; '.join(failed)}" if failed else "put to none"
        message = (
            f"{manifest.reference}: expected a champion that passed its gates, found one that "
            f"{'was ' if not failed else ''}{found}; give a reason (--reason) to promote "
            "it all the same"
        )
        raise Conflict(message)


def check_removal(name: str, version: int, aliases: Mapping[str, int]) -> None:
    """Refuse to remove a version that an alias points at.

    Raises:
        Conflict: With the alias.
    """
    for alias, there in sorted(aliases.items()):
        if there == version:
            message = (
                f"{name}:{version}: expected a version without an alias, found the {alias}; "
                "give the alias to another version first"
            )
            raise Conflict(message)


def differences(
    one: tuple[ModelManifest, Tensors], other: tuple[ModelManifest, Tensors]
) -> tuple[Difference, ...]:
    """Return in what two models differ: facts first, then how far the weights are apart."""
    before, after = (_facts(manifest) for manifest, _ in (one, other))
    found = [
        Difference(what, before.get(what, "-"), after.get(what, "-"))
        for what in dict.fromkeys((*before, *after))
        if before.get(what) != after.get(what)
    ]
    for name in sorted(one[1].keys() | other[1].keys()):
        a, b = one[1].get(name), other[1].get(name)
        if a is None or b is None or a.shape != b.shape:
            sizes = [str(x.shape) if x is not None else "-" for x in (a, b)]
            found.append(Difference(f"shape of {name}", *sizes))
        elif not np.array_equal(a, b):
            norms = [f"{float(np.sqrt(np.mean(np.square(x)))):.4g}" for x in (a, b, b - a)]
            found.append(
                Difference(f"{name}, root mean square", norms[0], f"{norms[1]}, apart {norms[2]}")
            )
    return tuple(found)


def _facts(manifest: ModelManifest) -> dict[str, str]:
    """Return all that may differ between two manifests, in words."""
    line = manifest.lineage
    facts = {
        "name": manifest.name,
        "roles": ", ".join(role.name for role in manifest.roles),
        "scenarios": ", ".join(line.scenarios),
        "seeds": ", ".join(map(str, line.seeds)),
        "code": line.code,
        "command": line.command,
        "parents": ", ".join(line.parents),
        "note": manifest.note,
    }
    for role in manifest.roles:
        facts[f"{role.name}: heads"] = ", ".join(role.heads)
        facts[f"{role.name}: network"] = (
            f"{role.encoder}, hidden {role.hidden}, message {role.message}, "
            f"neighbours {role.neighbours}"
        )
        pairs = zip(role.features, role.units, strict=True)
        facts[f"{role.name}: features"] = ", ".join(f"{name} [{unit}]" for name, unit in pairs)
    facts |= {f"budget: {name}": f"{value:.6g}" for name, value in sorted(line.budget.items())}
    facts |= {f"data: {name}": digest for name, digest in sorted(line.data.items())}
    facts |= {f"metric: {name}": f"{value:.6g}" for name, value in sorted(manifest.metrics.items())}
    for gate in manifest.gates:
        facts[f"gate: {gate.name}"] = f"{'passed' if gate.passed else 'failed'}: {gate.found}"
    return facts
