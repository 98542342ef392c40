"""Networks of somebody's own, by their metadata alone: classify, monitor, codec, board, package and export."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import wfdb

from board.codec import Codec
from flow.cli.main import main
from flow.look.pictures import CLASS_COLOURS, OTHER_COLOURS, class_colours
from flow.monitor.live import Live
from flow.monitor.stream import Play, Stream, tracks
from flow.recordings import outputs
from flow.recordings.classify import Classifier, classify
from flow.ship.package import class_names, test_window
from hls.c.generate import HEADER, write
from hls.engines.c import CExport
from qmodel import models
from qmodel.data.mitdb import DataError
from qmodel.data.recording import Recording, Takes, read_for
from qmodel.errors import InputError
from qmodel.fixed_point import INPUT_FORMAT, standardise
from qmodel.frozen import FrozenNetwork
from qmodel.usage import Usage
from tests.strategies import random_plane_layer

CLASSES = ["calm?", 'a "quick" one', "Ruhe für Müde"]
test_window.__test__ = False  # a function of the package, not a test


def own_network(channels: int = 2, samples: int = 250, rate: float = 125, leads=("II", "V1"), **other) -> FrozenNetwork:
    """A dense layer on windows of one's own, with metadata."""
    layer = random_plane_layer(np.random.default_rng(1), channels, len(CLASSES), samples, output=None)
    metadata = {"classes": CLASSES, "rate_hz": rate, "window_samples": samples, "leads": list(leads)} | other
    metadata = {key: value for key, value in metadata.items() if value is not None}
    return FrozenNetwork(samples, INPUT_FORMAT, (layer,), input_channels=channels, metadata=metadata)


def ecg(seconds: float, rate: float, leads: int, seed: int = 0) -> np.ndarray:
    """Something like an ECG, float32 (sample, lead) in mV: a peak every 0.8 s, the leads different."""
    time = np.arange(round(seconds * rate)) / rate
    beat = np.exp(-(((time % 0.8) - 0.4) ** 2) / 0.0008)
    wave = 0.2 * np.sin(2 * np.pi * 1.3 * time)
    noise = 0.01 * np.random.default_rng(seed).standard_normal((len(time), leads))
    return np.stack([beat * (1 - 1.5 * i) + wave * i for i in range(leads)], axis=1).astype(np.float32) + noise


@pytest.fixture(scope="module")
def recording() -> Recording:
    return Recording("mine", ecg(21, 250, 3).astype(np.float32), ("V1", "aVF", "MLII"), 250.0)


@pytest.fixture(scope="module")
def network() -> FrozenNetwork:
    return own_network()


@pytest.fixture(scope="module")
def path(recording, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    wfdb.wrsamp("mine", fs=250, units=["mV"] * 3, sig_name=list(recording.leads), fmt=["16"] * 3,
                p_signal=recording.signals.astype(float), write_dir=str(folder))  # fmt: skip
    return folder / "mine"


class TestUsage:
    def test_shipped_networks_are_mit_bih(self):
        for name in models.names():
            assert Usage.of(models.load(name)).takes == Takes()

    def test_own(self, network):
        usage = Usage.of(network)
        assert usage.takes == Takes(125.0, 250, 2, ("II", "V1"))
        assert usage.classes == tuple(CLASSES)

    @pytest.mark.parametrize(("changes", "fault"), [
        ({"classes": None}, "has no classes: freeze it with metadata"),
        ({"rate_hz": None}, "has no rate_hz: freeze it with metadata"),
        ({"window_samples": 999}, "windows of 999 samples, it takes 250"),
        ({"rate_hz": 1e-9}, "at 1 to 100000 Hz"),
        ({"classes": ["a", "noise", "b"]}, "'noise' is what is said of a window that gets no class"),
        ({"classes": ["a", "A", "b"]}, "differ by case"),
        ({"classes": ["a", "b\n", "c"]}, "printable"),
    ])  # fmt: skip
    def test_refuses_by_name(self, changes, fault):
        with pytest.raises(InputError, match=fault):
            Classifier(own_network(**changes))

    def test_refuses_answers_per_step(self):
        layer = random_plane_layer(np.random.default_rng(1), 1, 3, 8, output=None)
        steps = FrozenNetwork(16, INPUT_FORMAT, (layer,), metadata={"classes": CLASSES, "rate_hz": 100})
        with pytest.raises(InputError, match="gives 9 time steps of 3: average over time"):
            Classifier(steps)


class TestClassify:
    def test_windows_are_cut_at_the_networks_rate_from_its_leads(self, network, recording):
        with Classifier(network, threshold=0) as classifier:
            result = classify(recording, classifier)
        heard = [recording.samples(lead, 125) for lead in ("MLII", "V1")]  # a network of lead II hears MLII
        cut = [np.rint(200 * lead.signal_mv[: 10 * 250].astype(float)).reshape(10, 250) for lead in heard]
        logits = network.run(standardise(np.stack(cut, axis=2).astype(np.int64), axis=1))
        usable = result.findings.label >= 0
        assert usable.any()
        assert result.findings.label[usable].tolist() == logits.argmax(1)[usable].tolist()
        assert result.windows.start_s.tolist() == [2.0 * i for i in range(10)]
        assert (result.windows.lead, result.windows.window_s, result.sayings[:3]) == ("MLII+V1", 2.0, tuple(CLASSES))

    def test_files(self, network, path, tmp_path, capsys):
        frozen = network.save(tmp_path / "own.alq")
        ask = ["classify", str(path), "--frozen", str(frozen), "--threshold", "0", "--output", str(tmp_path / "o")]
        assert main([*ask, "--hop", "1"]) == 0
        content = json.loads((tmp_path / "o" / "mine.json").read_text())
        assert (content["classes"], content["window_s"], content["hop_s"]) == (CLASSES, 2.0, 1.0)
        assert content["lead"] == "MLII+V1"
        assert len(content["findings"]) == 20
        assert {row["class"] for row in content["findings"]} <= {*CLASSES, None}
        notes = wfdb.rdann(str(tmp_path / "o" / "mine"), outputs.ANNOTATOR).aux_note
        assert {note for note in notes if note.startswith("(")} <= {"(calm?", '(a "quick" one', "(CLASS3"}
        assert (tmp_path / "o" / "mine.png").stat().st_size > 10_000
        capsys.readouterr()
        assert main(["classify", str(path.parent), *ask[2:-1], str(tmp_path / "all")]) == 0
        assert "10 windows" in capsys.readouterr().out

    @pytest.mark.parametrize(("leads", "asked", "fault"), [
        (("MLII",), None, r"takes 2 leads \(II, V1\), mine has 1: MLII"),
        (("MLII", "V5"), None, "no lead 'V1': it has MLII, V5; if another is to be taken, name it with --lead"),
        (("MLII", "V1"), "II", "received --lead II: name 2, joined by"),
        (("MLII", "V1"), "V1+V1", "each must be another one"),
        (("MLII", "V1"), "V1+V7", "no lead 'V7'"),
        (("V1", "V1"), None, "has no lead 'II'"),
    ])  # fmt: skip
    def test_refuses_leads_that_do_not_fit(self, network, leads, asked, fault):
        source = Recording("mine", ecg(5, 125, len(leads)).astype(np.float32), leads, 125.0)
        with pytest.raises(DataError, match=fault):
            source.windows(asked, None, Usage.of(network).takes)

    def test_a_network_that_names_no_leads(self, recording):
        takes = Takes(125.0, 250, 2, None)
        with pytest.raises(DataError, match="does not say which: name them with --lead, joined by"):
            recording.windows(None, None, takes)
        assert recording.windows("V1+aVF", None, takes).lead == "V1+aVF"
        assert recording.windows("3+1", None, takes).lead == "MLII+V1"

    def test_a_lead_by_number_of_two_with_one_name(self):
        signals = ecg(5, 125, 2).astype(np.float32)
        source = Recording("r", signals, ("ECG", "ECG"), 125.0)
        windows = source.windows("2", None, Takes(125.0, 250))
        alone = Recording("r", signals[:, 1:], ("ECG",), 125.0).windows(None, None, Takes(125.0, 250))
        np.testing.assert_array_equal(windows.integers, alone.integers)

    def test_reads_the_leads_that_the_network_names(self, network, path):
        assert read_for(Usage.of(network).takes, path).leads == ("V1", "aVF", "MLII")
        with pytest.raises(DataError, match="no lead 'V9'"):
            read_for(Usage.of(network).takes, path, "V9+V1")

    def test_windows_of_another_shape(self, network):
        with Classifier(network) as classifier, pytest.raises(InputError, match=r"the shape .*250, 2"):
            classifier.windows(np.zeros((1, 250), np.int16))


class TestMonitor:
    @pytest.mark.parametrize(("channels", "rate", "samples"), [(2, 125, 250), (1, 100, 730), (1, 360, 3600)])
    def test_played_is_classified(self, recording, channels, rate, samples):
        network = own_network(channels, samples, rate, ("II", "V1")[:channels])
        with Classifier(network, threshold=0) as classifier:
            takes = classifier.usage.takes
            shown, heard = tracks(recording, None, takes)
            play = Play.of(recording, shown, classifier, heard=heard, hop_s=1.0)
            opening = play.opening()
            decisions, to = [], 0
            while to < len(shown) + 1000:
                decisions += play.advance(to)["decisions"]
                to += 777
            windows = recording.windows(None, 1.0, takes)
            findings = classifier.recording(windows)
        assert opening["classes"] == 3
        assert opening["window_samples"] == round(360 * takes.window_s)
        assert [saying["name"] for saying in opening["sayings"]][:3] == CLASSES
        assert [decision["said"] for decision in decisions] == findings.said.tolist()
        ends = np.rint(360 * (windows.start_s + takes.window_s)).astype(int)
        assert [decision["at"] for decision in decisions] == ends.tolist()

    def test_short_windows_have_short_hops(self):
        with Classifier(own_network(1, 64, 128, ("II",))) as classifier:
            stream = Stream(classifier)
            samples = Recording("r", ecg(3, 128, 1).astype(np.float32), ("II",), 128.0).samples("II", 128, 0.5)
            assert len(stream.feed(samples)) == 6

    def test_a_live_source_has_one_lead(self, network):
        with Classifier(network) as classifier, pytest.raises(InputError, match="gives one lead, the network takes 2"):
            Live(None, classifier)


class TestBoard:
    def test_a_frame_of_two_leads(self, network):
        codec = Codec.of(network)
        window = (200 * ecg(2, 125, 2)).astype(int)
        expected = standardise(window[None], axis=1)[0]
        assert codec.encode(window).view(np.int8).tolist() == expected.reshape(-1).tolist()
        assert codec.golden(window).tolist() == network.run(expected[None])[0].tolist()
        np.testing.assert_array_equal(codec.words(expected), codec.encode(window))
        record = np.concatenate([window, window, window[:10]])
        assert [start for start, _ in codec.windows_of(record)] == [0, 250]
        for wrong in (window[:, 0], window.reshape(-1), window[:-1]):
            with pytest.raises(InputError, match="must have shape"):
                codec.encode(wrong)
        with pytest.raises(InputError, match=r"a record must have shape \(sample, 2\)"):
            list(codec.windows_of(record[:, 0]))

    def test_package_and_export_name_the_classes(self, network, tmp_path):
        assert class_names(network) == tuple(CLASSES)
        assert class_names(models.load("compact"))[0] == "NSR"
        assert class_names(models.load("rhythm")) == ()
        made = test_window(network)
        assert np.shape(made["samples"]) == (250, 2)
        write(network, tmp_path / "c", class_names(network), np.array(made["samples"]))
        assert r'{"calm\?", "a \"quick\" one", "Ruhe für Müde"}' in (tmp_path / "c" / HEADER).read_text("utf-8")
        with CExport(network, tmp_path / "c") as export:
            assert export.classify(np.array([made["samples"]])).tolist() == [made["logits"]]


def test_colours():
    assert class_colours(("NSR", "VT")) == {"NSR": CLASS_COLOURS["NSR"], "VT": CLASS_COLOURS["VT"]}
    own = class_colours([f"class {i}" for i in range(12)])
    assert list(own.values())[:9] == list(OTHER_COLOURS)
    assert own["class 9"] == own["class 0"]
