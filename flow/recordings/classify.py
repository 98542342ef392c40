"""Any ECG through a frozen network: windows to classes, with signal quality and abstention, on any engine."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flow.recordings.beats import Beats, find
from flow.recordings.choices import THRESHOLD
from flow.recordings.engines import ENGINES
from qmodel import reading
from qmodel.data import known, quality, recording
from qmodel.data.fragments import CLASS_NAMES
from qmodel.data.mitdb import SAMPLING_RATE_HZ
from qmodel.data.recording import Recording, RecordingWindows, Samples
from qmodel.errors import InputError
from qmodel.fixed_point import standardise
from qmodel.frozen import FrozenNetwork
from qmodel.usage import UNSURE, Usage

NOT_AN_ECG, UNLIKE = reading.NOT_AN_ECG, reading.UNLIKE
# All that can be said of a window that gets no class, in the order of tables and pictures.
NO_CLASS = (UNSURE, UNLIKE, NOT_AN_ECG, *quality.REASONS)
UNREADABLE = (NOT_AN_ECG, *quality.REASONS)  # said where there is no ECG to tell a rhythm of
BATCH = 64  # windows at once: bounds the memory of long recordings


def full_name(said: str) -> str:
    """What is said, in words."""
    if said in CLASS_NAMES:
        return CLASS_NAMES[said]
    if said == UNSURE:
        return "no class with enough confidence"
    return f"signal not usable: {said}" if said in quality.REASONS else said


class Finding(NamedTuple):
    """What is found in one window; see Findings."""

    label: int
    confidence: float
    margin: float
    quality: float
    reason: str
    said: str


@dataclass(frozen=True)
class Findings:
    """What is found in windows; every array's shape is (window,).

    Args: label: most likely class, index into the network's classes, -1 where the signal is not usable or no ECG;
        confidence: its share of the softmax of the logits, and margin: its lead over the second share, NaN where not
        usable (of a network that answers every step: the share of its rhythm, `qmodel.reading.Reading.rhythm`);
        quality: signal quality, 1 clean to 0 unusable; reason: "good", or why the signal is not usable
        (qmodel.data.quality.REASONS); said: the name of a class, "unsure" where the confidence is below the threshold,
        "not an ECG", "unlike the training data", or the reason.
    """

    label: np.ndarray
    confidence: np.ndarray
    margin: np.ndarray
    quality: np.ndarray
    reason: np.ndarray
    said: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, window: int) -> Finding:
        """One window, in plain Python types."""
        return Finding(*(getattr(self, name)[window].item() for name in Finding._fields))


class Classifier:
    """A frozen network on an engine; close it, or use it in a `with` statement.

    Args: network: one that says what it takes and what its logits mean (qmodel.usage); engine: golden, csim, c,
        rtl or board, which give the same logits (flow.recordings.engines); threshold: of confidence, 0 always says a
        class; deploy: folder of the engine board.
    Raises: InputError: unknown engine, another kind of network, threshold out of range; what the engine raises where a
        tool is missing.
    """

    def __init__(
        self,
        network: FrozenNetwork,
        engine: str = "golden",
        threshold: float = THRESHOLD,
        deploy: str | os.PathLike | None = None,
    ) -> None:
        self.usage = Usage.of(network)
        self._constants = reading.Constants.of(network) if self.usage.per_step else None
        if not 0 <= threshold <= 1:
            raise InputError(f"the threshold of confidence must be 0 to 1, received {threshold:g}")
        if engine not in ENGINES:
            raise InputError(f"engine must be one of {', '.join(ENGINES)}, received {engine!r}")
        self.network, self.engine, self.threshold = network, engine, threshold
        self._step = network.output.format.step
        self._held = ExitStack()
        self._engine = self._held.enter_context(ENGINES[engine](network, None if deploy is None else Path(deploy)))

    def __enter__(self) -> Classifier:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free what the engine holds."""
        self._held.close()

    def logits(self, integers: np.ndarray) -> np.ndarray:
        """Logits of usable windows as in `windows`, none of them flat: int64 (window, value)."""
        form, axis = self.network.input_format, 1 - integers.ndim
        parts = [
            self._engine.run(standardise(integers[i : i + BATCH], form, axis)) for i in range(0, len(integers), BATCH)
        ]
        return np.concatenate([np.zeros((0, self.network.output.values), np.int64), *parts])

    def windows(
        self, integers: np.ndarray, missing: np.ndarray | None = None, clipped: np.ndarray | None = None
    ) -> Findings:
        """Classify windows: int16, 200 ADC units per mV, any offset, at the network's rate.

        Args: integers: shape (window, sample), or (window, sample, lead) for a network of several leads; missing,
            clipped: as in qmodel.data.quality.assess.
        Raises: InputError: another shape than the network takes.
        """
        takes = self.usage.takes
        shape = (takes.samples,) if takes.channels == 1 else (takes.samples, takes.channels)
        if np.asarray(integers).shape[1:] != shape:
            raise InputError(f"windows must have the shape {('window', *shape)}, received {np.asarray(integers).shape}")
        grade = quality.assess(integers, missing, clipped, takes.rate_hz)
        usable = np.flatnonzero(grade.usable)
        label = np.full(len(integers), -1)
        confidence, margin = np.full((2, len(integers)), np.nan)
        logits = self.logits(integers[usable])
        foreign = unlike = np.zeros(len(usable), bool)
        if self._constants is None:
            shares = softmax(logits * self._step)
            order = np.sort(shares, axis=1)
            label[usable] = shares.argmax(1)
            confidence[usable], margin[usable] = order[:, -1], order[:, -1] - order[:, -2]
        else:
            found = reading.read(
                logits.reshape(len(usable), self.network.stages[-1].output_length, len(reading.OUTPUTS)),
                integers[usable],
                self._constants,
            )
            label[usable], confidence[usable], margin[usable] = found.rhythm()
            foreign, unlike = found.foreign(self._constants), found.unlike(self._constants)
        said = np.where(confidence >= self.threshold, np.array(self.usage.classes)[label], UNSURE).astype(object)
        said[usable[unlike]] = UNLIKE
        said[usable[foreign]] = NOT_AN_ECG
        said[~grade.usable] = grade.reason[~grade.usable]
        label[usable[foreign]], confidence[usable[foreign]], margin[usable[foreign]] = -1, np.nan, np.nan
        said = said.astype(str)
        return Findings(label, confidence, margin, grade.index, grade.reason, said)

    def recording(self, windows: RecordingWindows) -> Findings:
        """Classify the windows of a recording (Recording.windows)."""
        return self.windows(windows.integers, windows.missing, windows.clipped)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Shares of the classes, float64 (window, class)."""
    powers = np.exp(logits - logits.max(1, keepdims=True, initial=-np.inf))
    return powers / powers.sum(1, keepdims=True)


class Episode(NamedTuple):
    """Windows one after the other of which the same is said; confidence: their mean, NaN where not usable."""

    start_s: float
    end_s: float
    said: str
    windows: int
    confidence: float


@dataclass(frozen=True)
class Classification:
    """A recording, its windows, and what was found in them."""

    recording: Recording
    windows: RecordingWindows
    findings: Findings
    identity: str  # of the network
    classes: tuple[str, ...]  # that the network names
    engine: str
    threshold: float

    @property
    def sayings(self) -> tuple[str, ...]:
        """All that can be said of a window, in the order of tables and pictures."""
        return (*self.classes, *NO_CLASS)

    @cached_property
    def trained_on(self) -> bool | None:
        """Whether the network was trained on this recording, by its first ten seconds; None: not known of the network.

        What is found in such a recording says nothing about other persons.
        """
        keys = known.of_network(self.identity)
        return None if keys is None else known.key(self.windows.signal_mv) in keys

    @cached_property
    def unusable(self) -> np.ndarray:
        """Bool (sample,) at 360 Hz: where every window that speaks for a sample is not usable."""
        bad = np.zeros(len(self.windows.signal_mv), bool)
        for (start, end), label in zip(self.spans_s, self.findings.label):
            if label < 0:
                bad[round(start * SAMPLING_RATE_HZ) : round(end * SAMPLING_RATE_HZ)] = True
        return bad

    @cached_property
    def beats(self) -> Beats:
        """Beats of the lead that was classified, where it is usable."""
        windows = self.windows
        missing = windows.missing_samples if len(windows.missing_samples) else np.zeros(len(windows.signal_mv), bool)
        samples = Samples(windows.lead, windows.signal_mv, missing, np.zeros(len(missing), bool))
        return find(samples, self.unusable)

    @property
    def spans_s(self) -> np.ndarray:
        """The seconds each window speaks for, shape (window, 2): its middle `hop_s`, so that none is told twice.

        The first speaks from its start and the last to its end.
        """
        starts, window_s = self.windows.start_s, self.windows.window_s
        edges = np.append(starts + (window_s - self.windows.hop_s) / 2, starts[-1] + window_s)
        edges[0] = starts[0]
        return np.stack([edges[:-1], edges[1:]], axis=1)

    @property
    def episodes(self) -> list[Episode]:
        """What is said, from change to change, in order of time."""
        said, spans = self.findings.said, self.spans_s
        changes = np.flatnonzero(np.append(True, said[1:] != said[:-1]))
        return [
            Episode(
                float(spans[first, 0]),
                float(spans[end - 1, 1]),
                str(said[first]),
                int(end - first),
                float(self.findings.confidence[first:end].mean()),
            )
            for first, end in zip(changes, np.append(changes[1:], len(said)))
        ]


def classify(
    path: str | os.PathLike | Recording,
    classifier: Classifier,
    lead: str | None = None,
    hop_s: float | None = None,
    sampling_rate_hz: float | None = None,
    units: str | None = None,
) -> Classification:
    """Read a recording, cut the leads that the network takes into windows and classify them.

    Args: path: of a WFDB record, EDF or CSV file (qmodel.data.recording.read), or a recording that was read; lead,
        hop_s: Recording.windows; sampling_rate_hz, units: qmodel.data.recording.read.
    Raises: DataError: what qmodel.data.recording raises.
    """
    takes = classifier.usage.takes
    if isinstance(path, Recording):
        source = path
    else:
        source = recording.read_for(takes, Path(path), lead, sampling_rate_hz, units)
    windows = source.windows(lead, hop_s, takes)
    findings = classifier.recording(windows)
    network, classes = classifier.network, classifier.usage.classes
    return Classification(source, windows, findings, network.identity, classes, classifier.engine, classifier.threshold)
