"""Fits the constants of `qmodel.reading` on persons whom the network that is asked has never met.

The correction by the beats' measures, the temperature and the thresholds belong to a network, but a network is too sure
of persons it was trained on. So they are fitted on the answers that its forerunner, trained without MIT-BIH, gives to
MIT-BIH's persons; only then does the network learn from those too.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from qmodel.reading import BEAT_OUTPUTS, FEATURES, OUTPUTS, VENTRICULAR, Constants, energy_of, softmax

CLASSES = len(OUTPUTS) - len(BEAT_OUTPUTS)  # and not an ECG
PARTS = 5  # of the persons, for a temperature on persons that the correction was not fitted on
# Of the correction, to its square; windows' weights sum to one. Least loss on persons apart, of 1e-2 to 1e-5.
DECAY = 5e-4
FOREIGN_WEIGHT = 0.1  # of windows that are no ECG, all together
REFUSED = 0.003  # share of windows of an ECG that may be refused as none
UNLIKE = 0.003  # share that may be called unlike the training data
LEAST_FOREIGN = 0.1


class Answers(NamedTuple):
    """What a network answers to windows, and what their labels leave possible.

    Args: mean: logits float64 (window, class and not an ECG); measures: (window, feature); allowed: bool, as mean;
        person: str (window,), empty: no ECG.
    """

    mean: np.ndarray
    measures: np.ndarray
    allowed: np.ndarray
    person: np.ndarray

    def some(self, chosen: np.ndarray) -> Answers:
        """Those windows alone."""
        return Answers(*(values[chosen] for values in self))


def fit(answers: Answers, step: float, **given) -> Constants:
    """Constants for windows, every person as much as the square root of their windows.

    Args: step: of a logit; given: other constants.
    """
    answers = answers.some(answers.allowed.any(1))
    real = answers.person != ""
    persons = np.unique(answers.person[real])
    part = np.random.default_rng(0).permutation(len(persons)) % PARTS
    part_of = dict(zip(persons, part))
    own = np.array([part_of.get(name, i % PARTS) for i, name in enumerate(answers.person)])
    logits = np.zeros_like(answers.mean)
    for k in range(PARTS):
        scale, out = _correction(answers.some(own != k))
        logits[own == k] = _logits(answers.some(own == k), scale, out)
    temperature = _temperature(logits[real], answers.allowed[real])
    scale, out = _correction(answers)
    constants = Constants(step, temperature=temperature / scale, out=out / temperature, **given)
    shares = softmax(logits / temperature)
    guard = shares[:, VENTRICULAR].sum(1) < constants.ventricular
    foreign = max(LEAST_FOREIGN, float(np.quantile(np.where(guard, shares[:, -1], 0)[real], 1 - REFUSED)))
    energy = float(np.quantile(energy_of(answers.mean[real]), 1 - UNLIKE))
    return constants.rounded(foreign=round(foreign, 4), energy=round(energy, 4))


def _weights(person: np.ndarray) -> np.ndarray:
    _, inverse, count = np.unique(person, return_inverse=True, return_counts=True)
    weight = count[inverse] ** -0.5
    real = person != ""
    weight[real] *= (1 - FOREIGN_WEIGHT * (~real).any()) / weight[real].sum()
    if (~real).any():
        weight[~real] = FOREIGN_WEIGHT / (~real).sum()
    return weight


def _logits(answers: Answers, scale: float, out: np.ndarray) -> np.ndarray:
    return scale * answers.mean + np.pad(answers.measures, ((0, 0), (0, 1)), constant_values=1) @ out


def _inside(logits: np.ndarray, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Minus the logarithm of the share inside the allowed set (window,), and its gradient (window, class)."""
    shares = softmax(logits)
    inside = np.where(allowed, shares, 0)
    total = np.maximum(inside.sum(1), 1e-12)
    return -np.log(total), shares - inside / total[:, None]


def _correction(answers: Answers) -> tuple[float, np.ndarray]:
    """Scale of the logits and matrix (feature + 1, class) of least loss."""
    weight = _weights(answers.person)
    features = np.pad(answers.measures, ((0, 0), (0, 1)), constant_values=1)

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        scale, out = np.exp(values[0]), values[1:].reshape(-1, CLASSES)
        each, slope = _inside(_logits(answers, scale, out), answers.allowed)
        slope *= weight[:, None]
        by_scale = scale * float((slope * answers.mean).sum())
        by_out = features.T @ slope + 2 * DECAY * out
        return float(weight @ each + DECAY * (out**2).sum()), np.append(by_scale, by_out.ravel())

    start = np.zeros(1 + (len(FEATURES) + 1) * CLASSES)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300})
    return float(np.exp(found.x[0])), found.x[1:].reshape(-1, CLASSES)


def _temperature(logits: np.ndarray, allowed: np.ndarray) -> float:
    def loss(value: np.ndarray) -> float:
        return float(_inside(logits / np.exp(value[0]), allowed)[0].mean())

    return float(np.exp(minimize(loss, np.zeros(1), method="Nelder-Mead").x[0]))
