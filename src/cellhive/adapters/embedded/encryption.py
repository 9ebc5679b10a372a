"""Encryption at rest: AES-256-GCM over each value, under a key that somebody else keeps.

Every value has a nonce of its own, and is bound to its place: moved to another record or
another column it no longer decrypts. What is not hidden: ids, kinds, times, origins,
namespaces, lengths, which fields are empty, and who wrote when. An older value of the
same field put back in its place is not noticed.
"""

from __future__ import annotations

import binascii
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cellhive.core.errors import BadInput, NotFound

KeySource = Callable[[], bytes]
"""Fetches the 32 bytes of a key: from a file, the environment, or a key service."""

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
SALT_BYTES: Final = 16
_PROOF = b"cellhive memory"
_PROOF_PLACE = b"proof of the key"


def key_from_file(path: Path) -> KeySource:
    """Return what reads a key from a file: 32 bytes, or 64 hexadecimal digits.

    The source raises BadInput where others than the owner may read the file.
    """

    def fetch() -> bytes:
        try:
            mode = path.stat().st_mode
            data = path.read_bytes()
        except OSError as error:
            message = f"expected the key of the memory in {path}, found {error.strerror}"
            raise NotFound(message) from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise BadInput(
                expected="a key that only its owner can read", found="rights for others",
                remedy=f"chmod 600 {path}", place=str(path),
            )  # fmt: skip
        return data if len(data) == KEY_BYTES else _from_hex(data, str(path))

    return fetch


def key_from_environment(name: str) -> KeySource:
    """Return what reads a key, 64 hexadecimal digits, from an environment variable."""

    def fetch() -> bytes:
        value = os.environ.get(name)
        if not value:
            message = f"expected the key of the memory in the variable {name}, found none; set it"
            raise NotFound(message)
        return _from_hex(value.encode("utf-8", "replace"), f"variable {name}")

    return fetch


def new_key() -> bytes:
    """Return a new random key."""
    return os.urandom(KEY_BYTES)


def _from_hex(data: bytes, place: str) -> bytes:
    digits = data.strip()
    try:
        key = binascii.unhexlify(digits)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise BadInput(
            expected=f"a key of {2 * KEY_BYTES} hexadecimal digits",
            found=f"{len(digits)} characters that are not that",
            remedy="make one with: openssl rand -hex 32", place=place,
        )  # fmt: skip
    return key


class Cipher:
    """Seals and opens values under a key made for one memory from that of its owner."""

    __slots__ = ("_gcm", "_invalid")

    def __init__(self, key: bytes, salt: bytes) -> None:
        """Derive the key of this memory.

        Args:
            key: Of the owner, 32 bytes.
            salt: Of the memory, not secret.

        Raises:
            BadInput: The key is none, or the library that encrypts is not installed.
        """
        if len(key) != KEY_BYTES:
            raise BadInput(
                expected=f"a key of {KEY_BYTES} bytes", found=f"{len(key)} bytes",
                remedy="let the source of the key return exactly that many",
            )  # fmt: skip
        try:  # an extra: memories without a key do without
            from cryptography.exceptions import InvalidTag  # noqa: PLC0415
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
            from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
            from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise BadInput(
                expected="the library that encrypts", found=f"no {error.name}",
                remedy="pip install 'cellhive[memory]'",
            ) from error  # fmt: skip
        self._invalid = InvalidTag
        derived = HKDF(SHA256(), KEY_BYTES, salt, b"cellhive memory, values").derive(key)
        self._gcm = AESGCM(derived)

    def seal(self, data: bytes, place: bytes) -> bytes:
        """Return nonce, encrypted data and tag.

        Args:
            data: What to hide.
            place: Where it belongs; it opens nowhere else.
        """
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._gcm.encrypt(nonce, data, place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """Return what was sealed for a place.

        Raises:
            BadInput: It was changed, moved, or sealed under another key.
        """
        try:
            return self._gcm.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place)
        except (self._invalid, ValueError) as error:
            raise BadInput(
                expected="a value as it was encrypted here", found="a changed or moved one",
                remedy="restore a backup",
            ) from error  # fmt: skip

    def proof(self) -> bytes:
        """Return what ``proves`` recognises this key by."""
        return self.seal(_PROOF, _PROOF_PLACE)

    def proves(self, proof: bytes) -> bool:
        """Whether a proof was made with this key."""
        try:
            return self.open(proof, _PROOF_PLACE) == _PROOF
        except BadInput:
            return False
