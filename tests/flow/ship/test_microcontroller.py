"""`ecg-alq export`: what it writes and says, and the figures of the emulator where it is installed."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from flow.cli.main import main
from flow.ship import microcontroller
from qmodel import models


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_exported_folder_tests_itself(tmp_path, capsys):
    assert main(["export", "--c", str(tmp_path / "c"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["identity"] == models.load().identity
    assert {path.name for path in (tmp_path / "c").iterdir()} == set(result["files"])
    command = ["cc", "-std=c99", "-O2", "ecg_alq.c", "test_ecg_alq.c", "-o", "test", "-lm"]
    subprocess.run(command, cwd=tmp_path / "c", check=True)
    said = subprocess.run(["./test"], cwd=tmp_path / "c", check=True, capture_output=True, text=True).stdout
    assert said == "ecg_alq: 17 logits as expected, twice\n"
    assert '{"NSR", "APB", ' in (tmp_path / "c" / "ecg_alq.h").read_text()
    assert main(["export", "--c", str(tmp_path / "c")]) == 0  # over itself
    assert "test it: cd " in capsys.readouterr().out


def test_what_is_refused(tmp_path, capsys, monkeypatch):
    assert main(["export", "--c", str(tmp_path / "c"), "--results", str(tmp_path)]) == 2
    assert "give both" in capsys.readouterr().err
    assert main(["export", "--c", str(tmp_path / "c"), "--emulate", "--windows", "0"]) == 2
    assert "--windows must be at least 1, received 0" in capsys.readouterr().err
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["export", "--c", str(tmp_path / "c"), "--emulate"]) == 2
    assert "arm-none-eabi-gcc, arm-none-eabi-size, qemu-system-arm not installed: on Debian" in capsys.readouterr().err


def test_rows_of_the_results(tmp_path):
    row = {"flash": 1, "ram": 2, "instructions": 3, "windows": 1, "exact": True}
    for name in ("paper", "compact", "paper"):
        microcontroller.add_row(tmp_path, name, row)
    kept = json.loads((tmp_path / microcontroller.ROWS).read_text())["rows"]
    assert [entry["network"] for entry in kept] == ["compact", "paper"]
    assert kept[0]["provenance"]["git_revision"]
    text = microcontroller.lines({"folder": "c", "files": ["a"], "cortex-m4": row})
    assert text[-1].endswith("0.0 million instructions a window; 1 windows, every logit exact")
