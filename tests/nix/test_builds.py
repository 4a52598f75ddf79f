"""Every package of ours, built for real with its check phase, and what was built, run. See native.nix for what that
proves and what not."""

import base64
import json
import re
import tomllib

import nix_tools
import pytest

# The first time everything is built; later only what a change touches.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

DISTRIBUTIONS = {
    "physics": "src/physics",
    "safety": "services/safety",
    "update": "services/update",
    "acquisition": "src/acquisition",
    "reconstruction": "src/reconstruction",
    "imaging": "services/imaging",
}
# What a package needs beside its modules, by the path in its own folder.
DATA = ("py.typed", "*.toml", "*.mako", "migrations/**/*.py")


def project(folder):
    return tomllib.loads((nix_tools.ROOT / folder / "pyproject.toml").read_text())["project"]


def package_files(folder, patterns):
    return {
        path.relative_to(folder).as_posix()
        for pattern in patterns
        for path in (folder / "nixel").rglob(pattern)
        # The examples of vendor plugins are behind a link in a checkout; the package's own tests build them.
        if not {"__pycache__", "sources"} & set(path.parts)
    }


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_distribution_is_built_and_passes_its_tests(native, name):
    built = nix_tools.on_host(native.build(f"python3Packages.nixel-{name}"))
    [packages] = built.glob("lib/python3*/site-packages")
    source = nix_tools.ROOT / DISTRIBUTIONS[name]
    # All modules and all data, and nothing of the namespace's other distributions.
    everything = ("*.py", *DATA)
    assert package_files(packages, everything) == package_files(source, everything)
    assert [path.name for path in (packages / "nixel").iterdir()] == [name]


@pytest.mark.parametrize(
    "name", [name for name, folder in DISTRIBUTIONS.items() if project(folder).get("scripts")]
)
def test_the_entry_points_of_a_distribution_start(native, name):
    built = native.build(f"python3Packages.nixel-{name}")
    for command in project(DISTRIBUTIONS[name])["scripts"]:
        assert "usage" in nix_tools.run(f"{built}/bin/{command}", "--help").lower()


def test_the_safety_daemon_needs_little(native):
    built = native.build("python3Packages.nixel-safety")
    names = {re.sub(r"^/nix/store/[^-]+-", "", path) for path in native.closure(built)}
    ours_and_third_party = {name for name in names if "nixel" in name or re.match(r"[a-z-]+-[0-9.]+$", name)}
    assert not [
        name for name in names if re.match("(numpy|scipy|fastapi|starlette|uvicorn|pydantic|h5py)-", name)
    ]
    assert [name for name in ours_and_third_party if name.startswith("pyserial-")]


def test_micro_managers_core_is_built_from_its_source(native):
    expression = (nix_tools.ROOT / "pkgs/python/pymmcore.nix").read_text()
    version = re.search(r'version = "(.+)";', expression)[1]
    digest = base64.b64decode(re.search(r'hash = "sha256-(.+)";', expression)[1])
    native.bring_python_source("pymmcore", version, digest.hex())
    built = native.build("python3Packages.pymmcore")
    [packages] = nix_tools.on_host(built).glob("lib/python3*/site-packages")
    site, *_ = native.prepare()
    said = nix_tools.run(
        *("env", f"PYTHONPATH={built}/lib/{packages.parent.name}/site-packages:{site}"),
        *(packages.parent.name, "-c", "import pymmcore; print(pymmcore.CMMCore().getAPIVersionInfo())"),
    )
    # The fourth part of its version is the device interface that adapters must have been built for.
    assert f"Device API version {version.split('.')[3]}" in said


def test_the_page_is_built_from_the_lock(native):
    built = native.build("nixel-page")
    page = nix_tools.on_host(built)
    asked = re.findall(r'(?:src|href)="/?([^"]+)"', (page / "index.html").read_text())
    assert any(name.endswith(".js") for name in asked)
    for name in asked:
        assert (page / name).is_file(), name
    # Files alone: nothing of what built it is kept.
    assert native.closure(built) == [built]


def test_the_commands_stand_together(native):
    built = native.build("nixel")
    expected = {name for folder in DISTRIBUTIONS.values() for name in project(folder).get("scripts", {})}
    assert {path.name for path in (nix_tools.on_host(built) / "bin").iterdir()} == expected
    for command in expected:
        assert "usage" in nix_tools.run(f"{built}/bin/{command}", "--help").lower()
    assert native.build("nixel-page") in native.closure(built)


def test_the_demo_makes_a_picture(native, tmp_path):
    built = native.build("nixel-demo")
    data = tmp_path / "data"
    said = nix_tools.run(f"{built}/bin/nixel-demo", "--once", "--port", "0", "--data", data)
    correlation = float(re.search(r"correlation ([0-9.]+)", said)[1])
    assert correlation > 0.9
    [picture] = data.glob("pictures/*.png")
    assert picture.stat().st_size > 1000
    # The built page is served, not missed.
    assert "not built" not in said
    # And the same bits again, from the stored data.
    again = nix_tools.run(f"{native.build('nixel')}/bin/nixel", "reproduce", "picture-1", "--data", data)
    assert "bit for bit" in again or "identical" in again, again


def test_a_program_of_a_single_distribution_finds_itself_again(native, tmp_path):
    # Its children are started with the bare interpreter, which knows no packages by itself.
    built = native.build("python3Packages.nixel-imaging")
    said = nix_tools.run(f"{built}/bin/nixel", "demo", "--once", "--port", "0", "--data", tmp_path / "data")
    assert "correlation" in said


def test_what_is_installed_is_what_the_metadata_says(native):
    built = native.build("nixel")
    environment = next(path for path in native.closure(built) if path.endswith("-env"))
    code = (
        "import json; from importlib.metadata import version, requires; "
        "print(json.dumps({n: version(n) for n in " + repr([f"nixel-{n}" for n in DISTRIBUTIONS]) + "}))"
    )
    versions = json.loads(nix_tools.run(f"{environment}/bin/python3.13", "-c", code))
    assert versions == {f"nixel-{name}": project(folder)["version"] for name, folder in DISTRIBUTIONS.items()}
