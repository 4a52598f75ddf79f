"""The page in a real Chromium, before a service whose answers are set by hand."""

import re
import shutil
from datetime import datetime
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="Playwright for Python is missing: make test installs it")

from canned_service import BLUE, GREEN, RED, WHITE, CannedService, preview, run, running, safety
from page_checks import (
    check_page,
    check_picture,
    check_state_word,
    check_stop_button,
    colour_at,
    screenshot,
    stop_button,
)
from playwright.sync_api import expect

from nixel.imaging.answers import Progress

pytestmark = pytest.mark.browser

WEB = Path(__file__).parents[1] / "web"
SIZES = {"desktop": (1280, 800), "touch screen": (1024, 600)}
REFUSED = "Failed to load resource"


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("size", SIZES)
def test_everything_is_seen_on_both_screens_and_in_both_schemes(browser, service, size, scheme):
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    watch = check_page(page, service.url)
    check_picture(page)
    expect(page.get_by_text("SIMULATED", exact=True)).to_be_visible()
    expect(page.get_by_text("virtual-scanner").first).to_be_visible()
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0, f"the page is {overflow} pixels wider than the screen"
    ground = colour_at(screenshot(page), 2, 2)
    assert (max(ground) < 60) if scheme == "dark" else (min(ground) > 200)
    watch.check()
    context.close()


def test_the_picture_stands_as_it_is_with_its_corners_where_they_belong(page, service):
    check_page(page, service.url)
    check_picture(page)
    box = page.locator("img.preview").bounding_box()
    seen = screenshot(page)
    expected = {(0.25, 0.25): RED, (0.75, 0.25): GREEN, (0.25, 0.75): BLUE, (0.75, 0.75): WHITE}
    for (fx, fy), colour in expected.items():
        found = colour_at(seen, box["x"] + fx * box["width"], box["y"] + fy * box["height"])
        assert max(abs(a - b) for a, b in zip(found, colour, strict=True)) <= 4
    # Crisp: one colour up to the edge between two blocks, the other from there on.
    edge, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 4
    assert colour_at(seen, edge - 3, y) == RED
    assert colour_at(seen, edge + 3, y) == GREEN


def test_the_record_says_which_system_and_offers_the_line_that_makes_it_again(page, service):
    check_page(page, service.url)
    facts = page.locator(".facts")
    for text in ("nixel reproduce picture-1", "requirements/runtime.lock", "30000 Hz", "c3" * 32, "a1" * 32):
        expect(facts.get_by_text(text)).to_have_count(1)
    expect(facts.get_by_text("stand in for the system")).to_be_visible()
    assert page.get_by_role("link", name="PNG").get_attribute("href") == "/api/v1/pictures/1/preview.png"
    assert page.get_by_role("link", name="MDF file").get_attribute("href") == "/api/v1/pictures/1/file"


@pytest.mark.parametrize("state", ["SAFE", "ARMED", "ENERGISED", "FAULT"])
def test_each_state_is_told_in_words_as_soon_as_it_changes(page, service, state):
    watch = check_page(page, service.url)
    service.tell("safety", safety(state, what_to_do=f"What to do when {state}."))
    check_state_word(page, state)
    expect(page.get_by_text(f"What to do when {state}.")).to_be_visible()
    check_stop_button(page)
    if state != "SAFE":
        expect(page.get_by_role("status")).to_contain_text(f"Safety: {state}")
    watch.check()


def test_an_interlock_shows_its_reading_its_limit_and_the_first_cause(page, service):
    check_page(page, service.url)
    row = page.locator(".interlocks li", has_text="coil temperature")
    expect(row).to_contain_text("24.6 °C")
    expect(row).to_contain_text("ok")
    service.tell("safety", safety(temperature=52.25))
    expect(row).to_contain_text("near its limit")
    service.tell("safety", safety("FAULT", temperature=61.04))
    expect(row).to_contain_text("61.0 °C")
    expect(row).to_contain_text("tripped")


def test_a_bypass_says_what_it_leaves_unguarded_until_when_by_whom_and_why(page, service):
    watch = check_page(page, service.url)
    listed = page.get_by_role("list", name="Bypassed interlocks")
    expect(listed).to_have_count(0)
    until = datetime.now().replace(hour=23, minute=58, second=7, microsecond=0).astimezone()
    bypass = {
        "interlock": "coil-temperature",
        "by": "anna (user 1000, process 7)",
        "reason": "the phantom is warmed on purpose",
        "until": until.isoformat(),
    }
    bypassed = safety("SAFE", temperature=61.0, bypasses=[bypass])
    bypassed.interlocks[0].bypassed = True
    service.tell("safety", bypassed)
    item = listed.get_by_role("listitem")
    for text in (
        "BYPASSED: coil temperature",
        "protects nobody until 23:58:07",
        "anna (user 1000, process 7)",
        "the phantom is warmed on purpose",
    ):
        expect(item).to_contain_text(text)
    box, stop = item.bounding_box(), stop_button(page).bounding_box()
    assert box["y"] + box["height"] <= page.viewport_size["height"], "it should be seen without scrolling"
    assert box["y"] >= stop["y"] + stop["height"], "it should not cover STOP"
    row = page.locator(".interlocks li", has_text="coil temperature")
    expect(row).to_contain_text("61.0 °C")
    expect(row).to_contain_text("BYPASSED")
    expect(row).not_to_contain_text("tripped")
    service.tell("safety", safety())
    expect(listed).to_have_count(0)
    watch.check()


def test_a_silent_safety_daemon_is_not_taken_for_a_safe_one(page, service):
    check_page(page, service.url)
    service.tell(
        "safety", safety(reachable=False, state=None, message="/run/nixel/safety.sock does not answer")
    )
    expect(page.locator(".state .word")).to_have_text("NO ANSWER")
    expect(page.locator(".safety")).to_contain_text("regard the power as on")
    expect(page.locator(".safety")).to_contain_text("/run/nixel/safety.sock does not answer")


def test_stop_is_one_tab_and_return_away_and_says_what_came_of_it(page, service):
    watch = check_page(page, service.url)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".outcome")).to_have_text("Stopped: everything is off, the state is SAFE.")
    assert service.posted == [("/safety/stop", {"reason": "STOP was pressed on the page"})]
    watch.check()


def test_a_stop_that_leaves_something_on_is_told_loudly(page, service):
    check_page(page, service.url)
    service.tell("safety", safety("ENERGISED"))
    stop_button(page).click()
    expect(page.get_by_role("alert").filter(has_text="still on: amplifier")).to_be_visible()


def test_a_stop_that_fails_is_told_loudly_and_can_be_pressed_again(page, service):
    watch = check_page(page, service.url)
    service.refusals["/safety/stop"] = (503, "The safety daemon does not answer.")
    stop = stop_button(page)
    stop.click()
    alert = page.get_by_role("alert").filter(has_text="did NOT get through")
    expect(alert).to_contain_text("Press the emergency stop at the instrument.")
    expect(alert).to_contain_text("The safety daemon does not answer.")
    service.refusals.clear()
    stop.click()
    expect(page.locator(".outcome")).to_contain_text("everything is off")
    watch.check(REFUSED)


def test_progress_moves_and_the_new_picture_comes_up_by_itself(page, service):
    watch = check_page(page, service.url)
    expect(page.get_by_text("Nothing is running.")).to_be_visible()
    bar = page.get_by_role("progressbar")
    for done in (25, 60):
        service.tell("run", running(4, done))
        expect(bar).to_have_attribute("value", str(done))
        expect(page.locator(".jobs")).to_contain_text(f"Scan 4 Measuring{done} %")
        box = bar.bounding_box()
        seen = screenshot(page)
        filled, empty = (
            colour_at(seen, box["x"] + f * box["width"], box["y"] + box["height"] / 2)
            for f in (done / 100 - 0.05, done / 100 + 0.05)
        )
        assert filled != empty, f"at {done} % the bar should end at {done} % of its width"
    service.preview = preview(((BLUE, RED), (WHITE, GREEN)))
    service.tell("run", run(4, picture_ids=[2]))
    expect(page.get_by_role("heading", name="Picture 2")).to_be_visible()
    expect(bar).to_have_count(0)
    expect(page.get_by_role("status")).to_contain_text("Scan 4: done.")
    check_picture(page)
    watch.check()


@pytest.mark.parametrize("size", SIZES)
def test_a_run_is_paused_and_resumed(page, service, size):
    width, height = SIZES[size]
    page.set_viewport_size({"width": width, "height": height})
    watch = check_page(page, service.url)
    jobs = page.locator(".jobs")

    def offers(*names):
        texts = [text.strip() for text in jobs.locator(".now button").all_inner_texts()]
        return texts == list(names)

    service.tell("run", running(4, 25))
    service.asked["/runs/4/pause"] = run(
        4, state="paused", progress=Progress(stage="paused", done=25, total=100)
    )
    pause = jobs.get_by_role("button", name="Pause", exact=True)
    expect(pause).to_be_visible()
    assert offers("Pause", "Cancel")
    for button in jobs.locator("button").all():
        box = button.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    pause.click()
    expect(jobs).to_contain_text("Scan 4 Paused25 %")
    expect(page.get_by_role("button", name="Scan 4")).to_contain_text("paused")
    assert service.posted == [("/runs/4/pause", {})]
    assert offers("Resume", "Cancel")
    service.asked["/runs/4/resume"] = running(4, 26)
    jobs.get_by_role("button", name="Resume", exact=True).click()
    expect(jobs).to_contain_text("Scan 4 Measuring26 %")
    assert service.posted[-1] == ("/runs/4/resume", {})
    # What is measured cannot be paused any more.
    service.tell("run", running(4, 0, stage="reconstructing"))
    expect(jobs).to_contain_text("Reconstructing")
    assert offers("Cancel")
    watch.check()


def test_the_end_of_the_stream_is_shown_and_its_return_too(page, service, dist):
    check_page(page, service.url)
    before = screenshot(page)
    service.close()
    expect(page.locator(".link")).to_have_text(re.compile("Not live"), timeout=10_000)
    expect(page.get_by_role("alert").filter(has_text="Not live since")).to_be_visible()
    expect(page.locator(".state .word")).to_have_text("UNKNOWN")
    expect(page.locator(".state")).to_contain_text("The last word was SAFE.")
    expect(page.get_by_role("button", name="Scan", exact=True)).to_be_disabled()
    check_stop_button(page)
    page.wait_for_timeout(300)
    box = page.locator("img.preview").bounding_box()
    red, green, blue = colour_at(screenshot(page), box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
    assert max(red, green, blue) - min(red, green, blue) < 10, "what is not live should be dimmed and grey"
    assert colour_at(before, box["x"] + box["width"] / 4, box["y"] + box["height"] / 4) == RED

    stop_button(page).click()
    expect(page.get_by_role("alert").filter(has_text="did NOT get through")).to_be_visible()

    again = CannedService(dist, service.port)
    try:
        again.add(
            run(1, "calibration"), run(4, state="interrupted", message="the service ended while it measured")
        )
        expect(page.locator(".link")).to_have_text("Live", timeout=15_000)
        check_state_word(page, "SAFE")
        expect(page.get_by_role("button", name="Scan 4")).to_contain_text("interrupted")
    finally:
        again.close()


def test_a_connection_that_merely_falls_silent_is_noticed_too(page, service):
    check_page(page, service.url)
    service.silent.set()
    # 4 s of silence, then a question that is given 3 s.
    expect(page.locator(".link")).to_have_text(re.compile("Not live"), timeout=12_000)
    expect(page.locator(".state .word")).to_have_text("UNKNOWN")
    service.silent.clear()
    expect(page.locator(".link")).to_have_text("Live", timeout=15_000)


def test_a_quiet_but_answering_service_stays_live(page, service):
    watch = check_page(page, service.url)
    page.wait_for_timeout(6500)
    expect(page.locator(".link")).to_have_text("Live")
    watch.check()


def test_scan_and_calibrate_ask_for_a_run_and_show_why_it_is_refused(page, service):
    watch = check_page(page, service.url)
    page.get_by_role("button", name="Calibrate", exact=True).click()
    expect(page.get_by_role("button", name="Calibration 4")).to_contain_text("queued")
    assert service.posted == [("/runs", {"kind": "calibration"})]
    watch.check()

    detail = "A scan needs a calibration: run one first."
    service.refusals["/runs"] = (409, detail)
    page.get_by_role("button", name="Scan", exact=True).click()
    alert = page.get_by_role("alert").filter(has_text=detail)
    expect(alert).to_be_visible()
    assert service.posted[-1] == ("/runs", {"kind": "scan"})
    alert.get_by_role("button", name="Dismiss").click()
    expect(alert).to_have_count(0)
    watch.check("status of 409")


def test_a_chosen_run_stays_until_the_newest_is_asked_for(page, service):
    check_page(page, service.url)
    page.get_by_role("button", name="Scan 3").click()
    expect(page.locator(".view")).to_contain_text("the coil was too hot")
    expect(page.get_by_text("Run 3 was asked for")).to_be_visible()
    service.tell("run", run(4, picture_ids=[2]))
    expect(page.locator(".view")).to_contain_text("the coil was too hot")
    page.get_by_role("button", name="Newest picture").click()
    expect(page.get_by_role("heading", name="Picture 2")).to_be_visible()


def test_an_empty_service_says_what_to_do_next(page, dist):
    service = CannedService(dist)
    try:
        watch = check_page(page, service.url)
        expect(page.get_by_text("No runs yet.")).to_contain_text("Press Calibrate once, then Scan")
        expect(page.get_by_text("No picture yet")).to_be_visible()
        watch.check()
    finally:
        service.close()


def test_a_real_instrument_is_not_called_simulated(page, service):
    service.simulated = False
    service.safety = safety(simulated=False)
    check_page(page, service.url)
    expect(page.get_by_text("SIMULATED", exact=True)).to_have_count(0)


# --- the checks themselves: a broken page must fail them ---


def _broken(dist: Path, folder: Path, breakage: str) -> Path:
    copy = folder / "dist"
    shutil.copytree(dist, copy)
    (script,) = (copy / "assets").glob("*.js")
    (style,) = (copy / "assets").glob("*.css")
    index = copy / "index.html"
    if breakage == "no script":
        script.unlink()
    elif breakage == "a script that throws":
        script.write_text("throw new Error('broken');")
    elif breakage == "no style":
        style.unlink()
    elif breakage == "a style that is not STOP's":
        style.write_text(style.read_text() + "button.stop { background: #1050c0 !important; }")
    elif breakage == "an empty page over it":
        style.write_text(style.read_text() + ".page { opacity: 0; }")
    elif breakage == "an inline script":
        index.write_text(index.read_text().replace("</head>", "<script>var a = 1;</script></head>"))
    elif breakage == "something from another host":
        index.write_text(index.read_text().replace("</body>", '<img src="http://127.0.0.2:9/x.png"></body>'))
    return copy


@pytest.mark.parametrize(
    "breakage",
    [
        "no script",
        "a script that throws",
        "no style",
        "a style that is not STOP's",
        "an empty page over it",
        "an inline script",
        "something from another host",
    ],
)
def test_a_broken_page_fails_the_checks(page, dist, tmp_path, monkeypatch, breakage):
    monkeypatch.setattr("page_checks.PATIENCE_MS", 1500)
    service = CannedService(_broken(dist, tmp_path, breakage))
    try:
        with pytest.raises(AssertionError):
            check_page(page, service.url)
    finally:
        service.close()


@pytest.mark.parametrize("style", [".preview { opacity: 0 }", ".preview { transform: scaleX(-1) }"])
def test_a_picture_that_is_not_shown_as_it_is_fails_the_check(page, dist, tmp_path, style):
    broken = _broken(dist, tmp_path, "nothing")
    (sheet,) = (broken / "assets").glob("*.css")
    sheet.write_text(sheet.read_text() + style)
    service = CannedService(broken)
    try:
        service.add(run(2, picture_ids=[1]))
        check_page(page, service.url)
        with pytest.raises(AssertionError, match="does not show the picture"):
            check_picture(page)
    finally:
        service.close()


def test_the_legend_is_the_colour_map_of_the_previews():
    np = pytest.importorskip("numpy", reason="NumPy is missing: make setup installs it")
    from nixel.imaging.rendering import colour_map

    gradient = re.search(r"linear-gradient\(90deg, ([^)]*)\)", (WEB / "src/style/picture.css").read_text())
    assert gradient is not None
    stops = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in gradient[1].split(", ")]
    positions = np.linspace(0, 1, len(stops))
    for channel in range(3):
        legend = np.interp(np.linspace(0, 1, 256), positions, [stop[channel] for stop in stops])
        assert np.abs(legend - colour_map()[:, channel]).max() <= 1
