"""Classification of samples as they come, and a record played through it in stretches."""

from __future__ import annotations

import itertools
import tempfile
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from flow.look.pictures import CLASS_COLOURS, UNSURE_COLOUR, UNUSABLE_COLOUR
from flow.recordings import beats
from flow.recordings.classify import NOT_AN_ECG, UNLIKE, UNREADABLE, UNSURE, Classifier, Finding
from qmodel.data.fragments import CLASS_NAMES, CLASSES
from qmodel.data.mitdb import SAMPLING_RATE_HZ
from qmodel.data.recording import Recording, Samples, hop_samples, read
from qmodel.data.synthetic import write_record
from qmodel.fixed_point import WINDOW_SAMPLES

HOP_S = 1.0  # from decision to decision
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
    """What is found in one window. start, stop: its first sample and the one after its last, of the stream."""

    start: int
    stop: int
    finding: Finding


class Stream:
    """Classifies samples as they come, in stretches of any length, and keeps no more than the window that is growing.

    The decisions are those of the classifier over the whole record's windows, one for one and bit for bit.

    Args: hop_s: seconds from window to window.  Raises: DataError: a hop out of range.
    """

    def __init__(self, classifier: Classifier, hop_s: float = HOP_S) -> None:
        self._classifier, self._hop_s, self._hop = classifier, hop_s, hop_samples(hop_s)
        self._growing: Samples | None = None
        self._start = 0  # of the window that is growing

    def feed(self, samples: Samples) -> list[Decision]:
        """Take the next samples, give the decisions they complete."""
        growing = samples if self._growing is None else _joined(self._growing, samples)
        if len(growing) < WINDOW_SAMPLES:
            self._growing = growing
            return []
        windows = growing.windows(self._hop_s)
        findings = self._classifier.recording(windows)
        starts = range(self._start, self._start + self._hop * len(windows), self._hop)
        self._start, self._growing = starts.stop, growing[self._hop * len(windows) :]
        return [Decision(start, start + WINDOW_SAMPLES, findings[i]) for i, start in enumerate(starts)]


def _joined(first: Samples, second: Samples) -> Samples:
    arrays = ("signal_mv", "missing", "clipped")
    return Samples(first.lead, *(np.concatenate([getattr(first, name), getattr(second, name)]) for name in arrays))


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


def opening(title: str, description: str, lead: str, classifier: Classifier, hop_s: float) -> dict:
    """What every first message to a page holds: what is heard, and everything that may be said of it."""
    colours = (
        CLASS_COLOURS | dict.fromkeys((UNSURE, UNLIKE), UNSURE_COLOUR) | dict.fromkeys(UNREADABLE, UNUSABLE_COLOUR)
    )
    return {
        "title": title,
        "description": description,
        "lead": lead,
        "start_s": 0.0,
        "rate_hz": SAMPLING_RATE_HZ,
        "window_samples": WINDOW_SAMPLES,
        "hop_samples": hop_samples(hop_s),
        "threshold": classifier.threshold,
        "classes": len(CLASSES),
        "sayings": [{"name": name, "title": TITLES[name], "colour": colour} for name, colour in colours.items()],
    }


@dataclass
class Play:
    """A lead played to one listener: what it has heard, and the stream that classifies it.

    Args: title, description: of what is played; samples: at least a window; start_s: of the record, where they begin;
        playing: begin at once.
    Raises: DataError: shorter than a window, or the hop out of range.
    """

    title: str
    description: str
    samples: Samples
    classifier: Classifier
    hop_s: float = HOP_S
    start_s: float = 0.0
    playing: bool = True

    def __post_init__(self) -> None:
        self.samples[:WINDOW_SAMPLES].windows(self.hop_s)  # refuses now what could never be classified
        self._stream = Stream(self.classifier, self.hop_s)
        self._at = 0
        self._beats = BeatFinder()
        self._said: str | None = None

    @classmethod
    def of(cls, recording: Recording, samples: Samples, classifier: Classifier, **settings: Any) -> Play:
        """Play samples of a recording, described for a reader. Args: settings: hop_s, start_s, playing."""
        kind = f"{recording.kind} record" if recording.kind else "signal"
        description = (
            f"lead {samples.lead} of a {kind} at {recording.sampling_rate_hz:g} Hz; network of "
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
        for decision in self._stream.feed(stretch):
            row = row_of(decision)
            message["decisions"].append(row)
            if row["said"] != self._said:
                message["changes"].append(row)
            self._said = row["said"]
        self._at = stop
        return message | (beats_of(self._beats, stretch) if len(stretch) else {})


def demonstration() -> Recording:
    """Made-up ECG that goes from rhythm to rhythm."""
    with tempfile.TemporaryDirectory() as folder:
        header = write_record(folder, "made-up", [(name, s * SAMPLING_RATE_HZ) for name, s in DEMONSTRATION], seed=1)
        return replace(read(header), name="Made-up ECG", kind="synthetic", path=None)


def row_of(decision: Decision) -> dict:
    """A decision for the page: at, said, confidence (None where the signal is not usable), quality, likely."""
    finding = decision.finding
    known = finding.label >= 0
    return {
        "at": decision.stop,
        "said": finding.said,
        "likely": CLASSES[finding.label] if known else None,
        "confidence": round(finding.confidence, 4) if known else None,
        "quality": round(finding.quality, 4),
    }
