"""What stands for the system where there is neither NixOS nor a checkout."""

import shutil
import sys

import pytest

from nixel.imaging import provenance


@pytest.fixture(params=["importlib.metadata", "importlib_metadata"])
def finder(request, monkeypatch):
    """Who finds the distributions: the standard library, or the package that takes its place once it is imported."""
    theirs = pytest.importorskip(request.param).MetadataPathFinder
    others = [each for each in sys.meta_path if "MetadataPathFinder" not in repr(each)]
    monkeypatch.setattr(sys, "meta_path", [*others, theirs])


@pytest.fixture
def site(tmp_path, monkeypatch, finder):
    """Make distributions that imports can reach, in folders of the path in their order."""
    monkeypatch.setattr(provenance, "_checkout", lambda: None)
    monkeypatch.setattr(sys, "path", [])

    def add(folder, name, version, kind="dist-info"):
        metadata = tmp_path / folder / f"{name}-{version}.{kind}"
        metadata.mkdir(parents=True)
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (metadata / ("METADATA" if kind == "dist-info" else "PKG-INFO")).write_text(text)
        if str(tmp_path / folder) not in sys.path:
            sys.path.append(str(tmp_path / folder))
        return metadata

    return add


def installed():
    system = provenance.running_system(root=provenance.Path("/nowhere"))
    assert "stands in for the system" in system["note"]
    return system["installed_sha256"]


def test_a_build_s_leftovers_beside_the_installed_do_not_make_it_another_system(site):
    site("site", "nixel-imaging", "0.1.0")
    site("site", "numpy", "2.4.6")
    alone = installed()
    # `python -m` puts the current folder on the path, where a build leaves its metadata under another spelling.
    site("here", "nixel_imaging", "0.1.0", kind="egg-info")
    assert installed() == alone


def test_the_first_on_the_path_is_the_one_that_counts(site):
    site("first", "numpy", "2.4.6")
    one = installed()
    site("second", "numpy", "1.0.0")
    assert installed() == one
    sys.path.reverse()
    assert installed() != one


def test_what_an_aborted_installation_left_is_no_distribution(site):
    numpy = site("site", "numpy", "2.4.6")
    one = installed()
    (numpy.parent / "~umpy-2.4.5.dist-info").mkdir()  # without metadata, so without a name
    assert installed() == one


def test_all_spellings_of_a_name_are_one(site):
    site("site", "zope.interface", "8.0")
    one = installed()
    site("here", "Zope_Interface", "8.0", kind="egg-info")
    assert installed() == one


def test_another_version_or_another_distribution_is_another_system(site):
    numpy = site("site", "numpy", "2.4.6")
    one = installed()
    site("site", "scipy", "1.17.1")
    two = installed()
    shutil.rmtree(numpy)
    site("site", "numpy", "2.4.7")
    assert len({one, two, installed()}) == 3
