"""Programs and versions in the names of store paths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_systems import store_path

from nixel.update import storenames


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # From Nix's manual: builtins.parseDrvName.
        ("nix-0.12pre12876", ("nix", "0.12pre12876")),
        ("apache-httpd-2.0.48", ("apache-httpd", "2.0.48")),
        ("hello", ("hello", "")),
        ("openssl-3.6.1", ("openssl", "3.6.1")),
        ("a-b-1-c-2", ("a-b", "1-c-2")),
        ("name--1", ("name", "-1")),
        ("name-", ("name-", "")),
        ("python3.13-numpy-2.4.1", ("python3.13-numpy", "2.4.1")),
    ],
)
def test_splits_as_nix_does(name, expected):
    assert storenames.split(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("openssl-3.6.1", ("openssl", "3.6.1")),
        *(
            (f"openssl-3.6.1-{output}", ("openssl", "3.6.1"))
            for output in ["dev", "lib", "man", "doc", "bin"]
        ),
        ("linux-6.18.37-modules", ("linux", "6.18.37")),
        ("linux-6.18.37-modules-shrunk", ("linux", "6.18.37")),
        ("glibc-2.42-61", ("glibc", "2.42-61")),
        ("tool-1.2-unstable-2026-01-31", ("tool", "1.2-unstable-2026-01-31")),
        ("tool-1.2-unstable-2026-01-31-man", ("tool", "1.2-unstable-2026-01-31")),
        ("tool-2.0-rc", ("tool", "2.0-rc")),
        ("tool-2.0-beta-dev", ("tool", "2.0-beta")),
        ("perl5.42.0-IO-HTML-1.004", ("perl5.42.0-IO-HTML", "1.004")),
    ],
)
def test_drops_outputs_and_keeps_what_belongs_to_the_version(name, expected):
    assert storenames.program(store_path(name)) == expected


@pytest.mark.parametrize(
    "name",
    [
        "hello",
        "unit-script-nixel-safety-start",
        "unit-nixel-safety.service",
        "unit-getty-1.service",
        "nixos-system-scanner-26.11.20260101.abcdef",
        "initrd-linux-6.18.37",
        "51-android.rules",
        "fix-2.patch",
        "openssl-3.6.1.tar.gz",
        "etc-os-release",
        "system-path",
    ],
)
def test_takes_neither_units_nor_files_nor_parts_for_programs(name):
    assert storenames.program(store_path(name)) is None


def test_keeps_several_versions_of_a_name():
    paths = [
        store_path(name) for name in ("zlib-1.3.1", "zlib-1.2.13", "zlib-1.3.1-dev", "hello", "bash-5.3p3")
    ]
    assert storenames.programs(paths) == {"bash": ["5.3p3"], "zlib": ["1.2.13", "1.3.1"]}


@pytest.mark.parametrize(
    "path", ["", "zlib-1.3", "/nix/store/short-zlib-1.3", f"/nix/store/{'e' * 32}-zlib-1.3"]
)
def test_refuses_what_is_no_store_path(path):
    with pytest.raises(ValueError, match="no store path"):
        storenames.identifier(path)


def test_texts_that_differ_in_store_paths_alone_are_alike_without_hashes():
    old, new = (store_path(name, "x") for name in ("bash-5.3p3", "bash-5.3p4"))
    assert storenames.without_hashes(f"a {old}/bin/sh b") == storenames.without_hashes(f"a {new}/bin/sh b")
    assert storenames.without_hashes(f"a {old}/bin/sh b") != storenames.without_hashes(f"a {new}/bin/bash b")


@given(
    st.from_regex(r"[a-z]{1,8}(-[a-z]{1,8}){0,2}", fullmatch=True),
    st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}", fullmatch=True),
)
def test_a_name_and_a_version_come_back(name, version):
    assert storenames.split(f"{name}-{version}") == (name, version)
