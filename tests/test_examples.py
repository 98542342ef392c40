"""The examples in their smallest form (own_data: tests/flow/steps/test_chain.py)."""

from __future__ import annotations

import numpy as np
import pytest

from qmodel.data.splits import make as split
from qmodel.dataset import Dataset
from qmodel.fixed_point import standardise


def test_two_leads_is_a_data_set_of_both_leads(mitdb_folder, tmp_path):
    """The windows are the records' own, both leads, and nobody is in two parts."""
    import wfdb

    from examples import two_leads

    windows = Dataset(two_leads.make(tmp_path / "data", mitdb_folder, most=2)).load()
    assert windows.leads == two_leads.LEADS
    assert set(windows.classes) == set(two_leads.CLASSES)
    assert windows.signals.shape[1:] == (3600, 2)
    first = int(windows.first_sample[0])
    record = wfdb.rdrecord(str(mitdb_folder / windows.record[0]), first, first + 3600, physical=False)
    np.testing.assert_array_equal(standardise(windows.signals[0], axis=0), standardise(record.d_signal, axis=0))
    for fold in split("patient", windows.index, 5):
        persons = [set(windows.persons[part]) for part in (fold.train, fold.validation, fold.test)]
        assert not persons[2] & (persons[0] | persons[1])
        assert not persons[0] & persons[1]


@pytest.mark.slow
def test_digits(tmp_path):
    from examples import digits

    figures = digits.main(str(tmp_path), epochs=3, simulate=False)
    assert figures["frozen accuracy"] > 0.3  # ten digits by chance: 0.1
    assert figures["bytes"] == (tmp_path / "digits.alq").stat().st_size
