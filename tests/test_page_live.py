"""The page in a real Chromium before the whole running system: scan, watch, look, stop."""

from datetime import UTC, datetime

import pytest
from page_checks import check_page, check_picture, check_state_word, chromium, find_chromium, stop_button
from playwright.sync_api import expect
from whole_system import SMALL_CALIBRATION, wait_until

from nixel.imaging.cli.serve import default_page

pytestmark = pytest.mark.browser


@pytest.fixture
def page():
    executable = find_chromium()
    if executable is None:
        pytest.skip("Chromium is missing: apt-get install chromium, or name one with NIXEL_CHROMIUM")
    if default_page() is None:
        pytest.skip("the page is not built: make page (needs Node 20.19 or newer)")
    with chromium(executable) as browser:
        tab = browser.new_page(viewport={"width": 1280, "height": 800})
        yield tab
        tab.close()


def test_an_operator_scans_looks_and_stops(bench, service, page):
    bench.arm()
    service.client.perform({"kind": "calibration", "protocol": SMALL_CALIBRATION})
    watch = check_page(page, service.url)
    check_state_word(page, "ARMED")
    expect(page.get_by_text("SIMULATED", exact=True).first).to_be_visible()

    page.get_by_role("button", name="Scan", exact=True).click()
    expect(page.get_by_role("progressbar").first).to_be_visible(timeout=10_000)
    wait_until(lambda: service.client.get("/pictures"), what="the picture")
    picture = service.client.get("/pictures")[0]
    expect(page.get_by_text(f"nixel reproduce picture-{picture['id']}")).to_be_visible(timeout=10_000)
    given = check_picture(page)
    assert given.size == (500, 500)
    assert len(given.getcolors(1 << 24)) > 10
    # The provenance is the picture's own, to be read beside it.
    for name in ("measurement", "calibration"):
        digest = picture["provenance"]["inputs"][name]
        assert digest[:12] in page.inner_text("body")
    watch.check()

    page.get_by_role("button", name="Devices").click()
    expect(page.get_by_role("region", name="daq")).to_contain_text("answers")
    expect(page.get_by_role("region", name="robot")).to_contain_text("position x")
    page.get_by_role("button", name="Devices").click()
    watch.check()

    request = {"kind": "scan", "protocol": {"frames": 2000, "averages": 10, "seed": 2}}
    number = service.client.post("/runs", request)["id"]
    check_state_word(page, "ENERGISED")
    stop_button(page).click()
    check_state_word(page, "SAFE")
    wait_until(lambda: service.client.get(f"/runs/{number}")["state"] == "failed", what="the scan's end")
    assert not any(bench.safety.status().outputs.values())
    watch.check()


def test_the_page_names_a_bypass_for_as_long_as_it_lasts(bench, service, page):
    bench.safety.wait_until_healthy(20)
    bench.safety.reset()
    began = datetime.now(UTC)
    bench.safety.bypass("door", 300.0, "measuring at the open coil")
    [told] = service.client.get("/safety")["bypasses"]
    left = (datetime.fromisoformat(told["until"]) - began).total_seconds()
    assert 295 <= left <= 305
    watch = check_page(page, service.url)
    item = page.get_by_role("list", name="Bypassed interlocks").get_by_role("listitem")
    for text in ("BYPASSED: door", told["by"], "measuring at the open coil"):
        expect(item).to_contain_text(text)
    row = page.locator(".interlocks li", has_text="door")
    expect(row).to_contain_text("BYPASSED")
    # A stop ends it, and the page says so without being asked.
    stop_button(page).click()
    expect(item).to_have_count(0)
    expect(row).to_contain_text("ok")
    watch.check()


def test_the_page_says_when_nothing_is_behind_it_any_more(bench, service, page):
    bench.arm()
    watch = check_page(page, service.url)
    service.kill()
    expect(page.locator(".link")).not_to_have_text("Live", timeout=10_000)
    watch.check("Failed to load resource", "ERR_")
