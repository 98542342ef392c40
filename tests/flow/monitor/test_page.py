"""The monitor's page in headless Chromium: what it shows, keyboard, screen readers, and that it calls nobody."""

import io
import re
import signal
import socket
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from flow.look.pictures import CLASS_COLOURS, UNSURE_COLOUR
from qmodel.data import recording
from tests.flow.monitor import browser

pytestmark = [pytest.mark.slow, pytest.mark.skipif(browser.CHROMIUM is None, reason=browser.MISSING)]

COLOURS = CLASS_COLOURS | {"unsure": UNSURE_COLOUR}
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def address(rhythms):
    with browser.monitor(str(rhythms), "--hop", "2") as (address, _):
        yield address


@pytest.fixture(scope="module")
def changes(rhythms, classifier):
    """When the rhythm changes, and to what, from the batch classifier: seconds, said."""
    windows = recording.read(rhythms).windows(hop_s=2.0)
    said = classifier.recording(windows).said.tolist()
    assert len(set(said)) > 2
    ends = [round(start) + 10 for start in windows.start_s]
    return [(end, now) for end, before, now in zip(ends, [None, *said], said) if now != before]


@pytest.fixture
def open_page(chromium, address):
    """Opens the monitor in a fresh profile; a page that meets an error, or asks another origin, fails its test."""
    contexts, complaints = [], []

    def open_page(url=address, viewport=DESK, **settings):
        context = chromium.new_context(viewport=viewport, **settings)
        contexts.append(context)
        page = context.new_page()
        origin = url.partition("?")[0]  # the address carries a token
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: request.url.startswith(origin) or complaints.append(request.url))
        page.on("websocket", lambda s: s.url.startswith(origin.replace("http", "ws")) or complaints.append(s.url))
        page.goto(url)
        page.locator("#speed option").first.wait_for(state="attached")
        page.complaints = complaints
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


def seconds(page) -> float:
    """What the page's clock shows."""
    minutes, rest = re.match(r"(\d+):(\d+\.\d)", page.inner_text("#clock")).groups()
    return 60 * int(minutes) + float(rest)


def events(page) -> list[tuple[float, str]]:
    """The list of events, oldest first: seconds, said."""
    cells = [[cell.inner_text() for cell in row.locator("td").all()] for row in page.locator("#events tr").all()]
    return [(_seconds(at), said.split()[0]) for at, said, *_ in reversed(cells)]


def _seconds(text: str) -> int:
    minutes, rest = text.split(":")
    return 60 * int(minutes) + int(rest)


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])


def until(page, condition) -> None:
    """Wait until a condition of this page holds, at most half a minute: machines that run tests may be busy."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, f"waited in vain; the page says: {page.inner_text('body')}"
        page.wait_for_timeout(30)


def pixels(page, selector: str) -> np.ndarray:
    """Picture of an element, uint8, shape (row, column, RGB)."""
    from PIL import Image

    with Image.open(io.BytesIO(page.locator(selector).screenshot())) as picture:
        return np.asarray(picture.convert("RGB"))


class TestPlaying:
    def test_whole_record_says_what_batch_says(self, open_page, changes):
        page = open_page()
        page.select_option("#speed", "60")
        until(page, lambda: page.inner_text("#play-label") == "Play")
        assert seconds(page) == 75.0
        assert events(page) == changes
        assert page.inner_text("#rhythm") == changes[-1][1]
        assert page.inner_text("#events-number") == str(len(changes))
        lasts = [int(cell.inner_text().split()[0]) for cell in page.locator("#events td:nth-child(3)").all()]
        assert sum(lasts) == 75 - 10  # all the time since the first

    def test_real_time_is_real_time(self, open_page):
        page = open_page()
        until(page, lambda: seconds(page) > 0.5)
        # Read in the page, so that a busy machine that delays both does not matter; a frame counts 0.25 s at most.
        shown, passed, slow = page.evaluate(
            """() => new Promise((resolve) => {
                const clock = () => parseFloat(document.getElementById("clock").textContent.split(":")[1]);
                const start = performance.now(), from = clock();
                let before = start, lost = 0;
                const frame = (now) => {
                    lost += Math.max(0, now - before - 250);
                    before = now;
                    if (now - start < 1500) requestAnimationFrame(frame);
                    else resolve([clock() - from, (performance.now() - start) / 1000, lost / 1000]);
                };
                requestAnimationFrame(frame);
            })"""
        )
        assert shown == pytest.approx(passed - slow, abs=0.35)

    def test_nothing_is_said_before_its_window_is_over(self, open_page):
        page = open_page()
        for _ in range(3):
            page.press("body", "+")
        page.locator("#events tr").first.wait_for()
        assert seconds(page) >= 10
        for _ in range(3):  # so slowly that a busy machine sees the first seconds
            page.press("body", "-")
        page.press("body", "Home")
        until(page, lambda: seconds(page) < 5)
        assert page.inner_text("#rhythm") == "listening"
        assert page.inner_text("#confidence") == "\N{EN DASH}"

    def test_two_pages_play_apart(self, open_page):
        first, second = open_page(), open_page()
        first.press("body", "n")
        until(first, lambda: seconds(first) >= 10)
        assert seconds(second) < 9

    def test_end_of_the_server_is_said(self, open_page, rhythms):
        with browser.monitor(str(rhythms), "--hop", "5") as (url, process):
            page = open_page(url)
            process.send_signal(signal.SIGINT)
            page.locator("#subtitle.bad").wait_for()
            process.wait(10)
        assert "the server has stopped" in page.inner_text("#subtitle")
        assert page.is_disabled("#play")
        page.complaints.clear()  # the browser's own, about the socket that ended


class TestKeyboard:
    def test_plays_jumps_and_changes_speed(self, open_page, changes):
        page = open_page()
        page.press("body", "Space")
        assert page.inner_text("#play-label") == "Play"
        still = seconds(page)
        page.wait_for_timeout(300)
        assert seconds(page) == still
        for at, said in changes:
            page.press("body", "n")
            until(page, lambda at=at: seconds(page) == at)
            assert page.inner_text("#rhythm") == said
        page.press("body", "n")
        until(page, lambda: page.inner_text("#announcement") == "no further event")
        assert seconds(page) == changes[-1][0]
        page.press("body", "p")
        until(page, lambda: seconds(page) == changes[-2][0])
        page.press("body", "Home")
        until(page, lambda: seconds(page) == 0)
        for key, speed in (("+", "2"), ("+", "5"), ("-", "2"), ("-", "1"), ("-", "1")):
            page.press("body", key)
            assert page.input_value("#speed") == speed
        page.press("body", "Space")
        assert page.inner_text("#play-label") == "Pause"

    def test_tab_goes_through_the_page_in_order(self, open_page, changes):
        page = open_page()
        page.press("body", "n")
        page.locator("#events tr").first.wait_for()
        page.press("body", "Space")
        order = []
        for _ in range(8):
            page.keyboard.press("Tab")
            order.append(page.evaluate("document.activeElement.id || document.activeElement.closest('[id]').id"))
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"no focus is seen on {order[-1]}"
        assert order == ["restart", "previous", "play", "next", "speed", "position", "events", "shortcuts"]

    def test_a_focused_button_takes_space_itself(self, open_page):
        page = open_page()
        page.focus("#play")
        page.keyboard.press("Space")
        assert page.inner_text("#play-label") == "Play"
        page.keyboard.press("Enter")
        assert page.inner_text("#play-label") == "Pause"

    def test_timeline_moves_by_seconds(self, open_page):
        page = open_page()
        page.press("body", "Space")
        page.press("body", "Home")
        until(page, lambda: seconds(page) == 0)
        page.focus("#position")
        for key, at in (("ArrowRight", 1), ("PageUp", 11), ("ArrowLeft", 10), ("End", 75), ("Home", 0)):
            page.keyboard.press(key)
            until(page, lambda at=at: seconds(page) == at)
        assert page.get_attribute("#position", "aria-valuetext") == "0:00 of 1:15"

    def test_an_event_is_a_button(self, open_page, changes):
        page = open_page()
        page.select_option("#speed", "60")
        until(page, lambda: page.inner_text("#play-label") == "Play")
        first = page.locator("#events tr").last
        first.locator("button").press("Enter")
        until(page, lambda: seconds(page) == changes[0][0])
        assert first.get_attribute("aria-current") is not None
        assert page.locator("[aria-current]").count() == 1

    def test_keys_can_be_switched_off(self, open_page):
        page = open_page()
        page.uncheck("#shortcuts")
        page.evaluate("document.activeElement.blur()")
        for key in ("Space", "n", "+"):
            page.press("body", key)
        assert page.inner_text("#play-label") == "Pause"
        assert page.input_value("#speed") == "1"
        assert seconds(page) < 5


class TestPhone:
    def test_no_hints_about_keys_that_are_not_there(self, open_page):
        page = open_page(viewport=PHONE, has_touch=True, is_mobile=True, color_scheme="dark")
        assert page.locator("#play").is_visible()
        assert not page.locator("kbd, #shortcuts").filter(visible=True).count()
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]

    def test_the_rate_of_bigeminy_is_that_of_all_its_beats(self, open_page):
        """Of intervals that take turns, 0.5 and 1.2 s, the median would tell 120 or 50 a minute."""
        with browser.monitor("--sample") as (address, _):
            page = open_page(address)
            for number in range(1, 6):
                page.press("body", "n")
                page.locator(f"#events tr:nth-child({number})").wait_for()
            page.press("body", "Space")
            page.wait_for_timeout(3000)
            assert 60 <= int(page.inner_text("#heart-rate").split()[0]) <= 80


class TestScreenReader:
    def test_everything_has_a_name(self, open_page, changes):
        page = open_page()
        page.press("body", "n")
        page.locator("#events tr").first.wait_for()
        page.press("body", "Space")
        tree = page.locator("body").aria_snapshot()
        for line in (
            '- heading "rhythms" [level=1]',
            '- button "Start"',
            '- button "Play"',
            '- button "Next event"',
            '- combobox "Speed"',
            '- slider "Position in the record"',
            '- img "ECG"',
            "- status",
            '- columnheader "rhythm"',
            '- checkbox "keys work everywhere on the page" [checked]',
        ):
            assert line in tree
        assert re.search(rf'- button "jump to 0:10, {changes[0][1]}"', tree)
        for role in ("button", "combobox", "slider", "checkbox", "img"):
            assert not re.search(rf"- {role}:?$", tree, re.MULTILINE), f"a {role} without a name"

    def test_changes_are_spoken_and_not_too_often(self, open_page, changes):
        page = open_page()
        assert page.get_attribute("#announcement", "aria-live") == "polite"
        page.evaluate(
            "() => { window.spoken = []; new MutationObserver(() => window.spoken.push([performance.now(), "
            "document.getElementById('announcement').textContent])).observe("
            "document.getElementById('announcement'), { childList: true }) }"
        )
        page.press("body", "n")
        until(page, lambda: f"0:10: {changes[0][1]}, " in page.inner_text("#announcement"))
        page.select_option("#speed", "30")
        until(page, lambda: page.inner_text("#play-label") == "Play")
        spoken = page.evaluate("window.spoken")
        rhythms = [when for when, text in spoken if re.match(r"\d+:\d\d: ", text)]
        assert all(later - earlier > 2900 for earlier, later in pairwise(rhythms))
        assert "end of the record" in [text for _, text in spoken]


class TestLook:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
    def test_shows_trace_grid_and_rhythm(self, open_page, changes, viewport, scheme):
        page = open_page(viewport=viewport, color_scheme=scheme)
        page.press("body", "Space")
        (_, before), (at, said) = changes[:2]
        for _ in range(2):
            page.press("body", "n")
            until(page, lambda: page.get_attribute("#next", "aria-busy") == "false")
        page.focus("#position")
        page.keyboard.press("ArrowRight")
        until(page, lambda: seconds(page) == at + 1)
        picture = pixels(page, "#strip")
        colour = page.evaluate(
            "name => { const c = document.createElement('canvas').getContext('2d'); c.fillStyle = getComputedStyle("
            "document.documentElement).getPropertyValue(name).trim(); return c.fillStyle }",
            "--trace",
        )
        trace = (np.abs(picture.astype(int) - _rgb(colour)).sum(2) < 40)[:-25]
        # Every column of the paper has some trace, and the beats reach more than 15 mm (1.5 mV is 57 pixels).
        assert trace[20:].any(0)[:-12].mean() > 0.95
        rows = np.flatnonzero(trace[20:].any(1))
        assert 30 < np.ptp(rows) < 110
        # Large squares: 5 mm are 18.9 pixels, on the paper below the trace.
        paper = picture[-45, :, :].astype(int).sum(1)
        spectrum = np.abs(np.fft.rfft(paper - paper.mean()))
        assert 1 / np.fft.rfftfreq(len(paper))[1:][spectrum[1:].argmax()] == pytest.approx(18.9, rel=0.1) or (
            spectrum[round(len(paper) / 3.78)] > 5 * np.median(spectrum)
        )
        # What was said, in its colour, in the band below: a second of it is 94 pixels.
        assert picture[-3, -40].tolist() == _rgb(COLOURS[said]).tolist()
        assert picture[-3, -140].tolist() == _rgb(COLOURS[before]).tolist()

    @pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
    def test_fits_the_screen(self, open_page, viewport):
        page = open_page(viewport=viewport)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for selector in (".note", "#rhythm", "#strip", "#play"):
            box = page.locator(selector).bounding_box()
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= viewport["height"], f"{selector} lies below the first screen"
        assert "not a medical device" in page.inner_text(".note")
        if viewport is PHONE:
            for button in page.locator(".buttons button").all():
                box = button.bounding_box()
                assert min(box["width"], box["height"]) >= 44  # WCAG 2.5.5

    def test_theme_can_change_while_it_plays(self, open_page):
        page = open_page(color_scheme="light")
        light = pixels(page, "#strip")
        page.emulate_media(color_scheme="dark")
        page.wait_for_timeout(200)
        assert pixels(page, "#strip").mean() < light.mean() / 3

    def test_without_motion_the_paper_stands_still(self, open_page):
        page = open_page(reduced_motion="reduce")
        assert page.inner_text("#play-label") == "Play"
        page.click("#play")
        until(page, lambda: seconds(page) > 2.2)
        before = pixels(page, "#strip").astype(int)
        page.wait_for_timeout(700)
        after = pixels(page, "#strip").astype(int)
        # A line that grows longer may be smoothed another way at its edges: differences in shade do not count.
        # Marks of beats, in the first 24 rows, come when their beats are found.
        changed = np.flatnonzero((np.abs(before - after).sum(2) > 150)[24:].any(0))
        assert len(changed)
        assert changed[0] > 150  # the first two seconds stay what they were
        assert changed[-1] < before.shape[1] / 2


class TestNetwork:
    def test_policy_stops_scripts_and_requests_that_are_not_its_own(self, open_page):
        page = open_page()
        with socket.socket() as elsewhere:
            elsewhere.bind(("127.0.0.1", 0))
            elsewhere.listen()
            elsewhere.setblocking(False)
            url = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/"
            outcome = page.evaluate(
                """async (url) => {
                    const script = document.createElement("script");
                    script.textContent = "window.injected = true";
                    document.body.append(script);
                    const image = new Image();
                    const failed = new Promise((resolve) => { image.onerror = () => resolve("image refused"); });
                    image.src = url;
                    const fetched = await fetch(url).catch(() => "fetch refused");
                    return [await failed, fetched, window.injected ?? "script refused"];
                }""",
                url,
            )
            assert outcome == ["image refused", "fetch refused", "script refused"]
            with pytest.raises(BlockingIOError):
                elsewhere.accept()
        assert any("Content Security Policy" in text for text in page.complaints)
        page.complaints.clear()


class TestWidget:
    @pytest.fixture(scope="class")
    @classmethod
    def notebook(cls, rhythms, classifier, tmp_path_factory) -> Path:
        """A page with the widget in it, as a notebook is."""
        from flow.monitor.widget import widget

        shown = widget(recording.read(rhythms), classifier, start_s=15, stop_s=70)
        path = tmp_path_factory.mktemp("widget") / "notebook.html"
        path.write_text(f"<!DOCTYPE html><meta charset=utf-8><title>n</title>{shown._repr_html_()}", "utf-8")
        return path

    def test_plays_without_a_server(self, open_page, notebook, rhythms, classifier, chromium):
        context = chromium.new_context(viewport=DESK, offline=True)
        page = context.new_page()
        complaints, requests = [], []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(notebook.as_uri())
        frame = page.frames[1]
        frame.locator("#speed option").first.wait_for(state="attached")
        assert frame.inner_text("#play-label") == "Play"
        assert seconds(frame) == 15.0
        frame.select_option("#speed", "60")
        frame.click("#play")
        until(page, lambda: seconds(frame) == 70.0)
        windows = recording.read(rhythms).samples()[15 * 360 : 70 * 360].windows(1.0)
        said = classifier.recording(windows).said.tolist()
        expected = [(25 + i, now) for i, (before, now) in enumerate(zip([None, *said], said)) if now != before]
        assert events(frame) == expected
        assert requests == [notebook.as_uri()]
        assert not complaints
        context.close()
