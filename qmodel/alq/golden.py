"""Check the ALQ moves against a file of numeric cases: `python -m qmodel.alq.golden FILE.npz`.

The file's `meta` entry is a JSON list of cases (case, kind, weight_shape, structure, max_bits, n_subchannel,
prune_fraction); the other entries are arrays `caseN/NAME`, convolution weights in the order (out, in, tap), dense ones
(out, in). Every move starts from the file's own arrays, so one wrong move does not hide another.
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile

import numpy as np

from qmodel.alq import basis
from qmodel.arrays import Array
from qmodel.errors import InputError

TOLERANCE = 1e-4  # relative to the largest magnitude of the expected array
MOVES = ("sketch", "gradient", "hessian", "importance", "prune", "bases", "refit")


def grouped(weights: np.ndarray, structure: str, subchannels: int) -> np.ndarray:
    """(out, in, tap) or (out, in) to float64 (filter, group, weight), in the file's order inside a group."""
    weights = np.asarray(weights, np.float64)
    if weights.ndim == 2:
        return weights.reshape(len(weights), subchannels, -1)
    filters = len(weights)
    if structure == "kernelwise":
        return weights
    if structure == "pixelwise":
        return weights.transpose(0, 2, 1)
    if structure == "channelwise":
        return weights.reshape(filters, 1, -1)
    if structure == "subchannelwise":
        return weights.reshape(filters, subchannels, -1)
    raise InputError(f"structure must be kernelwise, pixelwise, channelwise or subchannelwise, received {structure!r}")


def error(received: Array, expected: Array) -> float:
    """Largest difference relative to the largest expected magnitude; infinite where a value is not finite."""
    received, expected = np.asarray(received, np.float64), np.asarray(expected, np.float64)
    worst = np.abs(received - expected).max(initial=0.0) / max(np.abs(expected).max(initial=0.0), 1e-30)
    return float(worst) if np.isfinite(received).all() else float("inf")


def check_case(arrays: dict[str, np.ndarray], meta: dict) -> dict[str, float]:
    """Worst relative error of every move on one case.

    Args: arrays: the case's entries without their `caseN/` prefix; meta: its entry of the file's `meta`.
    """

    def group(name: str) -> np.ndarray:
        return grouped(arrays[name], meta["structure"], meta["n_subchannel"])

    def close(name: str, received: Array) -> float:
        return error(received, arrays[name])

    live = arrays["sketch_mask"].astype(bool)
    signs = arrays["sketch_B"].astype(np.float64)
    coordinates = np.where(live, arrays["sketch_alpha"], 0).astype(np.float64)
    gradient, hessian = group("grad"), group("hess")

    own_signs, own = (np.asarray(a) for a in basis.sketch(group("w"), meta["max_bits"]))
    sketch = max(
        error(np.sort(own, -1), np.sort(coordinates, -1)),
        error(basis.reconstruct(own_signs, own), group("sketch_w")),
    )
    own_gradient = np.asarray(basis.coordinate_gradient(signs, gradient))
    own_hessian = np.asarray(basis.coordinate_hessian(signs, hessian))
    scores = np.asarray(basis.importance(coordinates, own_gradient, own_hessian))
    masked_scores = np.where(live, scores, 0)
    pruned = basis.prune(coordinates, scores, int(meta["prune_fraction"] * live.sum()))
    # Starting point of move 3: what pruning left.
    left = np.where(arrays["pruned_mask"].astype(bool), coordinates, 0)
    weights = group("pruned_w")
    nearest = basis.nearest_signs(basis.quadratic_target(weights, gradient, hessian), left)
    refit_signs, refit = basis.refit(nearest, left, weights, gradient, hessian)
    return {
        "sketch": sketch,
        "gradient": error(np.where(live, own_gradient, 0), np.where(live, arrays["grad_alpha"], 0)),
        "hessian": error(np.where(live, own_hessian, 0), np.where(live, arrays["hess_alpha"], 0)),
        "importance": error(masked_scores, np.where(live, arrays["importance"], 0)),
        "prune": max(
            float((pruned > 0).sum() != left.astype(bool).sum()),
            error(basis.reconstruct(signs, pruned), weights),
        ),
        "bases": error(basis.reconstruct(nearest, left), group("basis_w")),
        "refit": max(
            close("speedup_alpha_abs", refit),
            error(basis.reconstruct(refit_signs, refit), arrays["speedup_w_grouped"]),
        ),
    }


def check(path: str) -> list[dict[str, float]]:
    """Worst relative error of every move for every case of the file. Raises: ValueError, KeyError: not such a file."""
    with np.load(path, allow_pickle=False) as file:
        if "meta" not in file.files:
            raise InputError(f"{path} has no `meta` entry: it is not a file of ALQ cases")
        cases = json.loads(str(file["meta"]))
        results = []
        for case in cases:
            prefix = f"case{case['case']}/"
            arrays = {name.removeprefix(prefix): file[name] for name in file.files if name.startswith(prefix)}
            results.append(check_case(arrays, case))
    return results


def main(arguments: list[str] | None = None) -> int:
    """Print a table of worst errors; return 0 when every move of every case is within the tolerance."""
    parser = argparse.ArgumentParser(prog="python -m qmodel.alq.golden", description=__doc__.splitlines()[0])
    parser.add_argument("file", help="npz file of cases")
    path = parser.parse_args(arguments).file
    try:
        results = check(path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as problem:
        print(f"cannot check {path}: {problem}", file=sys.stderr)
        return 2
    if not results:
        print(f"cannot check {path}: its `meta` entry lists no case", file=sys.stderr)
        return 2
    print("case  " + "  ".join(f"{move:>10}" for move in MOVES))
    for number, errors in enumerate(results):
        print(f"{number:>4}  " + "  ".join(f"{errors[move]:>10.1e}" for move in MOVES))
    worst = {move: max(errors[move] for errors in results) for move in MOVES}
    print("worst " + "  ".join(f"{worst[move]:>10.1e}" for move in MOVES))
    failed = [move for move in MOVES if not worst[move] <= TOLERANCE]
    print(f"tolerance {TOLERANCE:.0e} relative: " + (f"FAILED in {', '.join(failed)}" if failed else "all moves pass"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
