"""A PostgreSQL server for as long as it is needed: a cluster in a temporary folder.

The server binaries are those of Debian's package ``postgresql`` (``make postgres-server``) or
any others on this machine; nothing of them is configured or left behind. A server never runs as
root: started by root, it runs as the user ``postgres``, or as ``nobody``.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

OWNER = "owner"
"""The superuser of a temporary cluster."""
SECURED = ("secured", "correct horse")
"""A role that must give its password, and the password."""

_DEBIAN = Path("/usr/lib/postgresql")


def installed() -> Path | None:
    """Return the folder with initdb and pg_ctl of the newest PostgreSQL here, or None."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    found = [path.parent for path in _DEBIAN.glob("*/bin/initdb")]
    return max(found, key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0), default=None)


def packaged() -> Path | None:
    """Return the folder with the binaries of the Python package pgserver, or None.

    It brings pgvector, which Debian 12 has not.
    """
    spec = find_spec("pgserver")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "pginstall" / "bin"
    return folder if (folder / "initdb").exists() else None


class TemporaryServer:
    """A cluster of its own, started on entering and removed on leaving.

    Reached over a Unix socket in its folder, by anybody without a password except the role
    ``secured``; over TCP on loopback only where a port is given.
    """

    def __init__(
        self, binaries: Path, *, port: int | None = None, options: Mapping[str, str] | None = None
    ) -> None:
        """Prepare a server.

        Args:
            binaries: Folder with initdb and pg_ctl.
            port: TCP port on 127.0.0.1; None for none.
            options: Server settings, for example ``{"fsync": "off"}``.
        """
        self._port = port
        self._options = dict(options or {})
        # Short, since the path of a Unix socket has at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="cellhive-pg-"))
        self._user = _unprivileged()
        self._binaries = self._reachable(binaries)

    def __enter__(self) -> TemporaryServer:
        """Make the cluster and start it."""
        try:
            self._own(self.folder)
            self._call(
                "initdb", "-D", str(self.data), "-U", OWNER, "-E", "UTF8", "--locale=C",
                "--auth=trust", "--no-sync", "--no-instructions",
            )  # fmt: skip
            rules = "local all secured scram-sha-256\nlocal all all trust\n"
            rules += "host all secured 127.0.0.1/32 scram-sha-256\n"
            rules += "host all all 127.0.0.1/32 trust\n"
            (self.data / "pg_hba.conf").write_text(rules, encoding="utf-8")
            self.start()
            role, password = SECURED
            self.sql(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server and remove its folder."""
        if (self.data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def data(self) -> Path:
        """Folder of the cluster."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What the server wrote to its log."""
        return self.folder / "server.log"

    def url(self, database: str = "postgres", user: str = OWNER) -> str:
        """Return where a database is, as a URL over the Unix socket."""
        return f"postgresql://{user}@/{database}?host={self.folder}&port={self.port}"

    @property
    def port(self) -> int:
        """TCP port, or the number in the name of the socket."""
        return self._port or 5432

    def secure(self, certificate: bytes, key: bytes) -> None:
        """Let the server use TLS with a certificate and its key, as PEM, and start again."""
        for name, content in (("server.crt", certificate), ("server.key", key)):
            path = self.data / name
            path.write_bytes(content)
            path.chmod(0o600)
            self._own(path)
        self.sql("ALTER SYSTEM SET ssl = on")
        self.stop()
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = {
            "unix_socket_directories": str(self.folder),
            "listen_addresses": "127.0.0.1" if self._port else "",
            "port": str(self.port),
            **self._options,
        }
        given = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        self._call("pg_ctl", "start", "-w", "-D", str(self.data), "-l", str(self.log), "-o", given)

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: "fast" in order, "immediate" as in a crash."""
        self._call("pg_ctl", "stop", "-w", "-D", str(self.data), "-m", mode)

    def kill(self) -> None:
        """Kill the server's main process as the kernel would, and wait until it can start again."""
        pid = int((self.data / "postmaster.pid").read_text(encoding="utf-8").split()[0])
        os.kill(pid, signal.SIGKILL)
        self._call("pg_ctl", "stop", "-D", str(self.data), "-m", "immediate", check=False)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run a statement as the superuser and return what psql prints."""
        return self._call(
            "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder),
            "-p", str(self.port), "-U", OWNER, "-d", database, "-c", statement,
        )  # fmt: skip

    def dump(self, database: str) -> str:
        """Return a database as pg_dump writes it."""
        return self._call(
            "pg_dump", "-h", str(self.folder), "-p", str(self.port), "-U", OWNER, database
        )

    def restore(self, dump: str, database: str) -> None:
        """Run what ``dump`` returned on an empty database."""
        script = self.folder / "restore.sql"
        script.write_text(dump, encoding="utf-8")
        self._call(
            "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder),
            "-p", str(self.port), "-U", OWNER, "-d", database, "-f", str(script),
        )  # fmt: skip

    def _call(self, program: str, *arguments: str, check: bool = True) -> str:
        ended = subprocess.run(  # noqa: S603 - fixed programs, no shell
            [str(self._binaries / program), *arguments],
            check=False, capture_output=program != "pg_ctl", text=True, cwd=self.folder,
            stdin=subprocess.DEVNULL, user=self._user,
            stdout=subprocess.DEVNULL if program == "pg_ctl" else None,
            stderr=subprocess.DEVNULL if program == "pg_ctl" else None,
            group=_group(self._user), extra_groups=[] if self._user else None,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
        )  # fmt: skip
        if check and ended.returncode != 0:
            log = self.log.read_text(encoding="utf-8")[-2000:] if self.log.exists() else ""
            message = f"{program} ended with {ended.returncode}: {ended.stderr or ''}{log}"
            raise RuntimeError(message)
        return ended.stdout or ""

    def _own(self, path: Path) -> None:
        if self._user is not None:
            shutil.chown(path, self._user)

    def _reachable(self, binaries: Path) -> Path:
        """Copy the installation where the server's user cannot read it in its place."""
        if self._user is None or _readable(binaries, self._user):
            return binaries
        copy = self.folder / "program"
        shutil.copytree(binaries.parent, copy)
        return copy / "bin"


def _unprivileged() -> str | None:
    """Return the user that a server runs as, where root starts it."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _group(user: str | None) -> int | None:
    return None if user is None else pwd.getpwnam(user).pw_gid


def _readable(binaries: Path, user: str) -> bool:
    """Return whether a user can run what is in a folder."""
    arguments: Sequence[str] = (str(binaries / "initdb"), "--version")
    try:
        ended = subprocess.run(  # noqa: S603 - fixed programs, no shell
            arguments, check=False, capture_output=True, user=user, group=_group(user),
            extra_groups=[], cwd="/", env={"PATH": os.defpath},
        )  # fmt: skip
    except PermissionError:
        return False
    return ended.returncode == 0
