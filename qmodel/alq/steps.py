"""The moves of ALQ that need a gradient, on one layer's groups: moments, bases, coordinates, straight-through step.

Shapes as in `qmodel.alq.basis`. All functions are pure and run inside compiled training steps.
Source: CVPR 2020 paper (arXiv 1912.08883), Sections 4 and 5.
"""

from __future__ import annotations

from typing import NamedTuple

from keras import ops

from qmodel.alq import basis
from qmodel.arrays import Array

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # AMSGrad's usual constants


class Moments(NamedTuple):
    """Running moments of a gradient: first, second, and the largest second so far (AMSGrad)."""

    first: Array
    second: Array
    largest: Array


def update_moments(moments: Moments, gradient: Array) -> Moments:
    """Moments after one more gradient. Source: Reddi et al., On the Convergence of Adam and Beyond, ICLR 2018."""
    first = BETA_1 * moments.first + (1 - BETA_1) * gradient
    second = BETA_2 * moments.second + (1 - BETA_2) * gradient * gradient
    return Moments(first, second, ops.maximum(moments.largest, second))


def quadratic_model(moments: Moments, step: Array, learning_rate: Array) -> tuple[Array, Array]:
    """Gradient g and diagonal Hessian H of the loss model g.d + d'Hd/2, whose optimum is one optimiser step away.

    g is the bias-corrected first moment, H the root of the bias-corrected largest second moment over the learning rate.
    Args: step: number of gradients seen, from 1.
    """
    gradient = moments.first / (1 - BETA_1**step)
    hessian = (ops.sqrt(moments.largest / (1 - BETA_2**step)) + EPSILON) / learning_rate
    return gradient, hessian


def optimise_bases(weights: Array, coordinates: Array, gradient: Array, hessian: Array) -> tuple[Array, Array]:
    """Move 3: signs nearest to the quadratic model's optimum, then coordinates refitted, negative ones flipped.

    Args: weights: present weights B alpha. Returns: signs, coordinates.
    """
    signs = basis.nearest_signs(basis.quadratic_target(weights, gradient, hessian), coordinates)
    # The refit does not depend on the scale of (g, H); dividing by the mean of H gives the ridge a fixed meaning.
    scale = ops.mean(hessian, axis=-1, keepdims=True)
    return basis.refit(signs, coordinates, weights, gradient / scale, hessian / scale, ridge=1e-4)


def optimise_coordinates(
    coordinates: Array, moments: Moments, step: Array, learning_rate: Array
) -> tuple[Array, Moments, Array]:
    """Move 4: one AMSGrad step on the live coordinates; negative ones flip their basis.

    Returns: coordinates, moments (of the flipped bases), flips (-1.0 where a basis flips, else 1.0).
    """
    gradient, hessian = quadratic_model(moments, step, learning_rate)
    stepped = ops.where(coordinates > 0, coordinates - gradient / hessian, 0.0)
    flips = ops.where(stepped < 0, -1.0, 1.0)
    return ops.abs(stepped), moments._replace(first=moments.first * flips), flips


def straight_through(latent: Array, coordinates: Array, gradient: Array, hessian: Array) -> tuple[Array, Array, Array]:
    """Move 5: step the full-precision weights, then quantise them as in move 3. Returns: latent, signs, coordinates."""
    latent = basis.quadratic_target(latent, gradient, hessian)
    signs, coordinates = optimise_bases(latent, coordinates, ops.zeros_like(latent), hessian)
    return latent, signs, coordinates
