"""The whole flow on synthetic ECG, few epochs of few windows: the chain, its report, interruption, full disk."""

import errno
import json
import os
import re
import signal
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from flow.cli.main import main
from flow.steps import stages
from qmodel import recipe, training
from qmodel.experiment import Experiment, Split, Synthetic
from qmodel.frozen import FrozenNetwork
from qmodel.hyperparameters import Schedule
from tests.flow.short import shortest

pytestmark = pytest.mark.slow

ASKED = ["--network", "tiny", "--quick", "--synthetic"]
STEPS = ("train", "quantise", "freeze", "convert", "csim", "parity", "report")


@pytest.fixture(scope="module", autouse=True)
def short_recipe():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "quick", shortest)
        yield


@pytest.fixture(scope="module")
def build(tmp_path_factory) -> Path:
    """A finished flow."""
    folder = tmp_path_factory.mktemp("flow") / "build"
    assert main(["flow", *ASKED, "--build", str(folder)]) == 0
    return folder


def test_ends_in_a_table(build, capsys):
    assert main(["flow", *ASKED, "--build", str(build)]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("SYNTHETIC ECG")
    rows = dict(re.split(r"  +", line, maxsplit=1) for line in captured.out.splitlines()[1:])
    assert rows["mismatches"] == "0"
    assert rows["test accuracy, golden model"] == rows["test accuracy, Keras"] == rows["test accuracy, C simulation"]
    assert int(rows["bytes"].replace(",", "")) == (build / "freeze" / "network.alq").stat().st_size
    assert int(rows["windows compared"]) > 0
    assert captured.err.count("cached") == len(STEPS)


def test_report_json(build, capsys):
    assert main(["report", "--build", str(build), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    summary = json.loads((build / "report.json").read_text())
    assert summary.items() <= printed.items()
    assert summary["data_source"] == "synthetic"
    assert summary["mismatches"] == 0
    assert summary["windows_compared"] == summary["windows"]["test"] == np.sum(summary["confusion"])
    assert summary["bytes"] == (build / "freeze" / "network.alq").stat().st_size
    assert summary["compression_bytes"] == pytest.approx(4 * summary["parameters"] / summary["bytes"])
    assert set(summary["accuracy"]) == {"golden model", "Keras", "C simulation", "C99"}
    assert set(summary["accuracy"].values()) == {summary["accuracy_frozen"]}
    assert 0 <= summary["accuracy_float"] <= 1


def test_every_output_says_that_its_ecg_is_synthetic(build):
    for step in STEPS:
        results = json.loads((build / step / "manifest.json").read_text())["results"]
        assert results["data_source"] == "synthetic"
        assert "nothing about patients" in results["note"]
    assert "nothing about patients" in (build / "report.html").read_text()


def test_page_is_self_contained(build):
    page = (build / "report.html").read_text()
    links = set(re.findall(r"(?:https?:)?//[\w.]+[^\s\"'<)]*", page))
    assert {link for link in links if not link.startswith("http://www.w3.org/")} == set()
    assert not re.search(r"<(script|link|img|iframe)\b", page)
    assert 'name="viewport"' in page
    assert "prefers-color-scheme: dark" in page
    assert page.count('class="ecg"') == 17
    assert not re.search(r"#0[1-7]0[01-7]\w\w", page)  # a colour of the drawing that the page does not know
    identifiers = re.findall(r'\bid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))


def test_changed_setting_runs_its_step_and_those_after_it(build, capsys):
    assert main(["parity", "--build", str(build), "--clock-mhz", "80"]) == 0
    progress = capsys.readouterr().err
    for step in ("train", "quantise", "freeze"):
        assert re.search(rf"^{step} +cached", progress, re.MULTILINE)
    for step in ("convert", "parity"):
        assert not re.search(rf"^{step} +cached", progress, re.MULTILINE)
    assert main(["parity", "--build", str(build), "--clock-mhz", "100"]) == 0


class Interrupts:
    """Takes the place of the validation at the end of an epoch; the n-th one receives Ctrl-C."""

    def __init__(self, number: int):
        self.left, self.accuracy = number, training.accuracy

    def __call__(self, *arguments) -> float:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return self.accuracy(*arguments)


@pytest.fixture
def ctrl_c():
    """Ctrl-C interrupts, even where the tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_interrupted_training_ends_in_the_same_bytes(build, tmp_path, capsys, monkeypatch):
    from qmodel.alq import trainer

    def interrupted(*arguments) -> None:
        assert main([*arguments, "--build", str(tmp_path)]) == 130
        error = capsys.readouterr().err
        assert "interrupted: run the same command again" in error
        assert "Traceback" not in error

    with monkeypatch.context() as patch:
        patch.setattr(training, "accuracy", Interrupts(2))
        interrupted("train", *ASKED)
    assert list(tmp_path.rglob("checkpoint.npz"))
    assert not list(tmp_path.rglob(".*.part/**/.*.part"))
    assert main(["train", "--build", str(tmp_path), *ASKED]) == 0
    assert "1/2" in capsys.readouterr().err  # went on from the first epoch
    for epoch in (2, 3):
        with monkeypatch.context() as patch:
            patch.setattr(trainer, "accuracy", Interrupts(epoch))
            interrupted("quantise")
    assert main(["freeze", "--build", str(tmp_path)]) == 0
    expected, received = (keras.models.load_model(path / "train" / "float.keras") for path in (build, tmp_path))
    for a, b in zip(expected.weights, received.weights, strict=True):
        assert np.array_equal(a, b)
    network = Path("freeze") / "network.alq"
    assert (tmp_path / network).read_bytes() == (build / network).read_bytes()


def test_full_disk_leaves_nothing(tmp_path, capsys, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", full)
    assert main(["train", *ASKED, "--build", str(tmp_path / "build")]) == 2
    assert "ecg-alq train: No space left on device" in capsys.readouterr().err
    assert not [path for path in (tmp_path / "build").rglob("*") if "train" in str(path)]


def test_a_teacher_is_trained_once(tmp_path, monkeypatch):
    made, asked = [], {}

    def train(folder, experiment):
        made.append(experiment.recipe.network)
        (folder / stages.FLOAT_MODEL).write_text(experiment.recipe.network)
        return {}

    def quantise(folder, **arguments):
        asked.update(arguments)
        return {}

    monkeypatch.setattr(stages.train, "work", train)
    monkeypatch.setattr(stages.quantise, "work", quantise)
    for name in ("tiny", "compact"):
        taught = Experiment(replace(recipe.RECIPES[name], teachers=("compact", "paper")), Synthetic(3), Split())
        stages.quantised_stage(taught, tmp_path, f"quantise {name}")
        assert [path.read_text() for path in asked["teachers"]] == ["compact", "paper"]
        assert asked["float_model"].read_text() == name
    assert sorted(made) == ["compact", "paper", "tiny"]


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    """A finished flow of somebody's own data."""
    from examples.own_data import run
    from examples.own_data.make_data import make

    folder = tmp_path_factory.mktemp("own")
    make(folder / "data", persons=3, seconds=10)
    one = Schedule(rounds=0, finish=1, finish_coordinates=0, finish_learning_rate=3e-4)  # no move is compiled twice
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "quick", lambda full: replace(shortest(full), alq=one, finish=one))
        run.main(folder, simulate=False)  # the example, in its smallest form
    return folder


class TestOwnData:
    """Three persons' CSV files and labels.csv through every step, to a file that says its class names."""

    def test_report_has_its_classes(self, own):
        summary = json.loads((own / "build" / "report.json").read_text())
        assert summary["classes"] == ["calm", "every second beat early", "racing"]
        assert (summary["mismatches"], summary["data_source"]) == (0, "data set data")
        assert summary["windows"] == {"train": 6, "validation": 6, "test": 6}
        page = (own / "build" / "report.html").read_text()
        assert page.count('class="ecg"') == 3
        assert "18 windows of 3 classes" in page
        assert "<b>every second beat early</b>" in page

    def test_the_file_says_what_it_takes(self, own, capsys):
        frozen = own / "build" / "freeze" / "network.alq"
        network = FrozenNetwork.load(frozen)
        assert dict(network.metadata) == {
            "classes": ["calm", "every second beat early", "racing"],
            "rate_hz": 250,
            "window_samples": 1250,
            "leads": ["ECG"],
        }
        capsys.readouterr()
        output = own / "out"
        assert (
            main(["classify", str(own / "data" / "person2.csv"), "--frozen", str(frozen), "--output", str(output)]) == 0
        )
        assert "lead ECG, 250 Hz, 0:00:30, 6 windows" in capsys.readouterr().out

    def test_later_steps_take_the_data_set_from_the_build(self, own, capsys):
        assert main(["parity", "--build", str(own / "build")]) == 0
        assert "cached" in capsys.readouterr().err

    def test_another_networks_classes_are_refused(self, own, tmp_path, capsys):
        (tmp_path / "data").mkdir()
        for file in (own / "data").iterdir():
            (tmp_path / "data" / file.name).write_bytes(file.read_bytes().replace(b"racing", b"sprinting"))
        asked = ["--dataset", str(tmp_path / "data"), "--window", "5", "--build", str(tmp_path / "build")]
        assert main(["freeze", *asked, "--frozen", str(own / "build" / "freeze" / "network.alq")]) == 2
        assert (
            "the network gives 3 logits (calm, every second beat early, racing), the windows have 3 classes (calm, "
            in (capsys.readouterr().err)
        )

    def test_options_that_contradict_each_other(self, own, tmp_path, capsys):
        data = str(own / "data")
        for wrong, said in (
            (["--dataset", data, "--synthetic"], "--dataset is data enough"),
            (["--dataset", data, "--protocol", "file", "--split", "x.csv"], "numbers the fragments of MIT-BIH"),
            (["--synthetic", "--window", "5"], "--window says how a data set is cut"),
            (["--dataset", str(tmp_path), "--build", str(tmp_path / "b")], "a data set is a folder with labels.csv"),
        ):
            assert main(["train", *wrong]) == 2
            assert said in capsys.readouterr().err

    def test_a_bad_table_is_told_line_by_line(self, own, tmp_path, capsys):
        (tmp_path / "labels.csv").write_text("recording,start,end,label\nx,0,1,a\ny,3,2,b\n")
        assert main(["train", "--dataset", str(tmp_path), "--build", str(tmp_path / "b")]) == 2
        error = capsys.readouterr().err.strip().splitlines()
        assert error[-1].endswith("labels.csv, line 3: end must be after start, received start 3 and end 2: swap or "
                                  "correct them")  # fmt: skip
        assert not (tmp_path / "b" / "train").exists()
