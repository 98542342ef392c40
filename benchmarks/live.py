"""The live monitor over an hour, and how late its page shows what was taken.

    python -m benchmarks.live hour       (an hour of ECG at speed: what memory it takes)
    python -m benchmarks.live latency    (a minute in real time, with the page in Chromium)

Both write their figures into results/live.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import threading
import time
from pathlib import Path

import numpy as np

from flow.build.provenance import provenance
from flow.build.results import put_rows
from flow.monitor.live import Live
from flow.monitor.sources import Block
from flow.recordings.classify import Classifier
from qmodel import models
from qmodel.data import sample

REPOSITORY = Path(__file__).resolve().parents[1]
RATE_HZ = 360
BLOCK_S = 0.1  # of samples at once, as a sensor's packets


class Repeated:
    """The minute of MIT-BIH that ships, again and again; in real time, or as fast as it is taken."""

    name, kind, lead, rate_hz = "sample", "repeated record", "MLII", float(RATE_HZ)

    def __init__(self, seconds: float, real_time: bool) -> None:
        self._signal = sample.read().lead().signals[:, 0].astype(np.float64)
        self._end, self._real, self._at, self.ended = round(seconds * RATE_HZ), real_time, 0, False
        self.memory_mb: list[float] = []  # after every minute

    def open(self) -> None:
        self._start = time.monotonic()

    def close(self) -> None:
        return

    def read(self, timeout_s: float) -> Block | None:
        if self._at >= self._end:
            self.ended = True
            return None
        size = round(BLOCK_S * RATE_HZ)
        if self._real:
            time.sleep(max(self._start + (self._at + size) / RATE_HZ - time.monotonic(), 0))
        place = np.arange(self._at, self._at + size) % len(self._signal)
        self._at += size
        if self._at % (60 * RATE_HZ) == 0:
            self.memory_mb.append(_resident_mb())
        return Block(self._signal[place], time.monotonic())


def _resident_mb() -> float:
    """Memory that the process has now (Linux), in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def hour(minutes: int) -> dict:
    """An hour at speed, with a page that listens: memory after the fifth minute, after the last, and the highest."""
    source = Repeated(60 * minutes, real_time=False)
    heard = {"decisions": 0, "beats": 0, "samples": 0}

    def listen(message: dict) -> None:
        heard["decisions"] += len(message["decisions"])
        heard["beats"] += len(message.get("beats", ()))
        heard["samples"] += len(message["microvolts"])

    start = time.monotonic()
    with Classifier(models.load()) as classifier, Live(source, classifier) as live:
        live.listen(listen)
        live.finished.wait()
    memory = source.memory_mb
    return {
        "minutes": minutes,
        "seconds_taken": round(time.monotonic() - start, 1),
        **heard,
        "memory_mb": {"after_5_minutes": round(memory[min(4, len(memory) - 1)], 1), "at_the_end": round(memory[-1], 1),
                      "highest": round(max(memory), 1)},
    }  # fmt: skip


def latency(seconds: int) -> dict:
    """From a sample's time to its pixels: what the page itself shows, sampled once a second, in milliseconds."""
    from flow.monitor.server import application, serve
    from tests.flow.monitor import browser

    source, shown = Repeated(seconds + 5, real_time=True), []
    with Classifier(models.load()) as classifier, Live(source, classifier) as live:
        loop, address = asyncio.new_event_loop(), []
        ready = threading.Event()

        def tell(where: str) -> None:
            address.append(where)
            ready.set()

        def run() -> None:
            asyncio.set_event_loop(loop)
            try:
                loop.run_until_complete(serve(application(live=live), 0, tell))
            except asyncio.CancelledError:
                return

        server = threading.Thread(target=run, daemon=True)
        server.start()
        ready.wait(20)
        with browser.chromium() as chromium:
            page = chromium.new_page()
            page.goto(address[0])
            page.wait_for_timeout(3000)
            for _ in range(seconds - 5):
                page.wait_for_timeout(1000)
                text = page.inner_text("#latency").split()
                if text and text[0].isdigit():
                    shown.append(int(text[0]))
        loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
        server.join(5)
    if not shown:
        return {"seconds": seconds, "latency_ms": None}
    median, high = np.percentile(shown, (50, 95))
    return {"seconds": seconds, "block_ms": round(1000 * BLOCK_S), "readings": len(shown),
            "latency_ms": {"median": float(median), "p95": float(high), "highest": max(shown)}}  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Measure and keep the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.live", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("hour", "latency"))
    parser.add_argument("--minutes", type=int, default=60, help="of the hour (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=60, help="in real time (default: %(default)s)")
    parser.add_argument("--results", type=Path, default=REPOSITORY / "results", help="default: results")
    asked = parser.parse_args(arguments)
    found = hour(asked.minutes) if asked.what == "hour" else latency(asked.seconds)
    row = {"measure": asked.what, **found, "provenance": provenance()}
    put_rows(asked.results / "live.json", [row], lambda row: (row["measure"],))
    sys.stdout.write(json.dumps(row, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
