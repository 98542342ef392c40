"""The registry of databases: found, verified, downloaded and read, or refused with what to do."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import wfdb

from qmodel.data import databases
from qmodel.data.fragments import CLASSES
from qmodel.data.mitdb import DataError

RATE = 250


def write_beats(folder: Path, name: str = "800", seconds: int = 12) -> Path:
    """A record of 1 Hz pulses at 250 Hz with a beat each, the third ventricular, the fourth supraventricular."""
    folder.mkdir(parents=True, exist_ok=True)
    at = np.arange(RATE // 2, seconds * RATE, RATE)
    signal = np.zeros((seconds * RATE, 1))
    signal[at] = 1.0
    wfdb.wrsamp(name, RATE, ["mV"], ["ECG1"], signal, fmt=["16"], adc_gain=[200], baseline=[0], write_dir=str(folder))
    symbols = ["N", "N", "V", "S"] + ["N"] * (len(at) - 4)
    wfdb.wrann(name, "atr", at, symbols, write_dir=str(folder))
    return folder


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    monkeypatch.delenv(databases.FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    work = tmp_path / "home" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    return tmp_path


class TestFind:
    def test_order(self, nowhere, monkeypatch):
        cached = write_beats(databases.cache_folder("svdb"))
        assert databases.find("svdb") == cached
        named = write_beats(nowhere / "environment" / "svdb")
        monkeypatch.setenv(databases.FOLDER_VARIABLE, str(named.parent))
        assert databases.find("svdb") == named
        given = write_beats(nowhere / "given")
        assert databases.find("svdb", given) == given

    def test_physionet_name(self, nowhere):
        folder = write_beats(nowhere / "all" / "challenge-2017")
        assert databases.find("cinc2017", nowhere / "all") == folder

    def test_not_found_says_what_to_do(self, nowhere):
        with pytest.raises(DataError, match=r"ecg-alq data --database svdb"):
            databases.find("svdb")
        with pytest.raises(DataError, match="not published"):
            databases.find("st250")
        with pytest.raises(DataError, match="holds no record"):
            databases.find("svdb", nowhere)

    def test_unknown(self):
        with pytest.raises(DataError, match=r"one of mitdb, svdb.*'ptbxl'"):
            databases.find("ptbxl")


class TestVerify:
    def test_rebuilt_is_said(self, nowhere):
        found = databases.verify("svdb", write_beats(nowhere / "svdb"))
        assert (found.origin, found.broken) == ("rebuilt", ())
        assert "rebuilt" in found.words

    def test_published_and_changed(self, nowhere):
        folder = write_beats(nowhere / "svdb")
        lines = [f"{hashlib.sha256(f.read_bytes()).hexdigest()} {f.name}\n" for f in sorted(folder.iterdir())]
        other = f"{'0' * 64} 801.dat\n"  # a record that is not here
        (folder / databases.SUMS_FILE).write_text("".join(lines) + other)
        assert databases.verify("svdb", folder).origin == "published"
        (folder / "800.atr").write_bytes(b"changed")
        found = databases.verify("svdb", folder)
        assert (found.origin, found.broken) == ("changed", ("800.atr",))
        (folder / "800.atr").unlink()
        assert databases.verify("svdb", folder).broken == ("800.atr",)

    @pytest.mark.parametrize("line", ["abc 800.dat", f"{'0' * 64} ../800.dat", f"{'0' * 64} /800.dat", f"{'0' * 64}"])
    def test_sums_that_are_none(self, line):
        with pytest.raises(DataError, match="sums"):
            databases.read_sums(line)


class TestDownload:
    def files(self, nowhere) -> dict[str, bytes]:
        source = write_beats(nowhere / "physionet")
        content = {file.name: file.read_bytes() for file in source.iterdir()} | {"index.html": b"no record"}
        lines = "".join(f"{hashlib.sha256(c).hexdigest()} {name}\n" for name, c in content.items())
        return content | {"SHA256SUMS.txt": lines.encode()}

    def test_verified_and_resumed(self, nowhere):
        files, asked = self.files(nowhere), []

        def fetch(address: str, destination: Path) -> None:
            asked.append(address)
            destination.write_bytes(files[address.rsplit("/", 1)[1]])

        folder = databases.download("svdb", nowhere / "new", fetch)
        assert {f.name for f in folder.iterdir()} == {"800.hea", "800.dat", "800.atr", "SHA256SUMS.txt"}
        assert databases.verify("svdb", folder).origin == "published"
        assert asked[0] == "https://physionet.org/files/svdb/1.0.0/SHA256SUMS.txt"
        (folder / "800.dat").write_bytes(b"broken")
        asked.clear()
        databases.download("svdb", folder, fetch)
        assert [a.rsplit("/", 1)[1] for a in asked] == ["SHA256SUMS.txt", "800.dat"]

    def test_wrong_file_is_refused_and_nothing_left(self, nowhere):
        files = self.files(nowhere)

        def fetch(address: str, destination: Path) -> None:
            name = address.rsplit("/", 1)[1]
            destination.write_bytes(b"another" if name == "800.dat" else files[name])

        with pytest.raises(DataError, match=r"800\.dat could not be downloaded .* sum is wrong"):
            databases.download("svdb", nowhere / "new", fetch)
        assert not (nowhere / "new" / "800.dat").exists()
        assert not [f for f in (nowhere / "new").iterdir() if ".part" in f.name]

    def test_no_network(self, nowhere):
        def fetch(address: str, destination: Path) -> None:
            raise ConnectionError("no route to host")

        with pytest.raises(DataError, match="no route to host"):
            databases.download("vfdb", nowhere / "new", fetch)

    def test_what_is_not_published(self, nowhere):
        with pytest.raises(DataError, match="cannot be downloaded"):
            databases.download("st250", nowhere / "new")


class TestRead:
    def test_beats_at_360_hz(self, nowhere):
        record = databases.read("svdb", "800", write_beats(nowhere / "svdb"))
        assert record.person == "svdb/800"
        assert record.signals.dtype == np.int16
        assert len(record) == 12 * 360
        np.testing.assert_array_equal(record.beat_at, np.arange(12) * 360 + 180)
        assert "".join(databases.BEATS[k] for k in record.beat_kind) == "NNVSNNNNNNNN"
        assert record.rhythm is None
        assert record.diagnosis is None

    def test_a_person_of_two_names(self, nowhere):
        assert databases.read("svdb", "S048", write_beats(nowhere / "svdb", "S048")).person == "svdb/800"

    def test_rhythms(self, nowhere):
        folder = nowhere / "vfdb"
        write_beats(folder, "418")
        wfdb.wrann("418", "atr", np.array([10, 1000]), ["+", "+"], aux_note=["(N\0", "(VT"], write_dir=str(folder))
        record = databases.read("vfdb", "418", folder)
        assert record.rhythm == ("(N", "(VT")
        np.testing.assert_array_equal(record.rhythm_from, [14, 1440])
        assert record.beat_at is None

    @pytest.mark.parametrize(
        ("comments", "classes"),
        [
            (["Dx: 164889003"], {"AFIB"}),
            (["Dx: 426783006,284470004"], {"APB", "NSR"}),  # sinus rhythm, in which a premature beat lies somewhere
            (["Dx: 59118001,426783006"], {"RBBBB"}),
            (["Dx: Normal"], {"NSR"}),
            (["Dx: 164934002"], None),  # a T wave says nothing of the rhythm
        ],
    )
    def test_diagnoses(self, nowhere, comments, classes):
        folder = nowhere / "challenge2021"
        folder.mkdir()
        signal = np.zeros((5000, 1))
        wfdb.wrsamp(
            "A1", 500, ["mV"], ["II"], signal, fmt=["16"], adc_gain=[1000], baseline=[0], comments=comments,
            write_dir=str(folder),
        )  # fmt: skip
        found = databases.read("challenge2021", "A1", folder).diagnosis
        assert classes == (None if found is None else {c for c, so in zip(CLASSES, found) if so})

    def test_broken(self, nowhere):
        folder = write_beats(nowhere / "svdb")
        (folder / "800.hea").write_text("nonsense\n")
        with pytest.raises(DataError, match="cannot be read as a WFDB record"):
            databases.read("svdb", "800", folder)


def test_real_databases_are_what_they_say():
    """Those that are here: every record reads, and sums agree where there are any."""
    for name in databases.available():
        if name == "mitdb":
            continue
        folder = databases.find(name)
        records = databases.record_names(folder)
        first = databases.read(name, records[0], folder)
        assert len(first.leads) == first.signals.shape[1]
        own = databases.database(name)
        assert (first.beat_at is not None) == ("beats" in own.labels)
        assert (first.rhythm is not None) == ("rhythms" in own.labels)
        assert databases.verify(name, folder).origin in ("published", "rebuilt")
