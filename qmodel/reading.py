"""What the answers of a network per time step say of a window: its beats, its class, and whether it is an ECG at all.

The integers come from any engine. Beats are decoded in integers (`qmodel.beats`). A class rests on the sum of its
logits over the window and on measures of the beats (rate, irregularity, pauses, kinds and their patterns), which enter
as a small correction in floating point on the host; so do temperature and thresholds. All constants travel with the
network, in its metadata; they were fitted on persons whom the network that was asked had never met. NumPy alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qmodel.beats import KINDS, STEP_SAMPLES, Beats, decode
from qmodel.data.fragments import CLASSES
from qmodel.data.mitdb import SAMPLING_RATE_HZ
from qmodel.errors import InputError
from qmodel.fixed_point import WINDOW_SAMPLES, standardise
from qmodel.frozen import FrozenNetwork

NOT_AN_ECG, UNLIKE = "not an ECG", "unlike the training data"
BEAT_OUTPUTS = ("none", *KINDS)
OUTPUTS = (*BEAT_OUTPUTS, *CLASSES, NOT_AN_ECG)
_SINUS = [CLASSES.index(name) for name in ("NSR", "APB", "WPW", "PVC", "Fusion", "LBBBB", "RBBBB")]
RHYTHMS = [_SINUS] + [[i] for i in range(len(CLASSES)) if i not in _SINUS]  # members, indices into CLASSES
STEP_S = STEP_SAMPLES / SAMPLING_RATE_HZ
FEATURES = (
    "beats", "mean interval", "irregular", "very irregular", "longest", "shortest", "doubled", "ventricular",
    "supraventricular", "ventricular run", "supraventricular run", "bigeminy", "trigeminy", "fast", "slow", "score",
)  # fmt: skip


def answers_per_step(network: FrozenNetwork) -> bool:
    """Whether a network answers every step with `OUTPUTS`, by its metadata."""
    return tuple(network.metadata.get("classes", ())) == OUTPUTS


def beat_measures(beats: Beats, steps: int) -> np.ndarray:
    """Measures of the beats of a window, float64 (feature,), each about 0 to 1; see FEATURES.

    Irregularity is the median difference of successive intervals over the median interval, which finds atrial
    fibrillation untrained; intervals are told to a step of 67 ms.
    Args: steps: of the window.
    """
    measures = np.zeros(len(FEATURES))
    number = len(beats.step)
    seconds = steps * STEP_S
    measures[0] = number / seconds / 2
    if number:
        measures[15] = min(1.0, float(np.median(beats.score)) / 16)
    if number < 3:
        return measures
    gaps = np.diff(beats.step) * STEP_S
    middle = float(np.median(gaps))
    changes = np.abs(np.diff(gaps)) / middle
    measures[1] = min(middle, 2.0) / 2
    measures[2] = min(1.0, float(np.median(changes)) * 3)
    measures[3] = float((changes > 0.15).mean())
    measures[4] = min(1.0, float(gaps.max()) / middle / 3)
    measures[5] = min(1.0, float(gaps.min()) / middle)
    measures[6] = float(((gaps / middle > 1.7) & (gaps / middle < 2.3)).mean())
    letters = "".join(KINDS[k] for k in beats.kind)
    measures[7], measures[8] = letters.count("V") / number, letters.count("S") / number
    measures[9], measures[10] = _longest(letters, "V") / number, _longest(letters, "S") / number
    measures[11] = min(1.0, (_often(letters, "NVN") + _often(letters, "VNV")) / max(1, number - 2))
    measures[12] = min(1.0, 3 * _often(letters, "VNNV") / max(1, number - 3))
    measures[13], measures[14] = float(middle < 0.6), float(middle > 1.2)
    return measures


def _often(letters: str, pattern: str) -> int:
    """How many places the pattern begins at."""
    return sum(letters.startswith(pattern, i) for i in range(len(letters)))


def _longest(letters: str, letter: str) -> int:
    return max((len(run) for run in "".join(c if c == letter else " " for c in letters).split()), default=0)


class Reading(NamedTuple):
    """shares: float64 (window, class and not an ECG), they sum to one; energy: float64 (window,), how foreign the
    window is to what was trained on, larger is more; beats: of every window."""

    shares: np.ndarray
    energy: np.ndarray
    beats: list[Beats]

    def foreign(self, constants: Constants) -> np.ndarray:
        """Bool (window,): no ECG, by its share; where fewer than three beats are found a small share is enough."""
        few = np.array([len(found.step) < FEWEST_BEATS for found in self.beats], bool)
        share = self.shares[:, -1]
        return (share > constants.foreign) | (few & (share > constants.foreign / 10))

    def unlike(self, constants: Constants) -> np.ndarray:
        """Bool (window,): unlike the training data."""
        return self.energy > constants.energy

    def rhythm(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The likeliest rhythm's likeliest class, the rhythm's share, and its lead over the second rhythm's.

        The rhythm comes first: premature beats and conduction within sinus rhythm do not take shares from each other.
        Returns: index into CLASSES, float64, float64, shape (window,) each; shares are those among the classes.
        """
        classes = self.shares[:, : len(CLASSES)]
        classes = classes / np.maximum(classes.sum(1, keepdims=True), 1e-12)
        rhythms = np.stack([classes[:, members].sum(1) for members in RHYTHMS], axis=1)
        order = np.sort(rhythms, axis=1)
        inside = np.array([np.isin(np.arange(len(CLASSES)), members) for members in RHYTHMS])[rhythms.argmax(1)]
        return np.where(inside, classes, -1).argmax(1), order[:, -1], order[:, -1] - order[:, -2]


@dataclass(frozen=True)
class Constants:
    """What a host needs beside the integers; kept in a network's metadata under `reading`.

    Args: threshold, offsets: of `decode`, in logits; temperature: of the window's logits; hidden, out: correction by
        measures of the beats, a layer of ReLU and a linear one, or empty; foreign: share above which a window is no
        ECG; energy: above which it is unlike the training data.
    """

    step: float
    threshold: float = 0.0
    offsets: tuple[float, float, float] = (0.0, 0.0, 0.0)
    temperature: float = 1.0
    hidden: np.ndarray | None = None  # (feature + output + 1, unit)
    out: np.ndarray | None = None  # (unit + 1, output)
    foreign: float = 0.5
    energy: float = np.inf

    @classmethod
    def of(cls, network: FrozenNetwork) -> Constants:
        """A network's own. Raises: InputError: its metadata is not as `stored` makes it."""
        kept = network.metadata.get("reading", {})
        step = network.stages[-1].output_format.step
        if not isinstance(kept, Mapping):
            raise InputError(f"the metadata's reading must be a table, received {type(kept).__name__}")
        matrices = {}
        for name in ("hidden", "out"):
            if name in kept:
                try:
                    matrices[name] = np.array(kept[name], np.float64) / float(kept["scale"])
                except (TypeError, ValueError, KeyError):
                    raise InputError(f"the metadata's {name} must be a matrix of integers with a scale") from None
        plain = {n: float(kept[n]) for n in ("threshold", "temperature", "foreign", "energy") if n in kept}
        offsets = tuple(float(value) for value in kept.get("offsets", (0, 0, 0)))
        return cls(step, offsets=offsets, **plain, **matrices)

    def stored(self) -> dict:
        """JSON values; matrices as integers, so that the file stays small and exact."""
        kept: dict = {
            "threshold": self.threshold,
            "offsets": list(self.offsets),
            "temperature": self.temperature,
            "foreign": self.foreign,
        }
        if np.isfinite(self.energy):
            kept["energy"] = self.energy
        if self.hidden is not None:
            kept |= {"scale": _SCALE} | {
                name: np.rint(getattr(self, name) * _SCALE).astype(int).tolist() for name in ("hidden", "out")
            }
        return kept


_SCALE = 64
BATCH = 64  # windows at once
FEWEST_BEATS = 3


def decode_beats(logits: np.ndarray, constants: Constants) -> Beats:
    """Beats of consecutive steps. Args: logits: int64 (step, output)."""
    threshold = round(constants.threshold / constants.step)
    offsets = tuple(round(offset / constants.step) for offset in constants.offsets)
    return decode(logits[:, : len(BEAT_OUTPUTS)], threshold, offsets)


def read(logits: np.ndarray, constants: Constants) -> Reading:
    """Read windows. Args: logits: int64 (window, step, output)."""
    beats = [decode_beats(window, constants) for window in logits]
    scaled = [b._replace(score=b.score * constants.step) for b in beats]
    measures = np.array([beat_measures(b, logits.shape[1]) for b in scaled]).reshape(len(logits), len(FEATURES))
    mean = logits[:, :, len(BEAT_OUTPUTS) :].sum(1) * (constants.step / max(logits.shape[1], 1))
    shares = softmax(corrected(mean, measures, constants))
    peak = mean.max(1, initial=-np.inf, keepdims=True)
    energy = -(peak[:, 0] + np.log(np.exp(mean - peak).sum(1))) if len(mean) else np.zeros(0)
    return Reading(shares, energy, beats)


HOP_STEPS, EDGE_STEPS = 100, 25  # of windows over a recording; a step nearer a window's end is another window's


def record_steps(run: Callable[[np.ndarray], np.ndarray], signal: np.ndarray) -> np.ndarray:
    """Answers of every step of a recording: windows that overlap, each answering for its middle.

    Args: run: integers of windows (window, sample), standardised, to logits int64 (window, value); signal: int16
        (sample,), 360 Hz, at least a window. Where a window is flat the answer is "none".
    Returns: int64 (step, output).
    """
    window = WINDOW_SAMPLES // STEP_SAMPLES
    steps = len(signal) // STEP_SAMPLES
    starts = np.unique(np.append(np.arange(0, steps - window + 1, HOP_STEPS), steps - window))
    logits = np.zeros((steps, len(OUTPUTS)), np.int64)
    logits[:, 0] = 1  # none
    views = np.lib.stride_tricks.sliding_window_view(signal, WINDOW_SAMPLES)
    for first in range(0, len(starts), BATCH):
        some = starts[first : first + BATCH]
        cut = views[some * STEP_SAMPLES]
        alive = np.ptp(cut, axis=1) > 0
        if not alive.any():
            continue
        answers = np.asarray(run(standardise(cut[alive]))).reshape(int(alive.sum()), window, len(OUTPUTS))
        for start, answer in zip(some[alive], answers):
            own = slice(0 if start == 0 else EDGE_STEPS, window)
            logits[start + own.start : start + window] = answer[own]
    return logits


def corrected(mean: np.ndarray, measures: np.ndarray, constants: Constants) -> np.ndarray:
    """Logits (window, output) after temperature and the correction by the beats' measures (window, feature)."""
    logits = mean / constants.temperature
    if constants.hidden is None or constants.out is None:
        return logits
    ones = np.ones((len(mean), 1))
    # Row by row: what is said of a window must not depend, to the last bit, on what else is in a batch.
    rows = np.concatenate([measures, logits / 8, ones], 1)
    units = np.array([row @ constants.hidden for row in rows]).reshape(len(rows), constants.hidden.shape[1])
    rows = np.concatenate([np.maximum(units, 0), ones], 1)
    return logits + np.array([row @ constants.out for row in rows]).reshape(logits.shape)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Shares, float64 (window, output)."""
    powers = np.exp(logits - logits.max(1, keepdims=True, initial=-np.inf))
    return powers / powers.sum(1, keepdims=True)
