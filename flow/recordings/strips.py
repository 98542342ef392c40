"""The picture of a classification: when which rhythm, and strips of ECG on the standard grid."""

from __future__ import annotations

import os
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flow.look.pictures import MM_PER_MV, MM_PER_SECOND, UNSURE_COLOUR, UNUSABLE_COLOUR, class_colours
from flow.look.words import clock, number_of
from flow.recordings.beats import UNTYPED
from flow.recordings.classify import UNLIKE, UNSURE, Classification, full_name
from qmodel.data.mitdb import SAMPLING_RATE_HZ
from qmodel.data.recording import WINDOW_S

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = ("png", "svg", "pdf")
# Left out, so that the same ECG gives the same file.
_METADATA = {"png": ("Software",), "svg": ("Date", "Creator"), "pdf": ("CreationDate", "Creator", "Producer")}
STRIPS = 8  # at most; one of each thing said first
DPI = 144
# Millimetres on paper.
STRIP_MM = MM_PER_SECOND * WINDOW_S
LEFT_MM, RIGHT_MM, HEAD_MM, FOOT_MM, ROW_MM, BAND_MM, GAP_MM = 44.0, 30.0, 17.0, 12.0, 5.0, 2.0, 4.0
CAPTION_MM, CAPTION_LETTERS = 5.0, 150
LONGEST_TEXT = 200
NAME_LETTERS = 18
HIGHEST_STRIP_MM = 60  # what lies beyond is cut off, as on paper
INK, FAINT, GRID_1_MM, GRID_5_MM = "#202020", "#666666", "#f6dede", "#e8b4b4"


def colour(said: str, classes: Sequence[str]) -> str:
    """Colour of a class, of `unsure`, or of a signal that is not usable."""
    return class_colours(classes).get(said, UNSURE_COLOUR if said in (UNSURE, UNLIKE) else UNUSABLE_COLOUR)


def chosen(result: Classification, most: int = STRIPS) -> list[int]:
    """Windows to show, in order of time: the most confident one of each thing said, then the longest gaps between."""
    said, confidence = result.findings.said, np.nan_to_num(result.findings.confidence)
    if len(said) <= most:
        return list(range(len(said)))
    kinds, counts = np.unique(said, return_counts=True)
    kinds = kinds[np.argsort(-counts, kind="stable")][:most]
    picked = {int(np.flatnonzero(said == kind)[confidence[said == kind].argmax()]) for kind in kinds}
    while len(picked) < most:
        edges = np.array([-1, *sorted(picked), len(said)])
        widest = int(np.diff(edges).argmax())
        if edges[widest + 1] - edges[widest] < 2:
            break
        picked.add(int(edges[widest] + edges[widest + 1]) // 2)
    return sorted(picked)


def draw(result: Classification, path: str | os.PathLike, form: str = "png") -> None:
    """Draw the picture into a file: 25 mm/s and 10 mm/mV where it is printed at its own size.

    Args: path: written as it is; form: one of FORMATS.
    """
    import matplotlib
    from matplotlib.figure import Figure

    kinds = [said for said in result.sayings if said in set(result.findings.said.tolist())]
    windows = chosen(result)
    signals = [_strip(result, window) for window in windows]
    heights = [bottom + top + BAND_MM for _, bottom, top in signals]
    width = LEFT_MM + STRIP_MM + RIGHT_MM
    told = [f"{said}: {full_name(said)}" for said in kinds if full_name(said) != said]
    told += [f"{_short(said)}: {said}" for said in kinds if _short(said) != said]
    captions = textwrap.wrap("; ".join(told), CAPTION_LETTERS)
    captions.append(f"{MM_PER_SECOND} mm/s, {MM_PER_MV} mm/mV. For research and teaching: not a medical device.")
    height = HEAD_MM + ROW_MM * len(kinds) + FOOT_MM + sum(heights) + GAP_MM * len(windows)
    height += CAPTION_MM * (len(captions) + 1)
    style: dict = {"svg.fonttype": "none", "svg.hashsalt": "strips", "font.size": 8, "path.simplify_threshold": 0.05}
    with matplotlib.rc_context(style):
        figure = Figure((width / 25.4, height / 25.4), facecolor="white")
        axes = figure.add_axes((0, 0, 1, 1))
        # One unit is one millimetre, y grows downward as one reads.
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.set_axis_off()
        _head(axes, result)
        y = HEAD_MM + _timeline(axes, result, kinds, windows) + FOOT_MM
        for window, (signal, bottom, top) in zip(windows, signals, strict=True):
            _draw_strip(axes, result, window, signal, y, top, bottom)
            y += top + bottom + BAND_MM + GAP_MM
        for line in captions:
            _text(axes, LEFT_MM, y, line, color=FAINT, va="top")
            y += CAPTION_MM
        with warnings.catch_warnings():  # a letter that the font lacks is drawn as a box
            warnings.filterwarnings("ignore", message=r"Glyph \d+", category=UserWarning)
            figure.savefig(Path(path), format=form, dpi=DPI, metadata=dict.fromkeys(_METADATA[form]))


def _text(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Write text as it is: a name may hold what matplotlib takes for formulas, and lines of its own."""
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:LONGEST_TEXT])
    axes.text(x, y, printable, parse_math=False, **style)


def _head(axes: Axes, result: Classification) -> None:
    source = result.recording
    _text(axes, LEFT_MM, 7, source.name, color=INK, fontsize=13, weight="bold", va="center")
    rate = f"{source.sampling_rate_hz:g} Hz"
    facts = [f"lead {result.windows.lead}", clock(source.duration_s), rate, number_of(len(result.windows), "window")]
    figures = result.beats.summary()
    if figures["heart_rate_bpm"] is not None:
        facts.append(f"{figures['heart_rate_bpm']:.0f} beats/min, longest pause {figures['longest_pause_s']:.2f} s")
    facts += [f"network {result.identity[:8]}", f"engine {result.engine}", f"threshold {result.threshold:g}"]
    _text(axes, LEFT_MM, 13, " · ".join(facts), color=FAINT, va="center")


def _timeline(axes: Axes, result: Classification, kinds: list[str], shown: list[int]) -> float:
    """A row per thing said, with bars where it is said; returns the height in mm."""
    from matplotlib.patches import Rectangle

    duration = result.recording.duration_s
    scale, bottom = STRIP_MM / duration, HEAD_MM + ROW_MM * len(kinds)
    for row, kind in enumerate(kinds):
        y = HEAD_MM + ROW_MM * row
        axes.plot([LEFT_MM, LEFT_MM + STRIP_MM], [y + ROW_MM] * 2, color="#e4e4e4", linewidth=0.4)
        _text(axes, LEFT_MM - 2, y + ROW_MM / 2, _short(kind), color=INK, ha="right", va="center", weight="bold")
        said = 0.0
        for episode in result.episodes:
            if episode.said == kind:
                said += episode.end_s - episode.start_s
                # At least 0.4 mm, so that ten seconds of a whole day are seen.
                size = max((episode.end_s - episode.start_s) * scale, 0.4), ROW_MM - 1.2
                place = LEFT_MM + episode.start_s * scale, y + 0.6
                axes.add_patch(Rectangle(place, *size, color=colour(kind, result.classes), linewidth=0))
        share = f"{said / duration:.1%}"
        _text(axes, LEFT_MM + STRIP_MM + 2, y + ROW_MM / 2, f"{clock(said)}  {share}", color=INK, va="center")
    step = next((s for s in (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200) if duration / s <= 13), 14400)
    for second in range(0, int(duration) + 1, step):
        x = LEFT_MM + second * scale
        axes.plot([x, x], [bottom, bottom + 1], color=FAINT, linewidth=0.6)
        _text(axes, x, bottom + 1.6, clock(second), color=FAINT, ha="center", va="top")
    for window in shown:
        x = LEFT_MM + (result.windows.start_s[window] + result.windows.window_s / 2) * scale
        axes.plot([x], [bottom + 0.6], marker="^", markersize=3.5, color=INK, linewidth=0)
    return ROW_MM * len(kinds)


def _short(said: str) -> str:
    """A name as it fits beside a strip; the caption tells all of it."""
    return said if len(said) <= NAME_LETTERS else said[: NAME_LETTERS - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def _shown(result: Classification, window: int) -> tuple[float, float]:
    """Where a strip begins and how long it is, in seconds: a window, of one longer than the paper its middle."""
    start, whole = float(result.windows.start_s[window]), result.windows.window_s
    seconds = min(whole, WINDOW_S)
    return start + (whole - seconds) / 2, seconds


def _strip(result: Classification, window: int) -> tuple[np.ndarray, float, float]:
    """A window's signal in mm about its median, and how far its strip reaches down and up, on 5 mm lines."""
    start_s, seconds = _shown(result, window)
    start = round(start_s * SAMPLING_RATE_HZ)
    signal = result.windows.signal_mv[start : start + round(seconds * SAMPLING_RATE_HZ)].astype(np.float64)
    signal = MM_PER_MV * (signal - np.median(signal))
    # At least 1 mV down and 1.5 mV up, so that most strips have one height.
    down = min(max(10, 5 * np.ceil(-signal.min() / 5 + 0.1)), HIGHEST_STRIP_MM / 2)
    up = min(max(15, 5 * np.ceil(signal.max() / 5 + 0.1)), HIGHEST_STRIP_MM / 2)
    return np.clip(signal, -down, up), float(down), float(up)


def _draw_strip(
    axes: Axes, result: Classification, window: int, signal: np.ndarray, y: float, up: float, down: float
) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Rectangle

    finding, (start, seconds) = result.findings[window], _shown(result, window)
    right, bottom, zero = LEFT_MM + MM_PER_SECOND * seconds, y + up + down, y + up
    for (first, last), said in zip(result.spans_s, result.findings.said):
        first, last = max(first, start), min(last, start + seconds)
        if first < last:
            x, width = LEFT_MM + MM_PER_SECOND * (first - start), MM_PER_SECOND * (last - first)
            axes.add_patch(
                Rectangle((x, y), width, up + down, color=colour(said, result.classes), alpha=0.18, linewidth=0)
            )
            axes.add_patch(Rectangle((x, bottom), width, BAND_MM, color=colour(said, result.classes), linewidth=0))
    for spacing, shade, line_width in ((1, GRID_1_MM, 0.25), (5, GRID_5_MM, 0.5)):
        verticals = [[(x, y), (x, bottom)] for x in np.arange(LEFT_MM, right + 0.5, spacing)]
        levels = [[(LEFT_MM, level), (right, level)] for level in np.arange(y, bottom + 0.5, spacing)]
        axes.add_collection(LineCollection(verticals + levels, colors=shade, linewidths=line_width, zorder=1))
    x = LEFT_MM + MM_PER_SECOND / SAMPLING_RATE_HZ * np.arange(len(signal))
    axes.plot(x, zero - signal, color=INK, linewidth=0.7, zorder=2, solid_joinstyle="round")
    beats = result.beats
    at = beats.sample / SAMPLING_RATE_HZ - start
    for second, kind in zip(at, beats.kind):
        if 0 <= second < seconds:
            place = LEFT_MM + MM_PER_SECOND * second
            axes.plot([place, place], [y + 0.3, y + 1.8], color=INK, linewidth=0.7, zorder=2)
            if kind not in ("N", UNTYPED):
                _text(axes, place, y + 2.2, str(kind), color=INK, fontsize=6, ha="center", va="top")
    # The calibration pulse: 1 mV for 0.2 s.
    pulse = np.array([(-8, 0), (-7, 0), (-7, MM_PER_MV), (-2, MM_PER_MV), (-2, 0), (-1, 0)])
    axes.plot(LEFT_MM + pulse[:, 0], zero - pulse[:, 1], color=FAINT, linewidth=0.7)
    notes = [(clock(start), FAINT, "normal"), (_short(finding.said), INK, "bold")]
    if finding.label >= 0:
        guess = f"{_short(result.classes[finding.label])}? " if finding.said == UNSURE else ""
        notes.append((f"{guess}{finding.confidence:.0%}", INK, "normal"))
    heart_rate = result.beats.rate_bpm(start, start + seconds)
    if heart_rate is not None:
        notes.append((f"{heart_rate:.0f}/min", INK, "normal"))
    notes.append((f"quality {finding.quality:.2f}", FAINT, "normal"))
    for line, (text, shade, weight) in enumerate(notes):
        _text(axes, LEFT_MM - 11, y + 4 + 4.5 * line, text, color=shade, weight=weight, ha="right", va="center")
