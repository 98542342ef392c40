"""What must hold wherever the driver runs: in simulation against RTL and, with `pytest --board`, on a board."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from board.driver import ArrhythmiaOverlay, OverlayError
from board.manifest import MANIFEST
from qmodel.fixed_point import standardise


def _golden(overlay: ArrhythmiaOverlay, windows: np.ndarray) -> np.ndarray:
    return overlay.network.run(standardise(windows, overlay.network.input_format))


def window_of_the_folder(folder: Path, windows: np.ndarray, timeout_s: float) -> None:
    """The test window gives its expected logits."""
    with ArrhythmiaOverlay(folder, timeout_s) as overlay:
        test = json.loads((folder / overlay.manifest.window).read_text("utf-8"))
        logits = overlay.classify(np.array(test["samples"])).logits
    assert logits.tolist() == test["logits"]


def windows_equal_golden(folder: Path, windows: np.ndarray, timeout_s: float) -> None:
    """Windows in a row, then the first one three times: nothing of one frame reaches the next."""
    several = np.concatenate([windows, windows[:1], windows[:1]])
    with ArrhythmiaOverlay(folder, timeout_s) as overlay:
        results = overlay.classify_many(several)
        assert np.array_equal([result.logits for result in results], _golden(overlay, several))
        status = overlay.status()
        assert status["frames"] >= len(several)
        assert status["errors"] == 0
    for result in results:
        assert result.times.compute is not None
        assert result.times.compute >= overlay.codec.samples / (overlay.manifest.clock_mhz * 1e6)
        assert result.times.pack > 0


def tasks_take_turns(folder: Path, windows: np.ndarray, timeout_s: float) -> None:
    """The driver in `async` code."""

    async def work(overlay: ArrhythmiaOverlay) -> list:
        return await asyncio.gather(*(overlay.classify_async(window) for window in windows[:2]))

    with ArrhythmiaOverlay(folder, timeout_s) as overlay:
        results = asyncio.run(work(overlay))
        assert np.array_equal([result.logits for result in results], _golden(overlay, windows[:2]))


def another_network_is_refused(folder: Path, windows: np.ndarray, timeout_s: float) -> None:
    """A manifest of another network is refused before the first frame."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(shutil.copytree(folder, Path(temporary) / "deploy", ignore=shutil.ignore_patterns("lib")))
        with ArrhythmiaOverlay(copy, timeout_s) as overlay:
            frames = overlay.status()["frames"]
        changed = dataclasses.replace(overlay.manifest, identity="0" * 64)
        (copy / MANIFEST).write_text(changed.text)
        message = "accepted"
        try:
            ArrhythmiaOverlay(copy, timeout_s)
        except OverlayError as error:
            message = str(error)
        assert "the bitstream holds network" in message
        assert frames == 0


def bad_windows_are_refused(folder: Path, windows: np.ndarray, timeout_s: float) -> None:
    """Wrong windows raise, and the next right one is right."""
    with ArrhythmiaOverlay(folder, timeout_s) as overlay:
        for bad, kind in (
            (windows[0][:-1], ValueError),
            (windows[0] / 200, TypeError),
            (np.full(overlay.codec.samples, np.nan), ValueError),
        ):
            try:
                overlay.classify(bad)
            except kind:
                continue
            raise AssertionError(f"{bad.dtype} {bad.shape} was accepted")
        assert np.array_equal(overlay.classify(windows[0]).logits, _golden(overlay, windows[:1])[0])


CHECKS = {
    check.__name__: check
    for check in (
        window_of_the_folder,
        windows_equal_golden,
        tasks_take_turns,
        another_network_is_refused,
        bad_windows_are_refused,
    )
}
