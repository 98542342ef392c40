"""The README's table comes from results files, and a wrong one is seen."""

import json
from pathlib import Path

import pytest

from flow import diagram, readme
from flow.cli import main
from flow.settings import InputError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"# title\n\n{readme.BEGIN}\nold\n{readme.END}\n\ntext\n")
    return path


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    row = {
        "accuracy_mean": 0.97,
        "accuracy_std": 0.0123,
        "bytes": 4400,
        "compression_bytes": 20,
        "compression_bits": 29,
    }
    rows = [row | {"network": "compact", "stage": "frozen"}, row | {"network": "paper", "stage": "float"}]
    (folder / "stratified.json").write_text(json.dumps({"rows": rows}))
    hardware = {
        "network": "compact", "engine": "rtl", "target": "ecp5-85k", "cycles_per_frame": 3700, "luts": 9000, "dsp": 7,
        "cycles_between_frames": 3600,
        "bram36": 4, "fmax_mhz": 91.25, "clock_mhz": 87.5, "latency_us": 42.29,
        "kinds": {"cycles": "simulated", "area": "routed", "fmax_mhz": "routed"},
    }  # fmt: skip
    smallest = {"cycles_per_frame": 500_000, "cycles_between_frames": 450_000, "luts": 900, "dsp": 1}
    speeds = [{"engine": "ecg-alq", "seconds_per_window": 0.002}, {"engine": "other", "seconds_per_window": 0.1}]
    (folder / "csim.json").write_text(json.dumps({"rows": speeds}))
    (folder / "hardware.json").write_text(json.dumps([hardware | smallest, hardware]))
    return folder


def test_every_number_has_a_kind(results):
    lines = readme.table(results).splitlines()[2:]
    assert lines
    for line in lines:
        kind = line.split("|")[4].strip()
        assert kind.split()[0] in {"measured", "simulated", "synthesised", "routed", "estimated"}


def test_values_come_from_the_files(results):
    table = readme.table(results)
    assert "| accuracy, stratified |  | 97.00 ± 1.23 % | measured |" in table
    assert "| accuracy, stratified, before quantisation | 97.00 ± 1.23 % |  | measured |" in table
    assert "4,400 bytes" in table
    assert "| LUT, ecp5-85k |  | 9,000 | routed |" in table  # of the fastest core, not of the smallest
    assert "| smallest core: LUT, ecp5-85k |  | 900 | routed |" in table
    assert "| smallest core: DSP, BRAM36, ecp5-85k |  | 1, 4 | routed |" in table
    assert "clock that keeps up with the ECG, ecp5-85k |  | 45 kHz | simulated cycles in ten seconds |" in table
    assert "| C simulation of a window | 2.00 ms |  | measured | measured in the same run, other: 100.00 ms |" in table
    assert "published: 105.79 us" in table


def test_a_lone_core_is_not_called_the_smallest(results):
    rows = json.loads((results / "hardware.json").read_text())
    (results / "hardware.json").write_text(json.dumps(rows[1:]))
    assert "| LUT, ecp5-85k |  | 9,000 | routed |" in readme.table(results)
    assert "smallest" not in readme.table(results)


def test_no_results(tmp_path):
    assert readme.table(tmp_path) == readme.NO_RESULTS


def test_check_sees_a_changed_result(page, results, capsys):
    arguments = ["readme", "--readme", str(page), "--results", str(results)]
    assert main([*arguments, "--check"]) == 1
    assert "run `ecg-alq readme`" in capsys.readouterr().err
    assert "old" in page.read_text()
    assert main(arguments) == 0
    assert page.read_text().startswith("# title\n\n")
    assert page.read_text().endswith("\n\ntext\n")
    assert main([*arguments, "--check"]) == 0
    content = json.loads((results / "stratified.json").read_text())
    content["rows"][0]["accuracy_mean"] = 0.98
    (results / "stratified.json").write_text(json.dumps(content))
    assert main([*arguments, "--check"]) == 1


def test_bad_files_are_named(page, results):
    (results / "stratified.json").write_text('{"rows": 3}')
    with pytest.raises(InputError, match=r"stratified\.json"):
        readme.update(page, results, write=True)
    page.write_text("no markers")
    with pytest.raises(InputError, match="needs the lines"):
        readme.update(page, results, write=True)
    with pytest.raises(InputError, match="does not exist"):
        readme.update(page.with_name("other.md"), results, write=True)


def test_our_readme_agrees_with_our_results():
    assert not readme.update(ROOT / "README.md", ROOT / "results", write=False)


def test_picture_of_the_flow_is_the_drawn_one():
    assert (ROOT / "docs" / "flow.svg").read_text() == diagram.svg()
