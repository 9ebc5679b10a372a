"""A memory on an installation without the extra ``memory``, as ``make run`` makes one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BASE = """
import sys
sys.modules.update(dict.fromkeys(["aioquic", "cryptography", "faiss", "uvloop"]))
from cellhive.cli.root import main
main()
"""
"""The command line where none of the extra's libraries can be imported."""


def test_a_memory_works_without_the_extra_and_says_what_needs_it(tmp_path: Path) -> None:
    """All but keys, certificates and other nodes; those say what to install, in one line."""

    def cellhive(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603
            [sys.executable, "-c", BASE, "memory", *words], cwd=tmp_path, check=False,
            capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )  # fmt: skip

    (tmp_path / "one.jsonl").write_text('{"id": "a", "kind": "result", "vector": [1, 2]}\n')
    for words, told in (
        (("namespace", "create", "cells", "-d", "2"), "cells: 2 numbers"),
        (("add", "one.jsonl", "-n", "cells"), "1 new"),
        (("search", "--vector", "[1, 2]", "-n", "cells"), "1.0000  a"),
        (("verify",), "The file is in order."),
        (("new-key", "own.key"), "own.key: made"),
    ):
        done = cellhive(*words)
        assert (done.returncode, told in done.stdout) == (0, True), done
    for words in (
        ("identity", "new-ca", "ca"), ("identity", "issue", "a", "--ca", "ca"),
        ("identity", "show"), ("serve",), ("status",),
        ("namespace", "create", "cells", "-d", "2", "--memory", "sealed", "--key", "own.key"),
    ):  # fmt: skip
        done = cellhive(*words)
        assert done.returncode == 2, done
        assert done.stderr.endswith("pip install 'cellhive[memory]'\n"), done
        assert done.stderr.count("\n") == 1, done
