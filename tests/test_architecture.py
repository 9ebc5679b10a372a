"""Names, sizes and borders of the code: what a reviewer would otherwise have to look for."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "cellhive"
MODULES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = sorted({path.parent for path in MODULES})

EMPTY_NOUN = re.compile(
    r"(Manager|Service|Engine|Handler|Helper|Processor|Coordinator|Orchestrator|Factory|Utils?)$"
)

MOST_LINES = 600
LONG: dict[str, tuple[int, str]] = {}
"""Modules that may be longer, how long, and why."""

MOST_MODULES = 12
CROWDED = {
    "ran": (18, "one module per mechanism of the radio network; rules and guard have folders"),
}
"""Folders that may hold more modules, how many, and why."""

BANNED = {
    "time.time": "take now_s",
    "time.monotonic": "take now_s",
    "time.perf_counter": "take now_s",
    "time.sleep": "take now_s",
    "datetime.now": "take now_s",
    "datetime.utcnow": "take now_s",
    "datetime.today": "take now_s",
    "date.today": "take now_s",
    "np.random.seed": "take a numpy Generator",
    "np.random.rand": "take a numpy Generator",
    "np.random.normal": "take a numpy Generator",
    "np.random.uniform": "take a numpy Generator",
    "np.random.randint": "take a numpy Generator",
    "eval": "parse what is expected",
    "exec": "parse what is expected",
}
"""Calls that no room makes, and what to do instead."""
CLOCKS = {"datetime.now", "time.time", "time.monotonic"}
"""Clocks, which the composition root (app/) may read and hand out."""
BANNED_IMPORTS = {"random", "pickle", "marshal", "shelve", "requests", "urllib", "socket"}
EXCUSED_IMPORTS = {
    "adapters/models/mlflow.py": ({"urllib"}, "urllib.parse takes addresses apart, opens none"),
    "adapters/quic/peers.py": ({"socket"}, "the names of socket options, which asyncio lacks"),
}
"""Modules that import what is banned, and why; what is excused has to be there."""


def name_of(path: Path) -> str:
    """Return the name of a module below the package, for test ids and exemptions."""
    return path.relative_to(PACKAGE).as_posix()


def dotted(node: ast.expr) -> str:
    """Return the last two parts of what is called: "time.time", "print"."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        parts = [*inner.split("."), node.attr]
        return ".".join(parts[-3:] if parts[0] == "np" else parts[-2:])
    return ""


def committed() -> list[Path]:
    """Return the files under version control, and those about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],  # noqa: S607
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0:
        pytest.skip("needs a git checkout: the committed files are asked from git")
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def public_definitions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Yield public functions and classes of a module, and public methods of public classes."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                        yield inner


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_is_small_and_says_what_it_does(path: Path) -> None:
    """A module fits on a few screens, opens with a sentence, and names things by what they are."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    most, _ = LONG.get(name_of(path), (MOST_LINES, ""))
    assert source.count("\n") <= most
    assert ast.get_docstring(tree)
    classes = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert [name for name in classes if EMPTY_NOUN.search(name)] == []
    assert [node.name for node in public_definitions(tree) if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_calls_nothing_hidden(path: Path) -> None:
    """No clock, no global random number, no pickle; printing belongs to the command line."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {dotted(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    banned = set(BANNED) - (CLOCKS if name_of(path).startswith("app/") else set())
    assert called & banned == set()
    assert "print" not in called or name_of(path).startswith("cli/")
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported.add((node.module or "").split(".")[0])
    excused, _ = EXCUSED_IMPORTS.get(name_of(path), (set(), ""))
    assert imported & BANNED_IMPORTS == excused


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_folder_is_a_room_one_can_look_around_in(folder: Path) -> None:
    """A folder holds about a dozen modules and its __init__ says in a sentence what they are."""
    modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
    most, _ = CROWDED.get(folder.relative_to(PACKAGE).as_posix(), (MOST_MODULES, ""))
    assert len(modules) <= most
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    assert docstring is not None
    assert docstring.count("\n") == 0
    assert docstring.endswith((".", "?"))


def test_exemptions_are_still_needed() -> None:
    """An exemption that nothing needs any more is taken out."""
    long = {name_of(path) for path in MODULES
            if path.read_text(encoding="utf-8").count("\n") > MOST_LINES}  # fmt: skip
    modules = Counter(path.parent for path in MODULES if path.name != "__init__.py")
    crowded = {folder.relative_to(PACKAGE).as_posix() for folder, count in modules.items()
               if count > MOST_MODULES}  # fmt: skip
    assert set(LONG) <= long
    assert set(CROWDED) <= crowded


def test_tests_mirror_the_rooms() -> None:
    """Folders of tests are rooms of the package or one of the known kinds of test."""
    kinds = {"contracts", "golden", "properties", "reference", "scenarios"}
    rooms = {folder.name for folder in FOLDERS if folder.parent == PACKAGE}
    folders = {path.parent.relative_to(ROOT / "tests").parts[0]
               for path in (ROOT / "tests").glob("*/**/*.py")}  # fmt: skip
    assert folders <= kinds | rooms


def test_committed_files_name_no_machine() -> None:
    """No file names a path of somebody's machine or the host of a package registry."""
    forbidden = ("/" + "work/", "." + "library/", "/" + "root/", "python" + "hosted",
                 "py" + "pi.org", "index" + "-url")  # fmt: skip
    home = re.compile("/" + r"home/[a-z]")
    found = []
    for path in committed():
        data = path.read_bytes()
        if b"\0" in data[:8192]:
            continue
        text = data.decode("utf-8", errors="replace")
        found += [(path.name, word) for word in forbidden if word in text]
        found += [(path.name, match.group()) for match in home.finditer(text)]
    assert found == []


def test_no_large_files_are_committed() -> None:
    """A committed file stays below half a megabyte: a clone is quick."""
    large = [path.name for path in committed() if path.stat().st_size > 500_000]
    assert large == []


def test_one_command_runs_and_one_tests() -> None:
    """The Makefile has the promised targets, and CI runs exactly ``make test``."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert {"run", "test", "lint", "bench", "docs", "setup", "clean"} <= targets
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r"^make test$", ci, re.MULTILINE)
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_every_dependency_is_pinned_once() -> None:
    """Whatever pyproject.toml asks for has exactly one version in constraints.txt."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project.get("optional-dependencies", {}).values()
    wanted = [*project["dependencies"], *(name for extra in extras for name in extra)]
    pinned = re.findall(
        r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", (ROOT / "constraints.txt").read_text(), re.M
    )
    versions = Counter(re.sub(r"[-_.]+", "-", name).lower() for name, _ in pinned)
    names = {re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", line)[0]).lower() for line in wanted}
    assert {name for name in names if versions[name] != 1} == set()
    assert [name for name, count in versions.items() if count > 1] == []


def imported_by(code: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter holds after running some code."""
    script = (
        "import io, json, sys, contextlib\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    try:\n"
        f"        {code}\n"
        "    except SystemExit:\n"
        "        pass\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)  # noqa: S603
    return set(json.loads(done.stdout))


def test_importing_the_package_loads_nothing_else() -> None:
    """``import cellhive`` takes no dependency along."""
    heavy = {"numpy", "numba", "polars", "scipy", "lxml", "jinja2", "rich", "typer"}
    loaded = imported_by("import cellhive")
    assert "cellhive" in loaded
    assert loaded & heavy == set()


@pytest.mark.parametrize("command", [["--help"], ["run", "--help"], ["analyze", "--help"]])
def test_help_does_not_wait_for_kernels_and_tables(command: list[str]) -> None:
    """Asking for help loads neither the compiler nor the table and XML libraries."""
    loaded = imported_by(f"import cellhive.cli; cellhive.cli.app({command!r})")
    assert "typer" in loaded
    assert loaded & {"numba", "polars", "scipy", "lxml", "jinja2"} == set()
