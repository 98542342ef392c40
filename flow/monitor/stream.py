"""Classification of samples as they come, and a record played through it in stretches."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from flow.look.pictures import CLASS_COLOURS, UNSURE_COLOUR, UNUSABLE_COLOUR
from flow.recordings.classify import UNSURE, Classifier, Finding
from qmodel.data.fragments import CLASS_NAMES, CLASSES
from qmodel.data.mitdb import SAMPLING_RATE_HZ
from qmodel.data.quality import REASONS
from qmodel.data.recording import Recording, Samples, hop_samples, read
from qmodel.data.synthetic import write_record
from qmodel.fixed_point import WINDOW_SAMPLES

HOP_S = 1.0  # from decision to decision
LONGEST_STRETCH = 30 * SAMPLING_RATE_HZ  # given at once: a page that looks far ahead stays alive meanwhile
MISSING_UV = -32768  # stands for a sample that the recorder did not give; all others are clipped to 16 bits
TITLES = CLASS_NAMES | {
    UNSURE: "no class with enough confidence",
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

    def __post_init__(self):
        self.samples[:WINDOW_SAMPLES].windows(self.hop_s)  # refuses now what could never be classified
        self._stream = Stream(self.classifier, self.hop_s)
        self._at = 0
        self._said: str | None = None

    @classmethod
    def of(cls, recording: Recording, samples: Samples, classifier: Classifier, **settings) -> Play:
        """Play samples of a recording, described for a reader. Args: settings: hop_s, start_s, playing."""
        kind = f"{recording.kind} record" if recording.kind else "signal"
        description = (
            f"lead {samples.lead} of a {kind} at {recording.sampling_rate_hz:g} Hz; network of "
            f"{classifier.network.size_bytes:,} bytes, {classifier.engine} engine"
        )
        return cls(recording.name, description, samples, classifier, **settings)

    def opening(self) -> dict:
        """The first message: what is played, and everything that may be said of it, with title and colour."""
        colours = CLASS_COLOURS | {UNSURE: UNSURE_COLOUR} | dict.fromkeys(REASONS, UNUSABLE_COLOUR)
        return {
            "title": self.title,
            "description": self.description,
            "lead": self.samples.lead,
            "start_s": self.start_s,
            "samples": len(self.samples),
            "rate_hz": SAMPLING_RATE_HZ,
            "window_samples": WINDOW_SAMPLES,
            "hop_samples": hop_samples(self.hop_s),
            "threshold": self.classifier.threshold,
            "classes": len(CLASSES),
            "sayings": [{"name": name, "title": TITLES[name], "colour": colour} for name, colour in colours.items()],
            "playing": self.playing,
        }

    def advance(self, to: int) -> dict:
        """The next stretch of samples with the decisions it completes, and the changes of what is said among them.

        Args: to: sample to reach; at most LONGEST_STRETCH further, and nothing when it has been reached.
        Returns: start, microvolts, decisions, changes.
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
            row = _row(decision)
            message["decisions"].append(row)
            if row["said"] != self._said:
                message["changes"].append(row)
            self._said = row["said"]
        self._at = stop
        return message


def demonstration() -> Recording:
    """Made-up ECG that goes from rhythm to rhythm."""
    with tempfile.TemporaryDirectory() as folder:
        header = write_record(folder, "made-up", [(name, s * SAMPLING_RATE_HZ) for name, s in DEMONSTRATION], seed=1)
        return replace(read(header), name="Made-up ECG", kind="synthetic", path=None)


def _row(decision: Decision) -> dict:
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
