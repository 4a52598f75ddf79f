"""A sequence file on the page, in a real Chromium: its plan before anything moves, then its run."""

import pytest

pytest.importorskip("playwright.sync_api", reason="Playwright for Python is missing: make test installs it")

from canned_service import run, sequence
from page_checks import check_page, check_picture, check_stop_button
from playwright.sync_api import expect

from nixel.imaging.answers import Progress

pytestmark = pytest.mark.browser

TEXT = 'kind = "scan"\nframes = 10\nseed = 3\n'


def show(page, service):
    watch = check_page(page, service.url)
    page.get_by_role("button", name="Sequence", exact=True).click()
    expect(page.get_by_role("region", name="Sequence")).to_be_visible()
    return watch


def choose(page, name="scan.toml", text=TEXT):
    file = {"name": name, "mimeType": "text/plain", "buffer": text.encode()}
    page.get_by_label("Sequence file").set_input_files(file)


def test_its_plan_is_told_before_anything_is_begun(page, service):
    watch = show(page, service)
    choose(page)
    plan = page.get_by_role("region", name="Plan")
    for text in ("scan.toml", "virtual-scanner", "2 min 05 s", "14", "183 kB", "19.4 %", "22.0 to 22.1 °C"):
        expect(plan).to_contain_text(text)
    expect(plan).to_contain_text("Not counted: heating by the focus fields.")
    assert service.posted == [("/sequences", {"name": "scan.toml", "text": TEXT})]
    watch.check()


def test_begin_runs_what_was_looked_at_and_its_frames_are_counted(page, service):
    watch = show(page, service)
    choose(page)
    page.get_by_role("button", name="Begin").click()
    view = page.get_by_role("region", name="Sequence")
    expect(view).to_contain_text("Scan 4")
    assert service.posted[-1] == ("/runs", {"kind": "scan", "protocol": {"frames": 10, "seed": 3}})
    service.tell("run", run(4, state="running", progress=Progress(stage="frames", done=3, total=10)))
    expect(view).to_contain_text("Frames 3 of 10")
    assert view.get_by_role("progressbar").get_attribute("value") == "30"
    expect(page.get_by_role("button", name="Begin")).to_be_disabled()
    service.tell("run", run(4, state="failed", message="the lid is open", dataset_ids=[7]))
    expect(view).to_contain_text("Failed · the lid is open · dataset-7")
    expect(page.get_by_role("button", name="Begin")).to_be_enabled()
    watch.check()


def test_a_file_that_is_refused_says_why_and_the_mended_one_is_taken(page, service):
    watch = show(page, service)
    service.refusals["/sequences"] = (409, "scan.toml is not a sequence to be run: frames: found 0.")
    choose(page)
    expect(page.get_by_role("alert").filter(has_text="frames: found 0.")).to_be_visible()
    expect(page.get_by_role("button", name="Begin")).to_have_count(0)
    service.refusals.clear()
    choose(page)
    expect(page.get_by_role("region", name="Plan")).to_contain_text("2 min 05 s")
    expect(page.get_by_text("frames: found 0.")).to_have_count(0)
    watch.check("Failed to load resource")


def test_what_a_file_is_named_is_text_and_nothing_else(page, service):
    watch = show(page, service)
    service.sequence = sequence(notes=["<img src=x onerror=alert(1)>"])
    choose(page, name="<b>a.toml")
    plan = page.get_by_role("region", name="Plan")
    expect(plan).to_contain_text("<b>a.toml")
    expect(plan).to_contain_text("<img src=x onerror=alert(1)>")
    assert plan.locator("img, b").count() == 0
    watch.check()


def test_the_picture_comes_back(page, service):
    show(page, service)
    page.get_by_role("button", name="Sequence", exact=True).click()
    check_picture(page)


@pytest.mark.parametrize("size", [(1280, 800), (1024, 600), (390, 800)])
def test_it_fits_the_screen_and_stop_stays(browser, service, size):
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme="dark")
    page = context.new_page()
    page.goto(service.url)
    page.get_by_role("button", name="Sequence", exact=True).click()
    choose(page, name="a-rather-long-name-of-a-sequence-" + "x" * 60 + ".toml")
    expect(page.get_by_role("region", name="Plan")).to_contain_text("183 kB")
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0, f"the page is {overflow} pixels wider than the screen"
    if size[0] > 760:
        check_stop_button(page)
    context.close()
