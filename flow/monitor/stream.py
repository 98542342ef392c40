"""Classification of samples as they come, and a record played through it in stretches."""

from __future__ import annotations

import itertools
import tempfile
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from flow.look.pictures import UNSURE_COLOUR, UNUSABLE_COLOUR, class_colours
from flow.recordings import beats
from flow.recordings.classify import NOT_AN_ECG, UNLIKE, UNREADABLE, UNSURE, Classifier, Finding
from qmodel.data.fragments import CLASS_NAMES
from qmodel.data.mitdb import SAMPLING_RATE_HZ
from qmodel.data.recording import Recording, Samples, Takes, hop_samples, read, windows_of
from qmodel.data.synthetic import write_record

HOP_S = 1.0  # from decision to decision, or a window where that is shorter
LONGEST_STRETCH = 30 * SAMPLING_RATE_HZ  # given at once: a page that looks far ahead stays alive meanwhile
MISSING_UV = -32768  # stands for a sample that the recorder did not give; all others are clipped to 16 bits
TITLES = CLASS_NAMES | {
    UNSURE: "no class with enough confidence",
    UNLIKE: "unlike everything that was trained on",
    NOT_AN_ECG: "this is not an ECG",
    "missing": "samples are missing",
    "flat": "flat line: is the lead off?",
    "saturated": "the signal is at the recorder's limit",
    "noise": "too much noise",
}


# Seconds of rhythms that the made-up ECG goes through.
DEMONSTRATION = (
    ("NSR", 40), ("PVC", 30), ("Bigeminy", 30), ("NSR", 30), ("SVTA", 30), ("NSR", 30), ("AFL", 30), ("IVR", 30),
    ("VFL", 20), ("LBBBB", 30), ("NSR", 30),
)  # fmt: skip


class Decision(NamedTuple):
    """What is found in one window. start, stop: its first sample and the one after its last, of the page's 360 Hz."""

    start: int
    stop: int
    finding: Finding


class Stream:
    """Classifies samples as they come, in stretches of any length, and keeps no more than the window that is growing.

    The decisions are those of the classifier over the whole record's windows, one for one and bit for bit.

    Args: hop_s: seconds from window to window, None: HOP_S.  Raises: DataError: a hop out of range.
    """

    def __init__(self, classifier: Classifier, hop_s: float | None = None) -> None:
        self._classifier, self._takes = classifier, classifier.usage.takes
        self._hop_s = hop_of(self._takes, hop_s)
        self._hop = hop_samples(self._hop_s, self._takes.samples, self._takes.rate_hz)
        self._growing: list[Samples] | None = None
        self._start = 0  # of the window that is growing

    def feed(self, *leads: Samples) -> list[Decision]:
        """Take the next samples of every lead, at the network's rate, give the decisions they complete."""
        growing = list(leads)
        if self._growing is not None:
            growing = [_joined(first, second) for first, second in zip(self._growing, leads, strict=True)]
        samples = self._takes.samples
        if len(growing[0]) < samples:
            self._growing = growing
            return []
        windows = windows_of(growing, samples, self._hop_s)
        findings = self._classifier.recording(windows)
        starts = range(self._start, self._start + self._hop * len(windows), self._hop)
        self._start, self._growing = starts.stop, [lead[self._hop * len(windows) :] for lead in growing]
        return [Decision(self._shown(at), self._shown(at + samples), findings[i]) for i, at in enumerate(starts)]

    def _shown(self, sample: int) -> int:
        """Where a sample of the network's rate stands on the page."""
        return round(sample * SAMPLING_RATE_HZ / self._takes.rate_hz)


def hop_of(takes: Takes, hop_s: float | None) -> float:
    """Seconds from decision to decision: as asked, else HOP_S, or a window where that is shorter."""
    return min(HOP_S, takes.window_s) if hop_s is None else hop_s


def tracks(
    recording: Recording, lead: str | None, takes: Takes, start_s: float = 0.0, stop_s: float | None = None
) -> tuple[Samples, tuple[Samples, ...]]:
    """What a page shows, the first lead at 360 Hz, and what a network hears of it: its leads at its rate.

    Args: lead: as in Recording.choose; start_s, stop_s: which part. Raises: DataError: as Recording.samples.
    """
    names = recording.choose(lead, takes)
    heard = [recording.samples(name, takes.rate_hz, takes.window_s) for name in names]
    shown = heard[0]
    if takes.rate_hz != SAMPLING_RATE_HZ:
        shown = recording.samples(names[0], SAMPLING_RATE_HZ, takes.window_s)

    def part(samples: Samples) -> Samples:
        stop = None if stop_s is None else round(stop_s * samples.rate_hz)
        return samples[round(start_s * samples.rate_hz) : stop]

    return part(shown), tuple(map(part, heard))


def _joined(first: Samples, second: Samples) -> Samples:
    signal, missing, clipped = (
        np.concatenate([getattr(first, name), getattr(second, name)]) for name in ("signal_mv", "missing", "clipped")
    )
    return Samples(first.lead, signal, missing, clipped, first.rate_hz)


BEATS_OVER_S, BEATS_EVERY_S, BEATS_SETTLE_S = 8, 2.0, 0.5
RATE_OVER_S = 10.0


@dataclass
class BeatFinder:
    """Beats of a stream: looked for every two seconds in the last eight, told once nothing can change them any more.

    Args: rate: sample of each beat that counts for the rate, and whether the signal from the beat before is whole.
    """

    rate: deque = field(default_factory=lambda: deque(maxlen=64))

    def __post_init__(self) -> None:
        self._signal, self._missing = np.zeros(0, np.float32), np.zeros(0, bool)
        self._end, self._looked, self._last = 0, 0, -SAMPLING_RATE_HZ

    def feed(self, samples: Samples) -> list[tuple[int, str, bool]]:
        """Take samples at 360 Hz, give the beats they settle: sample of the stream, type, whether a gap lies before."""
        self._signal = np.concatenate([self._signal, samples.signal_mv])
        self._missing = np.concatenate([self._missing, samples.missing])
        self._end += len(samples)
        if self._end - self._looked < BEATS_EVERY_S * SAMPLING_RATE_HZ or len(self._signal) < 4 * SAMPLING_RATE_HZ:
            return []
        self._looked = self._end
        run, _, _ = beats.detector()
        found, kinds = run(self._signal)
        start, settled = self._end - len(self._signal), self._end - int(BEATS_SETTLE_S * SAMPLING_RATE_HZ)
        told = []
        for at, kind in zip(np.asarray(found).tolist(), np.asarray(kinds).tolist()):
            place = start + at
            if self._last + SAMPLING_RATE_HZ // 5 < place <= settled and not self._missing[at]:
                lost = bool(self._missing[max(self._last - start, 0) : at].sum() > SAMPLING_RATE_HZ / 10)
                told.append((place, str(kind), lost))
                self.rate.append((place, not lost))
                self._last = place
        keep = BEATS_OVER_S * SAMPLING_RATE_HZ
        self._signal, self._missing = self._signal[-keep:], self._missing[-keep:]
        return told

    @property
    def rate_bpm(self) -> float | None:
        """Heart rate of the last ten seconds, by the mean of its intervals; None with fewer than two."""
        recent = [beat for beat in self.rate if beat[0] > self._end - RATE_OVER_S * SAMPLING_RATE_HZ]
        steps = [at - before for (before, _), (at, whole) in itertools.pairwise(recent) if whole]
        steps = [step for step in steps if step <= beats.LONGEST_RR_S * SAMPLING_RATE_HZ]
        return None if len(steps) < 2 else float(60 * SAMPLING_RATE_HZ / np.mean(steps))


def beats_of(finder: BeatFinder, samples: Samples) -> dict:
    """What a message says of beats: those that are settled now, and the heart rate."""
    found = finder.feed(samples)
    rate = finder.rate_bpm
    return {
        "beats": [{"at": at, "kind": kind} | ({"gap": True} if gap else {}) for at, kind, gap in found],
        "heart_rate_bpm": None if rate is None else round(rate, 1),
    }


def opening(title: str, description: str, lead: str, classifier: Classifier, hop_s: float | None) -> dict:
    """What every first message to a page holds: what is heard, and everything that may be said of it."""
    takes, classes = classifier.usage.takes, classifier.usage.classes
    colours = (
        class_colours(classes)
        | dict.fromkeys((UNSURE, UNLIKE), UNSURE_COLOUR)
        | dict.fromkeys(UNREADABLE, UNUSABLE_COLOUR)
    )
    return {
        "title": title,
        "description": description,
        "lead": lead,
        "start_s": 0.0,
        "rate_hz": SAMPLING_RATE_HZ,
        "window_samples": round(takes.window_s * SAMPLING_RATE_HZ),
        "hop_samples": max(1, round(hop_of(takes, hop_s) * SAMPLING_RATE_HZ)),
        "threshold": classifier.threshold,
        "classes": len(classes),
        "sayings": [{"name": n, "title": TITLES.get(n, n), "colour": colour} for n, colour in colours.items()],
    }


@dataclass
class Play:
    """A lead played to one listener: what it has heard, and the stream that classifies it.

    Args: title, description: of what is played; samples: at 360 Hz, at least a window; start_s: of the record, where
        they begin; playing: begin at once; heard: what the network takes (`tracks`), none: the samples.
    Raises: DataError: shorter than a window, or the hop out of range.
    """

    title: str
    description: str
    samples: Samples
    classifier: Classifier
    hop_s: float | None = None
    start_s: float = 0.0
    playing: bool = True
    heard: tuple[Samples, ...] = ()

    def __post_init__(self) -> None:
        self.heard = self.heard or (self.samples,)
        takes = self.classifier.usage.takes
        # Refuses now what could never be classified.
        windows_of([lead[: takes.samples] for lead in self.heard], takes.samples, hop_of(takes, self.hop_s))
        self._stream = Stream(self.classifier, self.hop_s)
        self._at = self._heard_at = 0
        self._beats = BeatFinder()
        self._said: str | None = None

    @classmethod
    def of(cls, recording: Recording, samples: Samples, classifier: Classifier, **settings: Any) -> Play:
        """Play samples of a recording, described for a reader. Args: settings: hop_s, start_s, playing, heard."""
        kind = f"{recording.kind} record" if recording.kind else "signal"
        leads = "+".join(one.lead for one in settings.get("heard") or (samples,))
        description = (
            f"lead {leads} of a {kind} at {recording.sampling_rate_hz:g} Hz; network of "
            f"{classifier.network.size_bytes:,} bytes, {classifier.engine} engine"
        )
        return cls(recording.name, description, samples, classifier, **settings)

    def opening(self) -> dict:
        """The first message: what is played, and everything that may be said of it, with title and colour."""
        common = opening(self.title, self.description, self.samples.lead, self.classifier, self.hop_s)
        return common | {"start_s": self.start_s, "samples": len(self.samples), "playing": self.playing}

    def advance(self, to: int) -> dict:
        """The next stretch of samples with the decisions it completes, and the changes of what is said among them.

        Args: to: sample to reach; at most LONGEST_STRETCH further, and nothing when it has been reached.
        Returns: start, microvolts, decisions, changes, beats, heart_rate_bpm.
        """
        stop = min(max(to, self._at), self._at + LONGEST_STRETCH, len(self.samples))
        stretch = self.samples[self._at : stop]
        microvolts = np.clip(np.rint(1000 * stretch.signal_mv), MISSING_UV + 1, -MISSING_UV - 1).astype(int)
        message = {
            "start": self._at,
            "microvolts": np.where(stretch.missing, MISSING_UV, microvolts).tolist(),
            "decisions": [],
            "changes": [],
        }
        for decision in self._stream.feed(*self._heard_until(stop)):
            row = row_of(decision, self.classifier.usage.classes)
            message["decisions"].append(row)
            if row["said"] != self._said:
                message["changes"].append(row)
            self._said = row["said"]
        self._at = stop
        return message | (beats_of(self._beats, stretch) if len(stretch) else {})

    def _heard_until(self, stop: int) -> list[Samples]:
        """What the network takes of the samples up to `stop`, from where it was."""
        rate = self.heard[0].rate_hz
        end = len(self.heard[0]) if stop == len(self.samples) else int(stop * rate / SAMPLING_RATE_HZ)
        parts = [lead[self._heard_at : end] for lead in self.heard]
        self._heard_at = max(end, self._heard_at)
        return parts


def demonstration() -> Recording:
    """Made-up ECG that goes from rhythm to rhythm."""
    with tempfile.TemporaryDirectory() as folder:
        header = write_record(folder, "made-up", [(name, s * SAMPLING_RATE_HZ) for name, s in DEMONSTRATION], seed=1)
        return replace(read(header), name="Made-up ECG", kind="synthetic", path=None)


def row_of(decision: Decision, classes: Sequence[str]) -> dict:
    """A decision for the page: at, said, confidence (None where the signal is not usable), quality, likely.

    Args: classes: that the network names.
    """
    finding = decision.finding
    known = finding.label >= 0
    return {
        "at": decision.stop,
        "said": finding.said,
        "likely": classes[finding.label] if known else None,
        "confidence": round(finding.confidence, 4) if known else None,
        "quality": round(finding.quality, 4),
    }
