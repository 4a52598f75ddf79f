"""The devices on the page, in a real Chromium: live while somebody looks, and only then."""

import pytest

pytest.importorskip("playwright.sync_api", reason="Playwright for Python is missing: make test installs it")

from canned_service import devices
from page_checks import check_page, check_picture, check_stop_button
from playwright.sync_api import expect
from whole_system import wait_until

pytestmark = pytest.mark.browser


def show(page, service):
    watch = check_page(page, service.url)
    page.get_by_role("button", name="Devices").click()
    expect(page.get_by_role("region", name="Devices")).to_be_visible()
    return watch


def test_they_stand_in_the_pictures_place_and_change_as_they_change(page, service):
    watch = show(page, service)
    robot = page.get_by_role("region", name="robot")
    for text in ("scpi-robot", "on daq at 127.0.0.1:5025", "answers", "position x", "0.00250 m", "nan m"):
        expect(robot).to_contain_text(text)
    expect(page.get_by_role("heading", name="Devices of virtual-scanner (simulated)")).to_be_visible()
    service.tell("devices", devices(position=-0.004, held_by="run 3"))
    expect(robot).to_contain_text("-0.00400 m")
    expect(page.get_by_role("heading", name="held by run 3")).to_be_visible()
    watch.check()


def test_a_device_that_fails_says_why_and_the_others_go_on(page, service):
    watch = show(page, service)
    service.tell("devices", devices(position=0.001, error="lamp at 127.0.0.1:9: opening failed. Plug it in."))
    lamp = page.get_by_role("region", name="lamp")
    expect(lamp).to_contain_text("fails")
    expect(lamp).to_contain_text("Plug it in.")
    expect(page.get_by_role("region", name="robot")).to_contain_text("0.00100 m")
    watch.check()


def test_what_a_driver_names_its_things_is_text_and_nothing_else(page, service):
    names = {"<img src=x onerror=alert(1)>": "</dd><script>alert(2)</script>", "long": "x" * 5000}
    service.devices = devices(**names)
    watch = show(page, service)
    lamp = page.get_by_role("region", name="lamp")
    expect(lamp).to_contain_text("<img src=x onerror=alert(1)>")
    expect(lamp).to_contain_text("</dd><script>alert(2)</script>")
    assert lamp.locator("img, script").count() == 0
    assert "x" * 100 not in lamp.inner_text()
    watch.check()


def test_they_are_asked_only_while_somebody_looks(page, service):
    watch = check_page(page, service.url)
    assert service.watchers["devices"] == []
    button = page.get_by_role("button", name="Devices")
    button.click()
    expect(page.get_by_role("region", name="robot")).to_be_visible()
    assert len(service.watchers["devices"]) == 1
    button.click()
    check_picture(page)

    def left():
        service.tell("devices", devices())
        return not service.watchers["devices"]

    wait_until(left, what="the end of the stream")
    watch.check()


def test_whoever_picks_a_run_sees_it(page, service):
    show(page, service)
    page.get_by_role("button", name="Scan 3").click()
    expect(page.locator(".view")).to_contain_text("the coil was too hot")
    expect(page.get_by_role("region", name="robot")).to_have_count(0)


def test_a_stream_that_ends_is_told_and_taken_up_again(page, service):
    show(page, service)
    expect(page.get_by_role("region", name="robot")).to_contain_text("0.00250 m")
    service.devices = devices(position=0.009)
    service.watchers["devices"].pop().put(None)
    expect(page.get_by_text("Not live: what is dimmed is from before.")).to_be_visible()
    expect(page.get_by_role("region", name="robot")).to_contain_text("0.00900 m", timeout=10_000)


@pytest.mark.parametrize("size", [(1280, 800), (1024, 600), (390, 800)])
def test_they_fit_the_screen_and_stop_stays(browser, service, size):
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme="dark")
    page = context.new_page()
    page.goto(service.url)
    page.get_by_role("button", name="Devices").click()
    expect(page.get_by_role("region", name="robot")).to_contain_text("0.00250 m")
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0, f"the page is {overflow} pixels wider than the screen"
    if size[0] > 760:
        check_stop_button(page)
    context.close()
