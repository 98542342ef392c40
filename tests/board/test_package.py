"""The deploy folder, the wheel in it, an installation into a bare environment, and the notebook."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

import board
from board.codec import Codec
from board.driver import ArrhythmiaOverlay
from board.manifest import MANIFEST, Manifest
from board.simulation import hwh
from board.simulation.model import Board, installed, stand_in
from flow.cli.main import main
from flow.ship import bitstream, package
from qmodel import models
from qmodel.errors import InputError
from qmodel.fixed_point import INPUT_FORMAT, Format
from qmodel.frozen import FrozenNetwork, TimeSum
from tests.board.folders import deploy_folder, ecg_network, manifest_of
from tests.strategies import random_plane_layer

NOTEBOOK = Path(board.__file__).parent / "notebooks" / package.NOTEBOOK
HEAVY = ("tensorflow", "keras", "qkeras", "hls4ml", "wfdb", "sklearn", "matplotlib", "pynq", "serial", "hls", "flow")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """This package's wheel, built from the sources."""
    return package.build_wheel(tmp_path_factory.mktemp("wheel"))


def built_design(network, folder, **options):
    """A folder of `ecg-alq bitstream` with stand-ins for what Vivado makes."""
    file = network.save(folder.parent / "any.alq")
    bitstream.write(file, folder, **options)
    (folder / bitstream.BIT).write_bytes(b"not a real bitstream")
    hwh.write(folder / bitstream.HWH, manifest_of(network), "alq_pynq_rtl")
    return folder


def test_the_driver_imports_with_numpy_alone():
    code = (
        "import sys\n"
        f"for name in {HEAVY}: sys.modules[name] = None  # importing it raises ImportError\n"
        "import board.driver, board.doctor, board.handoff, board.codec\n"
        "ours = {'.'.join(n.split('.')[:2]) for n in sys.modules if n.startswith('qmodel.')}\n"
        "assert ours == {'qmodel.errors', 'qmodel.fixed_point', 'qmodel.frozen', 'qmodel.files'}, ours\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(board.__file__).parents[1])


@pytest.mark.slow
def test_the_deploy_folder(wheel, tmp_path, capsys):
    network = models.load("compact")
    design = built_design(network, tmp_path / "bitstream")
    output = tmp_path / "deploy"
    options = ["--bitstream", str(design), "--output", str(output), "--wheel", str(wheel)]
    assert main(["package", *options]) == 0
    assert f"network {network.identity[:12]}" in capsys.readouterr().out
    names = {path.name for path in output.iterdir()}
    assert names == {
        "ecg_alq.bit",
        "ecg_alq.hwh",
        "network.alq",
        "test_window.json",
        "on_board.ipynb",
        wheel.name,
        MANIFEST,
    }
    manifest = Manifest.load(output)
    assert set(manifest.files) == names - {MANIFEST}
    assert manifest.damaged(output) == []
    assert (manifest.identity, manifest.clock_mhz, len(manifest.classes)) == (network.identity, 100.0, 17)
    assert {"numpy", "python", "vivado", "git_revision"} <= manifest.versions.keys()
    with installed(stand_in(Board(network, Codec.of(network)))), ArrhythmiaOverlay(output) as overlay:
        window = json.loads((output / "test_window.json").read_text())
        result = overlay.classify(window["samples"])
        assert result.logits.tolist() == window["logits"]
        assert result.label in overlay.manifest.classes
    # again over itself, after a bitstream that is not of this design: the old folder stays
    hwh.write(design / bitstream.HWH, manifest_of(network, input_bits=32), "alq_pynq_rtl")
    assert main(["package", *options]) == 2
    assert "is not of this design: axi_dma_0 has c_m_axis_mm2s_tdata_width = 32" in capsys.readouterr().err
    assert manifest.damaged(output) == []


def test_a_network_of_ones_own_comes_through(tmp_path, capsys):
    """Two leads, 125 Hz, two classes of its own: packaged, checked, and run by the driver."""
    random = np.random.default_rng(5)
    layers = (
        random_plane_layer(random, 2, 4, 8, stride=4, output=Format(4, 1, False)),
        TimeSum(),
        random_plane_layer(random, 4, 2, 1, output=None),
    )
    told = {"classes": ["calm", "racing"], "rate_hz": 125, "leads": ["II", "V1"], "window_samples": 500}
    network = FrozenNetwork(500, INPUT_FORMAT, layers, 2, metadata=told)
    design, output, wheel = built_design(network, tmp_path / "bitstream"), tmp_path / "deploy", tmp_path / "a.whl"
    wheel.write_bytes(b"stands for the wheel")
    options = ["--bitstream", str(design), "--output", str(output), "--wheel", str(wheel)]
    assert main(["package", *options]) == 0
    capsys.readouterr()
    manifest = Manifest.load(output)
    assert manifest.damaged(output) == []
    assert (manifest.identity, manifest.classes) == (network.identity, ("calm", "racing"))
    assert FrozenNetwork.load(output / manifest.network).metadata == told
    with installed(stand_in(Board(network, Codec.of(network)))), ArrhythmiaOverlay(output) as overlay:
        window = json.loads((output / manifest.window).read_text())
        result = overlay.classify(window["samples"])
        assert result.logits.tolist() == window["logits"]
        assert result.label == manifest.classes[int(np.argmax(window["logits"]))]
        with pytest.raises(ValueError, match=r"\(500, 2\)"):
            overlay.classify(np.zeros(500, np.int16))


def test_what_cannot_be_packaged(tmp_path, capsys):
    assert main(["package", "--build", str(tmp_path)]) == 2
    assert "holds no design" in capsys.readouterr().err
    network = ecg_network()
    design = built_design(network, tmp_path / "bitstream")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "file").write_text("")
    with pytest.raises(InputError, match="is not a deploy folder"):
        package.package(design, mine)
    (design / bitstream.BIT).unlink()
    assert main(["package", "--build", str(tmp_path)]) == 2
    assert "holds no bitstream yet: Vivado is not installed here" in capsys.readouterr().err
    assert not (tmp_path / "deploy").exists()


def test_a_network_of_another_length_has_a_test_window_too():
    from tests.hls.projects import small_network

    network = small_network()
    window = package.test_window(network)
    assert len(window["samples"]) == network.input_length
    assert package.class_names(network) == ()


@pytest.mark.slow
def test_the_wheel_holds_what_the_package_reads(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    root = Path(board.__file__).parents[1]
    for pattern in (
        "hls/core/verilog/**/*.v",
        "hls/cpp/kernels/**/*.h",
        "board/vivado/*",
        "board/notebooks/*",
        "qmodel/**/*.alq",
    ):
        wanted = {path.relative_to(root).as_posix() for path in root.glob(pattern)}
        assert wanted, pattern
        assert wanted <= names
    assert "board/simulation/model.py" in names
    assert not [name for name in names if "simulation/rtl" in name or name.startswith("tests")]


@pytest.mark.slow
def test_what_is_uploaded_passes_twine(tmp_path):
    """Wheel and source distribution, built from the sources as they are in the repository."""
    root = Path(board.__file__).parents[1]
    names = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True, check=False).stdout
    if not names:
        pytest.skip("not a git checkout")
    for name in names.decode().split("\0")[:-1]:
        if (root / name).is_file():
            (tmp_path / "sources" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, tmp_path / "sources" / name)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path / "dist"), "sources"]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = sorted((tmp_path / "dist").iterdir())
    assert [path.name for path in made] == ["ecg_alq-0.2.0-py3-none-any.whl", "ecg_alq-0.2.0.tar.gz"]
    check = [sys.executable, "-m", "twine", "check", "--strict", *map(str, made)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 2


@pytest.mark.slow
def test_the_board_extra_in_a_bare_environment(wheel, tmp_path):
    """pip, NumPy and nothing else: the driver imports, without TensorFlow, hls4ml or a compiler."""
    venv.create(tmp_path / "bare", with_pip=True)
    python = tmp_path / "bare" / "bin" / "python"
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "CC", "CXX")
    }
    environment["PATH"] = str(python.parent)  # no compiler on it
    command = [python, "-m", "pip", "install", "-q", "--only-binary", ":all:", f"{wheel}[board]"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    if done.returncode and "numpy" in done.stderr:
        pytest.skip(f"NumPy cannot be installed from here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format=json"], env=environment, capture_output=True, text=True, check=True
    )
    packages = {entry["name"].replace("_", "-") for entry in json.loads(listed.stdout)}
    assert packages <= {"ecg-alq", "numpy", "pip", "setuptools"}
    folder = deploy_folder(tmp_path / "deploy", ecg_network())
    code = (
        "import sys, board.driver\n"
        "try: board.driver.ArrhythmiaOverlay(sys.argv[1])\n"
        "except board.driver.OverlayError as error: print(error)\n"
    )
    done = subprocess.run(
        [python, "-I", "-c", code, folder], env=environment, capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert "package pynq is not installed: run this on a PYNQ board" in done.stdout


def test_the_notebook_is_stored_without_outputs():
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(code) > 5
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_the_notebook_runs(tmp_path, monkeypatch, capsys):
    """Every cell in order, on the fast model of a board."""
    network = ecg_network()
    folder = deploy_folder(tmp_path, network)
    shutil.copyfile(NOTEBOOK, folder / NOTEBOOK.name)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("board.doctor.importlib.metadata.version", lambda package: "3.0.1")
    namespace: dict = {}
    fast = Board(network, Codec.of(network))
    with installed(stand_in(fast)):
        for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), cell["id"], "exec"), namespace)
    said = capsys.readouterr().out
    assert "FAIL" not in said
    assert "as expected: True" in said
    assert "differences: 0" in said
    assert fast.memory.live == 0
