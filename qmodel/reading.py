"""What the answers of a network per time step say of a window: its beats, its class, and whether it is an ECG at all.

The integers come from any engine. Beats are decoded in integers (`qmodel.beats`). A class rests on the sum of its
logits over the window and on measures of the beats (rate, irregularity, pauses, kinds and their patterns), which enter
as a small correction in floating point on the host; so do temperature and thresholds. All constants travel with the
network, in its metadata; they were fitted on persons whom the network that was asked had never met. NumPy alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from qmodel.beats import KINDS, STEP_SAMPLES, Beats, by_timing, decode, kind_sums, refine
from qmodel.data.fragments import CLASSES
from qmodel.data.mitdb import SAMPLING_RATE_HZ
from qmodel.errors import InputError
from qmodel.fixed_point import WINDOW_SAMPLES, standardise
from qmodel.frozen import FrozenNetwork
from qmodel.not_ecg import like_fibrillation

NOT_AN_ECG, UNLIKE = "not an ECG", "unlike the training data"
BEAT_OUTPUTS = ("none", *KINDS)
OUTPUTS = (*BEAT_OUTPUTS, *CLASSES, NOT_AN_ECG)
_SINUS = [CLASSES.index(name) for name in ("NSR", "APB", "WPW", "PVC", "Fusion", "LBBBB", "RBBBB")]
RHYTHMS = [_SINUS] + [[i] for i in range(len(CLASSES)) if i not in _SINUS]  # members, indices into CLASSES
VENTRICULAR = [CLASSES.index("VT"), CLASSES.index("VFL")]  # what must never be taken for noise
FEATURES = (
    "beats", "mean interval", "irregular", "very irregular", "longest", "shortest", "doubled", "ventricular",
    "supraventricular", "ventricular run", "supraventricular run", "bigeminy", "trigeminy", "fast", "slow", "score",
    "irregular among narrow", "turning",
)  # fmt: skip


def answers_per_step(network: FrozenNetwork) -> bool:
    """Whether a network answers every step with `OUTPUTS`, by its metadata."""
    return tuple(network.metadata.get("classes", ())) == OUTPUTS


def beat_measures(beats: Beats, at: np.ndarray, samples: int) -> np.ndarray:
    """Measures of the beats of a window, float64 (feature,), each about 0 to 1; see FEATURES.

    Irregularity is the median difference of successive intervals over the median interval, which finds atrial
    fibrillation untrained.
    Args: at: of every beat its R wave (`beats.refine`); samples: of the window.
    """
    measures = np.zeros(len(FEATURES))
    number = len(beats.step)
    measures[0] = number / (samples / SAMPLING_RATE_HZ) / 2
    if number:
        measures[15] = min(1.0, float(np.median(beats.score)) / 16)
    if number < 3:
        return measures
    gaps = np.diff(at) / SAMPLING_RATE_HZ
    middle = float(np.median(gaps))
    signed = np.diff(gaps) / middle
    changes = np.abs(signed)
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
    # The same irregularity where no ventricular beat makes it, and how often longer and shorter take turns: breathing
    # and a rate that drifts do not.
    narrow = beats.kind != KINDS.index("V")
    both = narrow[:-2] & narrow[1:-1] & narrow[2:]
    measures[16] = min(1.0, float(np.median(changes[both])) * 3) if both.any() else 0.0
    large = changes > 0.03
    measures[17] = float((large[1:] & large[:-1] & (signed[1:] * signed[:-1] < 0)).mean()) if number > 3 else 0.0
    return measures


def _often(letters: str, pattern: str) -> int:
    """How many places the pattern begins at."""
    return sum(letters.startswith(pattern, i) for i in range(len(letters)))


def _longest(letters: str, letter: str) -> int:
    return max((len(run) for run in "".join(c if c == letter else " " for c in letters).split()), default=0)


class Reading(NamedTuple):
    """shares: float64 (window, class and not an ECG), they sum to one; energy: float64 (window,), how foreign the
    window is to what was trained on, larger is more; beats: of every window; waves: bool (window,), whether they lie in
    the band of ventricular fibrillation (`not_ecg.like_fibrillation`)."""

    shares: np.ndarray
    energy: np.ndarray
    beats: list[Beats]
    waves: np.ndarray

    def foreign(self, constants: Constants) -> np.ndarray:
        """Bool (window,): no ECG, by its share; and only where neither beats nor a ventricular rhythm can be.

        Ventricular fibrillation has no beats and looks like noise: to call it "not an ECG" would hide an arrest. What
        is not refused keeps the share of no ECG, which leaves little confidence to any class.
        """
        beats = np.array([len(found.step) >= FEWEST_BEATS for found in self.beats], bool)
        possible = beats | self.waves | (self.shares[:, VENTRICULAR].sum(1) >= constants.ventricular)
        return (self.shares[:, -1] > constants.foreign) & ~possible

    def unlike(self, constants: Constants) -> np.ndarray:
        """Bool (window,): unlike the training data."""
        return self.energy > constants.energy

    def rhythm(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The likeliest rhythm's likeliest class, the rhythm's share, and its lead over the second rhythm's.

        The rhythm comes first: premature beats and conduction within sinus rhythm do not take shares from each other.
        What is no ECG keeps its share, so that no class is sure where there may be none.
        Returns: index into CLASSES, float64, float64, shape (window,) each.
        """
        classes = self.shares[:, : len(CLASSES)]
        rhythms = np.stack([classes[:, members].sum(1) for members in RHYTHMS], axis=1)
        order = np.sort(rhythms, axis=1)
        inside = np.array([np.isin(np.arange(len(CLASSES)), members) for members in RHYTHMS])[rhythms.argmax(1)]
        return np.where(inside, classes, -1).argmax(1), order[:, -1], order[:, -1] - order[:, -2]


@dataclass(frozen=True)
class Constants:
    """What a host needs beside the integers; kept in a network's metadata under `reading`.

    Args: threshold, offsets: of `decode`, early: of `by_timing`, in logits; temperature: of the window's logits; out:
        the correction by measures of the beats, (feature + 1, class and not an ECG), or None; foreign: share above
        which a window is no ECG, unless VT and VFL together have the share `ventricular`; energy: above which it is
        unlike the training data.
    """

    step: float
    threshold: float = 0.0
    early: float = 3.0
    offsets: tuple[float, float, float] = (0.0, 0.0, 0.0)
    temperature: float = 1.0
    out: np.ndarray | None = None
    foreign: float = 0.5
    ventricular: float = 0.2
    energy: float = np.inf

    def rounded(self, **changed) -> Constants:
        """With other values, and with the precision that a file keeps."""
        out = None if self.out is None else np.rint(self.out * _SCALE) / _SCALE
        return replace(self, out=out, temperature=round(self.temperature, 4), **changed)

    @classmethod
    def of(cls, network: FrozenNetwork) -> Constants:
        """A network's own. Raises: InputError: its metadata is not as `stored` makes it."""
        return cls.from_stored(network.metadata.get("reading", {}), network.stages[-1].output_format.step)

    @classmethod
    def from_stored(cls, kept: object, step: float) -> Constants:
        """From JSON values. Args: step: of a logit. Raises: InputError: not as `stored` makes them."""
        if not isinstance(kept, Mapping):
            raise InputError(f"the metadata's reading must be a table, received {type(kept).__name__}")
        out = None
        if "out" in kept:
            try:
                out = np.array(kept["out"], np.float64) / float(kept["scale"])
            except (TypeError, ValueError, KeyError):
                raise InputError("the metadata's out must be a matrix of integers with a scale") from None
            shape = (len(FEATURES) + 1, len(OUTPUTS) - len(BEAT_OUTPUTS))
            if out.shape != shape:
                raise InputError(f"the metadata's out must be {shape[0]} by {shape[1]}, received {out.shape}")
        plain = {name: float(kept[name]) for name in _PLAIN if name in kept}
        offsets = tuple(float(value) for value in kept.get("offsets", (0, 0, 0)))
        return cls(step, offsets=offsets, out=out, **plain)

    def stored(self) -> dict:
        """JSON values; the matrix as integers, so that the file stays small and exact."""
        kept: dict = {name: getattr(self, name) for name in _PLAIN if np.isfinite(getattr(self, name))}
        kept["offsets"] = list(self.offsets)
        if self.out is not None:
            kept |= {"scale": _SCALE, "out": np.rint(self.out * _SCALE).astype(int).tolist()}
        return kept


_PLAIN = ("threshold", "early", "temperature", "foreign", "ventricular", "energy")
_SCALE = 64
BATCH = 64  # windows at once
FEWEST_BEATS = 3  # in a window that may be refused as no ECG there are fewer


def decode_beats(logits: np.ndarray, constants: Constants) -> Beats:
    """Beats of consecutive steps. Args: logits: int64 (step, output)."""
    threshold = round(constants.threshold / constants.step)
    offsets = tuple(round(offset / constants.step) for offset in constants.offsets)
    return decode(logits[:, : len(BEAT_OUTPUTS)], threshold, offsets)


def beats_of(logits: np.ndarray, signal: np.ndarray, constants: Constants) -> Beats:
    """Beats of consecutive steps. Args: logits: int64 (step, output); signal: whole numbers (sample,), 360 Hz."""
    beats = decode_beats(logits, constants)
    sums = kind_sums(logits, beats.step)
    gain, margin = round(constants.early / constants.step), round(FIBRILLATION_MARGIN / constants.step)
    fibrillating = _fibrillating(logits, beats.step, margin)
    return by_timing(beats, sums, refine(signal, beats.sample), gain, fibrillating)


FIBRILLATION_MARGIN = 1.0  # logits by which sinus rhythm must lead over ten seconds so that a beat can be early
_FIBRILLATION, _CALM = (
    [len(BEAT_OUTPUTS) + CLASSES.index(name) for name in names] for names in (("AFIB",), ("NSR", "APB"))
)


def _fibrillating(logits: np.ndarray, step: np.ndarray, margin: int) -> np.ndarray:
    """Whether atrial fibrillation may be around beats, in integers: bool (beat,)."""
    reach = WINDOW_SAMPLES // STEP_SAMPLES // 2
    sums = np.concatenate([np.zeros((1, logits.shape[1]), logits.dtype), np.cumsum(logits, axis=0)])
    first, last = np.maximum(step - reach, 0), np.minimum(step + reach, len(logits))
    around = sums[last] - sums[first]
    return around[:, _FIBRILLATION].max(1) - around[:, _CALM].max(1) > -margin * (last - first)


def read(logits: np.ndarray, windows: np.ndarray, constants: Constants) -> Reading:
    """Read windows. Args: logits: int64 (window, step, output); windows: their samples, whole numbers (window, sample),
    at any scale."""
    beats = [beats_of(answers, window, constants) for answers, window in zip(logits, windows, strict=True)]
    mean = window_logits(logits, constants.step)
    shares = softmax(corrected(mean, measures_of(beats, windows, constants), constants))
    waves = np.array([like_fibrillation(window) for window in windows], bool)
    return Reading(shares, energy_of(mean), beats, waves)


def window_logits(logits: np.ndarray, step: float) -> np.ndarray:
    """Mean over a window's steps of what speaks for each class, float64 (window, class and not an ECG)."""
    return logits[:, :, len(BEAT_OUTPUTS) :].sum(1) * (step / max(logits.shape[1], 1))


def measures_of(beats: list[Beats], windows: np.ndarray, constants: Constants) -> np.ndarray:
    """`beat_measures` of every window, float64 (window, feature)."""
    found = [
        beat_measures(b._replace(score=b.score * constants.step), refine(window, b.sample), len(window))
        for b, window in zip(beats, windows, strict=True)
    ]
    return np.array(found).reshape(len(found), len(FEATURES))


def energy_of(mean: np.ndarray) -> np.ndarray:
    """How foreign windows are, float64 (window,): minus the logarithm of the sum of the logits' powers.

    Source: Liu et al., Energy-based out-of-distribution detection, NeurIPS 2020.
    """
    peak = mean.max(1, initial=-np.inf, keepdims=True)
    return -(peak[:, 0] + np.log(np.exp(mean - peak).sum(1))) if len(mean) else np.zeros(0)


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
    if constants.out is None:
        return logits
    # Row by row: what is said of a window must not depend, to the last bit, on what else is in a batch.
    return logits + np.array([np.append(row, 1.0) @ constants.out for row in measures]).reshape(logits.shape)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Shares, float64 (window, output)."""
    powers = np.exp(logits - logits.max(1, keepdims=True, initial=-np.inf))
    return powers / powers.sum(1, keepdims=True)
