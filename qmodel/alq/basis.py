"""The algebra of multi-bit binary bases, w = sum_i alpha_i b_i with b_i in {-1, +1}, for all groups at once.

Shapes, with any leading axes "..." (filters, groups):
    weights     (..., weight)           real weights of a group
    coordinates (..., plane)            alpha >= 0; a pruned plane has coordinate 0
    signs       (..., plane, weight)    b as -1.0 or +1.0

Every function takes NumPy arrays or tensors (keras.ops), computes in their precision and has no loop over groups.
Source: Qu, Zhou, Cheng, Thiele, Adaptive Loss-aware Quantization for Multi-bit Networks, CVPR 2020 (arXiv 1912.08883).
"""

from __future__ import annotations

import numpy as np
from keras import ops

from qmodel.arrays import Array
from qmodel.errors import InputError

GROUPINGS = ("channelwise", "pixelwise", "kernelwise", "subchannels")
SKETCH_TOLERANCE = 1e-6  # of the weights' squared norm: where the greedy fit stops (paper, Algorithm 1)
RIDGE = 1e-6  # on the diagonal of the normal equations: keeps nearly equal bases solvable


def groups_per_filter(kernel_shape: tuple[int, ...], grouping: str, subchannels: int = 1) -> int:
    """Groups of one filter of a kernel (tap, channel, filter) or (input, filter).

    Raises: InputError: unknown grouping, or subchannels that do not divide the filter's weights.
    """
    taps, channels = (kernel_shape[0], kernel_shape[1]) if len(kernel_shape) == 3 else (1, kernel_shape[0])
    if grouping not in GROUPINGS:
        raise InputError(f"grouping must be one of {', '.join(GROUPINGS)}, received {grouping!r}")
    groups = {"channelwise": 1, "pixelwise": taps, "kernelwise": channels, "subchannels": subchannels}[grouping]
    if groups < 1 or taps * channels % groups:
        divisors = [d for d in range(1, taps * channels + 1) if taps * channels % d == 0]
        raise InputError(f"subchannels must divide {taps * channels} weights ({divisors}), received {subchannels}")
    return groups


def to_groups(kernel: Array, grouping: str, subchannels: int = 1) -> Array:
    """Reorder a Keras kernel (tap, channel, filter) or (input, filter) into groups (filter, group, weight).

    kernelwise: the taps of one (channel, filter); pixelwise: the channels of one (tap, filter); channelwise: all
    weights of a filter; subchannels: equal runs of a filter's weights, channels fastest.
    """
    groups = groups_per_filter(tuple(kernel.shape), grouping, subchannels)
    order = (2, 1, 0) if grouping == "kernelwise" and len(kernel.shape) == 3 else (2, 0, 1)
    filter_first = ops.transpose(kernel, order if len(kernel.shape) == 3 else (1, 0))
    return ops.reshape(filter_first, (kernel.shape[-1], groups, -1))


def from_groups(weights: Array, kernel_shape: tuple[int, ...], grouping: str) -> Array:
    """Inverse of `to_groups`."""
    if len(kernel_shape) == 2:
        return ops.transpose(ops.reshape(weights, (kernel_shape[1], kernel_shape[0])), (1, 0))
    taps, channels, filters = kernel_shape
    if grouping == "kernelwise":
        return ops.transpose(ops.reshape(weights, (filters, channels, taps)), (2, 1, 0))
    return ops.transpose(ops.reshape(weights, (filters, taps, channels)), (1, 2, 0))


def reconstruct(signs: Array, coordinates: Array) -> Array:
    """Weights B alpha, shape (..., weight); a group whose coordinates are all zero gives zeros."""
    return ops.sum(signs * coordinates[..., None], axis=-2)


def sketch(weights: Array, max_bits: int, tolerance: float = SKETCH_TOLERANCE) -> tuple[Array, Array]:
    """Fit binary bases greedily: next basis = sign of the residual, then least squares over all bases so far.

    A group stops early when its residual's squared norm falls below `tolerance` of its weights'; what is left are
    planes with coordinate 0. Negative coordinates flip their basis; coordinates are sorted ascending.

    Args: weights: (..., weight); max_bits: planes per group at most.
    Returns: signs (..., plane, weight), coordinates (..., plane).
    Source: CVPR 2020 paper, Algorithm 1 ("Sketch").
    """
    weights = ops.convert_to_tensor(weights)
    energy = ops.sum(weights * weights, -1, keepdims=True)
    residual, planes = weights, []
    coordinates = None
    for _ in range(max_bits):
        active = ops.cast(ops.sum(residual * residual, -1, keepdims=True) > tolerance * energy, weights.dtype)
        planes.append((ops.cast(residual >= 0, weights.dtype) * 2 - 1) * active)  # a finished group gets empty planes
        signs = ops.stack(planes, axis=-2)
        coordinates = _solve(signs, ops.ones_like(weights), weights, RIDGE * RIDGE)
        residual = weights - reconstruct(signs, coordinates)
    order = ops.argsort(ops.abs(coordinates), axis=-1)
    signs = ops.take_along_axis(signs, order[..., None], axis=-2)
    coordinates = ops.take_along_axis(coordinates, order, axis=-1)
    return flip_negative(ops.where(signs == 0, ops.ones_like(signs), signs), coordinates)


def flip_negative(signs: Array, coordinates: Array) -> tuple[Array, Array]:
    """Make all coordinates non-negative by flipping the bases of negative ones; B alpha does not change."""
    signs, negative = ops.convert_to_tensor(signs), ops.convert_to_tensor(coordinates) < 0
    return ops.where(negative[..., None], -signs, signs), ops.abs(coordinates)


def coordinate_gradient(signs: Array, gradient: Array) -> Array:
    """Gradient with respect to the coordinates, B' dL/dw, shape (..., plane)."""
    return ops.sum(signs * gradient[..., None, :], axis=-1)


def coordinate_hessian(signs: Array, hessian: Array) -> Array:
    """Diagonal of B' H B for a diagonal H (..., weight), shape (..., plane)."""
    return ops.sum(signs * signs * hessian[..., None, :], axis=-1)


def importance(coordinates: Array, gradient: Array, hessian: Array) -> Array:
    """Modelled loss change when a plane is removed: -g_i alpha_i + H_ii alpha_i^2 / 2, shape (..., plane).

    Source: CVPR 2020 paper, eq. 9.
    """
    return -gradient * coordinates + 0.5 * hessian * coordinates * coordinates


def preference(scores: np.ndarray, saved: np.ndarray | float) -> np.ndarray:
    """What goes first when planes are pruned (smallest first): least modelled loss increase per unit saved.

    A plane whose removal lowers the loss is the more welcome the more it saves. A quotient would turn that round, so
    there it is a product, which stays below every quotient of a positive score.
    Args: scores: modelled loss changes of `importance`; saved: what removing each plane saves, positive.
    """
    return np.where(scores > 0, scores / saved, scores * saved)


def prune(coordinates: np.ndarray, scores: np.ndarray, number: int) -> np.ndarray:
    """Set the `number` live coordinates with the smallest scores to zero; pruned ones (0) are never ranked.

    Args: coordinates, scores: NumPy, same shape. Returns: new coordinates.
    """
    live = np.flatnonzero(coordinates)
    gone = live[np.argsort(scores.reshape(-1)[live], kind="stable")[:number]]
    pruned = coordinates.copy().reshape(-1)
    pruned[gone] = 0
    return pruned.reshape(coordinates.shape)


def nearest_signs(target: Array, coordinates: Array) -> Array:
    """For fixed coordinates, the sign combination nearest to each weight out of the 2**planes.

    Args: target: (..., weight). Returns: signs (..., plane, weight).
    Source: CVPR 2020 paper, "Optimize binary bases", eq. 12.
    """
    target, coordinates = ops.convert_to_tensor(target), ops.convert_to_tensor(coordinates)
    planes = coordinates.shape[-1]
    # Levels come in pairs +-L, so half of them, made positive, and the weight's magnitude are enough. Bit i of a
    # combination's number is the sign of plane i; its complement has the opposite level.
    numbers = np.arange(1 << (planes - 1), dtype=np.int32)[:, None]
    table = (numbers >> np.arange(planes) & 1) * 2 - 1
    levels = ops.sum(coordinates[..., None, :] * ops.cast(table, target.dtype), -1, keepdims=True)
    numbers = ops.where(levels < 0, (1 << planes) - 1 - numbers, numbers)
    distance = ops.abs(ops.abs(target)[..., None, :] - ops.abs(levels))  # (..., combination, weight)
    # Two plain reductions over a leading axis, which compilers vectorise; an argmin they do not.
    nearest = distance == ops.min(distance, axis=-2, keepdims=True)
    best = ops.max(ops.where(nearest, numbers, -1), axis=-2)
    bits = [ops.bitwise_and(ops.right_shift(best, i), 1) for i in range(planes)]
    signs = ops.cast(ops.stack(bits, axis=-2), target.dtype) * 2 - 1
    return ops.where(target[..., None, :] < 0, -signs, signs)


def quadratic_target(weights: Array, gradient: Array, hessian: Array) -> Array:
    """Optimum of the quadratic model g.d + d'Hd/2 around the weights: w - g / H, elementwise."""
    return weights - gradient / hessian


def refit(
    signs: Array, coordinates: Array, weights: Array, gradient: Array, hessian: Array, ridge: float = RIDGE
) -> Array:
    """Coordinates of the quadratic model's optimum for fixed bases: (B'HB + ridge) alpha = B'(Hw - g), then flips.

    Pruned planes (coordinate 0) stay pruned. Returns: signs, coordinates.
    Source: CVPR 2020 paper, eq. 13 ("speed-up").
    """
    signs, coordinates = ops.convert_to_tensor(signs), ops.convert_to_tensor(coordinates)
    weights, gradient, hessian = (ops.convert_to_tensor(a) for a in (weights, gradient, hessian))
    live = ops.cast(coordinates > 0, signs.dtype)
    masked = signs * live[..., None]
    solved = _solve(masked, hessian, weights - gradient / hessian, ridge) * live
    return flip_negative(signs, solved)


def _solve(signs: Array, hessian: Array, target: Array, ridge: float) -> Array:
    """Weighted least squares of `target` on the planes; an empty plane gets coordinate 0.

    Cholesky's factorisation (L D L'), unrolled over the at most eight planes: every operation is on all groups at once,
    and compiled into one pass it takes a fifth of the time of a batched library call on so small matrices.
    """
    size = signs.shape[-2]
    plane = [signs[..., i, :] for i in range(size)]
    weighted = [p * hessian for p in plane]
    gram = [[ops.sum(weighted[i] * plane[j], -1) for j in range(i + 1)] for i in range(size)]
    right = [ops.sum(weighted[i] * target, -1) for i in range(size)]
    pivot: list = []
    lower: list[list] = []
    for i in range(size):
        row: list = []
        for j in range(i):
            rest = gram[i][j] - sum(row[k] * lower[j][k] * pivot[k] for k in range(j))
            row.append(rest / pivot[j])
        empty = ops.cast(gram[i][i] == 0, gram[i][i].dtype)  # its pivot must not be zero
        pivot.append(gram[i][i] + ridge + empty - sum(row[k] ** 2 * pivot[k] for k in range(i)))
        lower.append(row)
    for i in range(size):
        right[i] = right[i] - sum(lower[i][k] * right[k] for k in range(i))
    solution: list = [None] * size
    for i in reversed(range(size)):
        solution[i] = right[i] / pivot[i] - sum(lower[k][i] * solution[k] for k in range(i + 1, size))
    return ops.stack(solution, axis=-1)
