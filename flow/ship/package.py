"""The deploy folder: everything that a board needs for one network, with the hash of every file."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from board.codec import Codec
from board.handoff import Handoff
from board.manifest import MANIFEST, Manifest
from flow.build.products import REPOSITORY
from flow.build.provenance import git_revision, versions
from flow.ship import bitstream
from qmodel.errors import InputError
from qmodel.files import folder_beside, json_with, sha256
from qmodel.fixed_point import WINDOW_SAMPLES
from qmodel.frozen import FrozenNetwork

PYNQ = "3.0.1"  # the oldest image whose Python (3.10) runs this package
NETWORK, WINDOW, NOTEBOOK = "network.alq", "test_window.json", "on_board.ipynb"
PACKAGES = ("qmodel", "hls", "board", "flow")
WHEEL_TIMEOUT = 600  # seconds


def package(folder: Path, output: Path, wheel: Path | None = None) -> dict:
    """Write the deploy folder of a built bitstream; one that is there already is replaced at the very end.

    Args: folder: of `ecg-alq bitstream`; wheel: of this package, default built from the sources.
    Returns: the manifest. Raises: InputError: no bitstream, another design in it, or `output` holds something else.
    """
    design = bitstream.read_design(folder)
    if not bitstream.built(folder):
        raise InputError(f"{folder} holds no bitstream yet: {bitstream.result(folder)['next']}")
    network = FrozenNetwork.load(folder / NETWORK)
    codec = Codec(network, design["sample_bits"], design["logit_bits"])
    manifest = Manifest(
        identity=network.identity,
        network=NETWORK,
        bit=bitstream.BIT,
        hwh=bitstream.HWH,
        window=WINDOW,
        engine=design["engine"],
        part=design["part"],
        clock_mhz=design["clock_mhz"],
        core=bitstream.CORE,
        dma=bitstream.DMA,
        address=int(design["core_address"], 16),
        input_bits=design["sample_bits"],
        output_bits=design["logit_bits"],
        classes=class_names(network),
        pynq=PYNQ,
    )
    handoff = Handoff.read(folder / bitstream.HWH)
    problems = handoff.problems(manifest, codec.samples, codec.values)
    if problems:
        raise InputError(f"{folder / bitstream.HWH} is not of this design: {'; '.join(problems)}")
    made_with = {**versions(), "git_revision": git_revision(), "vivado": handoff.vivado}
    with folder_beside(output, json_with(MANIFEST, "format", "identity", "files"), "a deploy folder") as made:
        for name in (bitstream.BIT, bitstream.HWH, NETWORK):
            shutil.copyfile(folder / name, made / name)
        (made / WINDOW).write_text(json.dumps(test_window(network)) + "\n", "utf-8")
        import board

        shutil.copyfile(Path(str(board.__file__)).parent / "notebooks" / NOTEBOOK, made / NOTEBOOK)
        if wheel is None:
            build_wheel(made)
        else:
            shutil.copyfile(wheel, made / wheel.name)
        files = {path.name: sha256(path) for path in sorted(made.iterdir())}
        manifest = replace(manifest, versions=made_with, files=files)
        (made / MANIFEST).write_text(manifest.text, "utf-8")
    return json.loads(manifest.text)


def class_names(network: FrozenNetwork) -> tuple[str, ...]:
    """Names of a network's logits: its own, those of MIT-BIH where it has that shape, else none."""
    from qmodel.usage import Usage

    if network.class_names is not None:
        return network.class_names if network.output.length == 1 else ()
    try:
        return Usage.of(network).classes
    except InputError:
        return ()


def test_window(network: FrozenNetwork) -> dict:
    """A window whose logits are known: made-up ECG, or noise where the network takes another shape."""
    shape = Codec.of(network).shape
    if shape == (WINDOW_SAMPLES,):
        from qmodel.data.synthetic import synthetic_windows

        samples, source = synthetic_windows(per_class=1).signals[0], "synthetic ECG"
    else:
        samples, source = np.random.default_rng(0).integers(-400, 400, shape), "noise"
    logits = Codec.of(network).golden(samples)
    return {"source": source, "samples": samples.tolist(), "logits": logits.tolist()}


def build_wheel(folder: Path) -> Path:
    """Build this package's wheel from a copy of the sources, so that none of the build stays behind.

    Raises: InputError: these are no sources; ToolError: pip failed.
    """
    from hls.process import run

    if not (REPOSITORY / "pyproject.toml").is_file():
        raise InputError(f"{REPOSITORY} is not a source tree of ecg-alq: give its wheel with --wheel")
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "sources"
        for name in PACKAGES:
            shutil.copytree(REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copyfile(REPOSITORY / name, copy / name)
        command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
        command += ["--disable-pip-version-check", "--wheel-dir", temporary, str(copy)]
        run(command, Path(temporary), "pip.log", WHEEL_TIMEOUT)
        (built,) = Path(temporary).glob("*.whl")
        return Path(shutil.copyfile(built, folder / built.name))


def lines(manifest: dict, output: Path) -> list[str]:
    """The manifest for a terminal."""
    return [
        f"network {manifest['identity'][:12]}..., engine {manifest['engine']}, {manifest['clock_mhz']:g} MHz, "
        f"for PYNQ {manifest['pynq']} or later",
        f"{len(manifest['files'])} files and {MANIFEST}: {output}",
    ]
