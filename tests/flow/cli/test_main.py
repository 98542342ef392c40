"""The command line: help, what it loads, results for programs, and every bad input of one clear line."""

import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flow.build.settings import Settings, record, recorded
from flow.cli.main import COMMANDS, main
from qmodel.data import fragments, mitdb, synthetic

ROOT = Path(__file__).resolve().parents[3]


def refused(capsys, *arguments: str) -> str:
    """Run a command that must end with exit code 2, no output and one line on stderr that starts with its name."""
    assert main(list(arguments)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    last = captured.err.strip().splitlines()[-1]
    assert last.startswith(f"ecg-alq {arguments[0]}: ")
    assert captured.err.count(f"ecg-alq {arguments[0]}: ") == 1
    assert "Traceback" not in captured.err
    return last


def test_every_network_has_a_recipe():
    from qmodel.networks import NETWORKS
    from qmodel.recipe import RECIPES

    assert set(NETWORKS) == set(RECIPES)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command.name, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert " ".join(command.example.split()) in " ".join(text.split())
    assert "--json" in text


def test_help_and_data_are_light(tmp_path):
    code = (
        "import sys; from flow.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'numpy', 'wfdb'} & set(sys.modules)\n"
        "assert main(['data', '--check', '--data', sys.argv[1]]) == 2\n"
        "assert not {'tensorflow', 'keras', 'sklearn', 'hls4ml', 'matplotlib'} & set(sys.modules)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=True, capture_output=True)


@pytest.mark.parametrize("command", ["evaluate", "final", "abstain", "notebook"])
def test_a_data_set_is_refused_by_name_where_it_cannot_be_taken(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--dataset", "my_data"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"ecg-alq {command}: --dataset does not go with this command: ")
    assert "ecg-alq flow --dataset FOLDER" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["train", "--help"]], ids=" ".join)
def test_starts_with_few_modules(arguments):
    """Imports take the time of a start, and can be counted on a busy machine too: 99 modules on Python 3.11."""
    code = (
        "import sys; before = set(sys.modules)\n"
        "from flow.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(*sorted(set(sys.modules) - before), file=sys.stderr)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-S", "-c", code, *arguments]
    found = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stderr.split()
    assert "flow.cli.main" in found
    assert len(found) <= 110, found
    assert not {"numpy", "tempfile", "hashlib", "email", "socket", "importlib.metadata", "subprocess"} & set(found)


def test_later_steps_take_the_settings_of_the_build(tmp_path):
    settings = Settings(build=str(tmp_path), network="tiny", quick=True, fold=4)
    record(settings)
    assert recorded(tmp_path) == settings
    assert recorded(tmp_path / "other") == Settings(build=str(tmp_path / "other"))


class TestData:
    def test_finds_and_verifies(self, mitdb_folder, capsys):
        assert main(["data", "--data", str(mitdb_folder), "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["records"] == 48
        assert result["data_source"] == "MIT-BIH"
        assert result["folder"] == str(mitdb_folder)

    def test_missing_folder(self, tmp_path, capsys):
        assert "which is not a folder" in refused(capsys, "data", "--check", "--data", str(tmp_path / "missing"))
        assert "which is not a folder" in refused(
            capsys, "train", "--data", str(tmp_path / "missing"), "--build", str(tmp_path / "build")
        )
        assert not list(tmp_path.iterdir())

    def test_wrong_checksum(self, tmp_path, capsys):
        for name in mitdb.published_sums():
            (tmp_path / name).write_bytes(b"not a record")
        assert "do not match PhysioNet's SHA-256" in refused(capsys, "data", "--check", "--data", str(tmp_path))

    def test_broken_file_is_fetched_again(self, tmp_path, capsys, monkeypatch):
        content = {name: name.encode() for name in ("100.hea", "100.dat")}
        monkeypatch.setattr(
            mitdb, "published_sums", lambda: {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
        )
        fetched = []

        def fetch(name, destination):
            fetched.append(name)
            destination.write_bytes(content[name])

        monkeypatch.setattr(mitdb.download, "__defaults__", (None, fetch, None))
        assert main(["data", "--data", str(tmp_path / "new"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["downloaded"]
        (tmp_path / "new" / "100.dat").write_bytes(b"broken")
        assert main(["data", "--data", str(tmp_path / "new"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["fetched_again"] == ["100.dat"]
        assert fetched == ["100.hea", "100.dat", "100.dat"]


@pytest.fixture
def records(tmp_path, monkeypatch):
    """Makes a folder of records of which only 100 has content, with sums that match what is in it."""

    def make(**options) -> Path:
        folder = tmp_path / "records"
        folder.mkdir()
        names = list(mitdb.published_sums())
        for name in names:
            (folder / name).touch()
        synthetic.write_record(folder, "100", [("NSR", mitdb.RECORD_SAMPLES)], **options)
        sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
        monkeypatch.setattr(mitdb, "published_sums", lambda: sums)
        return folder

    return make


class TestBrokenRecords:
    """Each is refused before anything is trained, and the build folder is not even made."""

    def refuse(self, capsys, folder: Path) -> str:
        build = folder.parent / "build"
        message = refused(capsys, "train", "--data", str(folder), "--build", str(build), "--network", "tiny")
        assert not build.exists()
        return message

    def test_truncated(self, records, capsys):
        folder = records()
        with open(folder / "100.dat", "r+b") as file:
            file.truncate(1000)
        assert "does not match PhysioNet's SHA-256 sum (1000 bytes)" in self.refuse(capsys, folder)

    def test_wrong_sampling_rate(self, records, capsys):
        assert "has 250 Hz" in self.refuse(capsys, records(sampling_rate_hz=250))

    def test_without_the_lead(self, records, capsys):
        assert "has no lead 'MLII'" in self.refuse(capsys, records(leads=("V2", "V5")))

    def test_changed_copy_of_the_real_ones(self, mitdb_folder, tmp_path, capsys):
        folder = tmp_path / "copy"
        folder.mkdir()
        for name in mitdb.published_sums():
            (folder / name).symlink_to(mitdb_folder / name)
        (folder / "234.dat").unlink()
        content = bytearray((mitdb_folder / "234.dat").read_bytes())
        content[70_000] ^= 1
        (folder / "234.dat").write_bytes(content)
        assert "234.dat does not match" in self.refuse(capsys, folder)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda signals: np.where(np.arange(len(signals))[:, None] == 3, 1024, signals), "flat windows: [3]"),
        (lambda signals: np.where(np.arange(len(signals))[:, None] == 3, np.nan, signals), "must hold integers"),
        (lambda signals: signals.astype(np.int64) * 1000, "must be 16-bit integers"),
    ],
    ids=["flat", "NaN", "out of range"],
)
def test_broken_windows(broken, message, tmp_path, capsys, monkeypatch):
    windows = synthetic.synthetic_windows(5)
    broken_windows = fragments.Windows(
        broken(windows.signals), windows.labels, windows.record, windows.first_sample, windows.lead, windows.source
    )
    monkeypatch.setattr(synthetic, "synthetic_windows", lambda per_class: broken_windows)
    assert message in refused(capsys, "train", "--synthetic", "--network", "tiny", "--build", str(tmp_path / "build"))
    assert not list(tmp_path.iterdir())


class TestFrozenFile:
    def test_goes_on_from_it(self, frozen_file, untrained, tmp_path, capsys):
        arguments = ["freeze", "--frozen", str(frozen_file), "--synthetic", "--quick", "--build", str(tmp_path / "b")]
        for cached in (False, True):
            assert main([*arguments, "--json"]) == 0
            result = json.loads(capsys.readouterr().out)
            assert result["cached"] == cached
        assert result["results"]["identity"] == untrained.identity
        assert result["results"]["data_source"] == "synthetic"
        assert "nothing about patients" in result["results"]["note"]
        assert main(["freeze", "--build", str(tmp_path / "b")]) == 0  # the build remembers its file
        assert "SYNTHETIC ECG" in capsys.readouterr().out
        assert "cached" in refused_report(capsys, tmp_path / "b")

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            (lambda data: b"ELF!" + data[4:], "starts with"),
            (lambda data: data[:4] + b"\x09" + data[5:], "reads version 1"),
            (lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:], "checksum does not match"),
            (lambda data: data[:-9], "checksum does not match"),
            (lambda data: b"", "starts with"),
        ],
        ids=["magic", "version", "flipped bit", "truncated", "empty"],
    )
    @pytest.mark.parametrize("command", ["freeze", "convert", "csim", "parity"])
    def test_damaged(self, command, damage, message, frozen_file, tmp_path, capsys):
        frozen_file.write_bytes(damage(frozen_file.read_bytes()))
        build = tmp_path / "build"
        arguments = ["--frozen", str(frozen_file), "--synthetic", "--quick", "--build", str(build)]
        line = refused(capsys, command, *arguments)
        assert message in line
        assert str(frozen_file) in line
        assert not build.exists()

    def test_missing(self, tmp_path, capsys):
        line = refused(capsys, "convert", "--frozen", str(tmp_path / "no.alq"), "--build", str(tmp_path / "build"))
        assert "No such file" in line
        assert "no.alq" in line
        assert not list(tmp_path.iterdir())

    def test_full_disk(self, frozen_file, tmp_path):
        """A limit on the size of a file stands for the disk: the write fails in the same place."""
        build = tmp_path / "build"
        command = [sys.executable, "-m", "flow", "freeze", "--frozen", str(frozen_file), "--synthetic", "--quick"]
        ended = subprocess.run(
            [*command, "--build", str(build)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300)),
        )
        assert ended.returncode == 2
        assert ended.stdout == ""
        assert "ecg-alq freeze: File too large" in ended.stderr
        assert "Traceback" not in ended.stderr
        assert not build.exists()


def refused_report(capsys, build: Path) -> str:
    """What a report says of a build without training, after a line of what was cached."""
    assert main(["freeze", "--build", str(build)]) == 0
    progress = capsys.readouterr().err
    assert "run `ecg-alq flow`" in refused(capsys, "report", "--build", str(build))
    return progress


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fold", "10"], "--fold must be 0 to 9"),
        (["--protocol", "file"], "go together"),
        (["--split", "mine.csv"], "go together"),
        (["--synthetic", "--data", "here"], "leave out --data or --synthetic"),
        (["--protocol", "file", "--split", "missing.csv", "--synthetic"], "No such file"),
    ],
)
def test_contradictions(arguments, message, tmp_path, capsys):
    assert message in refused(capsys, "train", "--build", str(tmp_path / "build"), *arguments)
    assert not list(tmp_path.iterdir())


def test_split_without_validation(tmp_path, capsys):
    split = tmp_path / "split.csv"
    rows = [f"{i},0,{'test' if i % 5 == 0 else 'train'}" for i in range(17 * 20)]
    split.write_text("\n".join(["fragment,fold,part", *rows]))
    arguments = ["--protocol", "file", "--split", str(split), "--synthetic", "--quick", "--build", str(tmp_path / "b")]
    assert "has no validation part" in refused(capsys, "train", *arguments)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("command", ["evaluate", "abstain"])
def test_folds_of_a_cross_validation(command, capsys):
    assert "--fold-count must be at least 3" in refused(capsys, command, "--fold-count", "2")
    assert "--folds must be 0 to 4" in refused(capsys, command, "--fold-count", "5", "--folds", "5")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--network", "rhythm", "--protocol", "stratified"],
        ["--network", "compact", "--protocol", "ec57"],
        ["--protocol", "database"],
        ["--network", "rhythm", "--protocol", "patient", "--folds", "1"],
        ["--network", "rhythm", "--protocol", "patient", "--fold-count", "3"],
        ["--network", "rhythm", "--protocol", "ec57", "--data", "records"],
    ],
)
def test_protocols_of_persons_never_met_go_with_their_network(arguments, capsys, tmp_path):
    message = refused(capsys, "evaluate", *arguments, "--build", str(tmp_path / "b"))
    assert "--network rhythm" in message
    assert not (tmp_path / "b").exists()


def test_missing_package_names_the_extra(monkeypatch, capsys, tmp_path):
    def load(*arguments):
        raise ModuleNotFoundError("No module named 'wfdb'", name="wfdb")

    monkeypatch.setattr(mitdb, "find", load)
    assert "pip install 'ecg-alq[data]'" in refused(capsys, "train", "--build", str(tmp_path / "build"))


def test_fault_of_ours_is_not_hidden(monkeypatch, tmp_path):
    def fault(*arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(mitdb, "find", fault)
    with pytest.raises(ZeroDivisionError):
        main(["train", "--build", str(tmp_path / "build")])


@pytest.fixture(scope="module")
def simulated(untrained, tmp_path_factory) -> Path:
    """A build of an untrained network up to parity."""
    folder = tmp_path_factory.mktemp("simulation")
    untrained.save(folder / "untrained.alq")
    arguments = ["--frozen", str(folder / "untrained.alq"), "--synthetic", "--quick"]
    assert main(["parity", *arguments, "--build", str(folder / "build")]) == 0
    return folder / "build"


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
class TestSimulation:
    def test_every_integer_is_equal(self, simulated, capsys):
        assert main(["parity", "--build", str(simulated), "--json"]) == 0
        results = json.loads(capsys.readouterr().out)["results"]
        assert results["windows_compared"] > 0
        assert results["mismatches"] == 0
        assert results["frames_independent"]
        assert set(results["accuracy"]) == {"golden model", "C simulation", "C99"}

    def test_csim(self, simulated, capsys):
        assert main(["csim", "--build", str(simulated)]) == 0
        assert "mismatching logits           0" in capsys.readouterr().out

    def test_another_clock_converts_again(self, simulated, capsys):
        assert main(["convert", "--build", str(simulated), "--clock-mhz", "50", "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert not result["cached"]
        assert result["results"]["clock_mhz"] == 50
        assert main(["convert", "--build", str(simulated), "--clock-mhz", "0.5"]) == 2
        assert "clock_mhz must lie in" in capsys.readouterr().err
        assert json.loads((simulated / "convert" / "manifest.json").read_text())["results"]["clock_mhz"] == 50

    def test_a_difference_ends_in_exit_code_1(self, simulated, capsys, monkeypatch):
        from hls.engines.csim import CSimulation

        trace = CSimulation.trace

        def off_by_one(self, x, **options):
            stages = trace(self, x, **options)
            stages[0][1, 7, 2] += 1
            return stages

        monkeypatch.setattr(CSimulation, "trace", off_by_one)
        assert main(["parity", "--build", str(simulated), "--seed", "1"]) == 1
        text = capsys.readouterr().out
        assert re.search(r"^mismatches +1$", text, re.MULTILINE)
        assert "window 1, layer conv1, filter 2, time step 7" in text


class TestHardware:
    def test_build_without_a_frozen_network(self, tmp_path, capsys):
        for command in ("estimate", "rtl", "hardware"):
            assert "run `ecg-alq freeze`" in refused(capsys, command, "--build", str(tmp_path))
        assert "run `ecg-alq convert`" in refused(capsys, "synth", "--build", str(tmp_path))
        assert not list(tmp_path.iterdir())

    def test_writes_a_core(self, frozen_file, untrained, tmp_path, capsys):
        folder = tmp_path / "core"
        for target in ("xc7z020", "ecp5-85k"):
            arguments = ["--frozen", str(frozen_file), "--target", target, "--output", str(folder)]
            assert main(["rtl", *arguments, "--json"]) == 0
            result = json.loads(capsys.readouterr().out)
            assert result["identity"] == untrained.identity
            assert all(Path(path).is_file() for path in result["sources"])

    def test_estimates_before_anything_is_generated(self, frozen_file, tmp_path, capsys):
        pytest.importorskip("matplotlib")
        picture = tmp_path / "pipeline.svg"
        assert main(["estimate", "--frozen", str(frozen_file), "--picture", str(picture), "--json"]) == 0
        fastest = json.loads(capsys.readouterr().out)
        assert fastest["kind"] == "estimated"
        assert "<svg" in picture.read_text()
        assert main(["estimate", "--frozen", str(frozen_file), "--smallest"]) == 0
        table = capsys.readouterr().out.splitlines()
        assert [line.split()[:3] for line in table[1:-1]] == [[layer["name"], "1", "1"] for layer in fastest["layers"]]
        budget = fastest["luts"] - 1
        assert main(["estimate", "--frozen", str(frozen_file), "--luts", str(budget), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["luts"] <= budget
        assert "budget 5" in refused(capsys, "estimate", "--frozen", str(frozen_file), "--luts", "5")

    def test_a_network_too_large_for_the_part(self, frozen_file, monkeypatch, tmp_path, capsys):
        from hls import area, estimate

        monkeypatch.setitem(estimate.DEVICES, "xc7z020", area.DEVICES["xc7z020"]._replace(ffs=10))
        for command in ("estimate", "rtl", "hardware"):
            output = [] if command == "estimate" else ["--output", str(tmp_path / "out")]
            message = refused(capsys, command, "--frozen", str(frozen_file), "--smallest", *output)
            assert re.search(r"estimated for xc7z020: ffs \d+ > 10;", message)
        assert not (tmp_path / "out").exists()

    def test_a_sweep_chooses_its_foldings(self, frozen_file, capsys):
        message = refused(capsys, "hardware", "--frozen", str(frozen_file), "--sweep", "--smallest")
        assert "leave out --cycles, --luts and --smallest" in message

    def test_too_few_windows(self, frozen_file, capsys):
        assert "at least 2" in refused(capsys, "hardware", "--frozen", str(frozen_file), "--windows", "1")

    def test_rows_replace_those_of_the_same_goal(self, tmp_path):
        from flow.experiments.hardware import add_rows, ends_of, goal_of

        row = {"network": "compact", "target": "xc7z020", "cycles_between_frames": 3600, "lanes": 800, "luts": 1}
        row |= {"identity": "a", "goal": goal_of(None, None, False)}
        given = row | {"goal": goal_of(None, 500, False), "luts": 6}
        add_rows(tmp_path, [row, row | {"goal": goal_of(None, None, True), "luts": 2}, given])
        add_rows(tmp_path, [row | {"network": "paper", "luts": 4}])
        path = add_rows(tmp_path, [row | {"luts": 3, "lanes": 900}])  # the fastest one is folded in another way today
        assert [entry["luts"] for entry in json.loads(path.read_text())["rows"]] == [3, 6, 2, 4]
        add_rows(tmp_path, ends_of([row | {"luts": 8}, row | {"luts": 7}]))
        assert [entry["luts"] for entry in json.loads(path.read_text())["rows"]] == [8, 6, 7, 4]
        add_rows(tmp_path, [row | {"luts": 5, "identity": "b"}])  # trained again: nothing of the old one stays
        assert [entry["luts"] for entry in json.loads(path.read_text())["rows"]] == [5, 4]

    def test_rows_that_name_no_goal_go_when_their_network_is_measured(self, tmp_path):
        from flow.experiments.hardware import add_rows

        row = {"network": "compact", "target": "xc7z020", "identity": "a", "luts": 1}
        (tmp_path / "hardware.json").write_text(json.dumps([row, row | {"target": "ecp5-85k"}]))
        path = add_rows(tmp_path, [row | {"goal": "smallest", "luts": 2}])
        assert [entry["luts"] for entry in json.loads(path.read_text())["rows"]] == [1, 2]

    def test_sweeps_are_drawn_together(self, tmp_path):
        pytest.importorskip("matplotlib")
        from flow.experiments.hardware import add_sweep

        rows = [
            {"network": "compact", "target": target, "cycles_between_frames": cycles, "lanes": 8, "luts": luts}
            | {"estimated": {"luts": luts + 1, "cycles_between_frames": cycles}}
            for target in ("xc7z020", "ecp5-85k")
            for cycles, luts in ((3600, 900), (360_000, 300))
        ]
        picture = add_sweep(tmp_path, rows[:2])
        first = picture.read_text()
        assert add_sweep(tmp_path, rows[2:]) == picture == tmp_path / "hardware_sweep.svg"
        assert picture.read_text() != first
        add_sweep(tmp_path, [rows[0]])
        kept = json.loads((tmp_path / "hardware_sweep.json").read_text())["rows"]
        assert kept == [rows[2], rows[3], rows[0]]

    @pytest.mark.skipif(shutil.which("vitis_hls") is not None, reason="needs a machine without AMD's tools")
    def test_missing_tool_says_what_to_install(self, simulated, capsys):
        assert "is not installed" in refused(capsys, "synth", "--build", str(simulated))


class TestDatabases:
    def test_rebuilt_copy_is_said(self, tmp_path, capsys):
        from tests.qmodel.data.test_databases import write_beats

        write_beats(tmp_path / "svdb")
        assert main(["data", "--database", "svdb", "--data", str(tmp_path), "--check", "--json"]) == 0
        row = json.loads(capsys.readouterr().out)[0]
        assert (row["origin"], row["records"], row["files_verified"]) == ("rebuilt", 1, 0)

    def test_refusals(self, tmp_path, capsys):
        assert "received 'nothing'" in refused(capsys, "data", "--database", "nothing")
        assert "holds no record" in refused(capsys, "data", "--database", "svdb", "--check", "--data", str(tmp_path))
