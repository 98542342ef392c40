"""07_monitor: a recording classified as a whole, and played like a bedside monitor."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from flow.lessons.walk import Check, CheckedTable, Exercise, Walk, checked, percent
from flow.look.html import Html, facts, image, table
from flow.monitor.stream import HOP_S
from flow.monitor.widget import Widget
from flow.recordings import strips
from flow.recordings.classify import Classification, Classifier, full_name
from qmodel import models
from qmodel.data import recording, sample
from qmodel.data.mitdb import SAMPLING_RATE_HZ
from qmodel.data.recording import Recording
from qmodel.fixed_point import WINDOW_SAMPLES

REAL_RECORD = "207"  # bundle branch block, flutter and runs of ventricular beats
PLAYED_S, PLAYED_FULL_S = 120, 600


def recorded(walk: Walk, name: str = REAL_RECORD) -> Recording:
    """A real record; in quick mode the minute that ships."""
    return sample.read() if walk.records is None else recording.read(walk.records / name)


def classifier() -> Classifier:
    """The network that ships with the package, on the golden engine."""
    return Classifier(models.load())


def describe(source: Recording, said_by: Classifier) -> Html:
    """The recording and the network that listens to it."""
    network = said_by.network
    rows = (
        ("recording", source.name),
        ("length", f"{source.duration_s / 60:.1f} minutes at {source.sampling_rate_hz:g} Hz"),
        ("network", f"compact, {network.size_bytes:,} bytes; it has learned from real ECG"),
        ("gives no class below", f"a confidence of {said_by.threshold:g}: the result is then 'unsure'"),
    )
    return Html(facts(rows), 860)


def picture(result: Classification) -> Html:
    """The result over the whole recording, and strips of it on the standard grid."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording.png"
        strips.draw(result, path)
        return image(path, "The result, and ten seconds of each rhythm", 1000)


def episodes(result: Classification, most: int = 12) -> Html:
    """The changes in the result."""
    rows = [
        (
            f"{int(e.start_s // 60)}:{e.start_s % 60:04.1f}",
            f"{e.end_s - e.start_s:.0f} s",
            e.said,
            full_name(e.said),
            "" if np.isnan(e.confidence) else percent(e.confidence),
        )
        for e in result.episodes
    ]
    more = f"<p>... and {len(rows) - most} more</p>" if len(rows) > most else ""
    return Html(table(("from", "for", "result", "in words", "confidence"), rows[:most], kind="words") + more, 860)


def part(walk: Walk, source: Recording) -> Recording:
    """The beginning of a recording, as much as the widget plays: a page grows by 100 kB a minute."""
    seconds = PLAYED_FULL_S if walk.full else PLAYED_S
    return replace(source, signals=source.signals[: round(seconds * source.sampling_rate_hz)])


def exercise() -> Exercise:
    """Seconds until a window holds the new rhythm alone."""
    return Exercise(WINDOW_SAMPLES // SAMPLING_RATE_HZ, "the oldest sample of the window must be of the new rhythm.")


def final_table(
    result: Classification, every_second: Classification, widget: Widget, said_by: Classifier
) -> CheckedTable:
    """The figures of 07_monitor, checked.

    Args: result: windows side by side; every_second: of the part played, a window that starts each second.
    """
    heard = [decision for message in widget.messages[1:] for decision in message["decisions"]]
    findings = every_second.findings
    equal = sum(
        decision["said"] == findings.said[i]
        and decision["at"] == round(every_second.windows.start_s[i] * 360) + WINDOW_SAMPLES
        and (decision["confidence"] is None or decision["confidence"] == round(float(findings.confidence[i]), 4))
        for i, decision in enumerate(heard)
    )
    usable = findings.label >= 0
    sure = usable & (findings.said != "unsure")
    seconds = widget.messages[0]["samples"] / widget.messages[0]["rate_hz"]
    page = widget.page
    return checked(
        [
            Check(
                "windows of the recording",
                len(result.findings),
                "all ten seconds long",
                len(result.windows) == len(result.findings),
            ),
            Check(
                "decisions made in the stream",
                len(heard),
                f"one per {HOP_S:g} s after the first window",
                len(heard) == int((seconds - 10) / HOP_S) + 1,
            ),
            Check(
                "equal to the whole recording at once", equal, "every one: streaming equals batch", equal == len(heard)
            ),
            Check("windows with a usable signal", percent(float(usable.mean())), "some", bool(usable.any())),
            Check(
                "of those, with a class",
                percent(float(sure.sum() / usable.sum())),
                "some",
                bool(sure.any()),
            ),
            Check(
                "network",
                said_by.network.identity,
                "the shipped one",
                said_by.network.identity == result.identity == models.load().identity,
            ),
            Check(
                "bytes of the widget's page",
                len(page),
                "loads nothing from other servers",
                "http://" not in page.replace("http://www.w3.org/", "") and "https://" not in page,
            ),
        ]
    )
