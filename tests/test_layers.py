"""Who may import whom: the layers of the design, read off the code."""

import ast
import graphlib
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {
    "physics": "src/physics",
    "acquisition": "src/acquisition",
    "reconstruction": "src/reconstruction",
    "safety": "services/safety",
    "update": "services/update",
    "imaging": "services/imaging",
}
MAY_IMPORT = {
    "physics": set(),
    "acquisition": {"physics", "safety.client"},
    "reconstruction": {"physics"},
    "safety": set(),
    "update": set(),
    # It draws the safety daemon's recordings, which are files that it reads and never writes.
    "imaging": {
        "physics",
        "acquisition",
        "reconstruction",
        "safety.client",
        "safety.records.recording",
        "safety.cli.blackbox",
    },
}


def imports(path):
    """Dotted names of all nixel modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("nixel"))
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("nixel"):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: a relative import"


def files(package):
    found = sorted((ROOT / FOLDERS[package] / "nixel").rglob("*.py"))
    assert found
    return found


@pytest.mark.parametrize("package", FOLDERS)
def test_imports_keep_to_the_layers(package):
    for path in files(package):
        for name in imports(path):
            inner = name.removeprefix("nixel.")
            allowed = {package, *MAY_IMPORT[package]}
            assert any(inner == top or inner.startswith(f"{top}.") for top in allowed), (
                f"{path} imports {name}"
            )


@pytest.mark.parametrize("package", FOLDERS)
def test_no_modules_need_each_other(package):
    # Not for a type's name either: what two of them share belongs in a third.
    top = ROOT / FOLDERS[package]
    modules = {
        ".".join(path.relative_to(top).with_suffix("").parts).removesuffix(".__init__"): path
        for path in files(package)
    }
    needs = {
        module: {named for name in imports(path) if (named := module_of(name, modules)) not in (None, module)}
        for module, path in modules.items()
    }
    assert sum(map(len, needs.values())) > len(modules) / 2  # or nothing of it was read
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" needs ".join(reversed(error.args[1])))


def module_of(name, modules):
    """The module that holds what an import names, among these."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def test_the_namespace_has_no_module_of_its_own():
    for folder in FOLDERS.values():
        assert not (ROOT / folder / "nixel" / "__init__.py").exists()


@pytest.mark.parametrize("package", FOLDERS)
def test_no_file_is_longer_than_a_reader_likes(package):
    long = {
        str(p.relative_to(ROOT)): n for p in files(package) if (n := len(p.read_text().splitlines())) > 420
    }
    assert not long


def test_no_two_helpers_of_the_tests_have_one_name():
    # They are imported by their names from one search path: of two, one test would get the other's.
    folders = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"][
        "pythonpath"
    ]
    places: dict[str, list[str]] = {}
    for folder in folders:
        for path in (ROOT / folder).glob("*.py"):
            if path.name != "conftest.py" and not path.name.startswith("test_"):
                places.setdefault(path.name, []).append(folder)
    assert places
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
