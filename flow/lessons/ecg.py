"""01_ecg: records and beats, the 17 classes, the input stage, and why splits leak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import wfdb

from flow.lessons.walk import Check, CheckedTable, Exercise, Walk, checked, percent
from flow.look.html import Html, card, facts
from flow.look.pictures import ACCENT, BAD, GRID, INK, MUTED, SECOND, ecg_strip, figure
from qmodel.data import fragments, mitdb, sample, splits
from qmodel.data.annotations import BEATS, RHYTHMS
from qmodel.data.fragments import CLASS_NAMES, CLASSES, Fragments, Windows
from qmodel.data.mitdb import RECORD_SAMPLES, SAMPLING_RATE_HZ
from qmodel.data.splits import Fold
from qmodel.fixed_point import INPUT_FORMAT, WINDOW_SAMPLES, standardise

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REAL_RECORD = "119"  # sinus rhythm, bigeminy and trigeminy, a clean signal
ADC_UNITS_PER_MV, ADC_ZERO = 200, 1024
RHYTHM_COLOURS = ("#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#e69f00", "#0072b2", "#999999")
LOOK_FOR = {
    "NSR": "P, QRS, T, over and over, 60 to 100 a minute",
    "APB": "one beat early, narrow as the others",
    "AFL": "sawtooth waves, about 300 a minute",
    "AFIB": "no P waves, beats without any order",
    "SVTA": "fast and regular, mostly narrow",
    "WPW": "QRS begins early with a slow slope",
    "PVC": "one beat early, wide, then a pause",
    "Bigeminy": "every second beat is a PVC",
    "Trigeminy": "every third beat is a PVC",
    "VT": "three or more fast wide beats in a row",
    "IVR": "slow wide beats",
    "VFL": "fast large waves, no beats left to see",
    "Fusion": "between a normal beat and a PVC",
    "LBBBB": "wide QRS, often notched: the left branch conducts late",
    "RBBBB": "wide QRS with a late S: the right branch conducts late",
    "SDHB": "a P wave without its QRS",
    "PR": "a pacemaker's spike before each wide beat",
}
WAVES = (  # name, what the heart does, where to look for its peak: seconds after the R peak
    ("P", "atria contract", (-0.26, -0.08)),
    ("QRS", "ventricles contract", (-0.03, 0.03)),
    ("T", "ventricles recover", (0.15, 0.45)),
)


@dataclass(frozen=True)
class AnnotatedRecord:
    """A record with its cardiologists' annotations.

    Args: signals: int16 (sample, lead), ADC units; beat_samples, beat_symbols: (beat,); rhythms: start, end and name.
    """

    name: str
    leads: tuple[str, ...]
    signals: np.ndarray
    beat_samples: np.ndarray
    beat_symbols: np.ndarray
    rhythms: tuple[tuple[int, int, str], ...]
    source: str


def read(walk: Walk, name: str = REAL_RECORD) -> AnnotatedRecord:
    """A real record by name; without records the minute that ships."""
    if walk.records is None:
        folder, name, source = sample.PATH.parent, sample.PATH.stem, f"{mitdb.SOURCE}, the minute that ships"
        content = wfdb.rdrecord(str(folder / name), physical=False, return_res=16)
        leads, signals = tuple(content.sig_name), content.d_signal
    else:
        folder, source = walk.records, mitdb.SOURCE
        record = mitdb.read_record(folder, name)
        mitdb.check_files(folder, name, [".atr"])
        leads, signals = record.leads, record.signals
    marks = wfdb.rdann(str(folder / name), "atr")
    samples, symbols = np.asarray(marks.sample), np.asarray(marks.symbol)
    beats = np.isin(symbols, list(BEATS))
    starts = [(int(samples[i]), marks.aux_note[i].rstrip("\0")) for i in np.flatnonzero(symbols == "+")]
    ends = [start for start, _ in starts[1:]] + [len(signals)]
    rhythms = tuple((start, end, RHYTHMS[note]) for (start, note), end in zip(starts, ends))
    return AnnotatedRecord(name, leads, signals, samples[beats], symbols[beats], rhythms, source)


def describe(record: AnnotatedRecord) -> Html:
    """What a record is, in numbers."""
    seconds = len(record.signals) / SAMPLING_RATE_HZ
    kinds = ", ".join(
        f"{(record.beat_symbols == symbol).sum():,} x {symbol} ({name})"
        for symbol, name in BEATS.items()
        if (record.beat_symbols == symbol).any()
    )
    rows = (
        ("record", f"{record.name} ({record.source})"),
        ("leads", f"{' and '.join(record.leads)}: voltages between electrodes on the skin"),
        ("length", f"{len(record.signals):,} samples at {SAMPLING_RATE_HZ} Hz = {seconds / 60:.1f} minutes"),
        ("one ADC unit", f"1/{ADC_UNITS_PER_MV} mV; {ADC_ZERO} means 0 mV"),
        ("annotated beats", kinds),
        ("rhythms", ", ".join(dict.fromkeys(name for *_, name in record.rhythms))),
        (
            "windows of ten seconds",
            f"{len(record.signals) // WINDOW_SAMPLES} of {WINDOW_SAMPLES:,} samples; a network sees one at a time",
        ),
    )
    return Html(facts(rows), 860)


def overview(record: AnnotatedRecord) -> Html:
    """Heart rate over the whole record, and which rhythm was annotated when."""
    minutes = record.beat_samples / SAMPLING_RATE_HZ / 60
    rate = 60 * SAMPLING_RATE_HZ / np.maximum(np.diff(record.beat_samples), 1)
    names = list(dict.fromkeys(name for *_, name in record.rhythms))
    with figure("overview", 9.4, 3.2, 2, height_ratios=(4, 1)) as (_, (beats, band), drawn):
        beats.scatter(
            minutes[1:], rate, s=np.clip(1500 / len(rate), 1.5, 16), color=ACCENT, linewidths=0, rasterized=False
        )
        beats.set(ylabel="beats per minute", ylim=(0, min(260, 1.1 * np.quantile(rate, 0.999))), xlim=(0, minutes[-1]))
        beats.tick_params(labelbottom=False)
        beats.set_title("every dot: the time from one beat to the next, as a rate")
        beats.grid(axis="y")
        for start, end, name in record.rhythms:
            left, right = (place / SAMPLING_RATE_HZ / 60 for place in (start, end))
            colour = RHYTHM_COLOURS[names.index(name) % len(RHYTHM_COLOURS)]
            band.barh(0, right - left, left=left, height=1, color=colour, linewidth=0)
        for name, colour in zip(names, RHYTHM_COLOURS):
            band.barh(0, 0, color=colour, label=name)
        band.set(yticks=[], xlabel="minutes", ylabel="rhythm", ylim=(-0.5, 0.5), xlim=(0, minutes[-1]))
        band.legend(ncols=4, loc="lower left", bbox_to_anchor=(0, 1), frameon=False, fontsize=8, borderaxespad=0.1)
    return Html(card(drawn[0]), 940)


def strip(record: AnnotatedRecord, start_s: float | None = None, seconds: float = 10) -> Html:
    """Ten seconds on the standard grid with the annotation of every beat above it; by default where a PVC is."""
    if start_s is None:
        found = record.beat_samples[record.beat_symbols == "V"]
        start_s = max(0.0, (found[len(found) // 2] if len(found) else 0) / SAMPLING_RATE_HZ - 4)
    first = int(start_s * SAMPLING_RATE_HZ)
    samples = record.signals[first : first + int(seconds * SAMPLING_RATE_HZ), 0].astype(np.int64)
    inside = (record.beat_samples >= first) & (record.beat_samples < first + len(samples))
    marks = [
        (int(place) - first, str(symbol))
        for place, symbol in zip(record.beat_samples[inside], record.beat_symbols[inside])
    ]
    caption = f"record {record.name}, lead {record.leads[0]}, from {int(start_s // 60)}:{start_s % 60:02.0f}"
    drawn = ecg_strip(samples, f"ten seconds of record {record.name}, beats marked", marks)
    return Html(card(drawn, caption), 1000)


def one_beat(record: AnnotatedRecord) -> Html:
    """The mean normal beat of a record with its waves named."""
    before, after = round(0.3 * SAMPLING_RATE_HZ), round(0.5 * SAMPLING_RATE_HZ)
    normal = record.beat_samples[np.isin(record.beat_symbols, ["N", "L", "R", "/"])]
    normal = normal[(normal >= before) & (normal + after < len(record.signals))]
    cut = record.signals[normal[:, None] + np.arange(-before, after), 0].astype(float)
    cut = (cut - np.median(cut, axis=1, keepdims=True)) / ADC_UNITS_PER_MV
    mean = cut.mean(0)
    time = np.arange(-before, after) / SAMPLING_RATE_HZ
    with figure("beat", 7.2, 3.8) as (_, axes, drawn):
        axes.plot(1000 * time, cut[:: max(1, len(cut) // 40)].T, color=GRID, linewidth=0.6)
        axes.plot(1000 * time, mean, color=INK, linewidth=2)
        for name, meaning, (low, high) in WAVES:
            span = np.flatnonzero((time >= low) & (time <= high))
            peak = span[np.abs(mean[span] - mean[span].mean()).argmax()]
            axes.annotate(
                f"{name}\n{meaning}", (1000 * time[peak], mean[peak]), (0, 12), textcoords="offset points",
                ha="center", color=ACCENT, fontsize=9,
            )  # fmt: skip
        axes.set(xlabel="milliseconds from the R peak", ylabel="mV", xlim=(1000 * time[0], 1000 * time[-1]))
        axes.set_ylim(mean.min() - 0.3, mean.max() + 0.55)
        axes.grid()
    return Html(card(drawn[0], f"One heartbeat: mean of {len(cut):,} beats, forty of them in grey"), 720)


def gallery(windows: Windows) -> Html:
    """One window of every class with what to look for in it."""
    drawn = []
    for label, name in enumerate(CLASSES):
        place = int(np.flatnonzero(windows.labels == label)[0])
        where = f"record {windows.record[place]}, lead {windows.lead[place]}"
        caption = f'<span><b>{name}</b> {CLASS_NAMES[name]}</span><span class="where">{LOOK_FOR[name]} ({where})</span>'
        samples = windows.signals[place].astype(np.int64)
        drawn.append(card(ecg_strip(samples, f"ten seconds of {CLASS_NAMES[name]}"), caption))
    return Html(f'<div class="strips">{"".join(drawn)}</div>', 1100)


def class_counts(windows: Windows) -> Html:
    """Windows and persons of every class."""
    persons = np.array([mitdb.person(str(record)) for record in windows.record])
    number = [int((windows.labels == label).sum()) for label in range(len(CLASSES))]
    people = [len(set(persons[windows.labels == label])) for label in range(len(CLASSES))]
    with figure("classes", 9.4, 2.9) as (_, axes, drawn):
        places = np.arange(len(CLASSES))
        axes.bar(places, number, color=[SECOND if count == 1 else ACCENT for count in people], width=0.7)
        for place, count, who in zip(places, number, people):
            label = f"{who} person{'s' if who > 1 else ''}"
            _above(axes, float(place), count, label, MUTED, 7)
        axes.set_xticks(places, CLASSES, rotation=30, ha="right", color=INK)
        axes.set(ylabel="windows", ylim=(0, 1.12 * max(number)))
        axes.tick_params(length=0)
        axes.grid(axis="y")
    return Html(card(drawn[0], "Windows and persons of each class; a class in orange comes from a single person"), 940)


def input_stage(windows: Windows, window: int = 0) -> Html:
    """What a network receives of a window: millivolts become integers of eight bits."""
    volts = (windows.signals[window].astype(float) - ADC_ZERO) / ADC_UNITS_PER_MV
    integers = standardise(windows.signals[window])
    time = np.arange(WINDOW_SAMPLES) / SAMPLING_RATE_HZ
    peak = 40 + int(np.abs(integers[40:720]).argmax())
    near = slice(peak - 40, peak + 50)
    with figure("input", 9.4, 3.6, 2, 2, width_ratios=(2, 1), sharex="col") as (_, axes, drawn):
        for column, span in enumerate((slice(None), near)):
            axes[0, column].plot(time[span], volts[span], color=INK, linewidth=0.8)
            axes[1, column].step(time[span], integers[span], color=ACCENT, linewidth=0.8, where="mid")
            axes[1, column].set_xlim(time[span][0], time[span][-1])
            axes[1, column].set_xlabel("seconds")
        axes[0, 0].set(ylabel="mV", title="as recorded")
        axes[1, 0].set(ylabel="integer", title="as the network receives it: zero mean, 16 steps a standard deviation")
        axes[0, 1].set_title("one beat, closer")
        for each in axes.flat:
            each.grid()
    first = ", ".join(map(str, integers[:14]))
    note = f"<p>First samples: <code>{first}, ...</code> (8 bits: {INPUT_FORMAT.low} to {INPUT_FORMAT.high})</p>"
    return Html(card(drawn[0]) + note, 940)


def _above(axes: Axes, x: float, y: float, text: str, colour: str = INK, size: float = 8) -> None:
    axes.annotate(text, (x, y), (0, 2), textcoords="offset points", ha="center", color=colour, fontsize=size)


# Splits ---------------------------------------------------------------------------------------------------------------


def independent_draws(index: Fragments, folds: int = 10, seed: int = 0) -> list[Fold]:
    """What some published code does: training, validation and test drawn from all windows, each on its own."""
    random, number = np.random.default_rng(seed), len(index)
    sizes = (4 * number // 5, number // 10, number // 10)
    return [Fold(*(np.sort(random.choice(number, size, replace=False)) for size in sizes)) for _ in range(folds)]


def all_splits(index: Fragments) -> dict[str, list[Fold]]:
    """The naive split and the three protocols."""
    return {
        "drawn independently": independent_draws(index),
        "stratified": splits.stratified(index),
        "blocked": splits.blocked(index),
        "patient": splits.patient(index),
    }


def leaks(index: Fragments, folds: Mapping[str, Sequence[Fold]]) -> dict[str, dict[str, float]]:
    """Shares of test windows, mean over folds, that training has seen: itself, a neighbour within 60 s, the person."""
    persons = np.array([mitdb.person(str(record)) for record in index.record])
    same_record = index.record[:, None] == index.record
    distance = np.abs(index.first_sample[:, None] - index.first_sample)
    relations = {
        "the very window": same_record & (distance == 0),
        "a window within 60 s": same_record & (distance <= WINDOW_SAMPLES + 60 * SAMPLING_RATE_HZ),
        "the person": persons[:, None] == persons,
    }
    return {
        name: {
            seen: float(np.mean([related[np.ix_(fold.test, fold.train)].any(1).mean() for fold in parts]))
            for seen, related in relations.items()
        }
        for name, parts in folds.items()
    }


def memoriser(windows: Windows, folds: Mapping[str, Sequence[Fold]]) -> dict[str, float]:
    """Accuracy of a program that only remembers: each test window gets the class of the most similar training window.

    Similar: nearest magnitude spectrum up to 40 Hz, which does not depend on where the beats lie. Mean over folds.
    """
    spectra = np.abs(np.fft.rfft(standardise(windows.signals)))[:, 1:400]
    spectra /= np.linalg.norm(spectra, axis=1, keepdims=True)

    def accuracy(fold: Fold) -> float:
        nearest = fold.train[(spectra[fold.test] @ spectra[fold.train].T).argmax(1)]
        return float((windows.labels[nearest] == windows.labels[fold.test]).mean())

    return {name: float(np.mean([accuracy(fold) for fold in parts])) for name, parts in folds.items()}


def split_picture(index: Fragments, folds: Mapping[str, Sequence[Fold]], fold: int = 0) -> Html:
    """The windows of one record on its time line, in the parts that each split puts them into."""
    records, counts = np.unique(index.record, return_counts=True)
    record = str(records[counts.argmax()])
    here = np.flatnonzero(index.record == record)
    minutes = index.first_sample[here] / SAMPLING_RATE_HZ / 60
    width = WINDOW_SAMPLES / SAMPLING_RATE_HZ / 60
    looks = (("train", ACCENT), ("validation", GRID), ("test", SECOND), ("train and test: leak", BAD))
    with figure("splits", 9.4, 2.8) as (_, axes, drawn):
        for row, parts in enumerate(list(folds.values())[::-1]):
            # The fold that tests most of this record shows the split at work.
            part = max(parts, key=lambda p: np.isin(here, p.test).sum()) if fold == 0 else parts[fold]
            train, validation, test = (np.isin(here, indices) for indices in (part.train, part.validation, part.test))
            masks = (train & ~test, validation & ~test & ~train, test & ~train, train & test)
            for mask, (_, colour) in zip(masks, looks):
                axes.barh(np.full(mask.sum(), row), width, left=minutes[mask], height=0.62, color=colour, linewidth=0)
        for name, colour in looks:
            axes.barh(0, 0, color=colour, label=name)
        axes.set_yticks(range(len(folds)), list(folds)[::-1], color=INK)
        axes.set(xlabel="minutes", xlim=(0, RECORD_SAMPLES / SAMPLING_RATE_HZ / 60), ylim=(-0.5, len(folds) - 0.4))
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.legend(ncols=4, loc="lower left", bbox_to_anchor=(0, 1), frameon=False, fontsize=8)
    return Html(card(drawn[0], f"The benchmark's windows of record {record}, ten seconds each"), 940)


def leak_picture(shares: Mapping[str, Mapping[str, float]], remembered: Mapping[str, float]) -> Html:
    """What training has seen of the test windows, and what remembering alone scores, split by split."""
    names = list(shares)
    kinds = list(next(iter(shares.values())))
    with figure("leaks", 9.4, 3.3, 1, 2, width_ratios=(2, 1)) as (_, (seen, score), drawn):
        for i, (kind, colour) in enumerate(zip(kinds, (BAD, SECOND, GRID))):
            places = np.arange(len(names)) + 0.27 * (i - 1)
            values = [100 * shares[name][kind] for name in names]
            seen.bar(places, values, width=0.25, color=colour, label=kind)
            for place, value in zip(places, values):
                _above(seen, place, value, f"{value:.0f}")
        seen.set(ylabel="test windows, %", title="training has already seen ...", ylim=(0, 118))
        seen.legend(ncols=3, frameon=False, fontsize=8, loc="upper left")
        values = [100 * remembered[name] for name in names]
        score.bar(names, values, color=ACCENT, width=0.6)
        for place, value in enumerate(values):
            _above(score, place, value, f"{value:.0f}")
        score.set(ylabel="accuracy, %", title="... and remembering alone scores", ylim=(0, 118))
        for axes in (seen, score):
            axes.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names], color=INK)
            axes.tick_params(length=0)
            axes.grid(axis="y")
    return Html(card(drawn[0]), 940)


def exercise() -> Exercise:
    """How many beats of the sample come from a ventricle."""
    symbols = wfdb.rdann(str(sample.PATH.with_suffix("")), "atr").symbol
    return Exercise(symbols.count("V"), "<code>marks.symbol</code> is a list with one letter per annotation.")


def final_table(
    windows: Windows,
    index: Fragments,
    folds: Mapping[str, Sequence[Fold]],
    shares: Mapping[str, Mapping[str, float]],
    remembered: Mapping[str, float],
) -> CheckedTable:
    """The figures of 01_ecg, checked."""
    integers, samples = standardise(windows.signals), windows.signals.shape[1]
    tested = np.sort(np.concatenate([fold.test for fold in folds["stratified"]]))
    naive, stratified, patient = (shares[name] for name in ("drawn independently", "stratified", "patient"))
    return checked(
        [
            Check("windows", len(windows), "17 classes, each with windows", len(set(windows.labels)) == len(CLASSES)),
            Check("samples in a window", samples, "ten seconds at 360 Hz", samples == 10 * SAMPLING_RATE_HZ),
            Check(
                "range of input integers",
                f"{integers.min()} to {integers.max()}",
                "inside 8 signed bits",
                integers.min() >= INPUT_FORMAT.low and integers.max() <= INPUT_FORMAT.high,
            ),
            Check(
                "windows of the benchmark",
                len(index),
                "each tested exactly once in ten folds",
                np.array_equal(tested, np.arange(len(index))),
            ),
            Check(
                "test windows in training, drawn independently",
                percent(naive["the very window"]),
                "about four fifths: the leak",
                0.7 < naive["the very window"] < 0.9,
            ),
            Check(
                "test windows in training, stratified",
                percent(stratified["the very window"]),
                "none",
                stratified["the very window"] == 0,
            ),
            Check("persons in training, patient", percent(patient["the person"]), "none", patient["the person"] == 0),
            Check(
                "remembering, drawn independently",
                percent(remembered["drawn independently"]),
                "better than with clean splits: what a leak is worth",
                remembered["drawn independently"] > max(remembered["stratified"], remembered["patient"]),
            ),
        ]
    )


def benchmark_index() -> Fragments:
    """Where the benchmark's 1000 windows lie: a table that is part of this project, without signals."""
    return fragments.load_index()
