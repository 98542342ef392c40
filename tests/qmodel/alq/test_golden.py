"""`python -m qmodel.alq.golden`: a file by a plain implementation passes, and every damaged array fails its move."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from qmodel.alq import golden

SHARED = Path(__file__).parents[4] / "shared" / "data" / "alq_golden.npz"


def plain_sketch(w: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """One group, by loops and numpy.linalg.lstsq; planes that are not needed are left out."""
    signs: list[np.ndarray] = []
    residual, alpha = w, np.zeros(0)
    for _ in range(bits):
        if residual @ residual < 1e-6 * (w @ w):
            break
        signs.append(np.where(residual >= 0, 1.0, -1.0))
        alpha = np.linalg.lstsq(np.stack(signs, 1), w, rcond=None)[0]
        residual = w - np.stack(signs, 1) @ alpha
    b = np.stack(signs) * np.where(alpha < 0, -1, 1)[:, None]
    order = np.argsort(np.abs(alpha))
    return b[order], np.abs(alpha)[order]


def make_case(number: int, kind: str, structure: str, shape: tuple[int, ...], bits: int, parts: int, share: float):
    """A case of the file's layout, computed group by group in float64."""
    random = np.random.default_rng(number)
    if kind == "fc":
        grouped_shape = (shape[0], parts, shape[1] // parts)
    else:
        f, c, k = shape
        grouped_shape = {"kernelwise": (f, c, k), "pixelwise": (f, k, c), "channelwise": (f, 1, c * k)}[structure]

    def original(a: np.ndarray) -> np.ndarray:
        if kind == "conv" and structure == "pixelwise":
            return a.transpose(0, 2, 1)
        return a.reshape(shape)

    w, g = random.normal(0, 0.3, grouped_shape), random.normal(0, 0.1, grouped_shape)
    h = random.uniform(0.05, 0.6, grouped_shape)
    lead = grouped_shape[:2]
    signs, alpha = np.ones((*lead, bits, grouped_shape[2])), np.zeros((*lead, bits))
    for i, j in np.ndindex(lead):
        b, a = plain_sketch(w[i, j], bits)
        signs[i, j, : len(a)], alpha[i, j, : len(a)] = b, a
    live = alpha > 0
    ga, ha = np.einsum("fgin,fgn->fgi", signs, g), np.einsum("fgin,fgn->fgi", signs**2, h)
    score = -ga * alpha + ha * alpha**2 / 2
    mask = live.copy().reshape(-1)
    ranked = sorted(np.flatnonzero(live), key=lambda p: score.reshape(-1)[p])
    mask[ranked[: int(share * live.sum())]] = False
    mask = mask.reshape(live.shape)
    left = alpha * mask
    pruned = np.einsum("fgi,fgin->fgn", left, signs)
    bases, refit_w, refit_a = np.zeros_like(w), np.zeros_like(w), np.zeros_like(alpha)
    combos = np.array(list(product([-1.0, 1.0], repeat=bits)))
    for i, j in np.ndindex(lead):
        target = pruned[i, j] - g[i, j] / h[i, j]
        levels = combos @ left[i, j]
        chosen = combos[np.abs(target[:, None] - levels).argmin(1)]
        bases[i, j] = chosen @ left[i, j]
        b = chosen * mask[i, j]
        gram = b.T @ np.diag(h[i, j]) @ b + 1e-6 * np.eye(bits)
        a = np.linalg.solve(gram, b.T @ (h[i, j] * pruned[i, j] - g[i, j]))
        refit_w[i, j], refit_a[i, j] = b @ a, np.abs(a)
    meta = {
        "case": number, "kind": kind, "weight_shape": list(shape), "structure": structure, "max_bits": bits,
        "n_subchannel": parts, "prune_fraction": share,
    }  # fmt: skip
    arrays = {
        "w": original(w), "sketch_alpha": alpha, "sketch_mask": live, "sketch_B": signs.astype(np.int8),
        "sketch_w": original(np.einsum("fgi,fgin->fgn", alpha, signs)), "grad": original(g), "hess": original(h),
        "grad_alpha": ga, "hess_alpha": ha, "importance": score, "pruned_mask": mask, "pruned_w": original(pruned),
        "basis_w": original(bases), "speedup_alpha_abs": refit_a, "speedup_w_grouped": refit_w,
    }  # fmt: skip
    return meta, arrays


@pytest.fixture
def cases():
    return [
        make_case(0, "conv", "kernelwise", (5, 3, 9), 4, 0, 0.0),
        make_case(1, "conv", "pixelwise", (4, 8, 3), 3, 0, 0.4),
        make_case(2, "conv", "channelwise", (6, 4, 5), 3, 0, 0.6),
        make_case(3, "fc", "subchannelwise", (7, 24), 2, 3, 0.5),
        make_case(4, "conv", "kernelwise", (3, 2, 2), 3, 0, 0.2),  # two weights: the sketch stops early
    ]


def write(path, cases):
    arrays = {f"case{meta['case']}/{name}": array for meta, values in cases for name, array in values.items()}
    np.savez(path, meta=np.array(json.dumps([meta for meta, _ in cases])), **arrays)
    return str(path)


def test_a_file_by_a_plain_implementation_passes(cases, tmp_path, capsys):
    assert golden.main([write(tmp_path / "cases.npz", cases)]) == 0
    assert "all moves pass" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("array", "move"),
    [
        ("sketch_w", "sketch"),
        ("grad_alpha", "gradient"),
        ("hess_alpha", "hessian"),
        ("importance", "importance"),
        ("pruned_w", "prune"),
        ("basis_w", "bases"),
        ("speedup_alpha_abs", "refit"),
        ("speedup_w_grouped", "refit"),
    ],
)
def test_every_damaged_array_fails_its_move(cases, tmp_path, capsys, array, move):
    values = cases[2][1][array]
    values[...] += 0.01 * np.abs(values).max()
    assert golden.main([write(tmp_path / "cases.npz", cases)]) == 1
    assert move in capsys.readouterr().out.splitlines()[-1]


def test_files_that_are_none(tmp_path, capsys):
    text = tmp_path / "text.npz"
    text.write_text("no archive")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    for path in (text, tmp_path / "other.npz", tmp_path / "missing.npz"):
        assert golden.main([str(path)]) == 2
        assert str(path) in capsys.readouterr().err


@pytest.mark.skipif(not SHARED.exists(), reason="the reference cases are not on this machine")
def test_reference_cases_pass():
    """Cases of the public reference implementation (with its two faults mended), seven tensors."""
    results = golden.check(str(SHARED))
    assert len(results) == 7
    assert max(error for errors in results for error in errors.values()) < 1e-4
