"""Looks at the imaging service's page in a real Chromium, as a person would: what it says, and its pixels.

Every check takes a Playwright page and raises AssertionError with what it expected and found, so that the same
checks serve a canned service and a whole running system.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import product
from urllib.parse import urlsplit

from PIL import Image
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
    Locator,
    Page,
    Request,
    expect,
    sync_playwright,
)

STATES = ("SAFE", "ARMED", "ENERGISED", "FAULT")
PATIENCE_MS = 10_000
_ARGUMENTS = (
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--no-first-run",
    "--force-color-profile=srgb",
)
# What the content security policy forbids is reported to the page itself, before any of its scripts run.
_REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (e) =>
  console.error(`CSP violation: ${e.violatedDirective} ${e.blockedURI}`));
"""


def find_chromium() -> str | None:
    """Chromium's path: $NIXEL_CHROMIUM, or what the search path has; None without."""
    named = os.environ.get("NIXEL_CHROMIUM")
    return shutil.which(named) if named else shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def chromium(executable: str) -> Iterator[Browser]:
    """A headless Chromium for the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(_ARGUMENTS))
        yield browser
        browser.close()


class Watch:
    """Notes what a person would not see: script errors, forbidden content, requests to other hosts."""

    def __init__(self, page: Page, url: str) -> None:
        self._host = urlsplit(url).netloc
        self.complaints: list[str] = []
        page.add_init_script(_REPORT_VIOLATIONS)
        page.on("console", self._console)
        page.on("pageerror", self._error)
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console: {message.text}")

    def _error(self, error: Error) -> None:
        self.complaints.append(f"script: {error}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != self._host:
            self.complaints.append(f"request to another host: {request.url}")

    def check(self, *expected: str) -> None:
        """Raise if anything was noted that does not contain one of `expected`."""
        rest = [c for c in self.complaints if not any(text in c for text in expected)]
        assert not rest, "the page complained: " + "; ".join(rest)


def screenshot(page: Page) -> Image.Image:
    """What is on the screen, one pixel a CSS pixel."""
    return Image.open(BytesIO(page.screenshot())).convert("RGB")


def colour_at(image: Image.Image, x: float, y: float) -> tuple[int, int, int]:
    """Red, green and blue of the pixel that holds the point."""
    colour = image.getpixel((int(x), int(y)))
    assert isinstance(colour, tuple)
    return colour[0], colour[1], colour[2]


def stop_button(page: Page) -> Locator:
    """The button that switches everything off."""
    return page.get_by_role("button", name=re.compile("^STOP"))


def check_page(page: Page, url: str) -> Watch:
    """Open the page at `url` and check that it works: live, its state in words, STOP red and first to the keyboard.

    Returns
    -------
    Watch
        For `check` after whatever else the caller does with the page.
    """
    watch = Watch(page, url)
    page.goto(url)
    expect(page.locator(".link")).to_have_text("Live", timeout=PATIENCE_MS)
    check_state_word(page)
    check_stop_button(page)
    check_not_blank(page)
    watch.check()
    return watch


def check_state_word(page: Page, state: str | None = None) -> None:
    """The safety state stands on the page in words: `state`, or any of the four."""
    word = page.locator(".state .word")
    if state is not None:
        expect(word).to_have_text(state, timeout=PATIENCE_MS)
    found = word.inner_text(timeout=PATIENCE_MS)
    assert found in STATES, f"expected a safety state ({', '.join(STATES)}), found {found!r}"


def check_stop_button(page: Page) -> None:
    """STOP is within the window, large, enabled, red where it is not lettered, and the keyboard's first stop."""
    stop = stop_button(page)
    expect(stop).to_be_enabled(timeout=PATIENCE_MS)
    box = stop.bounding_box()
    size = page.viewport_size
    assert box is not None, "STOP has no place on the page"
    assert size is not None, "the page has no window"
    assert box["width"] >= 150, f"STOP should be large, it is {box['width']:.0f} pixels wide"
    assert box["height"] >= 60, f"STOP should be large, it is {box['height']:.0f} pixels high"
    inside = box["y"] >= 0 and box["y"] + box["height"] <= size["height"]
    assert inside, f"STOP is outside the window: {box} in {size}"

    page.mouse.move(size["width"] - 1, size["height"] - 1)
    seen = screenshot(page)
    # Away from the border and the letters: near the upper left and lower right corners.
    for fx, fy in ((0.1, 0.2), (0.9, 0.8)):
        red, green, blue = colour_at(seen, box["x"] + fx * box["width"], box["y"] + fy * box["height"])
        assert red > 150, f"STOP should be red, found {(red, green, blue)}"
        assert max(green, blue) < 80, f"STOP should be red, found {(red, green, blue)}"

    _focus_nothing(page)
    page.keyboard.press("Tab")
    focused = str(page.evaluate("document.activeElement.textContent"))
    assert focused.startswith("STOP"), f"the keyboard should reach STOP first, it reached {focused[:60]!r}"
    _focus_nothing(page)


def _focus_nothing(page: Page) -> None:
    # A mere blur() would leave the place from which the next Tab goes on.
    page.evaluate(
        "document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')"
    )


def check_not_blank(page: Page) -> None:
    """There is something to see in every ninth of the window but two at most."""
    seen = screenshot(page)
    width, height = seen.width // 3, seen.height // 3
    blank = []
    for column, row in product(range(3), range(3)):
        left, top = column * width, row * height
        colours = seen.crop((left, top, left + width, top + height)).getcolors(1 << 24)
        assert colours is not None
        if len(colours) < 8:
            blank.append((column, row))
    assert len(blank) <= 2, f"these ninths of the page are blank: {blank}"


def check_picture(page: Page, samples: int = 12) -> Image.Image:
    """The preview is on the screen, as the service gave it: compared at `samples` x `samples` places.

    Returns
    -------
    Image
        The service's PNG, decoded.
    """
    image = page.locator("img.preview").first
    expect(image).to_be_visible(timeout=PATIENCE_MS)
    page.wait_for_function("document.querySelector('img.preview')?.naturalWidth > 0", timeout=PATIENCE_MS)
    address = page.evaluate("document.querySelector('img.preview').src")
    answer = page.request.get(address)
    assert answer.ok, f"the preview {address} was answered with status {answer.status}"
    given = Image.open(BytesIO(answer.body())).convert("RGB")
    box = image.bounding_box()
    assert box is not None, "the preview has no place on the page"
    scale = min(box["width"] / given.width, box["height"] / given.height)
    assert scale * max(given.size) >= 250, f"the picture should be large, it is scaled by {scale:.2f}"
    left = box["x"] + (box["width"] - scale * given.width) / 2
    top = box["y"] + (box["height"] - scale * given.height) / 2

    seen = screenshot(page)
    compared, wrong = 0, []
    for row, column in product(range(samples), range(samples)):
        x, y = (column + 0.5) * given.width / samples, (row + 0.5) * given.height / samples
        if top + y * scale >= seen.height:
            continue
        compared += 1
        want, found = colour_at(given, x, y), colour_at(seen, left + x * scale, top + y * scale)
        if max(abs(a - b) for a, b in zip(want, found, strict=True)) > 8:
            wrong.append(((column, row), want, found))
    assert compared >= samples * samples / 2, "most of the picture is outside the window"
    # A sample may fall on the edge between two voxels.
    assert len(wrong) <= compared / 20, (
        f"the screen does not show the picture: (place, given, seen) {wrong[:5]}"
    )
    return given
