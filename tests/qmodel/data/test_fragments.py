"""The index of the 1000 fragments and the windows cut by it."""

from collections import Counter

import numpy as np
import pytest

from qmodel.data import fragments, mitdb, synthetic
from qmodel.data.fragments import CLASSES, INDEX_COLUMNS
from qmodel.data.mitdb import DataError


def test_index_holds_what_the_matching_found():
    index = fragments.load_index()
    assert index.fragment.tolist() == list(range(1000))
    assert (index.first_sample % 3600 == 0).all()
    assert Counter(index.lead.tolist()) == {"MLII": 997, "V1": 3}
    copies = Counter(zip(index.record.tolist(), index.first_sample.tolist()))
    assert Counter(copies.values()) == {1: 978, 2: 11}
    assert set(mitdb.RECORDS) - set(index.record.tolist()) == {"102", "104", "232"}
    assert dict(zip(CLASSES, np.bincount(index.label).tolist())) == {
        "NSR": 283, "APB": 66, "AFL": 20, "AFIB": 135, "SVTA": 13, "WPW": 21, "PVC": 133, "Bigeminy": 55,
        "Trigeminy": 13, "VT": 10, "IVR": 10, "VFL": 10, "Fusion": 11, "LBBBB": 103, "RBBBB": 62, "SDHB": 10, "PR": 45,
    }  # fmt: skip
    assert list(fragments.CLASS_NAMES) == list(CLASSES)


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (INDEX_COLUMNS[:-1], "0,100,0,MLII,0", "lacks {'class_name'}"),
        (INDEX_COLUMNS, "0,100,0,MLII,17,NSR", "line 2: class_index 17"),
        (INDEX_COLUMNS, "0,100,0,MLII,-1,PR", "line 2: class_index -1"),
        (INDEX_COLUMNS, "0,100,0,MLII,1,NSR", "class_name 'NSR' must be one of the 17 classes"),
        (INDEX_COLUMNS, "0,100,0.5,MLII,0,NSR", "must be integers"),
        (INDEX_COLUMNS, "0,100", "must be integers"),
    ],
)
def test_bad_index(tmp_path, header, row, message):
    path = tmp_path / "index.csv"
    path.write_text(f"{','.join(header)}\n{row}\n")
    with pytest.raises(DataError, match=message):
        fragments.load_index(path)


def index_of(record: str, first_sample: int, lead: str) -> fragments.Fragments:
    return fragments.Fragments(
        np.array([0]), np.array([record]), np.array([first_sample]), np.array([lead]), np.array([0])
    )


def test_windows_are_cut_from_the_lead_asked_for(synthetic_record):
    record = mitdb.read_record(synthetic_record, "100", {})
    for column, lead in enumerate(record.leads):
        windows = fragments.load_windows(synthetic_record, index_of("100", 646_400, lead), sums={})
        assert windows.signals.tolist() == [record.signals[-3600:, column].tolist()]


@pytest.mark.parametrize("first_sample", [-3600, 646_401])
def test_window_beyond_the_record(synthetic_record, first_sample):
    with pytest.raises(DataError, match=f"must lie inside the record: .* starts at {first_sample}"):
        fragments.load_windows(synthetic_record, index_of("100", first_sample, "MLII"), sums={})


def test_record_without_the_lead(tmp_path):
    synthetic.write_record(tmp_path, "102", leads=("V5", "V2"))
    with pytest.raises(DataError, match="Record 102 has no lead 'MLII': its leads are V5, V2"):
        fragments.load_windows(tmp_path, index_of("102", 0, "MLII"), sums={})


def test_real_windows(mitdb_folder):
    index = fragments.load_index()
    windows = fragments.load_windows(mitdb_folder)
    assert windows.signals.shape == (1000, 3600)
    assert windows.signals.dtype == np.int16
    assert windows.source == "MIT-BIH"
    for name in ("fragment", "record", "first_sample", "lead", "label"):
        assert (getattr(windows.index, name) == getattr(index, name)).all()
    for i in (0, 368, 370, 446, 999):  # 368, 370 and 446 are lead V1
        record = mitdb.read_record(mitdb_folder, str(index.record[i]))
        column = record.leads.index(str(index.lead[i]))
        start = int(index.first_sample[i])
        assert (windows.signals[i] == record.signals[start : start + 3600, column]).all()


def test_nine_windows_appear_twice_sample_for_sample(mitdb_folder):
    signals = fragments.load_windows(mitdb_folder).signals
    assert Counter(Counter(signal.tobytes() for signal in signals).values()) == {1: 982, 2: 9}
