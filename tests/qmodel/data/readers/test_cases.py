"""The small recordings of public bug reports, each with what is right; skipped where they are not at hand."""

from pathlib import Path

import numpy as np
import pytest

from qmodel.data import recording
from qmodel.data.mitdb import DataError

CASES = Path(__file__).resolve().parents[5] / "shared" / "cases"
pytestmark = pytest.mark.skipif(not (CASES / "recordings").is_dir(), reason="the cases are not at hand")

# File, rate that is given, --units, --lead: lead, rate, seconds, highest value in mV, samples missing.
READ = [
    ("01-edf-plus-d-gap/gap.edf", None, None, None, "ECG", 256, 100, 1.14, 15_360),
    ("01-edf-plus-d-gap/nogap.edf", None, None, None, "ECG", 256, 40, 1.14, 0),
    *((f"02-edf-micro-sign/{n}.edf", None, None, None, "ECG", 256, 30, 1.14, 0)
      for n in ("latin1", "utf8", "greekmu", "nulls", "mixed")),
    ("04-edf-without-ecg/cardio.edf", None, None, None, "Cardio", 256, 30, 1.14, 0),
    ("06-edf-lead-number/rates.edf", None, None, "2", "ECG II", 512, 30, 1.14, 0),
    ("06-edf-lead-number/rates.edf", None, None, "3", "ECG V5", 512, 30, 1.14, 0),
    ("06-edf-lead-number/two_rates.edf", None, None, "2", "ECG2", 512, 30, 1.14, 0),
    ("07-edf-as-rec/ucd.rec", None, None, None, "ECG", 128, 30, 1.13, 0),
    ("08-wfdb-frames-below-100hz/icu.hea", None, None, None, "II", 250, 40, 1.13, 0),
    ("08-wfdb-frames-below-100hz/night.hea", None, None, None, "ECG", 250, 30, 1.13, 0),
    ("09-wfdb-frames-averaged/hi.hea", None, None, None, "II", 500, 40, 1.13, 0),
    ("10-wfdb-units-on-segments/s.hea", None, None, None, "II", 125, 125, 1.13, 9375),
    ("10-wfdb-units-on-segments/s.hea", None, "mV", None, "II", 125, 125, 1.13, 9375),
    ("11-units-option-drops-calibration/latin1.edf", None, "uV", None, "ECG", 256, 30, 1.14, 0),
    ("11-units-option-drops-calibration/nu.hea", None, "mV", None, "ECG", 250, 30, 1.13, 0),
    ("11-units-option-drops-calibration/muV.hea", None, None, None, "ECG", 250, 30, 1.13, 0),
    ("11-units-option-drops-calibration/muV.hea", None, "uV", None, "ECG", 250, 30, 1.13, 0),
    *((f"14-wfdb-bad-date/{n}.hea", None, None, None, "II", 500, 10, 1.13, 0) for n in ("E1", "E2", "E3")),
    ("18-rdsamp-text/s20.txt", 360, None, None, "lead 2", 360, 30, 1.14, 0),
    ("18-rdsamp-text/s21.txt", 360, None, None, "ECG1", 360, 30, 1.14, 0),
    *((f"18-rdsamp-text/{n}", 360, None, None, "lead 2", 360, 60, 1.14, 0)
      for n in ("pos.txt", "csv_c.csv", "nospace.txt")),
    ("19-padded-numbers-one-column/m1.txt", 360, None, None, "lead 1", 360, 30, 1.14, 0),
    ("19-padded-numbers-one-column/m1pos.txt", 360, None, None, "lead 1", 360, 60, 1.14, 0),
    ("19-padded-numbers-one-column/savetxt.txt", 360, None, None, "lead 1", 360, 60, 1.14, 0),
    ("20-decimal-comma-one-column/dc.csv", 360, None, None, "lead 1", 360, 30, 1.14, 0),
    ("20-decimal-comma-one-column/apple_cut_de.csv", 512, "uV", None, "lead 1", 512, 30, 1.14, 0),
    *((f"21-stopiteration/{n}.csv", 360, None, None, "ECG", 360, 30, 1.14, 0)
      for n in ("tod", "tod_ok", "mixeddec", "bool_late")),
    ("22-time-column-as-lead/zeit.csv", 360, None, None, "Kanal 1", 360, 30, 1.14, 0),
    ("22-time-column-as-lead/hash.csv", 360, None, None, "ch1", 360, 30, 1.14, 0),
    ("22-time-column-as-lead/epoch.csv", 360, None, None, "ch1", 360, 30, 1.14, 0),
    ("22-time-column-as-lead/rateFirst.csv", 360, None, None, "ECG_Clean", 360, 30, 1.14, 0),
    ("23-lead-names-with-time-words/second.csv", 360, None, "2", "Second lead", 360, 30, 1.14, 0),
    ("23-lead-names-with-time-words/two.csv", 360, None, None, "ECG_sample", 360, 30, 1.14, 0),
    ("23-lead-names-with-time-words/resampled.csv", 360, None, None, "ecg_resampled", 360, 30, 1.14, 0),
    ("24-csv-time-gap/gap.csv", 130, None, None, "ecg", 130, 100, 1.13, 7800),
    ("24-csv-time-gap/t360.csv", None, None, None, "MLII", 360, 30, 1.14, 0),
    *((f"25-iso-timestamps/{n}", 130, None, None, "ecg", 130, 30, 1.13, 0)
      for n in ("polar.txt", "isoz.csv", "ampm.csv")),
    ("26-quoted-numbers/q.csv", 360, None, None, "MLII", 360, 30, 1.14, 0),
    ("27-apple-watch-export/apple.csv", None, None, None, "Lead I", 512, 30, 1.14, 0),
    ("27-apple-watch-export/apple_de.csv", 512, None, None, "Lead I", 512, 30, 1.14, 0),
    ("29-excel-sep-line/sep.csv", 360, None, None, "II", 360, 30, 1.14, 0),
    ("30-recorder-headers/biosppy.txt", 250, None, None, "ECG", 250, 30, 1.13, 0),
    ("30-recorder-headers/labchart.txt", 250, None, None, "ECG", 250, 30, 1.13, 0),
    ("30-recorder-headers/openbci.txt", 250, None, "EXG Channel 0", "EXG Channel 0", 250, 30, 1.13, 0),
    ("31-annotation-column/ann.csv", 360, None, "MLII", "MLII", 360, 30, 1.14, 0),
    ("31-annotation-column/annall.csv", 360, None, None, "MLII", 360, 30, 1.14, 0),
    ("32-compressed-table/g.csv.gz", 360, None, None, "II", 360, 30, 1.14, 0),
]  # fmt: skip
REFUSED = [
    ("04-edf-without-ecg/psg.edf", None, None, None, "holds no ECG: its channels are EEG Fpz-Cz"),
    ("06-edf-lead-number/two_rates.edf", None, None, "V9", "choose one of ECG1 .*256 Hz.*ECG2 .*512 Hz"),
    ("10-wfdb-units-on-segments/s.hea", None, "200/mV", None, "gains of their own"),
    ("10-wfdb-units-on-segments/allnull.hea", None, None, None, "all 7,500 samples are missing"),
    ("10-wfdb-units-on-segments/allnull.hea", None, "mV", None, "all 7,500 samples are missing"),
    ("11-units-option-drops-calibration/nu.hea", None, None, None, "if it is an ECG give --units"),
    ("13-wfdb-checksum/a.hea", None, None, None, "does not belong to"),
    ("15-folder-header-with-path/old.hea", None, None, None, "must not contain a folder"),
    ("24-csv-time-gap/t360.csv", 250, None, None, "tell 360 Hz, which --fs 250 contradicts"),
    ("28-kaggle-rows-of-beats/mitbih_like.csv", 125, None, None, "188 columns of numbers, .* a beat a row"),
    ("30-recorder-headers/opensig.txt", 1000, None, None, "a gain like 200/mV for counts"),
    ("30-recorder-headers/openbci.txt", 250, None, None, "name one with --lead: EXG Channel 0"),
    ("../faults/02-csv-underscore/u.csv", 360, None, None, "must hold numbers, received '0_22000'"),
]


@pytest.mark.parametrize("case", READ, ids=lambda c: f"{c[0]} {c[1:4]}")
def test_read(case):
    name, rate, units, lead, taken, found_hz, seconds, highest, missing = case
    found = recording.read(CASES / "recordings" / name, rate, units, lead)
    one = found.lead(lead)
    assert (one.leads[0], found.sampling_rate_hz) == (taken, found_hz)
    assert found.duration_s == pytest.approx(seconds, abs=0.02)
    assert np.nanmax(one.signals) == pytest.approx(highest, abs=0.012)
    assert np.isnan(one.signals).sum() == missing
    found.samples(lead)


@pytest.mark.parametrize("case", REFUSED, ids=lambda c: f"{c[0]} {c[1:4]}")
def test_refused(case):
    name, rate, units, lead, why = case
    with pytest.raises(DataError, match=why):
        recording.read(CASES / "recordings" / name, rate, units, lead).samples(lead)


def test_a_header_of_another_folder_ends_no_archive():
    found = recording.find(CASES / "recordings" / "15-folder-header-with-path")
    assert [path.name for path in found] == ["good.hea", "old.hea"]
