"""The array-interface variant computes the golden integers with any C++ compiler; Bambu itself is not needed."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings

from hls import bambu, csim
from hls.synthesis import SynthesisError
from tests.hls.test_csim import COMPILES
from tests.strategies import frozen_networks


def run_testbench(folder):
    """Compile strictly, run, return what the testbench prints."""
    program = folder / "testbench"
    sources = [str(folder / name) for name in ("ecg_alq.cpp", "testbench.cpp")]
    strict = [flag for flag in csim.STRICT if not flag.endswith("uninitialized")]
    subprocess.run([csim.COMPILER, "-std=c++14", "-O1", *strict, *sources, "-o", str(program)], check=True)
    return subprocess.run([str(program)], capture_output=True, text=True, check=False)


def test_random_networks(tmp_path):
    numbers = iter(range(1000))

    @settings(COMPILES, max_examples=4)
    @given(frozen_networks())
    def check(network):
        result = run_testbench(bambu.write(network, tmp_path / str(next(numbers))))
        assert (result.returncode, result.stdout) == (0, "PASS: 2 frames\n"), result.stdout

    check()


def test_nothing_that_bambu_refuses(network, tmp_path):
    folder = bambu.write(network, tmp_path / "bambu")
    text = "".join(path.read_text() for path in folder.iterdir())
    assert "#pragma HLS UNROLL" not in text
    assert "#pragma HLS PIPELINE" not in text
    assert "ap_int" not in text
    assert text.count("mode = array") == 2
    with pytest.raises(FileExistsError, match="choose another folder"):
        bambu.write(network, folder)


def test_a_wrong_plane_is_seen(network, tmp_path):
    folder = bambu.write(network, tmp_path / "bambu")
    source = folder / "ecg_alq.cpp"
    text = source.read_text()
    start = text.index("dense1_planes")
    row = text.index("true", start)
    source.write_text(text[:row] + text[row:].replace("true, ", "false, ", 1))  # a filter that never takes its bias
    result = run_testbench(folder)
    assert result.returncode == 1
    assert "ERROR: frame 0 logit 0" in result.stdout


def test_absent_bambu_says_where_to_get_it(network, tmp_path, monkeypatch):
    folder = bambu.write(network, tmp_path / "bambu")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SynthesisError, match=r"panda\.dei\.polimi\.it"):
        bambu.synthesise(folder)
    tool = tmp_path / "bambu"
    assert tool.is_dir()  # the folder itself is no program
    program = tmp_path / "bin"
    program.mkdir()
    (program / "bambu").write_text("#!/bin/sh\necho Total cycles\nexit $FAKE_CODE\n")
    (program / "bambu").chmod(0o755)
    monkeypatch.setenv("PATH", f"{program}:/bin")
    monkeypatch.setenv("FAKE_CODE", "0")
    assert "Total cycles" in bambu.synthesise(folder)
    monkeypatch.setenv("FAKE_CODE", "2")
    with pytest.raises(SynthesisError, match="bambu ended with code 2"):
        bambu.synthesise(folder)
