"""Who a node is: a certificate authority, node certificates, and whom to let in.

A swarm has one authority of its own. A node's certificate carries its name as the only DNS
name (RFC 5280 §4.2.1.6) and is good for both ends of a connection. Keys are ECDSA on P-256:
a handshake signs once and verifies once per end, and the strict profile that
``cryptography.x509.verification`` checks knows P-256, but not Ed25519.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cellhive.core.errors import BadInput, CellHiveError, Conflict

AUTHORITY_CERTIFICATE, AUTHORITY_KEY = "authority.crt", "authority.key"
NODE_CERTIFICATE, NODE_KEY = "node.crt", "node.key"
AUTHORITY_DAYS, NODE_DAYS = 3650, 90
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LONGEST_NAME = 64
_SKEW = timedelta(minutes=5)
"""How far clocks of two machines may be apart when a certificate is new."""

Now = Callable[[], datetime]
"""The wall clock, with its time zone."""


class Untrusted(CellHiveError):
    """A peer did not prove that it is who it has to be."""


@dataclass(frozen=True, slots=True)
class IdentityFiles:
    """Where a node's identity lies, and whom it lets in."""

    certificate: Path
    key: Path
    authority: Path
    """Certificate of the authority that both ends trust."""
    allowed: frozenset[str] = frozenset()
    """Names of nodes that may connect; empty: all that the authority has signed."""

    @classmethod
    def in_folder(cls, folder: Path, allowed: frozenset[str] = frozenset()) -> IdentityFiles:
        """Return the files as ``make_identity`` writes them."""
        return cls(
            folder / NODE_CERTIFICATE, folder / NODE_KEY, folder / AUTHORITY_CERTIFICATE, allowed
        )


@dataclass(frozen=True, slots=True)
class Identity:
    """A node's proof of who it is, and how it judges the proofs of others."""

    name: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    authority: x509.Certificate
    allowed: frozenset[str]
    now: Now

    @property
    def authority_pem(self) -> bytes:
        """The authority's certificate."""
        return self.authority.public_bytes(serialization.Encoding.PEM)

    def verify(self, certificate: x509.Certificate, chain: Sequence[x509.Certificate] = ()) -> str:
        """Return the name of the node that has this certificate, or raise Untrusted.

        That the peer has the certificate's key is proved by the TLS handshake, not here.
        """
        policy = (
            verification.PolicyBuilder()
            .store(verification.Store([self.authority]))
            .time(self.now())
            .max_chain_depth(0)
        )
        try:
            verified = policy.build_client_verifier().verify(certificate, list(chain))
            name = _only_name(verified.subjects or ())
        except (verification.VerificationError, ValueError, UnsupportedAlgorithm) as error:
            message = (
                f"expected a certificate of {self.authority.subject.rfc4514_string()} that is"
                f" valid now, found one that is not: {error}; issue a new one"
            )
            raise Untrusted(message) from error
        if self.allowed and name not in self.allowed:
            message = f"expected one of {sorted(self.allowed)}, found {name!r}; allow it or stop it"
            raise Untrusted(message)
        return name


def check_name(name: str) -> str:
    """Return a node's name, or raise BadInput where it could not be in a certificate."""
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise BadInput(
            expected=f"a name of at most {_LONGEST_NAME} lower-case letters, digits, - and .",
            found=repr(name), place="node name",
        )  # fmt: skip
    return name


def make_authority(folder: Path, *, name: str, now: Now, days: int = AUTHORITY_DAYS) -> None:
    """Make a certificate authority in a folder; raise Conflict where there is one.

    The key is for issuing only: keep it off the nodes.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(name)
    certificate = (
        _builder(subject, subject, key.public_key(), now(), days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    _write_key(folder / AUTHORITY_KEY, key)
    _write(folder / AUTHORITY_CERTIFICATE, certificate.public_bytes(serialization.Encoding.PEM))


def make_identity(
    authority: Path, folder: Path, *, node: str, now: Now, days: int = NODE_DAYS
) -> None:
    """Issue a node's certificate and key into a folder, beside the authority's certificate.

    Args:
        authority: Folder of the authority.
        folder: Where the node's files go; raise Conflict where it has a key already.
        node: The node's name.
        now: Wall clock.
        days: How long it is valid [days].
    """
    check_name(node)
    issuer = _load_certificate(authority / AUTHORITY_CERTIFICATE)
    issuer_key = _load_key(authority / AUTHORITY_KEY)
    key = ec.generate_private_key(ec.SECP256R1())
    public, issuer_public = key.public_key(), issuer_key.public_key()
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
    certificate = (
        _builder(_subject(node), issuer.subject, public, now(), days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(both, critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(node)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public), critical=False
        )
        .sign(issuer_key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    _write_key(folder / NODE_KEY, key)
    _write(folder / NODE_CERTIFICATE, certificate.public_bytes(serialization.Encoding.PEM))
    if folder.resolve() != authority.resolve():
        _write(folder / AUTHORITY_CERTIFICATE, issuer.public_bytes(serialization.Encoding.PEM))


def load_identity(files: IdentityFiles, *, node: str, now: Now) -> Identity:
    """Return a node's identity, or raise BadInput where it would not be accepted by peers.

    Args:
        files: Where it lies.
        node: Name that the certificate has to carry.
        now: Wall clock, asked at every handshake.
    """
    certificate, key = _load_certificate(files.certificate), _load_key(files.key)
    authority = _load_certificate(files.authority)
    place = str(files.certificate)
    if key.public_key() != certificate.public_key():
        raise BadInput(
            expected=f"the key of {files.certificate.name}", found="another key",
            remedy="issue the identity anew", place=str(files.key),
        )  # fmt: skip
    identity = Identity(node, certificate, key, authority, files.allowed, now)
    own = Identity(node, certificate, key, authority, frozenset(), now)
    try:
        name = own.verify(certificate)
    except Untrusted as error:
        raise BadInput(
            expected="a certificate that peers accept", found=str(error),
            remedy="issue the identity anew", place=place,
        ) from error  # fmt: skip
    if name != node:
        raise BadInput(
            expected=f"a certificate of {node!r}", found=f"one of {name!r}",
            remedy="use that name or issue a certificate for this one", place=place,
        )  # fmt: skip
    return identity


def _only_name(subjects: Sequence[x509.GeneralName]) -> str:
    names = [subject.value for subject in subjects if isinstance(subject, x509.DNSName)]
    if len(names) != 1 or len(subjects) != 1 or not _NAME.fullmatch(names[0]):
        message = f"one node name expected in it, found {[str(s.value) for s in subjects]}"
        raise ValueError(message)
    return names[0]


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now: datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, data: bytes) -> None:
    draft = path.with_suffix(f"{path.suffix}.part")
    draft.write_bytes(data)
    draft.replace(path)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Write a key that only its owner may read, from the moment that the file exists."""
    data = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        message = f"expected no key yet, found {path}; keep it, or move it away first"
        raise Conflict(message) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(
            expected="a readable file", found=error.strerror or str(error),
            remedy="make an identity first", place=str(path),
        ) from error  # fmt: skip


def _load_certificate(path: Path) -> x509.Certificate:
    try:
        certificates = x509.load_pem_x509_certificates(_read(path))
    except ValueError as error:
        raise BadInput(expected="a PEM certificate", found=str(error), place=str(path)) from error
    if len(certificates) != 1:
        raise BadInput(expected="one certificate", found=str(len(certificates)), place=str(path))
    return certificates[0]


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    data = _read(path)
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise BadInput(
            expected="a key that only its owner may read", found=f"mode {mode:04o}",
            remedy=f"chmod 600 {path}, and issue a new one if others have seen it", place=str(path),
        )  # fmt: skip
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadInput(expected="a PEM key", found=str(error), place=str(path)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise BadInput(expected="a P-256 key", found=type(key).__name__, place=str(path))
    return key
