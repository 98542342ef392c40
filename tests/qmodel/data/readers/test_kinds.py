"""Further inputs of every kind of fault that public bug reports tell of, made in code."""

import bz2
import gzip
import itertools
import json
import lzma
import time
import zipfile

import numpy as np
import pytest

from qmodel.data import recording
from qmodel.data.mitdb import DataError
from qmodel.data.readers import edf, tables, times
from qmodel.data.readers.channels import ECG, OTHER, UNKNOWN, kind_of_name, kind_of_unit, likeliest, voltage_unit
from qmodel.data.recording import read
from tests.qmodel.data.readers import make
from tests.qmodel.data.readers.make import RATE, cells, ecg_mv

ECG_MV = ecg_mv()
N = len(ECG_MV)
T = np.arange(N) / RATE
OTHER_MV = 0.3 * np.sin(2 * np.pi * 0.25 * T) + 0.01 * np.cos(40 * T)


def close(record, lead=None, signal=ECG_MV, at=0.003):
    """The lead is the signal that was written."""
    one = record.lead(lead).signals[:, 0]
    assert len(one) == len(signal)
    assert np.abs(one - signal).max() < at


class TestNames:
    @pytest.mark.parametrize(
        "name",
        ["I", "II", "iii", "aVR", "AVL", "avf", "V", "V1", "V6", "v3r", "MLII", "MLIII", "MCL1", "CM5", "DII", "D3",
         "ECG", "EKG", "ECG_1", "ecg1-ecg2", "ECG LL-RA", "ECG LEAD II", "Cardio", "EEG EKG1-REF", "Lead I",
         "First lead",
         "ecg_resampled", "ECG_Raw", "ECG_Clean", "ECG sample", "MDC_ECG_LEAD_II", "CH2 V5", "EM_noise_MLII"],
    )  # fmt: skip
    def test_leads(self, name):
        assert kind_of_name(name, [name]) == ECG

    @pytest.mark.parametrize(
        "name",
        ["EEG C3-A2", "EEG Fpz-Cz", "Fp1", "C4-M1", "O2-A1", "EOG horizontal", "EOG(L)", "LOC", "E1-M2", "EMG chin",
            "Chin1",
         "PLETH", "Pleth", "PPG", "SpO2", "SaO2", "Resp", "RESP thorax", "Airflow", "Abdo", "ABP", "ART", "CVP",
         "Temp", "HR",
         "Heart Rate", "ECG_Rate", "ECG_R_Peaks", "ECG_Quality", "ecg_rpeaks", "RR interval", "acc_x", "GyroZ",
         "battery",
         "annotation", "label", "Leg/L", "Snore", "CO2", "GSR", "hand GSR", "marker", "Position"],
    )  # fmt: skip
    def test_others(self, name):
        assert kind_of_name(name, [name]) == OTHER

    @pytest.mark.parametrize("name", ["", "Ch1", "EXG Channel 0", "sensor", "A3", "Kanal 1", "x", "voltage", "lead 2"])
    def test_open(self, name):
        assert kind_of_name(name, [name]) in (UNKNOWN, OTHER if name == "A3" else UNKNOWN)

    def test_chest_leads_beside_limb_leads(self):
        assert kind_of_name("C3", ["I", "II", "III", "C3"]) == ECG
        assert kind_of_name("C3", ["C3", "C4", "O1"]) == OTHER

    @pytest.mark.parametrize(
        ("names", "taken"),
        [(("aVR", "V5"), 1), (("V1", "aVR", "I"), 2), (("aVR",), 0), (("V5", "ECG"), 1), (("ECG V5", "ECG LL-RA"), 1),
         (("I", "DII"), 1), (("ECG_Raw", "ECG_Clean"), 0)],
    )  # fmt: skip
    def test_order(self, names, taken):
        assert likeliest(names) == taken


class TestUnits:
    @pytest.mark.parametrize(
        ("unit", "means"),
        [("mV", ("mV", 1)), ("MV", ("mV", 1)), ("uV", ("uV", 1)), ("\u00b5V", ("uV", 1)), ("\u03bcV", ("uV", 1)),
         ("\ufffdV", ("uV", 1)), ("\u00c2\u00b5V", ("uV", 1)), ("\u00cf\u0084V", ("uV", 1)), ("?V", ("uV", 1)),
         ("uV\0\0", ("uV", 1)),
         ("microvolts", ("uV", 1)), ("milliVolt", ("mV", 1)), ("Volts", ("V", 1)), ("[mV]", ("mV", 1)), ("10 uV",
         ("uV", 10)),
         ("mV/LSB", ("mV", 1)), ("mmHg", None), ("", None), ("bpm", None), ("kV", None)],
    )  # fmt: skip
    def test_voltages(self, unit, means):
        assert voltage_unit(unit) == means

    @pytest.mark.parametrize(
        ("unit", "kind"),
        [("mmHg", "physical"), ("%", "physical"), ("\u00b0C", "physical"), ("adu", "counts"), ("NU", "counts"),
         ("", "none"), (None, "none"), ("foo", "unclear"), ("V", "voltage")],
    )  # fmt: skip
    def test_kinds(self, unit, kind):
        assert kind_of_unit(unit) == kind

    def test_a_name_converts_and_a_gain_replaces(self, tmp_path):
        counts = np.rint(ECG_MV * 100).astype(int)
        header = make.wfdb16(tmp_path, "r", [counts], ["r.dat 16 100(0)/adu 16 0 {first} {sum} 0 ECG"], f"1 {RATE} {N}")
        with pytest.raises(DataError, match="give --units, the gain of the recorder"):
            read(header)
        close(read(header, units="mV"), at=0.006)
        close(read(header, units="uV"), signal=ECG_MV / 1000)
        close(read(header, units="200/mV"), signal=ECG_MV / 2, at=0.004)

    def test_an_odd_amplitude_under_chosen_units_is_said(self, tmp_path):
        path = make.edf(tmp_path / "a.edf", [(b"ECG", b"mV", ECG_MV, RATE)])
        assert any("which is not plausible for an ECG" in note for note in read(path, units="uV").notes)
        assert not read(path).notes

    def test_a_channel_whose_unit_is_not_understood_never_vanishes(self, tmp_path):
        path = make.edf(tmp_path / "a.edf", [(b"EEG", b"uV", OTHER_MV, RATE), (b"ECG", b"xyz", ECG_MV, RATE)])
        with pytest.raises(DataError, match=r"ECG \(number 2, xyz, 250 Hz\) is not in volts"):
            read(path)
        close(read(path, units="mV"))


class TestEdf:
    @pytest.mark.parametrize("bdf", [False, True])
    def test_gaps(self, tmp_path, bdf):
        onsets = [5.0 + i + (7.5 if i > 3 else 0) + (0.004 if i > 8 else 0) for i in range(12)]
        path = make.edf(tmp_path / "night", [(b"II", b"mV", ECG_MV, RATE)], onsets, bdf=bdf)
        record = read(path)
        assert (record.kind, record.duration_s) == ("BDF" if bdf else "EDF", pytest.approx(12 + 7.504))
        signal = record.signals[:, 0]
        assert np.isnan(signal[1000 : 1000 + 1875]).all()
        assert np.isnan(signal).sum() == 1876
        assert np.abs(signal[2875:4125] - ECG_MV[1000:2250]).max() < 0.001
        assert "2 gaps" in record.notes[0]

    def test_records_that_overlap_are_refused(self, tmp_path):
        with pytest.raises(DataError, match=r"data record 3 begins 0\.5 s after the one before"):
            read(make.edf(tmp_path / "a.edf", [(b"II", b"mV", ECG_MV, RATE)], [0, 1, 1.5, *range(3, 12)]))

    @pytest.mark.parametrize("unit", [b"\xb5V", b"\xc2\xb5V", b"\xce\xbcV", b"\xe6V", b"uV\0\0", b"microV", b"?V"])
    def test_micro_signs(self, tmp_path, unit):
        channels = [(b"EEG Cz", b"uV", OTHER_MV, RATE), (b"ECG", unit, 1000 * ECG_MV, RATE)]
        close(read(make.edf(tmp_path / "a.edf", channels)))

    def test_numbers_are_those_of_the_file(self, tmp_path):
        fast = ecg_mv(12, 500)
        path = make.edf(tmp_path / "a.edf", [(b"Resp", b"", OTHER_MV[:120], 10), (b"ECG I", b"mV", ECG_MV, RATE),
                                             (b"ECG II", b"mV", fast, 500)])  # fmt: skip
        assert read(path).lead().leads == ("ECG II",)
        close(read(path, lead="2"), "2")
        close(read(path, lead="3"), "3", fast)
        close(read(path, lead="ecg i"), "ecg i")
        with pytest.raises(DataError, match=r"Resp .*10 Hz.*ECG I .*250 Hz.*ECG II .*500 Hz"):
            read(path, lead="4")

    def test_several_unknown_are_asked_about_with_units_and_rates(self, tmp_path):
        path = make.edf(tmp_path / "a.edf", [(b"Ch1", b"mV", ECG_MV, RATE), (b"Ch2", b"mV", OTHER_MV, RATE)])
        with pytest.raises(DataError, match=r"Ch1 \(number 1, 250 Hz, .*Ch2 \(number 2, 250 Hz"):
            read(path).lead()
        close(read(path, lead="Ch1"), "Ch1")
        close(read(path), "1")

    def test_one_unknown_among_others_is_taken_and_said(self, tmp_path):
        path = make.edf(tmp_path / "a.edf", [(b"EEG", b"mV", OTHER_MV, RATE), (b"BIP 7", b"mV", ECG_MV, RATE)])
        close(read(path))
        assert "its name does not say that it is an ECG" in read(path).notes[0]

    def test_an_eeg_is_taken_where_it_is_named(self, tmp_path):
        path = make.edf(tmp_path / "a.edf", [(b"EEG Fz", b"mV", ECG_MV, RATE), (b"EOG", b"mV", OTHER_MV, RATE)])
        with pytest.raises(DataError, match="holds no ECG"):
            read(path)
        close(read(path, lead="1"), "1")

    @pytest.mark.parametrize("name", ["a.rec", "b", "c.dat", "d.edf.bak", "e.bdf"])
    def test_told_by_the_first_bytes(self, tmp_path, name):
        close(read(make.edf(tmp_path / name, [(b"ECG", b"mV", ECG_MV, RATE)])))

    def test_never_closed(self, tmp_path):
        record = read(make.edf(tmp_path / "a.edf", [(b"ECG", b"mV", ECG_MV, RATE)], described=-1))
        assert "never closed" in record.notes[0]
        close(record)

    def test_no_calibration(self, tmp_path):
        path = make.edf(tmp_path / "a.edf", [(b"ECG", b"mV", ECG_MV, RATE)])
        data = bytearray(path.read_bytes())
        data[256 + 104 : 256 + 120] = b"0       0       "
        path.write_bytes(data)
        with pytest.raises(DataError, match="no calibration"):
            read(path)
        assert len(read(path, units="30000/mV").signals) == N


class TestWfdb:
    @pytest.mark.parametrize("per_frame", [2, 8])
    def test_samples_per_frame(self, tmp_path, per_frame):
        counts = np.rint(ECG_MV * 1000).astype(int)
        slow = np.arange(N // per_frame) % 50
        header = make.wfdb16(
            tmp_path, "r", [slow, counts],
            ["r.dat 16 100/mmHg 16 0 {first} {sum} 0 ABP",
                f"r.dat 16x{per_frame} 1000/mV 16 0 {{first}} {{sum}} 0 ECG"],
            f"2 {RATE / per_frame:g} {N // per_frame}",
        )  # fmt: skip
        record = read(header)
        assert (record.sampling_rate_hz, record.leads, record.numbers) == (RATE, ("ECG",), (2,))
        close(record)

    @pytest.mark.parametrize(
        "date", ["2006", "12:00 1999-01-02", "nonsense", "25:61:99 99/99/9999", "10:20:30 1/1/199"]
    )
    def test_a_date_stops_no_signal(self, tmp_path, date):
        counts = np.rint(ECG_MV * 1000).astype(int)
        close(read(make.wfdb16(tmp_path, "r", [counts], ["r.dat 16 1000/mV 16 0 0 0 0 II"], f"1 {RATE} {N} {date}")))

    def test_checksums(self, tmp_path):
        counts = np.rint(ECG_MV * 1000).astype(int)
        line = "r.dat 16 1000/mV 16 0 {first} {sum} 0 II"
        header = make.wfdb16(tmp_path, "r", [counts], [line], f"1 {RATE} {N}")
        assert not read(header).notes
        signed = int(counts.sum()) % 65536 - 65536
        header.write_text(f"r 1 {RATE} {N}\nr.dat 16 1000/mV 16 0 {counts[0]} {signed} 0 II\n")
        assert not read(header).notes
        data = (tmp_path / "r.dat").read_bytes()
        (tmp_path / "r.dat").write_bytes(data[:-2] + b"\x07\x00")
        assert "changed after its header was written" in read(header).notes[0]
        (tmp_path / "r.dat").write_bytes(b"\x07\x07" + data[2:])
        with pytest.raises(DataError, match="does not belong to"):
            read(header)

    @pytest.mark.parametrize("form", ["8", "16", "24", "32", "61", "80", "160", "212", "310", "311"])
    def test_formats_as_wfdb_reads_them(self, tmp_path, form):
        import wfdb

        rng = np.random.default_rng(int(form))
        if form in ("8", "61", "160", "310", "311"):  # wfdb does not write these: bytes of any content are a signal
            size = {"8": 6, "61": 12, "160": 12, "310": 8, "311": 8}[form] * 100
            data = rng.integers(0, 256, size, dtype=np.uint8)
            if form == "311":
                data[3::4] &= 0x3F  # its two unused bits, which wfdb 4.3.1 takes for a part of the third sample
            (tmp_path / "r.dat").write_bytes(data.tobytes())
            (tmp_path / "r.hea").write_text(
                f"r 2 250 300\nr.dat {form} 20 12 0 5 0 0 II\nr.dat {form} 20 12 0 9 0 0 V1\n"
            )
        else:
            bits = {"80": 7, "212": 11}.get(form, 15)
            values = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (301, 2))
            wfdb.wrsamp("r", fs=250, d_signal=values, fmt=[form] * 2, adc_gain=[20.0] * 2, baseline=[3, 4],
                        units=["mV"] * 2, sig_name=["II", "V1"], write_dir=str(tmp_path))  # fmt: skip
        expected = wfdb.rdrecord(str(tmp_path / "r")).p_signal
        assert np.array_equal(read(tmp_path / "r").signals, expected.astype(np.float32), equal_nan=True)

    def test_segments_of_other_units(self, tmp_path):
        for name, unit, scale in (("a", "mV", 1000), ("b", "uV", 1)):
            counts = np.rint(ECG_MV * 1000).astype(int)
            make.wfdb16(
                tmp_path, name, [counts], [f"{name}.dat 16 {scale}/{unit} 16 0 {{first}} {{sum}} 0 II"], f"1 {RATE} {N}"
            )
        (tmp_path / "m.hea").write_text(f"m/3 1 {RATE} {2 * N + 500}\na {N}\n~ 500\nb {N}\n")
        signal = read(tmp_path / "m.hea").signals[:, 0]
        assert np.isnan(signal[N : N + 500]).all()
        assert np.abs(signal[:N] - ECG_MV).max() < 0.001
        assert np.abs(signal[N + 500 :] - ECG_MV).max() < 0.001
        with pytest.raises(DataError, match="gains of their own"):
            read(tmp_path / "m.hea", units="200/mV")
        (tmp_path / "b.dat").unlink()
        with pytest.raises(DataError, match="a signal file that is missing"):
            read(tmp_path / "m.hea")

    @pytest.mark.parametrize(
        "line", ["../r.dat 16", "/etc/passwd 16", "r.dat sixteen", "r.dat 999 200 12 0 0 0 0 II", "r.dat"]
    )
    def test_lines_that_are_none(self, tmp_path, line):
        (tmp_path / "r.dat").write_bytes(bytes(100))
        (tmp_path / "r.hea").write_text(f"r 1 250 50\n{line}\n")
        with pytest.raises(DataError):
            read(tmp_path / "r")


TIMES = {
    "seconds": ("time", cells(T, "%.6f")),
    "seconds, rounded": ("Time (s)", cells(T, "%.3f")),
    "milliseconds": ("time_ms", cells(1000 * T, "%.0f")),
    "milliseconds without a unit": ("t", cells(1000 * T, "%.1f")),
    "microseconds": ("timestamp [us]", cells(1e6 * T, "%.0f")),
    "nanoseconds": ("sensor timestamp [ns]", [str(599_616_000_000_000_000 + round(1e9 * t)) for t in T]),
    "epoch": ("unix", cells(1_600_000_000 + T, "%.3f")),
    "epoch in ms": ("Timestamp", [str(1_600_000_000_000 + round(1000 * t)) for t in T]),
    "clock": ("clock", [f"00:{int(t) // 60:02d}:{t % 60:06.3f}" for t in T]),
    "clock over midnight": ("Uhrzeit", [f"{(86394 + int(t)) // 3600 % 24:02d}:{(86394 + int(t)) // 60 % 60:02d}:"
                                        f"{(86394 + t) % 60:06.3f}" for t in T]),
    "twelve hours": ("time",
    [f"{11 if t < 6 else 12}:{59 if t < 6 else 0:02d}:{(54 + t) % 60:06.3f} {'AM' if t < 6 else 'PM'}"
                              for t in T]),
    "ISO 8601": ("datetime", [f"2021-11-02T15:03:{t:06.3f}Z" for t in T]),
    "ISO 8601 with an offset": ("timestamp", [f"2021-11-02 15:03:{t:06.3f}+01:00" for t in T]),
    "day first": ("Datum Zeit", [f"02.11.2021 15:03:{t:06.3f}" for t in T]),
    "two days": ("date",
    [f"{'02' if t < 6 else '03'}/11/2021 {'23:59' if t < 6 else '00:00'}:{(54 + t) % 60:06.3f}" for t in T]),
    "no name": ("", cells(T, "%.4f")),
}  # fmt: skip


class TestTimes:
    @pytest.mark.parametrize("kind", TIMES)
    def test_a_column_tells_the_rate(self, tmp_path, kind):
        name, column = TIMES[kind]
        path = make.table(tmp_path / "e.csv", [column, cells(ECG_MV)], header=f"{name},ecg\n")
        record = read(path)
        assert record.leads == ("ecg",)
        assert record.sampling_rate_hz == pytest.approx(RATE, rel=2e-5)
        close(record)
        close(read(path, RATE))
        with pytest.raises(DataError, match="contradicts"):
            read(path, 360)

    @pytest.mark.parametrize("kind", TIMES)
    def test_a_gap_is_missing(self, tmp_path, kind):
        name, column = TIMES[kind]
        kept = [i for i in range(N) if not 1000 <= i < 1200]
        path = make.table(tmp_path / "e.csv", [[column[i] for i in kept], cells(ECG_MV[kept])], header=f"{name},ecg\n")
        signal = read(path).signals[:, 0]
        assert len(signal) == N
        assert np.isnan(signal[1000:1200]).all()
        assert np.isnan(signal).sum() == 200
        assert np.abs(signal[1200:] - ECG_MV[1200:]).max() < 0.001

    def test_coarse_stamps_and_packets(self, tmp_path):
        seconds = [f"15:03:{int(t):02d}" for t in T]
        record = read(make.table(tmp_path / "e.csv", [seconds, cells(ECG_MV)], header="time,ecg\n"), RATE)
        assert record.sampling_rate_hz == RATE
        packets = cells(np.floor(np.arange(N) / 73) * 73 / RATE, "%.3f")
        record = read(make.table(tmp_path / "p.csv", [packets, cells(ECG_MV)], header="time [s],ecg\n"))
        assert record.sampling_rate_hz == pytest.approx(RATE, rel=1e-3)
        close(record)

    def test_jitter_of_a_phone_is_even_enough(self, tmp_path):
        jitter = np.sort(T + np.random.default_rng(0).uniform(-0.0015, 0.0015, N))
        record = read(make.table(tmp_path / "e.csv", [cells(jitter, "%.6f"), cells(ECG_MV)], header="time,ecg\n"))
        assert record.sampling_rate_hz == pytest.approx(RATE, rel=1e-3)
        assert len(record.signals) == pytest.approx(N, abs=2)

    def test_uneven_times_are_refused(self, tmp_path):
        uneven = np.cumsum(np.random.default_rng(0).uniform(0.0005, 0.012, N))
        path = make.table(tmp_path / "e.csv", [cells(uneven, "%.6f"), cells(ECG_MV)], header="time,ecg\n")
        with pytest.raises(DataError, match="are not even"):
            read(path)

    def test_times_that_run_backward(self, tmp_path):
        column = cells(np.concatenate([T[:1500], T[: N - 1500]]), "%.6f")
        with pytest.raises(DataError, match="run backward after row 1500"):
            read(make.table(tmp_path / "e.csv", [column, cells(ECG_MV)], header="time,ecg\n"))

    def test_the_best_of_several_columns_of_time(self, tmp_path):
        rough = [f"15:03:{int(t):02d}" for t in T]
        path = make.table(tmp_path / "e.csv", [rough, cells(1000 * T, "%.3f"), cells(ECG_MV)],
                          header="Phone timestamp;sensor [ms];ecg [mV]\n", delimiter=";")  # fmt: skip
        assert read(path).sampling_rate_hz == RATE

    @pytest.mark.parametrize("name", ["#", "Sample Index", "nSeq", "index", "Sample number", ""])
    def test_a_counter_tells_no_rate_but_what_is_lost(self, tmp_path, name):
        kept = [i for i in range(N) if not 500 <= i < 600]
        path = make.table(tmp_path / "e.csv", [[str(i) for i in kept], cells(ECG_MV[kept])], header=f"{name},ecg\n")
        with pytest.raises(DataError, match="give --fs"):
            read(path)
        signal = read(path, RATE).signals[:, 0]
        assert np.flatnonzero(np.isnan(signal)).tolist() == list(range(500, 600))

    def test_a_packet_counter_that_begins_again_is_no_lead(self, tmp_path):
        columns = [[str(i % 256) for i in range(N)], cells(ECG_MV)]
        assert read(make.table(tmp_path / "e.csv", columns, header="c0,c1\n"), RATE).leads == ("c1",)

    @pytest.mark.parametrize("name", ["second lead", "ECG_sample", "ecg_index_2", "resampled", "timeline ECG"])
    def test_words_of_time_in_a_lead(self, tmp_path, name):
        if kind_of_name(name) == OTHER:
            pytest.skip("derived from an ECG")
        record = read(make.table(tmp_path / "e.csv", [cells(ECG_MV)], header=f"{name}\n"), RATE)
        assert record.leads == (name,)


class TestTables:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "  ", "\t  "])
    @pytest.mark.parametrize("header", ["", "time{0}MLII{0}V5\n"])
    def test_delimiters(self, tmp_path, delimiter, header):
        columns = [cells(T, "%8.3f"), cells(ECG_MV, "%9.4f"), cells(OTHER_MV, "%9.4f")]
        path = make.table(tmp_path / "e.txt", columns, delimiter, header.format(delimiter.strip(" ") or " "))
        record = read(path)
        assert record.sampling_rate_hz == pytest.approx(RATE, rel=1e-4)
        assert record.leads == (("MLII", "V5") if header else ("lead 2", "lead 3"))
        close(record, record.leads[0])

    @pytest.mark.parametrize("delimiter", [";", "\t", "  "])
    def test_decimal_commas(self, tmp_path, delimiter):
        columns = [[c.replace(".", ",") for c in cells(v)] for v in (T, ECG_MV)]
        close(read(make.table(tmp_path / "e.csv", columns, delimiter, f"Zeit{delimiter}II\n")))

    def test_decimal_commas_in_one_column(self, tmp_path):
        for form in ("%.4f", "%.2f", "%.6f"):
            text = [c.replace(".", ",") for c in cells(ECG_MV, form)]
            record = read(make.table(tmp_path / "e.csv", [text]), RATE)
            assert record.leads == ("lead 1",)
            close(record, at=0.006)

    def test_two_columns_of_integers_stay_two(self, tmp_path):
        columns = [cells(1000 * ECG_MV, "%.0f"), cells(1000 * OTHER_MV + 2000, "%.0f")]
        assert read(make.table(tmp_path / "e.csv", columns), RATE, "1000/mV").leads == ("lead 1", "lead 2")

    @pytest.mark.parametrize("quote", ['"', "'"])
    def test_quotes(self, tmp_path, quote):
        columns = [[f"{quote}{c}{quote}" for c in cells(v)] for v in (T, ECG_MV)]
        close(read(make.table(tmp_path / "e.csv", columns, header=f"{quote}time{quote},{quote}II (mV){quote}\n")))
        columns = [[f'"{c}"'.replace(".", ",") for c in cells(v)] for v in (T, ECG_MV)]
        close(read(make.table(tmp_path / "c.csv", columns, header='"time","II"\n')))

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "utf-32"])
    def test_encodings(self, tmp_path, encoding):
        path = make.table(
            tmp_path / "e.csv", [cells(T), cells(1000 * ECG_MV)], header="time,ECG [µV]\n", encoding=encoding
        )
        close(read(path))

    def test_packed(self, tmp_path):
        plain = make.table(tmp_path / "e.csv", [cells(T), cells(ECG_MV)], header="time,II\n").read_bytes()
        (tmp_path / "g.tsv.gz").write_bytes(gzip.compress(plain))
        with zipfile.ZipFile(tmp_path / "z.csv.zip", "w") as archive:
            archive.writestr("e.csv", plain)
        for name, stem in (("g.tsv.gz", "g"), ("z.csv.zip", "z")):
            record = read(tmp_path / name)
            assert record.name == stem
            close(record)
        (tmp_path / "d.csv.gz").write_bytes(gzip.compress(plain)[:-200])
        with pytest.raises(DataError, match="packed and damaged"):
            read(tmp_path / "d.csv.gz")

    def test_bids(self, tmp_path):
        (tmp_path / "s_physio.tsv.gz").write_bytes(
            gzip.compress("\n".join(f"{a}\t{b}" for a, b in zip(cells(OTHER_MV), cells(ECG_MV))).encode())
        )
        described = {"SamplingFrequency": RATE, "Columns": ["respiratory", "ecg"], "ecg": {"Units": "mV"}}
        (tmp_path / "s_physio.json").write_text(json.dumps(described))
        record = read(tmp_path / "s_physio.tsv.gz")
        assert (record.leads, record.sampling_rate_hz) == (("ecg",), RATE)
        close(record)

    @pytest.mark.parametrize(
        ("header", "lead"),
        [
            ("sep=;\ntime;ecg\n", "ecg"),
            ("# made by a logger\n# Sampling rate: 250 Hz\n# time;ecg\n", "ecg"),
            ("%Sample Rate = 250 Hz\n%Board = Y\ntime; ecg\n", "ecg"),
            ("Device;X\nSampling frequency (Hz);250\nNotes;none\n\ntime;ecg\n", "ecg"),
            ("Interval=;0,004 s\nChannelTitle=;ecg\nRange=;5 mV\n", "ecg"),
            ('# {"00:11": {"sensor": ["RAW"], "sampling rate": 250, "column": ["t", "A1"]}}\n# EndOfHeader\n', "A1"),
        ],
    )
    def test_headers(self, tmp_path, header, lead):
        path = make.table(tmp_path / "e.txt", [cells(T, "%.3f"), cells(ECG_MV)], ";", header)
        record = read(path)
        assert (record.leads, record.sampling_rate_hz) == ((lead,), RATE)
        close(record)

    def test_counts_are_asked_about(self, tmp_path):
        header = '# {"0": {"sensor": ["ECG"], "sampling rate": 250, "column": ["nSeq", "A1"]}}\n# EndOfHeader\n'
        columns = [[str(i % 16) for i in range(N)], cells(512 + 100 * ECG_MV, "%.0f")]
        path = make.table(tmp_path / "e.txt", columns, "\t", header)
        with pytest.raises(DataError, match="gain like 200/mV for counts"):
            read(path)
        close(read(path, units="100/mV"), signal=ECG_MV + 5.12, at=0.006)

    def test_text_columns_are_ignored_and_slips_are_not(self, tmp_path):
        labels = itertools.cycle(["N", "", "", "V"])
        columns = [cells(T), cells(ECG_MV), [next(labels) for _ in range(N)], ["True"] * N]
        assert read(make.table(tmp_path / "e.csv", columns, header="time,MLII,beat,ok\n")).leads == ("MLII",)
        for slip in ("0_1", "1.2.3", "0x10", "12a", "1e", "--5"):
            wrong = cells(ECG_MV)
            wrong[1500] = slip
            with pytest.raises(DataError, match="must hold numbers, received"):
                read(make.table(tmp_path / "s.csv", [cells(T), wrong], header="time,MLII\n"))
        for blank in ("", "-", "null", "NA", "N/A", "nan", "?"):
            holes = cells(ECG_MV)
            holes[1500] = blank
            signal = read(make.table(tmp_path / "h.csv", [cells(T), holes], header="time,MLII\n")).signals
            assert np.flatnonzero(np.isnan(signal)).tolist() == [1500]

    def test_a_beat_a_row(self, tmp_path):
        rng = np.random.default_rng(0)
        beats = [cells(column) for column in rng.uniform(0, 1, (60, 200))]
        with pytest.raises(DataError, match="a beat a row"):
            read(make.table(tmp_path / "b.csv", beats), 125)
        header = ",".join(str(i) for i in range(59)) + ",label\n"
        with pytest.raises(DataError, match="a beat a row"):
            read(make.table(tmp_path / "h.csv", beats, header=header), 125)
        transposed = [cells(column) for column in np.tile(ECG_MV, (3, 1)).T]
        with pytest.raises(DataError, match="transposed"):
            read(make.table(tmp_path / "t.csv", transposed), RATE)

    def test_twelve_leads_are_many_columns_and_leads(self, tmp_path):
        names = ["I", "II", "III", "aVR", "aVL", "aVF", *(f"V{i}" for i in range(1, 7))]
        record = read(make.table(tmp_path / "e.csv", [cells(ECG_MV)] * 12, header=",".join(names) + "\n"), RATE)
        assert record.lead().leads == ("II",)

    def test_polar_apple_kardia_as_they_are(self, tmp_path):
        iso = [f"2021-11-02T15:03:{t:06.3f}" for t in T]
        nano = [str(599_616_000_000_000_000 + round(1e9 * t)) for t in T]
        path = make.table(tmp_path / "polar.txt", [iso, nano, cells(1000 * T, "%.6f"), cells(1000 * ECG_MV, "%.0f")],
            ";",
                          "Phone timestamp;sensor timestamp [ns];timestamp [ms];ecg [uV]\n")  # fmt: skip
        assert read(path).sampling_rate_hz == RATE
        close(read(path))
        for unit, rate_words in (("µV", "Sample Rate,250 hertz"), ("mV", "Abtastrate,250 Hertz")):
            scale = 1000 if unit == "µV" else 1
            header = f'Name,"A"\nDate of Birth,"1 Jan 1970"\n{rate_words}\n\n\nLead,Lead I\nUnit,{unit}\n\n'
            record = read(make.table(tmp_path / "apple.csv", [cells(scale * ECG_MV)], header=header))
            assert (record.leads, record.sampling_rate_hz) == (("Lead I",), RATE)
            close(record)
        from tests.qmodel.data.readers.clinical_files import atc

        record = read(atc(tmp_path / "k.atc", ECG_MV, RATE))
        assert (record.kind, record.leads) == ("ATC", ("I",))
        close(record)

    def test_a_quotation_mark_that_is_never_closed_eats_nothing(self, tmp_path):
        wrong = cells(ECG_MV)
        wrong[10] = '"' + wrong[10]
        with pytest.raises(DataError):
            read(make.table(tmp_path / "e.csv", [cells(T), wrong], header="time,MLII\n"))


def rows(path, header, *columns, sep=","):
    """A table as it is written, its header line by line."""
    return make.table(path, list(columns), sep, header)


class TestNumbers:
    """How devices and spreadsheets write numbers; what two styles may mean is refused."""

    @pytest.mark.parametrize(
        "change",
        [
            lambda c: c.replace("-", "\u2212"),
            lambda c: f"{c} mV",
            lambda c: f"{float(c):.5E}".replace("E", "D"),
            lambda c: c if float(c) > -0.1 else "#NUM!",
            lambda c: c if float(c) > -0.1 else "!",  # AD8232 sketches print it where the electrodes are off
        ],
    )
    def test_signs_of_their_own(self, tmp_path, change):
        record = read(rows(tmp_path / "e.csv", "time,ECG\n", cells(T), [change(c) for c in cells(ECG_MV)]))
        signal = record.signals[:, 0]
        assert np.nanmax(np.abs(signal - ECG_MV)) < 0.001
        assert np.isnan(signal).sum() in (0, (np.round(ECG_MV, 4) <= -0.1).sum())

    @pytest.mark.parametrize("sign", [",", "'", " ", "\u202f"])
    def test_thousands(self, tmp_path, sign):
        written = [f"{4000 * v:,.2f}".replace(",", sign) for v in ECG_MV]
        close(read(rows(tmp_path / "e.csv", "time;ECG [uV]\n", cells(T), written, sep=";")), signal=4 * ECG_MV)

    def test_thousands_before_a_decimal_comma(self, tmp_path):
        written = [f"{4000 * v:,.2f}".translate(str.maketrans(",.", ".,")) for v in ECG_MV]
        times_ = [c.replace(".", ",") for c in cells(T)]
        close(read(rows(tmp_path / "e.csv", "Zeit;EKG [uV]\n", times_, written, sep=";")), signal=4 * ECG_MV)

    @pytest.mark.parametrize(("sign", "word"), [(".", "point"), (",", "comma")])
    def test_thousands_or_decimals_are_asked_about(self, tmp_path, sign, word):
        written = [f"{4000 * v:,.0f}".replace(",", sign) for v in ECG_MV]
        with pytest.raises(DataError, match=f"the {word} in column 'ECG' may part thousands or decimals"):
            read(rows(tmp_path / "e.csv", "time;ECG [uV]\n", cells(T), written, sep=";"))
        close(read(rows(tmp_path / "f.csv", "time;ECG\n", cells(T), cells(ECG_MV + 3, "%.3f"), sep=";")),
              signal=ECG_MV + 3)  # fmt: skip

    def test_the_header_again_is_said(self, tmp_path):
        path = rows(tmp_path / "e.csv", "time,ECG\n", cells(T), cells(ECG_MV))
        path.write_text(path.read_text() + "time,ECG\n0,0\n")
        with pytest.raises(DataError, match="the header again: two tables in one file"):
            read(path)


class TestHeaders:
    def test_names_belong_to_their_columns(self, tmp_path):
        numbers = [str(i + 1) for i in range(N)]
        r_writes = rows(tmp_path / "r.txt", '"II" "V5"\n', [f'"{n}"' for n in numbers], cells(ECG_MV), cells(OTHER_MV),
                        sep=" ")  # fmt: skip
        close(read(r_writes, RATE), "II")
        title = rows(tmp_path / "t.csv", "My ECG of today\n", cells(OTHER_MV), cells(ECG_MV))
        assert read(title, RATE).leads == ("lead 1", "lead 2")
        with pytest.raises(DataError, match="not clear which column a name belongs to"):
            read(rows(tmp_path / "s.csv", "RESP,ECG\n", cells(T), cells(OTHER_MV), cells(ECG_MV)), RATE)

    @pytest.mark.parametrize(
        ("header", "scale", "units"),
        [("time,ECG\n(s),(uV)\n", 1000, None), ("'sample #','MLII'\n", 200, "200/mV"),
         ("time,ECG\ns,adu\n", 200, "200/mV")],
    )  # fmt: skip
    def test_units_in_a_row_and_counts(self, tmp_path, header, scale, units):
        first = [str(i) for i in range(N)] if "#" in header else cells(T)
        path = rows(tmp_path / "e.csv", header, first, cells(scale * ECG_MV, "%.0f" if units else "%.2f"))
        if units:
            with pytest.raises(DataError, match="a gain like 200/mV"):
                read(path, RATE).samples()
        close(read(path, RATE, units), at=0.004)

    @pytest.mark.parametrize(
        "line", ["Number of samples: 500", "Total samples;500", "Sampling time: 300 s", "Sample bits: 500",
                 "Sampling interval: 4"],
    )  # fmt: skip
    def test_numbers_that_are_no_rate(self, tmp_path, line):
        with pytest.raises(DataError, match="give --fs"):
            read(rows(tmp_path / "e.csv", f"# {line}\n", cells(ECG_MV)))

    @pytest.mark.parametrize(
        "line", ["Sampling rate: 250", "Samples per second = 250", "dt = 0.004 s", "Sampling period (ms): 4",
                 "fr\u00e9quence d'\u00e9chantillonnage : 250 Hz", "Abtastfrequenz 0,25 kHz"],
    )  # fmt: skip
    def test_numbers_that_are(self, tmp_path, line):
        close(read(rows(tmp_path / "e.csv", f"# {line}\n", cells(ECG_MV))))

    def test_two_columns_of_one_name(self, tmp_path):
        path = rows(tmp_path / "e.csv", "time,ECG,ECG\n", cells(T), cells(ECG_MV), cells(OTHER_MV))
        assert "2 channels of e.csv are named ECG: number 2 is used (others: --lead 3)" in read(path).notes[0]
        close(read(path, lead="3"), "3", OTHER_MV)


# Names and columns of time that are not one column of even numbers.
CLOCKS = {
    "a date beside a clock": ("Date,Time,ECG\n", [
        ["2020-01-01" if t < 6 else "2020-01-02" for t in T],
        [f"{'23:59' if t < 6 else '00:00'}:{(54 + t) % 60:06.3f}" for t in T]]),
    "digits of a clock": ("time,ECG\n", [[f"10{0 if t < 6 else 1:02d}{(54 + t) % 60:06.3f}" for t in T]]),
    "minutes over the hour": ("time,ECG\n", [[f"{59 if t < 6 else 0}:{(54 + t) % 60:06.3f}" for t in T]]),
    "summer time begins": ("time,ECG\n", [[
        f"2021-03-28T{'01:59' if t < 6 else '03:00'}:{(54 + t) % 60:06.3f}+0{1 if t < 6 else 2}:00" for t in T]]),
    "ISO 8601, short": ("time,ECG\n", [[f"20200101T1000{t:06.3f}" for t in T]]),
    "names of months": ("time,ECG\n", [[f"02-Nov-2021 15:03:{t:06.3f}" for t in T]]),
    "a zone by its name": ("time,ECG\n", [[f"2021-11-02 15:03:{t:06.3f} CET" for t in T]]),
    "microseconds of 32 bits": ("micros,ECG\n", [[str((2**32 - 5_000_000 + round(1e6 * t)) % 2**32) for t in T]]),
    "hours": ("time [h],ECG\n", [cells(T / 3600, "%.9f")]),
    "words around it": ("time_in_s,ECG\n", [cells(T)]),
    "some rows without a time": ("time,ECG\n", [["" if i % 5 else c for i, c in enumerate(cells(T))]]),
}  # fmt: skip


class TestClocks:
    """Times that are not written as one column of even numbers; a gap of 200 samples is cut out of every one."""

    @pytest.mark.parametrize("kind", CLOCKS)
    def test_gaps(self, tmp_path, kind):
        header, columns = CLOCKS[kind]
        kept = [i for i in range(N) if not 1000 <= i < 1200]
        close(read(rows(tmp_path / "w.csv", header, *columns, cells(ECG_MV))))
        path = rows(tmp_path / "g.csv", header, *[[c[i] for i in kept] for c in columns], cells(ECG_MV[kept]))
        for rate in (None, RATE):
            signal = read(path, rate).signals[:, 0]
            assert np.flatnonzero(np.isnan(signal)).tolist() == list(range(1000, 1200))
            assert len(signal) == N

    def test_a_column_that_does_not_say_time_still_tells_gaps(self, tmp_path):
        kept = [i for i in range(N) if not 1000 <= i < 1200]
        path = rows(tmp_path / "e.csv", "x,ecg\n", cells(T[kept]), cells(ECG_MV[kept]))
        assert np.isnan(read(path, RATE).signals).sum() == 200

    def test_times_that_are_not_understood_are_not_passed_over(self, tmp_path):
        with pytest.raises(DataError, match="row 1 must hold a time, received 'first'"):
            read(rows(tmp_path / "e.csv", "time,ECG\n", ["first", "second"] * (N // 2), cells(ECG_MV)), RATE)

    def test_columns_that_contradict_each_other(self, tmp_path):
        with pytest.raises(DataError, match=r"contradict each other, they last 11\.996 and 23.992 s"):
            read(rows(tmp_path / "e.csv", "time_s,time_ms,ECG\n", cells(T), cells(2000 * T, "%.0f"), cells(ECG_MV)))

    def test_whole_seconds_tell_no_rate_but_gaps(self, tmp_path):
        kept = [i for i in range(N) if not 1000 <= i < 2000]
        path = rows(tmp_path / "e.csv", "time,ECG\n", cells(T, "%.0f"), cells(ECG_MV))
        with pytest.raises(DataError, match="too coarse to tell the rate"):
            read(path)
        path = rows(tmp_path / "g.csv", "time,ECG\n", cells(np.floor(T[kept]), "%.0f"), cells(ECG_MV[kept]))
        assert np.isnan(read(path, RATE).signals).sum() == 1000


class TestOtherFiles:
    def test_gaps_in_a_file_that_says_it_has_none(self, tmp_path):
        onsets = [i + (5 if i > 5 else 0) for i in range(12)]
        for reserved in (b"EDF+C", b""):
            record = read(make.edf(tmp_path / "a.edf", [(b"II", b"mV", ECG_MV, RATE)], onsets, reserved=reserved))
            assert np.flatnonzero(np.isnan(record.signals[:, 0])).tolist() == list(range(1500, 2750))
            assert "1 gap, 5 s in all" in record.notes[0]
        record = read(make.edf(tmp_path / "z.edf", [(b"II", b"mV", ECG_MV, RATE)], [0] * 12, reserved=b"EDF+C"))
        assert "overlapping times" in record.notes[0]
        close(record)

    @pytest.mark.parametrize("name", ["a.edf", "a.ecg", "a.log", "a"])
    def test_tables_of_any_suffix(self, tmp_path, name):
        close(read(rows(tmp_path / name, "time,ECG\n", cells(T), cells(ECG_MV))))

    def test_packed_files_of_another_kind(self, tmp_path):
        edf_ = make.edf(tmp_path / "a.edf", [(b"II", b"mV", ECG_MV, RATE)])
        (tmp_path / "a.edf.gz").write_bytes(gzip.compress(edf_.read_bytes()))
        with pytest.raises(DataError, match="unpack it first"):
            read(tmp_path / "a.edf.gz")

    def test_segments_of_another_order(self, tmp_path):
        counts = {"II": np.rint(1000 * ECG_MV).astype(int), "RESP": np.rint(1000 * OTHER_MV).astype(int)}
        for segment, names in (("a", ("II", "RESP")), ("b", ("RESP", "II")), ("c", ("II", "ABP"))):
            lines = [f"{segment}.dat 16 1000/mV 16 0 {{first}} {{sum}} 0 {name}" for name in names]
            signals = [counts.get(name, counts["RESP"]) for name in names]
            make.wfdb16(tmp_path, segment, signals, lines, f"2 {RATE} {N}")
        header = tmp_path / "m.hea"
        header.write_text(f"m/2 2 {RATE} {2 * N + 5}\na {N}\nb {N}\n")
        record = read(header)
        close(record, "II", np.concatenate([ECG_MV, ECG_MV]))
        assert record.notes == (f"m.hea announces {2 * N + 5} samples, its segments have {2 * N}: these are read",)
        header.write_text(f"m/2 2 {RATE} {2 * N}\na {N}\nc {N}\n")
        with pytest.raises(DataError, match=r"has the signals II, ABP, the first segment of .* has II, RESP"):
            read(header)

    def test_a_signal_without_samples_stops_no_other(self, tmp_path):
        counts = np.rint(1000 * ECG_MV).astype(int)
        header = make.wfdb16(tmp_path, "r", [counts], ["r.dat 16 1000/mV 16 0 {first} {sum} 0 ECG"], f"2 {RATE} {N}")
        header.write_text(header.read_text() + "~ 0 100/mmHg 12 0 0 0 0 ABP\n")
        close(read(header))


class TestProportion:
    """A few bytes never ask for gigabytes: gaps, packed files and frames out of proportion are refused at once."""

    @staticmethod
    def refused(path, *arguments, why="gaps of .* hours in all"):
        began = time.process_time()
        with pytest.raises(DataError, match=why) as caught:
            read(path, *arguments)
        assert time.process_time() - began < 2  # a second on a quiet machine
        assert str(path) in str(caught.value)

    def test_edf(self, tmp_path):
        channel = [(b"II", b"mV", ECG_MV, RATE)]
        for far in (9e8, 86_400.0):
            self.refused(make.edf(tmp_path / "a.edf", channel, [*range(11), far]))
        nearer = read(make.edf(tmp_path / "b.edf", channel, [*range(11), 3600.0]))
        assert np.isnan(nearer.signals).sum() == RATE * (3600 - 11)

    def test_segments(self, tmp_path):
        line = "s.dat 16 1000/mV 16 0 {first} {sum} 0 II"
        make.wfdb16(tmp_path, "s", [np.rint(1000 * ECG_MV).astype(int)], [line], f"1 {RATE} {N}")
        header = tmp_path / "m.hea"
        for gap in (400_000_000, 10_000_000, 99_999_999_999):
            header.write_text(f"m/3 1 {RATE} {2 * N + gap}\ns {N}\n~ {gap}\ns {N}\n")
            self.refused(header)
        header.write_text(f"m/3 1 {RATE} {2 * N + 900_000}\ns {N}\n~ 900000\ns {N}\n")
        assert read(header).signals.shape == (2 * N + 900_000, 1)

    def test_frames(self, tmp_path):
        """A signal without samples that claims thousands of them a frame."""
        line = "r.dat 16 1000/mV 16 0 {first} {sum} 0 ECG"
        header = make.wfdb16(tmp_path, "r", [np.rint(1000 * ECG_MV).astype(int)], [line], f"2 {RATE} {N}")
        header.write_text(header.read_text() + "~ 0x99999 100/mmHg 12 0 0 0 0 ABP\n")
        self.refused(header)

    @pytest.mark.parametrize("far_s", [3e5, 9e8])
    def test_times(self, tmp_path, far_s):
        at = np.where(np.arange(N) < N / 2, T, T + far_s)
        self.refused(rows(tmp_path / "e.csv", "time,II (mV)\n", cells(at, "%.3f"), cells(ECG_MV)))

    @pytest.mark.parametrize("far", [10_000_000, 10**15])
    def test_counters(self, tmp_path, far):
        numbers = [str(i + (far if i > 1500 else 0)) for i in range(N)]
        self.refused(rows(tmp_path / "e.csv", "sample,II (mV)\n", numbers, cells(ECG_MV)), RATE)

    @pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gzip", "bzip2", "xz"])
    def test_packed(self, tmp_path, pack, monkeypatch):
        monkeypatch.setattr(tables, "ALWAYS_UNPACKED", 200_000)
        path = tmp_path / "e.csv.gz"
        path.write_bytes(pack(b"time,II\n" + b"0.000,0.0\n" * 30_000))
        self.refused(path, why="unpacks to more than")


class TestFinding:
    def test_tables_that_tell_their_rate_are_found_without_one(self, tmp_path):
        make.table(tmp_path / "own.csv", [cells(T), cells(ECG_MV)], header="time,II\n")
        make.table(tmp_path / "bare.csv", [cells(ECG_MV)])
        (tmp_path / "labels.csv").write_text("recording,start,end,label\nown,0,5,N\n")
        make.edf(tmp_path / "x.rec", [(b"ECG", b"mV", ECG_MV, RATE)])
        assert [p.name for p in recording.find(tmp_path)] == ["own.csv", "x.rec"]
        assert [p.name for p in recording.find(tmp_path, RATE)] == ["bare.csv", "labels.csv", "own.csv", "x.rec"]

    def test_modules_say_what_they_read(self):
        assert set(edf.MAGIC.values()) == {"EDF", "BDF"}
        assert ".csv" in tables.SUFFIXES
        assert times.is_clock("3:00:00.000 PM")
        assert not times.is_clock("3.5")
