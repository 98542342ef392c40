"""Anybody's labelled recordings: the table's rules, how windows are cut, and splits that keep persons apart."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import wfdb

from qmodel.data import fragments, splits
from qmodel.data.fragments import CLASSES
from qmodel.data.mitdb import DataError
from qmodel.dataset import Cutting, Dataset, LabelsError, read_labels
from qmodel.errors import InputError
from qmodel.experiment import Experiment, Own, Split
from qmodel.fixed_point import standardise
from qmodel.recipe import RECIPES
from qmodel.usage import RESERVED

RATE = 125
HEAD = "recording,start,end,label,person,lead"


def write_csv(folder: Path, name: str, seconds: float = 20, leads=("II",), rate: int = RATE, seed: int = 0) -> None:
    """A recording whose samples count up in steps of 1/200 mV, so that every window tells where it was cut."""
    time = np.arange(round(seconds * rate)) / rate
    values = (np.arange(len(time)) % 997)[:, None] / 200 + np.arange(len(leads)) + seed / 200
    np.savetxt(
        folder / name, np.column_stack([time, values]), "%.6f", ",", header=",".join(["time", *leads]), comments=""
    )


def table(folder: Path, *rows: str, head: str = HEAD) -> Path:
    path = folder / "labels.csv"
    path.write_text("\n".join([head, *rows]) + "\n", "utf-8")
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """Six recordings of 20 s."""
    for i in range(6):
        write_csv(tmp_path, f"r{i}.csv", leads=("II", "V1"), seed=i)
    return tmp_path


def six(label=lambda i: "ab"[i % 2], **more) -> list[str]:
    return [f"r{i}.csv,0,20,{label(i)},P{i}," for i in range(6)]


class TestTable:
    def test_every_spelling_of_the_same_table(self, tmp_path):
        plain = read_labels(table(tmp_path, "r,0,1.5,a,P,II", "r,2,3.5,b,P,II"))
        for mark in (";", "\t"):
            rows = [row.replace(",", mark) for row in ("r,0,1.5,a,P,II", "", "r,2,3.5,b,P,II", "")]
            path = table(tmp_path, *rows, head=HEAD.replace(",", mark).upper())
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
            again = read_labels(path)
            assert [row._replace(line=0) for row in again] == [row._replace(line=0) for row in plain]
        assert read_labels(table(tmp_path, "r;0;1,5;a;P;II", head=HEAD.replace(",", ";")))[0].end_s == 1.5
        assert read_labels(table(tmp_path, 'r,,,"a, b"', head="recording,start,end,label"))[0][2:5] == (
            None,
            None,
            "a, b",
        )

    @pytest.mark.parametrize(("row", "fault"), [
        ("r,0,1", "6 cells like the head, received 3"),
        (",0,1,a,P,", "recording must be a file in the folder"),
        ("/etc/passwd,0,1,a,P,", "must be a file in the folder"),
        ("../r,0,1,a,P,", "must be a file in the folder"),
        ("r,x,1,a,P,", "start must be seconds .* received 'x'"),
        ("r,-1,1,a,P,", "start must be seconds .* received '-1'"),
        ("r,nan,1,a,P,", "start must be seconds"),
        ("r,0,inf,a,P,", "end must be seconds"),
        ("r,0:00,1,a,P,", "start must be seconds"),
        ("r,2,1,a,P,", "end must be after start, received start 2 and end 1"),
        ("r,2,2,a,P,", "end must be after start"),
        ("r,2,,a,P,", "both, or leave both empty"),
        ("r,0,1,,P,", "label must say what"),
        ("r,0,1," + "a" * 41 + ",P,", "1 to 40 printable"),
        ("r,0,1,a\x07b,P,", "printable"),
        ("r,0,1,Noise,P,", "said of a window that gets no class"),
        ("r,0,1,a,P,II+", "names joined by"),
        ("r,0,1,a,P,II+ii", "each another one"),
    ])  # fmt: skip
    def test_refuses_a_row(self, tmp_path, row, fault):
        with pytest.raises(LabelsError, match=rf"labels.csv, line 3: .*{fault}"):
            read_labels(table(tmp_path, "r,5,6,a,P,", row))

    @pytest.mark.parametrize(("rows", "line", "fault"), [
        (["r,0,1,a,P,", "r,0,1,b,P,"], 3, "stands in line 2 as 'a'"),
        (["r,0,1,a,P,", "r,0,1,a,P,"], 3, "stands in line 2 again"),
        (["r,0,1,a,P,", "r,2,3,A,P,"], 3, "'A' and 'a' of line 2 differ by case"),
        (["r,0,1,a,P,", "s,2,3,b,p,"], 3, "person 'p' and 'P' of line 2"),
        (["r,0,1,a,P,", "r,2,3,b,Q,"], 3, "a recording is of one person"),
        (["r,0,10,a,P,", "r,5,15,b,P,"], 3, "is 'b' here and 'a' in line 2, and the two overlap"),
        (["r,5,15,b,P,", "r,0,10,a,P,"], 3, "is 'a' here and 'b' in line 2, and the two overlap"),
        (["r,0,30,a,P,", "r,1,2,a,P,", "r,20,21,b,P,"], 4, "is 'b' here and 'a' in line 2"),
        (["r,,,a,P,", "r,5,15,b,P,"], 3, "overlap: give every moment one label"),
    ])  # fmt: skip
    def test_refuses_rows_that_contradict_each_other(self, tmp_path, rows, line, fault):
        with pytest.raises(LabelsError, match=f"line {line}: .*{fault}"):
            read_labels(table(tmp_path, *rows))

    def test_tells_every_line_once(self, tmp_path):
        rows = [f"r{i},0,{-i if i % 2 else i + 1},a,P{i}," for i in range(60)]
        with pytest.raises(LabelsError) as caught:
            read_labels(table(tmp_path, *rows))
        told = str(caught.value).splitlines()
        assert len(told) == 21
        assert told[-1].endswith("10 further lines are refused")
        assert all(f"line {2 * i + 3}:" in line for i, line in enumerate(told[:20]))

    @pytest.mark.parametrize(("content", "fault"), [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"recording,start,end,label\n", "a head and no rows"),
        (b"recording,start,end\nr,0,1\n", "columns label are missing"),
        (b"recording,start,end,label,persn\nr,0,1,a,P\n", "columns persn are not known"),
        (b"recording,start,end,label,label\nr,0,1,a,P\n", "columns label stand twice"),
        (b"recording,start,end,label\nr,0,1,\xff\n", "must be UTF-8, byte 32"),
        (b'recording,start,end,label\nr,0,1,"a\n', "not a table"),
    ])  # fmt: skip
    def test_refuses_a_table(self, tmp_path, content, fault):
        (tmp_path / "labels.csv").write_bytes(content)
        with pytest.raises(DataError, match=fault):
            read_labels(tmp_path / "labels.csv")

    def test_no_table(self, tmp_path):
        with pytest.raises(DataError, match=r"a folder with labels\.csv"):
            Dataset(tmp_path).load()

    def test_words_that_say_that_there_is_no_class(self):
        assert set(RESERVED) >= {"unsure", "not an ECG", "missing", "flat", "saturated", "noise", "good"}


class TestWindows:
    def test_cuts_where_the_table_says(self, folder):
        table(folder, "r0.csv,2,8,b,P0,", "r1,0,20,a,P1,", "r2,,,a,P2,V1")
        windows = Dataset(folder, Cutting(window_s=2)).load()
        assert windows.classes == ("a", "b")
        assert windows.leads is None
        assert windows.rate_hz == RATE
        assert np.bincount(windows.labels).tolist() == [20, 3]
        assert windows.first_sample[:3].tolist() == [250, 500, 750]
        assert set(windows.record) == {"r0.csv", "r1", "r2"}
        assert set(windows.lead) == {"II", "V1"}
        # by the samples' own numbers, whatever offset is taken from a window
        first = windows.signals[0].astype(int)
        assert ((first - first[0] - np.arange(250)) % 997 == 0).all()
        counted = (np.arange(2500) % 997)[250:500]
        np.testing.assert_array_equal(standardise(windows.signals[:1]), standardise(counted[None]))

    def test_two_leads_resampled(self, folder):
        table(folder, *six())
        windows = Dataset(folder, Cutting(5, 250, ("V1", "II"))).load()
        assert windows.signals.shape == (24, 1250, 2)
        assert windows.leads == ("V1", "II")
        assert set(windows.lead) == {"V1+II"}

    @pytest.mark.parametrize(("rows", "cutting", "fault"), [
        (["nobody,0,5,a,P,"], Cutting(), "line 2: there is no recording 'nobody'"),
        (["labels.csv,0,5,a,P,"], Cutting(), "line 2: labels.csv is the table itself"),
        (["r0,0,5,a,P,", "r0.csv,5,10,b,P,"], Cutting(), "line 3: r0.csv and r0 are one file"),
        (["r0,0,25,a,P,"], Cutting(5), "line 2: end must lie in the recording, which lasts 20.000 s"),
        (["r0,0,2,a,P,"], Cutting(5), "line 2: a label must last at least a window, 5 s, received 2 s"),
        (["r0,0,5,a,P,V9"], Cutting(), "line 2: .*no lead 'V9'"),
        (["r0,0,5,a,P,", "r1,0,5,b,P,II+V1"], Cutting(), "line 3: every row must name as many leads, 1 like line 2"),
        (["r0,0,5,a,P,", "r1,0,6,b,Q,"], Cutting(), "labels last 5 to 6 s: give a window's seconds with --window"),
        (["r0,,,a,P,"], Cutting(), "whole recordings: give .*--window"),
        (["r0,0,5,a,P,", "r1,0,5,a,Q,"], Cutting(), "one label, 'a': a classifier needs at least two"),
        (["r0,0,5,a,P,"], Cutting(window_s=float("nan")), "--window must be more than 0"),
        (["r0,0,5,a,P,"], Cutting(window_s=0.01), "16 to 32768 samples"),
        (["r0,0,5,a,P,"], Cutting(rate_hz=9), "--rate must be 20 to 5000"),
        (["flat,0,5,a,P,"], Cutting(), "line 2: the signal is flat in lead II, 0 to 5 s"),
        (["gap,5,10,a,P,"], Cutting(), "line 2: the recorder gave no value for [0-9]+%"),
        (["slow,0,5,a,P,", "r1,0,5,b,Q,"], Cutting(), "line 3: r1 has 125 Hz, slow 100 Hz: say with --rate"),
    ])  # fmt: skip
    def test_refuses(self, folder, rows, cutting, fault):
        write_csv(folder, "slow.csv", rate=100)
        lines = (folder / "r5.csv").read_text().splitlines()
        flat = [line if i > 625 else f"{line.split(',')[0]},0.5,0.5" for i, line in enumerate(lines[1:])]
        (folder / "flat.csv").write_text("\n".join([lines[0], *flat]))
        gap = [line if not 700 < i < 1100 else f"{line.split(',')[0]},," for i, line in enumerate(lines[1:])]
        (folder / "gap.csv").write_text("\n".join([lines[0], *gap]))
        table(folder, *rows)
        with pytest.raises(DataError, match=fault):
            Dataset(folder, cutting).load()

    def test_a_name_without_suffix_that_several_have(self, folder):
        (folder / "r0.tsv").write_text((folder / "r0.csv").read_text().replace(",", "\t"))
        table(folder, "r0,0,5,a,P,")
        with pytest.raises(LabelsError, match=r"several recordings are called 'r0' \(r0.csv, r0.tsv\)"):
            Dataset(folder).load()

    def test_sums_follow_the_content(self, folder):
        table(folder, *six())
        before = Own(Dataset(folder)).identity
        assert set(before["files"]) == {"labels.csv", *(f"r{i}.csv" for i in range(6))}
        with open(folder / "r3.csv", "a") as file:
            file.write("20.0,1,2\n")
        assert Own(Dataset(folder)).identity != before

    def test_notes(self, folder):
        table(folder, "r0,0,5,a,P0,", "r1,0,5,b,,", "r2,0,5,b,,")
        dataset = Dataset(folder)
        first, second = dataset.notes(dataset.load())
        assert first.startswith("2 recordings have no person")
        assert second.startswith("3 recordings in the folder have no")


class TestSplits:
    def experiment(self, folder, **split) -> Experiment:
        return Experiment(RECIPES["tiny"], Own(Dataset(folder, Cutting(2))), Split(**split))

    def test_persons_are_on_one_side(self, folder):
        table(folder, *[f"r{i}.csv,{5 * j},{5 * j + 5},{'ab'[j % 2]},P{i % 4}," for i in range(6) for j in range(4)])
        for fold in range(4):
            experiment = self.experiment(folder, protocol="patient", fold=fold)
            persons = [set(experiment.loaded.persons[part]) for part in vars(experiment.parts).values()]
            assert all(persons)
            assert not persons[0] & persons[1]
            assert not (persons[0] | persons[1]) & persons[2]
        with pytest.raises(InputError, match="--fold must be 0 to 3 in this split, received 4"):
            self.experiment(folder, protocol="patient", fold=4).parts  # noqa: B018

    def test_a_class_of_one_person_is_refused(self, folder):
        table(folder, *six(lambda i: "c" if i == 4 else "ab"[i % 2]))
        with pytest.raises(InputError, match=r"class 'c' has nothing to train on in fold 0 .* of 1 person"):
            self.experiment(folder, protocol="patient").parts  # noqa: B018

    def test_too_few_persons(self, folder):
        table(folder, *[f"r{i}.csv,{10 * j},{10 * j + 10},{'ab'[j]},P{i % 2}," for i in range(6) for j in range(2)])
        with pytest.raises(InputError, match="a group of windows each, the labels have 2"):
            self.experiment(folder, protocol="patient").parts  # noqa: B018
        assert len(self.experiment(folder, protocol="stratified").parts.test)

    def test_windows_that_overlap_stay_together(self, folder):
        rows = [f"r{i}.csv,{j},{j + 2},{'ab'[i % 2]},P{i}," for i in range(6) for j in range(0, 16, 1)]
        table(folder, *rows)
        parts = self.experiment(folder, protocol="stratified").parts
        windows = Dataset(folder, Cutting(2)).load()
        sides = [set(windows.record[part]) for part in vars(parts).values()]
        assert not sides[0] & sides[1]
        assert not sides[0] & sides[2]
        assert not sides[1] & sides[2]


def test_mitdb_is_a_data_set_among_others(mitdb_folder, tmp_path):
    """The windows, the classes and the folds of the benchmark, from a table of the same 1000 rows.

    201 and 202 are one person; 17 classes in their own order.
    """
    index = fragments.load_index()
    chosen = np.flatnonzero(np.isin(index.record, ["106", "207", "201", "202", "230"]))
    for record in np.unique(index.record[chosen]):
        for suffix in ("hea", "dat"):
            (tmp_path / f"{record}.{suffix}").symlink_to(mitdb_folder / f"{record}.{suffix}")
    with open(tmp_path / "labels.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["recording", "start", "end", "label", "person", "lead"])
        for i in chosen:
            start, record = int(index.first_sample[i]) / 360, str(index.record[i])
            person = "201" if record == "202" else record
            writer.writerow([record, start, start + 10, CLASSES[index.label[i]], person, index.lead[i]])
    windows = Dataset(tmp_path).load()
    own = fragments.Fragments(*(getattr(index, name)[chosen] for name in ("fragment", "record", "first_sample", "lead",
                                                                          "label")))  # fmt: skip
    given = fragments.load_windows(mitdb_folder, own)
    np.testing.assert_array_equal(standardise(windows.signals), standardise(given.signals))
    assert [windows.classes[label] for label in windows.labels] == [CLASSES[label] for label in given.labels]
    for protocol in ("stratified", "blocked"):
        for ours, theirs in zip(splits.make(protocol, windows.index, 4), splits.make(protocol, given.index, 4)):
            np.testing.assert_array_equal(ours.test, theirs.test)


def test_a_wfdb_record_with_leads_of_two_kinds(tmp_path):
    """The lead that is asked for is read even where its name does not say that it is an ECG."""
    for i in range(3):
        signal = np.random.default_rng(i).standard_normal((2000, 2))
        wfdb.wrsamp(f"w{i}", fs=100, units=["mV", "mV"], sig_name=["II", "chest"], p_signal=signal, fmt=["16", "16"],
                    write_dir=str(tmp_path))  # fmt: skip
    table(tmp_path, *[f"w{i},0,10,{'ab'[i % 2]},,chest+II" for i in range(3)])
    windows = Dataset(tmp_path).load()
    assert windows.leads == ("chest", "II")
    assert windows.signals.shape == (3, 1000, 2)
