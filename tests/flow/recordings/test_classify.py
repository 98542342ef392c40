"""Any ECG to classes: findings, abstention, files, faults of the input."""

import csv
import json
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import wfdb

from flow.build.settings import PARITY_ENGINES
from flow.cli.main import main
from flow.recordings import outputs, strips
from flow.recordings.choices import FORMATS
from flow.recordings.classify import (
    NO_CLASS,
    UNSURE,
    Classification,
    Classifier,
    Findings,
    classify,
    full_name,
    softmax,
)
from flow.recordings.engines import ENGINES
from qmodel.data import synthetic
from qmodel.data.fragments import CLASSES
from qmodel.data.quality import REASONS
from qmodel.data.recording import Recording, read
from qmodel.errors import InputError
from qmodel.fixed_point import INPUT_FORMAT, WINDOW_SAMPLES, standardise
from qmodel.frozen import FrozenNetwork
from tests.strategies import random_plane_layer

RATE = 250


@pytest.fixture(scope="module")
def ecg() -> np.ndarray:
    """62 s of synthetic ECG in mV: two classes, then ten seconds of lead off; 360 Hz, float32 (sample,)."""
    windows = synthetic.synthetic_windows(per_class=3)
    parts = [windows.signals[:3], windows.signals[-2:], np.full((1, WINDOW_SAMPLES), 1024)]
    signal = np.concatenate([np.concatenate(parts).reshape(-1), windows.signals[0][:720]])
    return ((signal - 1024.0) / 200).astype(np.float32)


@pytest.fixture(scope="module")
def record(ecg) -> Recording:
    return Recording("r", ecg[:, None], ("II",), 360.0)


@pytest.fixture
def wfdb_record(ecg, tmp_path) -> Path:
    """The same as a WFDB record in a folder whose name has spaces."""
    folder = tmp_path / "records of mine"
    folder.mkdir()
    wfdb.wrsamp("r", fs=360, p_signal=ecg[:, None].astype(float), units=["mV"], sig_name=["II"], fmt=["16"],
                write_dir=str(folder))  # fmt: skip
    return folder / "r"


class TestClassifier:
    def test_says_the_largest_logit_with_its_share(self, untrained, ecg_windows):
        windows = ecg_windows.signals[:40]
        findings = Classifier(untrained, threshold=0).windows(windows)
        logits = untrained.run(standardise(windows))
        assert findings.label.tolist() == logits.argmax(1).tolist()
        assert findings.said.tolist() == [CLASSES[label] for label in logits.argmax(1)]
        shares = softmax(logits * untrained.stages[-1].output_format.step)
        assert shares.sum(1) == pytest.approx(np.ones(40))
        assert findings.confidence == pytest.approx(shares.max(1))
        assert findings.margin == pytest.approx(shares.max(1) - np.sort(shares, axis=1)[:, -2])

    def test_one_window_at_a_time_equals_all_at_once(self, untrained, ecg_windows):
        windows, classifier = ecg_windows.signals[:10], Classifier(untrained)
        together = classifier.windows(windows)
        assert [classifier.windows(window[None])[0] for window in windows] == [together[i] for i in range(10)]

    def test_other_batches_change_nothing(self, untrained, ecg_windows):
        windows, classifier = ecg_windows.signals[:150], Classifier(untrained)
        parts = [classifier.windows(windows[start : start + 70]) for start in (0, 70, 140)]
        together = classifier.windows(windows)
        assert [part[i] for part in parts for i in range(len(part))] == [together[i] for i in range(150)]

    def test_below_the_threshold_it_is_unsure(self, untrained, ecg_windows):
        windows = ecg_windows.signals[:200]
        confidence = Classifier(untrained, threshold=0).windows(windows).confidence
        threshold = float(np.median(confidence))
        findings = Classifier(untrained, threshold=threshold).windows(windows)
        assert ((findings.said == UNSURE) == (confidence < threshold)).all()
        assert 0 < (findings.said == UNSURE).sum() < 200

    def test_no_class_for_a_signal_that_is_not_usable(self, untrained, ecg_windows):
        windows = ecg_windows.signals[:3].copy()
        windows[1] = 1024
        finding = Classifier(untrained, threshold=0).windows(windows)[1]
        assert (finding.said, finding.reason, finding.label, finding.quality) == ("flat", "flat", -1, 0)
        assert np.isnan(finding.confidence)
        assert np.isnan(finding.margin)

    def test_no_windows(self, untrained):
        assert len(Classifier(untrained).windows(np.zeros((0, WINDOW_SAMPLES), np.int16))) == 0

    def test_any_offset(self, untrained, ecg_windows):
        classifier = Classifier(untrained)
        first = classifier.windows(ecg_windows.signals[:20])
        second = classifier.windows(ecg_windows.signals[:20] - 3000)
        assert [first[i] for i in range(20)] == [second[i] for i in range(20)]

    def test_refuses_what_it_cannot_do(self, untrained):
        with pytest.raises(InputError, match="engine must be one of golden, csim, c, rtl, board"):
            Classifier(untrained, "abacus")
        for threshold in (-0.1, 1.1, float("nan")):
            with pytest.raises(InputError, match="0 to 1"):
                Classifier(untrained, threshold=threshold)

    def test_refuses_other_networks(self):
        from qmodel.frozen import FrozenNetwork

        other = FrozenNetwork(8, INPUT_FORMAT, (random_plane_layer(np.random.default_rng(0), 1, 2, 8, output=None),))
        with pytest.raises(InputError, match=r"8 samples of 1 lead.* does not say what it is for"):
            Classifier(other)


class TestEngines:
    def test_c_simulation_equals_golden(self, untrained, ecg_windows):
        pytest.importorskip("hls4ml")
        windows = ecg_windows.signals[:5]
        with Classifier(untrained, "csim") as classifier:
            assert np.array_equal(classifier.logits(windows), Classifier(untrained).logits(windows))

    @pytest.mark.slow
    def test_verilog_core_equals_golden(self, untrained, ecg_windows):
        pytest.importorskip("cocotb")
        windows = ecg_windows.signals[:3]
        with Classifier(untrained, "rtl") as classifier:
            assert np.array_equal(classifier.logits(windows), Classifier(untrained).logits(windows))

    @pytest.mark.parametrize("name", ["csim", "c", pytest.param("rtl", marks=pytest.mark.slow)])
    def test_engines_of_parity_show_every_layer(self, untrained, ecg_windows, name):
        pytest.importorskip({"csim": "hls4ml", "rtl": "cocotb"}.get(name, "numpy"))
        x = standardise(ecg_windows.signals[:2])
        with ENGINES[name](untrained) as engine:
            for shown, golden in zip(engine.trace(x), untrained.trace(x), strict=True):
                assert np.array_equal(shown, golden)

    def test_parity_offers_all_engines_but_the_reference_and_the_board(self):
        assert set(ENGINES) - set(PARITY_ENGINES) == {"golden", "board"}

    def test_board_takes_the_integers_of_other_engines_and_is_closed(self, untrained, ecg_windows, monkeypatch):
        given, closed = [], []

        class Overlay:  # what board.driver promises
            network = untrained

            def __init__(self, folder):
                assert folder == "deploy"

            def __enter__(self):
                return self

            def __exit__(self, *_):
                self.close()

            def close(self):
                closed.append(True)

            def logits_many(self, integers):
                given.append(integers)
                return untrained.run(integers)

        monkeypatch.setitem(sys.modules, "board", SimpleNamespace())
        monkeypatch.setitem(sys.modules, "board.driver", SimpleNamespace(ArrhythmiaOverlay=Overlay))
        windows = ecg_windows.signals[:4]
        with Classifier(untrained, "board", deploy="deploy") as classifier:
            assert np.array_equal(classifier.logits(windows), Classifier(untrained).logits(windows))
        assert np.array_equal(given[0], standardise(windows))
        assert closed == [True]

        Overlay.network = FrozenNetwork(untrained.input_length, untrained.input_format, untrained.layers[:-1])
        with pytest.raises(InputError, match="holds network"):
            Classifier(untrained, "board", deploy="deploy")

    def test_board_without_a_folder(self, untrained):
        with pytest.raises(InputError, match="--deploy"):
            Classifier(untrained, "board")


class TestSpansAndEpisodes:
    def result(self, record, said, hop_s) -> Classification:
        windows = record.windows(hop_s=hop_s)
        number = len(windows)
        said = np.array((said * number)[:number])
        confidence = np.where(np.isin(said, REASONS), np.nan, 0.75)
        labels = np.array([CLASSES.index(s) if s in CLASSES else -1 for s in said])
        findings = Findings(labels, confidence, confidence, np.ones(number), said, said)
        return Classification(record, windows, findings, "0" * 64, CLASSES, "golden", 0.5)

    def test_spans_cover_the_windows_once(self, record):
        for hop in (10, 7.5, 2.5, 1):
            spans = self.result(record, ["NSR"], hop).spans_s
            assert spans[0, 0] == 0
            assert (spans[1:, 0] == spans[:-1, 1]).all()
            assert spans[1:-1, 1] - spans[1:-1, 0] == pytest.approx(hop)
            assert spans[-1, 1] == pytest.approx((len(spans) - 1) * hop + 10)

    def test_episodes(self, record):
        episodes = self.result(record, ["NSR", "NSR", "AFIB", "flat", "NSR", "NSR"], 10).episodes
        assert [(e.start_s, e.end_s, e.said, e.windows) for e in episodes] == [
            (0, 20, "NSR", 2), (20, 30, "AFIB", 1), (30, 40, "flat", 1), (40, 60, "NSR", 2),
        ]  # fmt: skip
        assert episodes[0].confidence == 0.75
        assert np.isnan(episodes[2].confidence)

    def test_annotations_mark_every_change(self, record, tmp_path):
        said = ["NSR", "noise", "PVC", UNSURE, "flat", "saturated"]
        outputs.write_annotations(self.result(record, said, 10), tmp_path / "my r.alqa")
        marks = wfdb.rdann(str(tmp_path / "my r"), "alqa")
        assert marks.fs == 360
        found = list(zip(marks.sample.tolist(), marks.symbol, marks.aux_note, marks.subtype.tolist()))
        assert [mark for mark in found if mark[1] in "+~"] == [
            (0, "+", "(N", 0),
            (3600, "~", "noise", 1),
            (7199, "~", "", 0),
            (7200, "+", "(PVC", 0),
            (10800, "+", "(UNSURE", 0),
            (14400, "~", "flat", 1),
            (18000, "~", "saturated", 1),
        ]
        assert [p.name for p in tmp_path.iterdir()] == ["my r.alqa"]

    def test_every_class_has_its_note(self):
        from qmodel.data.annotations import RHYTHMS

        notes = [outputs.RHYTHM_NOTES[name] for name in (*CLASSES, UNSURE)]
        assert len(set(notes)) == 18
        for name in CLASSES:  # what MIT-BIH's annotations call it, where they do
            note, _ = synthetic._RHYTHMS[name]
            assert outputs.RHYTHM_NOTES[name] == note or note == "(N"
        assert set(RHYTHMS) & set(notes) == set(RHYTHMS) - {"(AB", "(NOD", "(SBR"}


class TestFiles:
    @pytest.mark.parametrize("hop", ["10", "5"])
    def test_all_files_agree(self, wfdb_record, frozen_file, tmp_path, capsys, hop):
        folder = tmp_path / "out put"
        arguments = ["--frozen", str(frozen_file), "--output", str(folder), "--hop", hop, "--threshold", "0", "--json"]
        assert main(["classify", str(wfdb_record), *arguments]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert sorted(p.name for p in folder.iterdir()) == [outputs.LEDGER, "r.alqa", "r.csv", "r.json", "r.png"]
        content = json.loads((folder / "r.json").read_text())
        number = content["windows"]
        assert number == {"10": 6, "5": 11}[hop]
        assert printed["seconds_said"] == content["seconds_said"]
        assert sum(content["seconds_said"].values()) == pytest.approx(60)
        assert any(f["said"] == "flat" and f["class"] is None for f in content["findings"])
        with open(folder / "r.csv", newline="") as file:
            table = list(csv.DictReader(file))
        assert [row["said"] for row in table] == [f["said"] for f in content["findings"]]
        assert [int(row["first_sample"]) for row in table] == [int(360 * float(hop)) * i for i in range(number)]
        marks = wfdb.rdann(str(folder / "r"), "alqa")
        changes = [s for s, symbol, kind in zip(marks.sample, marks.symbol, marks.subtype) if symbol == "+" or kind]
        assert [round(e["start_s"] * 360) for e in content["episodes"]] == changes
        _check_png(folder / "r.png")

    def test_annotations_count_samples_of_the_recording(self, ecg, frozen_file, tmp_path):
        signal = np.interp(np.arange(int(60 * RATE)) / RATE, np.arange(len(ecg)) / 360, ecg)
        np.savetxt(tmp_path / "e.csv", signal, fmt="%.4f", header="II (mV)", comments="")
        arguments = ["--fs", str(RATE), "--frozen", str(frozen_file), "--output", str(tmp_path), "--threshold", "0"]
        assert main(["classify", str(tmp_path / "e.csv"), *arguments, "--formats", "alqa", "json"]) == 0
        episodes = json.loads((tmp_path / "e.json").read_text())["episodes"]
        marks = wfdb.rdann(str(tmp_path / "e"), "alqa")
        assert marks.fs == RATE
        assert {round(e["start_s"] * RATE) for e in episodes} <= set(marks.sample.tolist())

    def test_every_format_has_a_writer(self):
        assert tuple(outputs.WRITERS) == FORMATS

    def test_never_writes_over_the_recording(self, ecg, frozen_file, tmp_path, capsys):
        np.savetxt(tmp_path / "e.csv", ecg)
        before = (tmp_path / "e.csv").read_bytes()
        arguments = ["--fs", "360", "--frozen", str(frozen_file), "--output", str(tmp_path)]
        assert main(["classify", str(tmp_path / "e.csv"), *arguments]) == 2
        assert "would be overwritten" in capsys.readouterr().err
        assert (tmp_path / "e.csv").read_bytes() == before
        assert not (tmp_path / "e.json").exists()

    @pytest.fixture
    def good(self, ecg, tmp_path) -> Path:
        """A WFDB record of 12 s in a folder where other files of its name may lie."""
        wfdb.wrsamp("good", fs=360, p_signal=ecg[:4320, None].astype(float), units=["mV"], sig_name=["II"], fmt=["16"],
                    write_dir=str(tmp_path))  # fmt: skip
        return tmp_path / "good.hea"

    @pytest.mark.parametrize("form", FORMATS)
    @pytest.mark.parametrize("what", ["file", "link", "dangling link", "folder"])
    def test_never_replaces_what_it_did_not_write(self, good, frozen_file, capsys, form, what):
        """Another recording good.csv, notes good.json, a picture, annotations of a person: no file of any kind."""
        folder = good.parent
        theirs, behind = folder / f"good.{form}", folder / "behind"
        if what == "folder":
            theirs.mkdir()
        elif what == "file":
            theirs.write_text("mine")
        else:
            theirs.symlink_to(behind)
            if what == "link":
                behind.write_text("mine")
        before = sorted(folder.iterdir())
        arguments = ["--frozen", str(frozen_file), "--output", str(folder), "--formats", *FORMATS[:2], form]
        assert main(["classify", str(good), *arguments]) == 2
        error = capsys.readouterr().err
        assert f"good.{form} was not written by this command, or was changed since: choose another --output" in error
        assert sorted(folder.iterdir()) == before  # nothing of the other formats either
        assert theirs.is_symlink() == ("link" in what)
        if what in ("file", "link"):
            assert theirs.read_text() == "mine"

    def test_a_network_of_the_recordings_name_stays(self, good, frozen_file):
        network = good.with_suffix(".alq")
        network.write_bytes(frozen_file.read_bytes())
        arguments = ["classify", str(good), "--frozen", str(network), "--output", str(good.parent)]
        for _ in range(2):  # and what was written here before is written again
            assert main([*arguments, "--formats", "csv", "alqa", "json"]) == 0
            assert network.read_bytes() == frozen_file.read_bytes()
        assert wfdb.rdann(str(good.with_suffix("")), "alqa").symbol

    def test_what_was_changed_since_is_the_users(self, good, frozen_file, tmp_path, capsys):
        output = tmp_path / "out"
        arguments = ["classify", str(good), "--frozen", str(frozen_file), "--output", str(output), "--formats", "csv"]
        assert main(arguments) == 0
        table = output / "good.csv"
        table.write_text(table.read_text() + "my remark\n")
        assert main(arguments) == 2
        assert "was changed since" in capsys.readouterr().err
        assert table.read_text().endswith("my remark\n")

    def test_recordings_of_one_name_keep_their_files_apart(self, good, frozen_file, ecg, tmp_path):
        (tmp_path / "other").mkdir()
        np.savetxt(tmp_path / "other" / "good.csv", ecg[:4320])
        arguments = [
            "--fs",
            "360",
            "--frozen",
            str(frozen_file),
            "--output",
            str(tmp_path / "out"),
            "--formats",
            "json",
        ]
        for path in (good, tmp_path / "other" / "good.csv", good):
            assert main(["classify", str(path), *arguments]) == 0
        assert sorted(p.name for p in (tmp_path / "out").glob("*.json")) == [
            outputs.LEDGER, "good-csv.json", "good.json",
        ]  # fmt: skip

    def test_needs_no_more_than_it_says(self, wfdb_record, frozen_file, tmp_path):
        """The golden engine starts without TensorFlow, and tables without matplotlib."""
        blocked = (
            "tensorflow",
            "keras",
            "hls4ml",
            "sklearn",
            "dask",
            "pyarrow",
            "edfio",
            "board",
            "matplotlib",
        )
        code = f"import sys\nfor name in {blocked}:\n    sys.modules[name] = None\n"
        code += "from flow.cli.main import main\nsys.exit(main(sys.argv[1:]))"
        arguments = ["--frozen", str(frozen_file), "--output", str(tmp_path), "--formats", "csv", "json", "alqa"]
        subprocess.run([sys.executable, "-c", code, "classify", str(wfdb_record), *arguments], check=True)

    def test_the_shipped_network(self, record):
        from qmodel import models

        assert len(classify(record, Classifier(models.load())).findings) == 6


class TestPicture:
    def test_scale_is_25_mm_per_s_and_10_mm_per_mv(self, record, untrained, tmp_path):
        result = classify(record, Classifier(untrained, threshold=0))
        strips.draw(result, tmp_path / "r.svg", "svg")
        text = (tmp_path / "r.svg").read_text()
        assert "<dc:date>" not in text
        width = float(text.split('width="')[1].split("pt")[0]) / 72 * 25.4
        assert width == pytest.approx(strips.LEFT_MM + 250 + strips.RIGHT_MM, abs=0.01)
        signal, down, up = strips._strip(result, 0)
        expected = 10 * (result.windows.signal_mv[:3600] - np.median(result.windows.signal_mv[:3600]))
        assert signal == pytest.approx(np.clip(expected, -down, up), abs=1e-4)
        assert "flat" in text

    def test_shows_everything_said(self, record, untrained):
        result = classify(record, Classifier(untrained, threshold=0), hop_s=1)
        windows = strips.chosen(result)
        assert len(windows) == strips.STRIPS
        assert {result.findings.said[w] for w in windows} == set(result.findings.said)

    def test_families_of_colours_differ_to_every_reader(self):
        """Least distance between families for normal, protan and deutan vision, in CIELAB.

        Source of the matrices: Vienot, Brettel and Mollon, Color Research and Application 24:243, 1999.
        """
        families = (("NSR",), ("AFIB", "AFL", "SVTA"), ("VT", "Bigeminy", "IVR"), ("LBBBB", "RBBBB"), ("PR",))
        for vision in (np.eye(3), PROTAN, DEUTAN):
            lab = [[_lab(vision @ _linear(strips.colour(name, CLASSES))) for name in family] for family in families]
            for i, first in enumerate(lab):
                for second in lab[i + 1 :]:
                    assert min(np.linalg.norm(a - b) for a in first for b in second) > 10

    def test_everything_has_a_colour_and_a_name(self):
        sayings = (*CLASSES, *NO_CLASS)
        colours = [strips.colour(said, CLASSES) for said in sayings]
        assert len({strips.colour(name, CLASSES) for name in CLASSES}) == len(CLASSES)
        assert all(len(c) == 7 and c[0] == "#" for c in colours)
        assert len({full_name(said) for said in sayings}) == len(sayings)


PROTAN = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]])
DEUTAN = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])


def _linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    f = np.cbrt(to_xyz @ np.clip(linear, 0, 1) / [0.9505, 1, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def _check_png(path: Path) -> None:
    """Every chunk of a PNG file is whole, its end included."""
    data, at, kinds = path.read_bytes(), 8, []
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        assert zlib.crc32(data[at + 4 : at + 8 + size]) == struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0]
        kinds.append(kind)
        at += 12 + size
    assert kinds[0] == b"IHDR"
    assert kinds[-1] == b"IEND"


def _text(content: str):
    return lambda folder, ecg: (folder / "e.csv").write_text(content) and folder / "e.csv"


def _csv(change):
    def make(folder, ecg):
        np.savetxt(folder / "e.csv", change(ecg.astype(float)), fmt="%.9g")
        return folder / "e.csv"

    return make


def _wfdb(rate=360, change=lambda folder: None):
    def make(folder, ecg):
        wfdb.wrsamp("r", fs=rate, p_signal=ecg[:, None].astype(float), units=["mV"], sig_name=["II"], fmt=["16"],
                    write_dir=str(folder))  # fmt: skip
        change(folder)
        return folder / "r"

    return make


def _cut_file(name, share):
    def change(folder):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(share * len(data))])

    return change


def _only_first_line(folder: Path) -> None:
    (folder / "r.hea").write_text("r 1 360 22320\n")


BAD_INPUT = {
    "missing": (lambda folder, ecg: folder / "none", (), "no such recording"),
    "missing, spaces": (lambda folder, ecg: folder / "my own ecg", (), "no such recording: .*my own ecg"),
    "empty csv": (_csv(lambda ecg: ecg[:0]), ("--fs", "360"), "is empty"),
    "text": (_text("All happy families\nare alike\n"), ("--fs", "360"), "is not a table of numbers"),
    "no rate": (_csv(lambda ecg: ecg), (), "give --fs"),
    "NaN": (_csv(lambda ecg: ecg * np.nan), ("--fs", "360"), "all .* samples are missing"),
    "volts": (_csv(lambda ecg: ecg / 1000), ("--fs", "360"), "perhaps --units V"),
    "counts": (_csv(lambda ecg: ecg * 200 + 1024), ("--fs", "360"), "a gain like 200/mV"),
    "10 kHz": (_csv(lambda ecg: ecg), ("--fs", "10000"), "100 to 5000 Hz, received 10000 Hz"),
    "0 Hz": (_csv(lambda ecg: ecg), ("--fs", "0"), "100 to 5000 Hz, received 0 Hz"),
    "NaN Hz": (_csv(lambda ecg: ecg), ("--fs", "nan"), "100 to 5000 Hz, received nan Hz"),
    "10 kHz header": (_wfdb(rate=10_000), (), "100 to 5000 Hz, received 10000 Hz"),
    "two samples": (_csv(lambda ecg: ecg[:2]), ("--fs", "360"), "a window needs 10 s of ECG: e has 2 samples"),
    "missing header": (_wfdb(change=lambda f: (f / "r.hea").unlink()), (), "the header of a WFDB record is missing"),
    "missing signal": (_wfdb(change=lambda f: (f / "r.dat").unlink()), (), "names a signal file that is missing"),
    "truncated signal": (_wfdb(change=_cut_file("r.dat", 0.5)), (), "truncated, or not this record's"),
    "odd bytes": (_wfdb(change=_cut_file("r.dat", 0.99999)), (), "truncated, or not this record's"),
    "empty signal": (_wfdb(change=_cut_file("r.dat", 0)), (), "truncated, or not this record's"),
    "truncated header": (_wfdb(change=_only_first_line), (), "it announces 1 signals and describes 0"),
    "empty header": (_wfdb(change=_cut_file("r.hea", 0)), (), "is empty"),
    "text header": (_wfdb(change=lambda f: (f / "r.hea").write_text("hello\n")), (), "is not a WFDB header"),
    "empty folder": (lambda folder, ecg: folder, (), "holds no recording"),
    "unknown kind": (lambda f, e: (f / "e.mp3").write_text("x") and f / "e.mp3", (), "has no format that"),
    "empty edf": (lambda f, e: (f / "e.edf").write_text("") or f / "e.edf", (), "is empty"),
    "text edf": (lambda f, e: (f / "e.edf").write_text("hello") and f / "e.edf", (), "is not an EDF file"),
    "unknown lead": (_wfdb(), ("--lead", "V9"), "has no lead 'V9': choose one of II"),
    "unknown units": (_csv(lambda ecg: ecg), ("--fs", "360", "--units", "furlong"), "units must be"),
    "hop": (_wfdb(), ("--hop", "0"), "the hop must be more than 0"),
    "threshold": (_wfdb(), ("--threshold", "2"), "must be 0 to 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input(name, ecg, frozen_file, tmp_path, capsys):
    make, options, message = BAD_INPUT[name]
    if "edf" in name:
        pytest.importorskip("edfio")
    folder, output = tmp_path / "in put", tmp_path / "out"
    folder.mkdir()
    path = make(folder, ecg)
    before = sorted(folder.rglob("*"))
    assert main(["classify", str(path), *options, "--frozen", str(frozen_file), "--output", str(output)]) == 2
    error = capsys.readouterr()
    assert error.out == ""
    assert error.err.count("\n") == 1
    assert error.err.startswith("ecg-alq classify: ")
    assert re.search(message, error.err), error.err
    assert not output.exists()
    assert sorted(folder.rglob("*")) == before


def test_full_rate_of_mit_bih_gives_its_own_windows(mitdb_folder, untrained):
    from qmodel.data import mitdb

    own = mitdb.read_record(mitdb_folder, "207").signals[: 180 * WINDOW_SAMPLES, 0].reshape(180, WINDOW_SAMPLES)
    classifier = Classifier(untrained)
    found, expected = classifier.recording(read(mitdb_folder / "207").windows()), classifier.windows(own)
    assert [found[i][:3] for i in range(180)] == [expected[i][:3] for i in range(180)]
