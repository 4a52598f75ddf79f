"""Many round trips through both example plugins leave no memory behind; bench/plugin_trips.py counts a million."""

import os
import shutil

import plugin_trips
import pytest


@pytest.mark.parametrize(("language", "compiler"), [("c", os.environ.get("CC", "cc")), ("rust", "cargo")])
def test_nothing_is_left_behind(tmp_path, language, compiler):
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} on this machine, so no plugin in {language} can be built")
    found = plugin_trips.measure_trips(plugin_trips.build(language, tmp_path), 20_000, 2000)
    assert found.left.startswith("20000 round trips, ")
    assert found.good, found
