"""`--sample`: real ECG without a file of one's own."""

import json

import pytest

from flow.cli.main import main
from tests.flow.cli.test_main import refused


def test_classify_says_its_rhythms_and_its_source(tmp_path, capsys):
    """Cardiologists: `(N`, then `(B` from second 21. The shipped network was trained on it and must say so too."""
    assert main(["classify", "--sample", "--output", str(tmp_path), "--formats", "json"]) == 0
    captured = capsys.readouterr()
    assert "mitdb106, lead MLII, 360 Hz, 0:01:00, 6 windows" in captured.out
    assert "MIT-BIH Arrhythmia Database, PhysioNet (Open Data Commons Attribution 1.0)" in captured.err
    said = [finding["said"] for finding in json.loads((tmp_path / "mitdb106.json").read_text())["findings"]]
    assert said[0] != "Bigeminy"
    assert said[-1] == "Bigeminy"


@pytest.mark.parametrize("arguments", [[], ["mine.csv", "--sample"]])
def test_one_source_at_a_time(arguments, capsys):
    assert "give one of these: PATH, --sample" in refused(capsys, "classify", *arguments)
