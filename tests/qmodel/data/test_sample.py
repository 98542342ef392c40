"""The sample is the database's own minute, and says where it comes from."""

from pathlib import Path

import numpy as np
import wfdb

from qmodel.data import sample

FIRST, LAST = 1420 * 360, 1480 * 360  # 23:40 to 24:40 of record 106
RECORD = str(sample.PATH.with_suffix(""))


def test_is_that_minute_of_the_record(mitdb_folder):
    ours, theirs = (wfdb.rdrecord(str(path), physical=False) for path in (RECORD, mitdb_folder / "106"))
    assert ours.sig_name == theirs.sig_name
    assert np.array_equal(ours.d_signal, theirs.d_signal[FIRST:LAST])
    # The first annotation tells the rhythm in force, which the record told before.
    ours = wfdb.rdann(RECORD, "atr")
    theirs = wfdb.rdann(str(mitdb_folder / "106"), "atr", sampfrom=FIRST, sampto=LAST, shift_samps=True)
    assert ours.sample[1:].tolist() == theirs.sample.tolist()
    assert ours.symbol[1:] == theirs.symbol
    assert ours.aux_note[1:] == theirs.aux_note
    assert ours.aux_note[0] == "(N"


def test_reads_as_a_recording():
    recording = sample.read()
    assert recording.leads == ("MLII", "V1")
    assert recording.duration_s == 60


def test_names_source_and_licence():
    for text in (sample.CREDIT, (sample.PATH.parent / "README.md").read_text("utf-8")):
        assert "MIT-BIH Arrhythmia Database" in text
        assert "PhysioNet" in text
        assert "Open Data Commons Attribution" in text
    assert "README.md" in sample.PATH.read_text("ascii")


def test_is_small():
    assert sum(path.stat().st_size for path in Path(sample.PATH).parent.iterdir()) < 70_000
