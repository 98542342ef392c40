"""Archives: one table, resumed where it stopped, bad recordings named."""

import csv
import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import wfdb

from flow.cli.main import main
from flow.recordings import archive
from flow.recordings.archive import PARTS, SUMMARY, TABLE, Settings, Task, classify_archive, known, run_task
from flow.recordings.classify import Classifier, classify
from qmodel.data import recording, synthetic
from qmodel.data.mitdb import DataError
from qmodel.errors import InputError

parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> Path:
    """Three recordings of 30 s, one of them a folder below, one truncated, and an MIMIC-like record of two segments."""
    folder = tmp_path_factory.mktemp("my archive")
    signals = (synthetic.synthetic_windows(per_class=3).signals[:51:3].reshape(-1) - 1024) / 200
    for i, name in enumerate(("a", "b", "c")):
        write(folder, name, signals[i * 10_800 : (i + 1) * 10_800])
    write(folder / "below", "a", signals[20_000:27_200])
    whole = (folder / "c.dat").read_bytes()
    (folder / "c.dat").write_bytes(whole[:1000])
    for name in ("m_1", "m_2"):
        write(folder, name, signals[:3600])
    (folder / "m.hea").write_text("m/2 1 360 7200\nm_1 3600\nm_2 3600\n")
    return folder


def write(folder: Path, name: str, signal: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    wfdb.wrsamp(name, fs=360, p_signal=signal[:, None], units=["mV"], sig_name=["II"], fmt=["16"],
                write_dir=str(folder))  # fmt: skip


@pytest.fixture
def in_this_process(monkeypatch) -> list[str]:
    """Tasks run here, one after the other; the list receives their names."""
    asked = []

    def run(tasks, scheduler, workers, before):
        asked.extend(task.name for task in tasks)
        return {task.name: run_task(task) for task in tasks}

    monkeypatch.setattr(archive, "_run", run)
    return asked


def test_segments_are_no_recordings(originals):
    names = [str(path.relative_to(originals)) for path in recording.find(originals)]
    assert names == ["a.hea", "b.hea", "below/a.hea", "c.hea", "m.hea"]
    assert len(recording.read(originals / "m").windows()) == 2


def test_one_table_and_what_was_refused(originals, untrained, frozen_file, tmp_path, capsys):
    arguments = [
        "classify",
        str(originals),
        "--frozen",
        str(frozen_file),
        "--output",
        str(tmp_path / "o u t"),
        "--json",
    ]
    assert main(arguments) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary == json.loads((tmp_path / "o u t" / SUMMARY).read_text())
    assert (summary["recordings"], summary["classified_before"], summary["windows"]) == (5, 0, 10)
    assert list(summary["refused"]) == ["c.hea"]
    assert "truncated" in summary["refused"]["c.hea"]

    table = parquet.read_table(tmp_path / "o u t" / TABLE)
    assert table.schema.names == ["recording", "lead", *archive.COLUMNS]
    assert table["recording"].to_pylist() == ["a"] * 3 + ["b"] * 3 + ["below/a"] * 2 + ["m"] * 2
    result = classify(originals / "b", Classifier(untrained))
    rows = table.slice(3, 3).to_pylist()
    assert [row["said"] for row in rows] == result.findings.said.tolist()
    assert [row["confidence"] for row in rows] == pytest.approx(result.findings.confidence.tolist(), abs=1e-6)
    assert json.loads(table.schema.metadata[b"ecg-alq"])["network"] == untrained.identity

    # Again: everything was known, and no worker is asked.
    assert main(arguments) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["classified_before"] == 5
    assert parquet.read_table(tmp_path / "o u t" / TABLE).equals(table)


@pytest.mark.parametrize("name", [TABLE, SUMMARY, archive.RECORDINGS])
def test_never_replaces_a_table_it_did_not_write(originals, frozen_file, tmp_path, capsys, name):
    output = tmp_path / "out"
    output.mkdir()
    (output / name).write_text("mine")
    arguments = ["classify", str(originals), "--frozen", str(frozen_file), "--output", str(output)]
    assert main(arguments) == 2
    assert f"{name} was not written by this command" in capsys.readouterr().err
    assert [(p.name, p.read_text()) for p in output.iterdir()] == [(name, "mine")]


def _table(path: Path, signal: np.ndarray) -> None:
    content = "".join(["time,II\n", *(f"{i / 360:.5f},{value:.4f}\n" for i, value in enumerate(signal))]).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


class TestNames:
    """What a folder may hold beside plain recordings, and how their rows are told apart."""

    @pytest.mark.parametrize("others", [("e.csv",), ("e.csv.gz",), ("e.csv", "e.csv.gz"), ("below/e.csv", "e.tsv")])
    def test_recordings_of_one_stem(self, originals, untrained, in_this_process, tmp_path, others):
        folder = tmp_path / "in"
        (folder / "below").mkdir(parents=True)
        signal = wfdb.rdrecord(str(originals / "a")).p_signal[:3600, 0]
        write(folder, "e", signal)
        for name in others:
            _table(folder / name, signal)
        classify_archive(folder, untrained, tmp_path / "out")
        rows = parquet.read_table(tmp_path / "out" / TABLE)["recording"].to_pylist()
        alike = {"e.hea", *(name for name in others if "/" not in name)}
        assert sorted(rows) == sorted(alike | {name.removesuffix(".csv") for name in others if "/" in name})

    @pytest.mark.parametrize("first", ["udb/100z 1 360 3600", "../a 1 360 3600", "/b 1 360 3600", "b/x/2 1 360 3600"])
    def test_a_header_that_names_a_folder_ends_no_archive(self, originals, untrained, in_this_process, tmp_path, first):
        folder = tmp_path / "in"
        write(folder, "good", wfdb.rdrecord(str(originals / "a")).p_signal[:3600, 0])
        (folder / "b.hea").write_text(f"{first}\ngood.dat 16 200/mV 16 0 0 0 0 II\n")
        summary = classify_archive(folder, untrained, tmp_path / "out")
        assert (list(summary["refused"]), summary["windows"]) == (["b.hea"], 1)
        assert "folder" in summary["refused"]["b.hea"]

    @pytest.mark.parametrize("name", [".", "./", "below/..", "../in"])
    def test_folders_by_any_name(self, originals, untrained, in_this_process, tmp_path, monkeypatch, name):
        (tmp_path / "in" / "below").mkdir(parents=True)
        write(tmp_path / "in", "good", wfdb.rdrecord(str(originals / "a")).p_signal[:3600, 0])
        monkeypatch.chdir(tmp_path / "in")
        summary = classify_archive(name, untrained, tmp_path / "out")
        assert (summary["folder"], summary["windows"]) == (str(tmp_path / "in"), 1)


class TestResuming:
    @pytest.fixture
    def folder(self, originals, tmp_path) -> Path:
        return Path(shutil.copytree(originals, tmp_path / "archive"))

    def test_goes_on_where_it_stopped(self, folder, untrained, in_this_process, tmp_path):
        classify_archive(folder, untrained, tmp_path / "whole")
        del in_this_process[:]
        first = Task(str(folder), "a.hea", untrained.file_bytes, Settings(), str(tmp_path / "killed"))
        run_task(first)
        part, row = known(first)
        assert (part, row["recording"], row["windows"], row["error"]) == (str(first.part), "a", 3, "")
        classify_archive(folder, untrained, tmp_path / "killed")
        assert in_this_process == ["b.hea", "below/a.hea", "c.hea", "m.hea"]
        tables = [parquet.read_table(tmp_path / name / TABLE) for name in ("whole", "killed")]
        assert tables[0].equals(tables[1])

    def test_what_changed_is_done_again(self, folder, untrained, in_this_process, tmp_path):
        classify_archive(folder, untrained, tmp_path / "o")
        del in_this_process[:]
        write(folder, "c", np.sin(np.arange(3600) / 9))
        summary = classify_archive(folder, untrained, tmp_path / "o")
        assert in_this_process == ["c.hea"]
        assert (summary["refused"], summary["windows"]) == ({}, 11)
        classify_archive(folder, untrained, tmp_path / "o", Settings(hop_s=5))
        assert len(in_this_process) == 6

    def test_a_signal_file_of_another_stem(self, folder, untrained, in_this_process, tmp_path):
        header = (folder / "a.hea").read_text().replace("a.dat", "sig.dat").splitlines()
        words = header[1].split()
        header[1] = " ".join([*words[:6], "0", *words[7:]])  # without a checksum
        (folder / "a.hea").write_text("\n".join(header) + "\n")
        (folder / "a.dat").rename(folder / "sig.dat")
        classify_archive(folder, untrained, tmp_path / "o")
        del in_this_process[:]
        data = (folder / "sig.dat").read_bytes()
        (folder / "sig.dat").write_bytes(data[:2] + data[2000:] + data[2:2000])
        classify_archive(folder, untrained, tmp_path / "o")
        assert in_this_process == ["a.hea"]

    def test_a_rate_is_for_tables(self, folder, untrained, in_this_process, tmp_path):
        numbers = np.sin(np.arange(5000) / 40)
        (folder / "t.csv").write_text("\n".join(f"{v:.4f}" for v in numbers))
        write(folder, "c", numbers)
        classify_archive(folder, untrained, tmp_path / "o", Settings(sampling_rate_hz=250))
        with open(tmp_path / "o" / archive.RECORDINGS, newline="") as file:
            rates = {row["recording"]: row["sampling_rate_hz"] for row in csv.DictReader(file)}
        assert rates == {"a": "360.0", "b": "360.0", "below/a": "360.0", "c": "360.0", "m": "360.0", "t": "250.0"}

    def test_nothing_to_classify(self, folder, untrained, in_this_process, tmp_path):
        with pytest.raises(InputError, match=r"none of 5 recordings .* could be classified; the first: .*no lead 'V9'"):
            classify_archive(folder, untrained, tmp_path / "o", Settings(lead="V9"))
        assert [p.name for p in (tmp_path / "o").iterdir()] == [PARTS]
        with pytest.raises(InputError, match="--workers"):
            classify_archive(folder, untrained, tmp_path / "p", workers=0)
        with pytest.raises(InputError, match="threshold"):
            classify_archive(folder, untrained, tmp_path / "p", Settings(threshold=2))
        for wrong in (Settings(hop_s=0), Settings(units="furlong"), Settings(sampling_rate_hz=1e6)):
            with pytest.raises(DataError, match="received"):
                classify_archive(folder, untrained, tmp_path / "p", wrong)
        assert not (tmp_path / "p").exists()
