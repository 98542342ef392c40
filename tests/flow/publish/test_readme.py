"""The README's table comes from results files, and a wrong one is seen."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from flow.cli.main import main
from flow.look import diagram
from flow.publish import model_card, readme
from qmodel import models
from qmodel.data.fragments import CLASSES
from qmodel.errors import InputError
from qmodel.metrics import summarise

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"# title\n\n{readme.BEGIN}\nold\n{readme.END}\n\ntext\n")
    return path


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    right = np.diag([16] * 17)  # 272 windows
    wrong = right.copy()
    wrong[0, :2] = 8, 8  # 264 of 272 right: 97.06 %
    matrices = [right, wrong]
    row = summarise(matrices, CLASSES) | {
        "bytes": 4400, "compression_bytes": 20, "compression_bits": 29, "recipe": {"seed": 0, "alq": {"finish": 80}},
    }  # fmt: skip
    rows = [row | {"network": "compact", "stage": "frozen"}, row | {"network": "paper", "stage": "float"}]
    earlier = [rows[0] | {"stage": stage, "accuracy_mean": 0.5, "recipe": {"seed": 0, "finish": 40}}
               for stage in ("float", "frozen")]  # fmt: skip
    (folder / "stratified.json").write_text(json.dumps({"rows": rows, "earlier": earlier}))
    hardware = {
        "network": "compact", "engine": "rtl", "target": "ecp5-85k", "cycles_per_frame": 3700, "luts": 9000, "dsp": 7,
        "cycles_between_frames": 3600,
        "goal": "fastest", "bram36": 4, "fmax_mhz": 91.25, "clock_mhz": 87.5, "latency_us": 42.29,
        "kinds": {"cycles": "simulated", "area": "routed", "fmax_mhz": "routed"},
    }  # fmt: skip
    smallest = {
        "cycles_per_frame": 500_000,
        "cycles_between_frames": 450_000,
        "luts": 900,
        "dsp": 1,
        "goal": "smallest",
    }
    abstain = {
        "network": "compact", "protocol": "stratified", "threshold": 0.5,
        "at_threshold": {"answered": 0.972, "accuracy": 0.9691},
    }  # fmt: skip
    (folder / "abstain.json").write_text(json.dumps({"rows": [abstain, abstain | {"protocol": "patient"}]}))
    (folder / "annotations.json").write_text(json.dumps({"rows": [{"accuracy_mean": 0.983}]}))
    speeds = [{"engine": "ecg-alq", "seconds_per_window": 0.002}, {"engine": "other", "seconds_per_window": 0.1}]
    (folder / "csim.json").write_text(json.dumps({"rows": speeds}))
    (folder / "hardware.json").write_text(json.dumps([hardware | smallest, hardware]))
    return folder


def test_every_number_has_a_kind(results):
    lines = readme.table(results).splitlines()[2:]
    assert lines
    for line in lines:
        kind = line.split("|")[-3].strip()
        assert kind.split()[0] in {"measured", "simulated", "synthesised", "routed", "estimated"}


def test_values_come_from_the_files(results):
    table = readme.table(results)
    assert "| accuracy, stratified, 2 folds |  | 98.53 ± 2.08 % |  | measured |" in table
    assert "| accuracy, stratified, 2 folds, before quantisation | 98.53 ± 2.08 % |  |  | measured |" in table
    answered = "accuracy of the windows answered, stratified (confidence at least 0.5)"
    assert f"| {answered} |  | 96.91 % of 97.2 % |  | measured |" in table
    assert "measured: 98.30 % by a random forest on the annotations" in table
    assert "4,400 bytes" in table
    assert "| LUT, ecp5-85k |  | 9,000 |  | routed |" in table  # of the fastest core, not of the smallest
    assert "| smallest core: LUT, ecp5-85k |  | 900 |  | routed |" in table
    assert "| smallest core: DSP, BRAM36, ecp5-85k |  | 1, 4 |  | routed |" in table
    assert "clock that keeps up with the ECG, ecp5-85k |  | 45 kHz |  | simulated cycles in ten seconds |" in table
    assert (
        "| C simulation of a window | 2.00 ms |  |  | measured | measured in the same run, other: 100.00 ms |" in table
    )
    assert "published: 105.79 us" in table


def test_a_lone_core_is_not_called_the_smallest(results):
    rows = json.loads((results / "hardware.json").read_text())
    (results / "hardware.json").write_text(json.dumps(rows[1:]))
    assert "| LUT, ecp5-85k |  | 9,000 |  | routed |" in readme.table(results)
    assert "smallest" not in readme.table(results)


def test_cores_stand_by_their_goal(results):
    """A core made for a limit is no fastest one, however fast it is; a row without a goal is no row of the table."""
    rows = json.loads((results / "hardware.json").read_text())
    other = rows[1] | {"goal": "fastest within 5 LUT (estimated)", "cycles_per_frame": 1, "luts": 5}
    (results / "hardware.json").write_text(json.dumps([*rows, other]))
    assert "| LUT, ecp5-85k |  | 9,000 |  | routed |" in readme.table(results)
    (results / "hardware.json").write_text(json.dumps([rows[1] | {"goal": None, "lanes": 8}]))
    with pytest.raises(InputError, match="row of compact on ecp5-85k, 8 lanes, names no goal: measure it again"):
        readme.table(results)


def test_the_card_tells_accuracy_classes_and_mistakes(results):
    card = model_card.figures(results)
    assert "| `compact` | `stratified`: windows apart, persons not | 2 | 98.53 % | 2.08 |" in card
    # 24 of 32 windows of NSR found, nothing else taken for it; the person counts are the index table's
    assert "| NSR: normal sinus rhythm | 22 | 32 | 75.00 % | 100.00 % | 85.71 % |" in card
    assert "- `compact`: NSR classified as APB 8 times." in card
    assert "is right on 98.30 % of the same windows" in card
    # Pooled: 40 NSR of 48 found, 8 taken for APB, whose 32 are all found; the 15 other classes are right.
    nsr, apb = 2 * 24 / (32 + 24), 2 * 32 / (32 + 40)
    assert f"| {100 * (15 + nsr + apb) / 17:.2f} % | 4,400 |" in card
    # the finish moved into a group of settings meanwhile
    assert "| `compact` | the first | 50.00 % | 50.00 % |" in card
    assert "| `compact` | alq.finish 40 → 80 |  | 98.53 % |" in card


def test_the_card_says_what_the_accuracies_are_worth_and_who_set_the_bitwidths():
    card = model_card.figures(ROOT / "results")
    assert "843 of 1000 test windows (84 %) directly touch a training window" in card
    assert "195 of 200" in card
    assert "- `compact`: largest bitwidths set by hand, layer by layer (2, 2, 2, 1, 1, 1, 2); 0 of 185 groups" in card


def test_the_card_tells_how_recipes_compare():
    def row(name, loss, **minus):
        return {"recipe": name, "loss": loss, "runs": 2, "windows": 500, "minus": minus}

    apart, level = ({"interval_95": interval} for interval in ([0.01, 0.02], [-0.01, 0.02]))
    rows = [row("adaptive", 0.2), row("one bit", 0.21, adaptive=level), row("binary", 0.215, adaptive=apart)]
    contest = {"network": "compact", "budget_bytes": 4450, "share_of_epochs": 0.4, "ranking": rows}
    said = model_card.adaptive_words(contest)
    assert "2 runs of fold and seed, 500 windows that none trained on, 40 % of the epochs" in said
    assert "adaptive 0.200, one bit 0.210, binary 0.215. By 95 % intervals told apart from `adaptive`: binary." in said


def test_the_card_shows_every_confusion_matrix(results):
    (results / "patient.json").write_text((results / "stratified.json").read_text())
    shown = re.findall(r"!\[[^]]+\]\(results/([^)]+)\)", model_card.figures(results))
    assert shown == ["confusion-stratified-compact.svg", "confusion-patient-compact.svg"]  # of `paper`: float alone
    drawn = model_card.confusion_pictures(results)
    assert [path.name for path in drawn] == shown
    counts = re.findall(r">(\d+)</text>", drawn[results / shown[0]])
    assert sorted(counts) == ["24", *["32"] * 16, "8"]  # of both folds


def test_rows_of_an_earlier_recipe_say_so(results):
    rows = json.loads((results / "stratified.json").read_text())["rows"]
    for epochs, suffix in ((40, ""), (20, ", earlier recipe")):
        (results / "stratified.json").write_text(
            json.dumps({"rows": [row | {"recipe": {"epochs": 40}} for row in rows]})
        )
        (results / "patient.json").write_text(
            json.dumps({"rows": [row | {"recipe": {"epochs": epochs}} for row in rows]})
        )
        table = readme.table(results)
        assert "| accuracy, stratified, 2 folds |  | 98.53 ± 2.08 % |  | measured |" in table
        assert f"| accuracy, patient, 2 folds |  | 98.53 ± 2.08 % |  | measured{suffix} |" in table
        assert ("at least two persons; an earlier recipe" in model_card.figures(results)) == bool(suffix)


def test_the_headline_begins_with_persons_never_met(results):
    (results / "patient.json").write_text((results / "stratified.json").read_text())
    (results / "models.json").write_text(json.dumps({"rows": [{"network": "compact", "bytes": 4252}]}))
    rows = json.loads((results / "hardware.json").read_text())
    (results / "hardware.json").write_text(json.dumps([row | {"target": "xc7z020"} for row in rows]))
    (results / "people.json").write_text("[]")
    lines = readme.headline(results).splitlines()[2:]
    assert len(lines) == 5
    assert lines[0].startswith(
        "| ten-second windows right, **persons never met** | `compact` | **98.5 %** | measured: nobody in both"
    )
    assert "17 classes, 2 folds" in lines[1]
    assert f"| `rhythm`, `compact` | **{models.path('rhythm').stat().st_size:,}, 4,252 bytes** |" in lines[2]
    assert "| **42 µs** | simulated at 87.5 MHz; 9,000 LUT routed |" in lines[3]
    assert "| **900 LUT** | routed; keeps up with the ECG at 45 kHz, simulated |" in lines[4]
    people = {"protocol": "patient", "network": "rhythm", "accuracy_mean": 66.65, "accuracy_std": 13.93,
              "classes": list("abc"), "folds": list(range(10))}  # fmt: skip
    (results / "people.json").write_text(json.dumps([people]))
    lines = readme.headline(results).splitlines()[2:]
    assert (
        "| `rhythm` | **66.7 %** | measured: nobody in both training and test; 3 classes, 10 folds, ± 13.9 |"
        in (lines[0])
    )
    assert "persons seen in training" in lines[1]


def test_a_microcontroller_stands_in_the_table(results):
    row = {
        "network": "compact",
        "flash": 11960,
        "ram": 13088,
        "instructions": 18_218_840,
        "windows": 30,
        "target": "cortex-m4",
        "kinds": {"flash": "built", "ram": "built and emulated", "instructions": "emulated"},
    }
    (results / "microcontroller.json").write_text(json.dumps({"rows": [row]}))
    table = readme.table(results)
    assert "| flash, cortex-m4, C99 |  | 11,960 bytes |  | built |" in table
    assert "|  | 18.2 million |  | emulated: QEMU, 30 windows, all logits equal |" in table


def test_no_results(tmp_path):
    assert readme.table(tmp_path) == readme.NO_RESULTS
    assert readme.headline(tmp_path) == readme.NO_RESULTS


def test_check_sees_a_changed_result(page, results, capsys):
    card = page.with_name("CARD.md")
    card.write_text(page.read_text())
    table = page.with_name("table.md")
    table.write_text(page.read_text())
    arguments = ["readme", "--readme", str(page), "--card", str(card), "--table", str(table), "--results", str(results)]
    assert main([*arguments, "--check"]) == 1
    assert "run `ecg-alq readme`" in capsys.readouterr().err
    assert "old" in page.read_text()
    assert main(arguments) == 0
    assert page.read_text().startswith("# title\n\n")
    assert page.read_text().endswith("\n\ntext\n")
    assert main([*arguments, "--check"]) == 0
    (results / "confusion-stratified-compact.svg").unlink()
    assert main([*arguments, "--check"]) == 1
    assert main(arguments) == 0
    content = json.loads((results / "stratified.json").read_text())
    content["rows"][0]["accuracy_mean"] = 0.98
    (results / "stratified.json").write_text(json.dumps(content))
    assert main([*arguments, "--check"]) == 1


def test_bad_files_are_named(page, results):
    (results / "stratified.json").write_text('{"rows": 3}')
    with pytest.raises(InputError, match=r"stratified\.json"):
        readme.table(results)
    page.write_text("no markers")
    with pytest.raises(InputError, match="needs the lines"):
        readme.update(page, "text", write=True)
    with pytest.raises(InputError, match="does not exist"):
        readme.update(page.with_name("other.md"), "text", write=True)


def test_our_pages_agree_with_our_results():
    assert not readme.update(ROOT / "README.md", readme.headline(ROOT / "results"), write=False)
    assert not readme.update(ROOT / "docs" / "results.md", readme.table(ROOT / "results"), write=False)
    assert not readme.update(ROOT / "MODEL_CARD.md", model_card.figures(ROOT / "results"), write=False)
    for path, text in model_card.confusion_pictures(ROOT / "results").items():
        assert not readme.update_file(path, text, write=False)


def test_picture_of_the_flow_is_the_drawn_one():
    assert (ROOT / "docs" / "flow.svg").read_text() == diagram.svg()
