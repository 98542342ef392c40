"""Premature beats made up, atrial and ventricular ones, in training windows of sinus rhythm.

A window's class often rests on a single beat, and a record that has few of them teaches little. An atrial premature
beat is a normal beat that comes early, so here time is warped; a ventricular beat has a shape of its own, so one is
taken from another training window, of whichever record. Nothing is read but training windows and their annotations.
"""

from __future__ import annotations

import numpy as np

from qmodel.data.annotations import BEATS, BIN_SAMPLES
from qmodel.data.fragments import CLASSES

# Samples around an annotated QRS complex at 360 Hz.
P_WAVE = 65  # before: where the P wave begins
QRS_END = 80  # after: the QRS complex is over, a very early beat may fall into the T wave
T_END = 130  # after: the T wave is over
BEFORE_SHAPE, AFTER_SHAPE = 80, 170  # of a ventricular beat
_FROM_END = np.minimum(np.arange(BEFORE_SHAPE + AFTER_SHAPE), np.arange(BEFORE_SHAPE + AFTER_SHAPE)[::-1])
TAPER = np.minimum(1, _FROM_END / 20).astype(np.float32)  # a shape begins and ends at zero
MOST_EARLY = 0.45  # of the interval before the beat
LAST = 0.25  # share of made beats that are the window's last, which the network sees without their pause

Made = tuple[np.ndarray, np.ndarray, int]  # signal (sample,), samples of the normal beats and of the premature one


def ventricular_shapes(signals: np.ndarray, beats: np.ndarray) -> np.ndarray:
    """Shapes of all ventricular beats that lie whole in a window, without the straight line through their ends.

    Args: signals: (window, sample); beats: bool (window, bin, beat).  Returns: float32 (shape, sample).
    """
    windows, bins = np.nonzero(beats[:, :, list(BEATS).index("V")])
    middles = _middle(bins)
    whole = (middles >= BEFORE_SHAPE) & (middles + AFTER_SHAPE <= signals.shape[1])
    samples = middles[whole, None] + np.arange(-BEFORE_SHAPE, AFTER_SHAPE)
    shapes = signals[windows[whole, None], samples].astype(np.float32)
    line = np.linspace(0, 1, shapes.shape[1], dtype=np.float32)
    return (shapes - shapes[:, :1] * (1 - line) - shapes[:, -1:] * line) * TAPER


def make_premature(
    signals: np.ndarray,
    targets: np.ndarray,
    beats: np.ndarray,
    shapes: np.ndarray,
    share: float,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """In a share of the windows of sinus rhythm, normal beats alone, make one beat premature: windows of APB or PVC.

    Args: signals: float32 (window, sample); targets: class probabilities (window, class); beats: bool (window, bin,
        beat); shapes: of `ventricular_shapes`, none: atrial beats alone; share: of those windows; random: all draws.
    Returns: the three with the changed windows; the arguments are left as they are.
    """
    normal = list(BEATS).index("N")
    sinus = targets[:, CLASSES.index("NSR")] > 0.9
    sinus &= ~np.delete(beats, normal, axis=2).any((1, 2))
    signals, targets, beats = signals.copy(), targets.copy(), beats.copy()
    made: tuple[np.ndarray, np.ndarray, int] | None
    for window in np.flatnonzero(sinus & (random.random(len(signals)) < share)):
        places = _middle(np.flatnonzero(beats[window, :, normal]))
        if len(places) < 5:
            continue
        chosen = len(places) - 1 if random.random() < LAST else int(random.integers(2, len(places)))
        if len(shapes) and random.random() < 0.5:
            shape = shapes[random.integers(len(shapes))] * np.float32(random.uniform(0.7, 1.3))
            label, symbol, made = "PVC", "V", ventricular_beat(signals[window], places, chosen, shape, random)
        else:
            label, symbol, made = "APB", "A", early_beat(signals[window], places, chosen, random)
        if made is None:
            continue
        signals[window], others, place = made
        targets[window] = np.arange(len(CLASSES)) == CLASSES.index(label)
        beats[window] = False
        beats[window, others // BIN_SAMPLES, normal] = True
        beats[window, place // BIN_SAMPLES, list(BEATS).index(symbol)] = True
    return signals, targets, beats


def early_beat(signal: np.ndarray, places: np.ndarray, chosen: int, random: np.random.Generator) -> Made | None:
    """A normal beat comes early, with its P wave: an atrial premature beat.

    Time is compressed in the pause before it. The pause after it makes up for a random part of the time won, since a
    premature atrial beat resets the sinus node; what follows comes earlier by the rest.
    """
    samples, interval = len(signal), places[chosen] - places[chosen - 1]
    begin, end = places[chosen - 1] + QRS_END, places[chosen] - P_WAVE
    least, most = 0.15 * interval, min(0.75 * (end - begin), MOST_EARLY * interval)
    if most <= least:
        return None
    won = random.uniform(least, most)
    left = won * random.uniform()  # of the time won, after the pause that follows
    source, target = [0, begin, end], [0, begin, end - won]
    if chosen + 1 < len(places):
        rest, following = places[chosen] + T_END, places[chosen + 1] - P_WAVE
        if following <= rest:
            return None
        source += [rest, following, samples]
        target += [rest - won, following - left, samples - left]
    else:
        source, target = [*source, samples], [*target, samples - won]
    warped = np.interp(np.interp(np.arange(samples), target, source), np.arange(samples), signal)
    others = np.concatenate([places[:chosen], places[chosen + 1 :] - left]).astype(int)
    return warped, others, int(places[chosen] - won)


def ventricular_beat(
    signal: np.ndarray, places: np.ndarray, chosen: int, shape: np.ndarray, random: np.random.Generator
) -> Made:
    """An early beat of another shape in place of a normal one, with a compensatory pause: a ventricular one."""
    signal, samples = signal.copy(), len(signal)
    before, place = places[chosen - 1 : chosen + 1]
    last = chosen + 1 == len(places)
    begin, end = before + T_END, samples if last else places[chosen + 1] - P_WAVE
    if begin < end:
        levels = signal[begin], signal[begin if last else end]
        signal[begin:end] = np.interp(np.arange(begin, end), [begin, end], levels)
    early = int(place - random.uniform(0.1, MOST_EARLY) * (place - before))
    start, stop = max(0, early - BEFORE_SHAPE), min(samples, early + AFTER_SHAPE)
    signal[start:stop] += shape[start - early + BEFORE_SHAPE : stop - early + BEFORE_SHAPE]
    return signal, np.delete(places, chosen), early


def _middle(bins: np.ndarray) -> np.ndarray:
    """Samples in the middle of bins."""
    return bins * BIN_SAMPLES + BIN_SAMPLES // 2
