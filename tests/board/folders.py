"""Deploy folders for tests: a network, its manifest, and stand-ins for what Vivado makes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from board.codec import Codec
from board.manifest import MANIFEST, Manifest
from board.simulation import hwh
from qmodel.files import sha256
from qmodel.fixed_point import INPUT_FORMAT, Format
from qmodel.frozen import FrozenNetwork, MaxPool, TimeSum
from tests.strategies import random_plane_layer

CLASSES = ("NSR", "APB", "PVC")


def ecg_network(seed: int = 3) -> FrozenNetwork:
    """A small network on whole windows, three classes."""
    rng = np.random.default_rng(seed)
    return FrozenNetwork(
        3600,
        INPUT_FORMAT,
        (
            random_plane_layer(rng, 1, 4, 8, stride=8, output=Format(4, 1, False)),
            MaxPool(4, 4),
            TimeSum(),
            random_plane_layer(rng, 4, len(CLASSES), 1, output=None),
        ),
    )


def windows(count: int, seed: int = 0, samples: int = 3600) -> np.ndarray:
    """ADC units, int16, shape (window, sample): noise on a slow wave."""
    rng = np.random.default_rng(seed)
    wave = 300 * np.sin(np.arange(samples) / rng.uniform(20, 200, (count, 1)))
    return (wave + rng.normal(0, 40, (count, samples))).astype(np.int16)


def manifest_of(network: FrozenNetwork, **changes) -> Manifest:
    """A manifest without hashes."""
    codec = Codec.of(network)
    manifest = Manifest(
        identity=network.identity,
        network="network.alq",
        bit="ecg_alq.bit",
        hwh="ecg_alq.hwh",
        window="test_window.json",
        engine="rtl",
        part="xc7z020clg400-1",
        clock_mhz=100.0,
        core="ecg_alq_0",
        dma="axi_dma_0",
        address=0x43C0_0000,
        input_bits=codec.input_bits,
        output_bits=codec.output_bits,
        classes=CLASSES,
        pynq="3.0.1",
    )
    return dataclasses.replace(manifest, **changes)


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """The manifest with the hashes of what lies in the folder, written into it."""
    names = (path.name for path in sorted(folder.iterdir()) if path.is_file())
    files = {name: sha256(folder / name) for name in names if name != MANIFEST and not name.startswith(".")}
    manifest = dataclasses.replace(manifest, files=files)
    (folder / MANIFEST).write_text(manifest.text)
    return manifest


def deploy_folder(folder: Path, network: FrozenNetwork, module: str = "ecg_alq", **changes) -> Path:
    """A folder as `ecg-alq package` writes it, whose bitstream is a stand-in."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = manifest_of(network, **changes)
    network.save(folder / manifest.network)
    (folder / manifest.bit).write_bytes(b"not a real bitstream")
    hwh.write(folder / manifest.hwh, manifest, module)
    window = windows(1, 9, network.input_length)[0]
    codec = Codec.of(network)
    from qmodel.fixed_point import standardise

    logits = network.run(standardise(window, network.input_format)[None])[0]
    assert codec.values == len(logits)
    (folder / manifest.window).write_text(
        json.dumps({"samples": window.tolist(), "logits": logits.tolist(), "source": "made up for tests"})
    )
    write_manifest(folder, manifest)
    return folder
