"""Damaged files of every kind end as one line; 20,000 of them: python -m benchmarks.recordings fuzz."""

from benchmarks.recordings import fuzz


def test_damaged_files_end_as_one_line():
    found = fuzz(90, seed=1)
    assert found["others"] == []
    assert found["refused"] > 20
