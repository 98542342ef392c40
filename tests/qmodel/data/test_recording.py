"""Recordings of every format and fault."""

from pathlib import Path

import numpy as np
import pytest
import wfdb

from qmodel.data import mitdb, recording, synthetic
from qmodel.data.mitdb import DataError
from qmodel.data.recording import Recording, cut, mv_per, read, resample
from qmodel.fixed_point import WINDOW_SAMPLES, standardise

RATE = 250
RNG = np.random.default_rng(1)


@pytest.fixture(scope="module")
def ecg() -> np.ndarray:
    """25 s of synthetic sinus rhythm in mV, float64 (sample,), 360 Hz."""
    windows = synthetic.synthetic_windows(per_class=3)
    return (windows.signals[:3].reshape(-1)[:9000] - synthetic.ADC_ZERO) / synthetic.ADC_UNITS_PER_MV


def write_wfdb(folder: Path, name: str, signal_mv: np.ndarray, rate: float = RATE, **options) -> Path:
    """A WFDB record of one or more leads in mV, format 16, as `options` of wfdb.wrsamp change it."""
    signal_mv = signal_mv.reshape(len(signal_mv), -1)
    leads = signal_mv.shape[1]
    settings = {"units": ["mV"] * leads, "sig_name": [f"L{i}" for i in range(leads)], "fmt": ["16"] * leads}
    wfdb.wrsamp(name, fs=rate, p_signal=signal_mv, write_dir=str(folder), **settings | options)
    return folder / name


class TestLead:
    @pytest.mark.parametrize(
        ("leads", "taken"),
        [
            (("V5", "MLII"), "MLII"),
            (("I", "II", "III"), "II"),
            (("EEG", "ECG LEAD II"), "ECG LEAD II"),
            (("V1", "ECG"), "ECG"),
            (("EMG chin", "ECG1-ECG2"), "ECG1-ECG2"),
            (("V2", "V5"), "V2"),
        ],
    )
    def test_without_a_name(self, leads, taken):
        assert Recording("r", np.zeros((5, len(leads)), np.float32), leads, 360.0).lead().leads == (taken,)

    def test_by_name_or_number(self):
        two = Recording("r", np.arange(10, dtype=np.float32).reshape(5, 2), ("MLII", "V5"), 360.0)
        for name in ("v5", " V5 ", "lead V5", "2"):
            assert two.lead(name).signals[:, 0].tolist() == [1, 3, 5, 7, 9]

    def test_unknown_name_lists_those_there_are(self):
        with pytest.raises(DataError, match="'V9': choose one of MLII, V5"):
            Recording("r", np.zeros((5, 2), np.float32), ("MLII", "V5"), 360.0).lead("V9")


class TestResample:
    def test_same_rate_keeps_every_sample(self, ecg):
        signal = ecg.astype(np.float32)
        assert np.array_equal(resample(signal, 360), signal)

    @pytest.mark.parametrize("rate", [100, 128, 250, 257.3, 300, 500, 1000, 5000])
    def test_a_tone_keeps_its_frequency_height_and_phase(self, rate):
        seconds = np.arange(int(20 * rate)) / rate
        result = resample(np.sin(2 * np.pi * 12 * seconds + 0.3).astype(np.float32) + 5, rate)
        expected = np.sin(2 * np.pi * 12 * np.arange(len(result)) / 360 + 0.3) + 5
        assert np.abs(result - expected)[360:-360].max() < 0.01
        assert len(result) == pytest.approx(7200, abs=1)

    def test_what_360_hz_cannot_hold_does_not_come_back_as_something_else(self):
        seconds = np.arange(20_000) / 1000
        result = resample(np.sin(2 * np.pi * 310 * seconds).astype(np.float32), 1000)
        assert np.abs(result)[360:-360].max() < 0.01  # without a filter: a tone of 50 Hz, height 1

    def test_an_offset_makes_no_step_at_the_ends(self):
        assert np.abs(resample(np.full(5000, 300, np.float32), 250) - 300).max() < 1e-3

    def test_gaps_are_bridged(self):
        signal = np.array([np.nan, 1, np.nan, 3, np.nan], np.float32)
        assert resample(signal, 360).tolist() == [1, 1, 2, 3, 3]
        assert resample(np.full(5, np.nan, np.float32), 360).tolist() == [0] * 5


class TestCut:
    def test_windows_and_starts(self):
        signal = np.arange(9000) / 200
        windows, starts = cut(signal, 5)
        assert starts.tolist() == [0, 1800, 3600, 5400]
        assert windows.dtype == np.int16
        assert (np.diff(windows.astype(int), axis=1) == 1).all()

    def test_an_electrode_offset_fits(self):
        windows, _ = cut(np.sin(np.arange(3600) / 20) + 300)
        assert np.ptp(windows) == 400

    def test_beyond_16_bits_saturates(self):
        signal = np.zeros(3600)
        signal[:2] = 1e6, -1e6
        windows, _ = cut(signal)
        assert windows[0, :3].tolist() == [32767, -32768, 0]

    @pytest.mark.parametrize("hop", [0, -1, 10.01, float("nan"), float("inf")])
    def test_hop_out_of_range(self, hop):
        with pytest.raises(DataError, match="more than 0 and at most 10 s"):
            cut(np.zeros(3600), hop)

    def test_mit_bih_records_keep_their_own_integers(self, mitdb_folder):
        for name, lead in (("100", "MLII"), ("114", "V5"), ("207", None)):
            record = mitdb.read_record(mitdb_folder, name)
            column = record.leads.index(lead or "MLII")
            own = record.signals[: 180 * WINDOW_SAMPLES, column].reshape(180, WINDOW_SAMPLES)
            windows = read(mitdb_folder / name).windows(lead)
            offset = own.astype(int) - windows.integers
            assert (offset == offset[:, :1]).all()
            assert np.array_equal(standardise(own), standardise(windows.integers))


class TestWindows:
    def test_missing_and_clipped_shares(self, ecg, tmp_path):
        signal = resample(ecg.astype(np.float32), 360, RATE)
        signal[:500] = np.nan
        signal[3000:3250] = 4.0
        windows = Recording("r", signal[:, None], ("II",), RATE).windows()
        assert windows.missing.tolist() == pytest.approx([0.2, 0], abs=0.001)
        assert windows.clipped.tolist() == pytest.approx([0, 0.1], abs=0.001)
        assert np.isfinite(windows.signal_mv).all()

    @pytest.mark.parametrize(
        ("factor", "message"), [(1e-3, "perhaps --units V"), (1000, "perhaps --units uV"), (200, "a gain like 200/mV")]
    )
    def test_wrong_units(self, ecg, factor, message):
        signal = (factor * ecg).astype(np.float32)[:, None]
        with pytest.raises(DataError, match=message):
            Recording("r", signal, ("II",), 360.0).windows()
        assert len(Recording("r", signal, ("II",), 360.0, chosen_units=True).windows()) == 2

    def test_a_flat_lead_has_no_unit(self):
        assert len(Recording("r", np.ones((3600, 1), np.float32), ("II",), 360.0).windows()) == 1

    def test_no_value_at_all(self):
        with pytest.raises(DataError, match="all 3,600 samples are missing"):
            Recording("r", np.full((3600, 1), np.nan, np.float32), ("II",), 360.0).windows()

    def test_too_short(self):
        with pytest.raises(DataError, match=r"a window needs 10 s of ECG: r has 2 samples, 0\.00556 s at 360 Hz"):
            Recording("r", np.ones((2, 1), np.float32), ("II",), 360.0).windows()


class TestUnits:
    def test_values(self):
        assert [mv_per(u) for u in ("V", "mV", "uV", "µV", "UV", "200/mV", "1000/V")] == pytest.approx(
            [1000, 1, 1e-3, 1e-3, 1e-3, 1 / 200, 1]
        )

    @pytest.mark.parametrize("units", ["", "mmHg", "0/mV", "-1/mV", "x/mV", "200", "inf/mV", "nan/mV"])
    def test_others(self, units):
        with pytest.raises(DataError, match="units must be V, mV, uV, nV or a gain like 200/mV, received"):
            mv_per(units)


class TestWfdb:
    @pytest.mark.parametrize("rate", [128, 250.5, 1000])
    @pytest.mark.parametrize("form", ["16", "24", "32", "80", "212"])
    def test_rates_and_formats(self, ecg, tmp_path, rate, form):
        gain = {"80": 20.0, "212": 300.0}.get(form, 3000.0)
        path = write_wfdb(tmp_path, "r", ecg, rate, fmt=[form], adc_gain=[gain], baseline=[0])
        record = read(path)
        assert (record.name, record.leads, record.sampling_rate_hz) == ("r", ("L0",), rate)
        assert np.abs(record.signals[:, 0] - ecg).max() <= 0.51 / gain
        assert record.signals.dtype == np.float32

    def test_named_in_three_ways_and_with_spaces(self, ecg, tmp_path):
        folder = tmp_path / "my own records"
        folder.mkdir()
        write_wfdb(folder, "r1", ecg)
        first = [read(folder / name).signals for name in ("r1", "r1.hea", "r1.dat")]
        assert np.array_equal(first[0], first[1])
        assert np.array_equal(first[0], first[2])

    def test_other_units_and_other_signals(self, ecg, tmp_path):
        path = write_wfdb(
            tmp_path, "r", np.stack([1000 * ecg, 80 + ecg], 1), units=["uV", "mmHg"], sig_name=["II", "ABP"]
        )
        record = read(path)
        assert record.leads == ("II",)
        assert np.abs(record.signals[:, 0] - ecg).max() < 0.001
        path = write_wfdb(tmp_path, "p", ecg, units=["mmHg"])
        with pytest.raises(DataError, match="no signal in volts, its units are mmHg"):
            read(path)

    def test_counts_under_a_wrong_gain(self, ecg, tmp_path):
        path = write_wfdb(tmp_path, "r", ecg, adc_gain=[400.0], baseline=[37])
        header = path.with_suffix(".hea")
        header.write_text(header.read_text().replace("400.0(37)/mV", "2.0(37)/mV"))
        with pytest.raises(DataError, match="--units"):
            read(path).windows()
        assert np.abs(read(path, units="400/mV").windows().signal_mv).max() < 3

    def test_invalid_samples_are_missing(self, ecg, tmp_path):
        signal = ecg.copy()
        signal[100:200] = np.nan
        assert np.isnan(read(write_wfdb(tmp_path, "r", signal)).signals[:, 0]).sum() == 100


class TestCsv:
    def write(self, tmp_path, text: str, name: str = "my ecg.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    @pytest.mark.parametrize(
        ("text", "leads", "values"),
        [
            ("0.1\n0.2\n0.3\n", ("lead 1",), [[0.1], [0.2], [0.3]]),
            ("a,b\n1,4\n2,5\n3,6\n", ("a", "b"), [[1, 4], [2, 5], [3, 6]]),
            ("time;II\n0;1\n0,004;2,5\n", ("II",), [[1], [2.5]]),
            (",II\n0,4\n1,5\n2,5\n", ("II",), [[4], [5], [5]]),
            ("Time (s),II [uV]\n0,1000\n0.004,2000\n0.008,-500\n", ("II",), [[1], [2], [-0.5]]),
            ("'Elapsed time','MLII','V5'\n'hh:mm:ss.mmm','mV','mV'\n'0:00.000',-0.145,0.5\n'0:00.003',-0.2,0.6\n",
             ("MLII", "V5"), [[-0.145, 0.5], [-0.2, 0.6]]),
            ("0\t1.5\n1\t2.5\n2\t2.5\n", ("lead 2",), [[1.5], [2.5], [2.5]]),
            ("II\n1\n\n-\n3\n", ("II",), [[1], [np.nan], [3]]),
            ("II,V5,\n1,2,\n3,,\n", ("II", "V5"), [[1, 2], [3, np.nan]]),
            ("\ufeffII\r\n1\r\ninf\r\nnan\r\n", ("II",), [[1], [np.nan], [np.nan]]),
        ],
    )  # fmt: skip
    def test_shapes_of_tables(self, tmp_path, text, leads, values):
        path = self.write(tmp_path, text)
        record = read(path, RATE)
        assert record.leads == leads
        assert np.array_equal(record.signals, np.array(values, np.float32), equal_nan=True)

    def test_chosen_units(self, tmp_path):
        record = read(self.write(tmp_path, "1224\n1024\n824\n"), 360, "200/mV")
        assert record.signals[:, 0].tolist() == pytest.approx([6.12, 5.12, 4.12])
        assert record.chosen_units

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "is empty"),
            ("\n\n", "is empty"),
            ("The quick brown fox\njumps over\n", "not a table of numbers"),
            ("a,b\n1,2\n3,four\n", "column 'b' must hold numbers, received 'four'"),
            ("II (mmHg)\n1\n2\n", "units must be"),
            ("1,2\n3,4,5\n", "not a table of numbers"),
            ("\0\1\2", "not a text file"),
        ],
    )
    def test_no_tables(self, tmp_path, text, message):
        with pytest.raises(DataError, match=message):
            read(self.write(tmp_path, text), RATE)


class TestEdf:
    def test_leads_rates_and_units(self, ecg, tmp_path):
        edfio = pytest.importorskip("edfio")
        slow = np.sin(np.arange(25 * 10) / 5)
        edfio.Edf(
            [
                edfio.EdfSignal(slow, 10, label="Resp", physical_dimension="uV"),
                edfio.EdfSignal(1000 * ecg, 360, label="ECG II", physical_dimension="uV"),
                edfio.EdfSignal(ecg, 360, label="V5", physical_dimension="mV"),
                edfio.EdfSignal(ecg + 90, 360, label="ABP", physical_dimension="mmHg"),
            ]
        ).write(tmp_path / "night one.edf")
        record = read(tmp_path / "night one.edf")
        assert (record.name, record.kind, record.leads) == ("night one", "EDF", ("ECG II", "V5"))
        assert record.sampling_rate_hz == 360
        assert np.abs(record.signals - ecg[:, None]).max() < 0.001
        assert record.lead().leads == ("ECG II",)

    def test_no_ecg(self, tmp_path):
        edfio = pytest.importorskip("edfio")
        signal = edfio.EdfSignal(np.arange(720.0), 360, label="ABP", physical_dimension="mmHg")
        edfio.Edf([signal]).write(tmp_path / "r.edf")
        with pytest.raises(DataError, match="no signal in volts, its units are mmHg"):
            read(tmp_path / "r.edf")

    def test_truncated(self, ecg, tmp_path):
        edfio = pytest.importorskip("edfio")
        edfio.Edf([edfio.EdfSignal(ecg, 360, label="ECG", physical_dimension="mV")]).write(tmp_path / "r.edf")
        whole = (tmp_path / "r.edf").read_bytes()
        for size in (len(whole) - 1, len(whole) // 2, 600, 300):
            (tmp_path / "r.edf").write_bytes(whole[:size])
            with pytest.raises(DataError, match="is not an EDF file, or truncated"):
                read(tmp_path / "r.edf")

    @pytest.mark.parametrize("content", [b"", b"hello", b"0" * 256, b"\0" * 5000])
    def test_other_files(self, tmp_path, content):
        pytest.importorskip("edfio")
        (tmp_path / "r.edf").write_bytes(content)
        with pytest.raises(DataError, match=r"is empty|is not an EDF file, or truncated"):
            read(tmp_path / "r.edf")


class TestFind:
    def test_finds_below(self, ecg, tmp_path):
        (tmp_path / "b").mkdir()
        write_wfdb(tmp_path, "r2", ecg)
        write_wfdb(tmp_path / "b", "r1", ecg)
        (tmp_path / "x.csv").write_text("1\n")
        assert [p.name for p in recording.find(tmp_path)] == ["r1.hea", "r2.hea"]
        assert [p.name for p in recording.find(tmp_path, 250)] == ["r1.hea", "r2.hea", "x.csv"]

    def test_nothing_there(self, tmp_path):
        with pytest.raises(DataError, match="holds no recording"):
            recording.find(tmp_path)
        with pytest.raises(DataError, match="is not a folder"):
            recording.find(tmp_path / "none")
