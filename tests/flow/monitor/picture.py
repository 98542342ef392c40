"""Draw the README's picture of the monitor: python -m tests.flow.monitor.picture docs/monitor.png (needs Chromium)."""

import sys

from tests.flow.monitor import browser

AFTER_S = 6  # bigeminy has filled the strip


def draw(path: str) -> None:
    """The page on the real ECG that ships, a few seconds after bigeminy has begun."""
    with browser.monitor("--sample") as (address, _), browser.chromium() as chromium:
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address)
        page.locator("#speed option").first.wait_for(state="attached")
        page.press("body", "Space")
        for number in range(1, 10):
            page.press("body", "n")
            page.locator(f"#events tr:nth-child({number})").wait_for()
            if "Bigeminy" in page.locator("#events tr").first.inner_text():
                break
        page.press("body", "Space")
        page.wait_for_timeout(1000 * AFTER_S)
        page.screenshot(path=path)


if __name__ == "__main__":
    draw(*sys.argv[1:])
