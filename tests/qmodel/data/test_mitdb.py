"""Finding, downloading, verifying and reading records; every broken one is refused."""

import errno
import hashlib
import http.server
import shutil
import threading
from collections import Counter
from pathlib import Path

import pytest

from qmodel.data import mitdb, synthetic
from qmodel.data.mitdb import DataError

CONTENT = {"100.hea": b"header\r\n", "100.dat": bytes(range(256)) * 40, "100.atr": b"annotations"}
SUMS = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine without records: empty home, no environment."""
    work = tmp_path / "home" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MITDB_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return tmp_path


def make_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in mitdb.published_sums():
        (folder / name).touch()
    return folder


class TestFind:
    def test_order(self, nowhere, monkeypatch):
        home_cache = make_folder(nowhere / "home" / ".cache" / "ecg-alq" / "mitdb")
        assert mitdb.find() == home_cache
        xdg_cache = make_folder(nowhere / "xdg" / "ecg-alq" / "mitdb")
        monkeypatch.setenv("XDG_CACHE_HOME", str(nowhere / "xdg"))
        assert mitdb.find() == xdg_cache
        environment = make_folder(nowhere / "environment")
        monkeypatch.setenv("MITDB_DIR", str(environment))
        assert mitdb.find() == environment
        explicit = make_folder(nowhere / "explicit")
        assert mitdb.find(explicit) == explicit

    def test_nothing_found_says_what_to_do(self, nowhere):
        with pytest.raises(DataError, match=r"Run `ecg-alq data` to download") as error:
            mitdb.find()
        assert str(mitdb.cache_folder()) in str(error.value)

    def test_half_downloaded_cache_is_passed_over(self, nowhere):
        (make_folder(mitdb.cache_folder()) / "234.atr").unlink()
        with pytest.raises(DataError, match="not found"):
            mitdb.find()

    @pytest.mark.parametrize("how", ["argument", "environment"])
    def test_a_named_folder_must_be_right(self, nowhere, monkeypatch, how):
        make_folder(mitdb.cache_folder())  # never taken instead

        def find(folder: Path) -> Path:
            if how == "argument":
                return mitdb.find(folder)
            monkeypatch.setenv("MITDB_DIR", str(folder))
            return mitdb.find()

        with pytest.raises(DataError, match="must exist"):
            find(nowhere / "missing")
        (make_folder(nowhere / "partial") / "207.dat").unlink()
        with pytest.raises(DataError, match=r"lacks 1 files, the first is 207\.dat"):
            find(nowhere / "partial")


class TestDownload:
    def test_fetches_and_verifies_everything(self, tmp_path):
        folder = mitdb.download(tmp_path / "new", lambda name, path: path.write_bytes(CONTENT[name]), SUMS)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENT

    def test_only_missing_and_broken_files_are_fetched(self, tmp_path):
        (tmp_path / "100.hea").write_bytes(CONTENT["100.hea"])
        (tmp_path / "100.dat").write_bytes(CONTENT["100.dat"][:-1])
        fetched = []

        def fetch(name: str, path: Path) -> None:
            fetched.append(name)
            path.write_bytes(CONTENT[name])

        mitdb.download(tmp_path, fetch, SUMS)
        assert sorted(fetched) == ["100.atr", "100.dat"]
        assert mitdb.verify(tmp_path, SUMS) == []

    def test_broken_bytes_are_fetched_again(self, tmp_path):
        tries: Counter[str] = Counter()

        def fetch(name: str, path: Path) -> None:
            tries[name] += 1
            path.write_bytes(CONTENT[name] if tries[name] == 3 else CONTENT[name][::-1])

        mitdb.download(tmp_path, fetch, SUMS)
        assert set(tries.values()) == {3}
        assert mitdb.verify(tmp_path, SUMS) == []

    def test_always_broken_bytes_are_never_kept(self, tmp_path):
        def fetch(name: str, path: Path) -> None:
            path.write_bytes(b"<html>not a record</html>" if name == "100.dat" else CONTENT[name])

        with pytest.raises(
            DataError, match=r"100\.dat could not be downloaded in 3 attempts: its SHA-256 sum is wrong"
        ):
            mitdb.download(tmp_path, fetch, SUMS)
        assert [path.name for path in tmp_path.iterdir()] == ["100.hea"]

    @pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), ConnectionResetError("reset")])
    def test_errors_of_disk_and_network(self, tmp_path, error):
        def fetch(name: str, path: Path) -> None:
            path.write_bytes(CONTENT[name][:3])
            raise error

        with pytest.raises(DataError, match=r"100\.hea could not be downloaded in 3 attempts.*(No space left|reset)"):
            mitdb.download(tmp_path, fetch, SUMS)
        assert list(tmp_path.iterdir()) == []

    def test_interrupted_download_goes_on(self, tmp_path):
        def interrupted(name: str, path: Path) -> None:
            path.write_bytes(CONTENT[name][:5])
            if name == "100.dat":
                raise KeyboardInterrupt
            path.write_bytes(CONTENT[name])

        with pytest.raises(KeyboardInterrupt):
            mitdb.download(tmp_path, interrupted, SUMS)
        assert [path.name for path in tmp_path.iterdir()] == ["100.hea"]
        self.test_only_missing_and_broken_files_are_fetched(tmp_path)

    def test_physionet_source_over_http(self, tmp_path, monkeypatch):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = Path(self.path).name
                found = name in CONTENT and name != "100.atr"
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", str(len(CONTENT[name]) if found else 0))
                self.end_headers()
                if found:
                    self.wfile.write(CONTENT[name])

            do_HEAD = do_GET

            def log_message(self, *args):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            monkeypatch.setattr(mitdb, "_PHYSIONET", f"http://127.0.0.1:{server.server_address[1]}/")
            try:
                with pytest.raises(DataError, match=r"100\.atr could not be downloaded.*404"):
                    mitdb.download(tmp_path, sums=SUMS)
            finally:
                server.shutdown()
                thread.join()
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
            name: CONTENT[name] for name in ("100.hea", "100.dat")
        }


class TestReadRecord:
    @pytest.fixture
    def folder(self, synthetic_record, tmp_path) -> Path:
        return Path(shutil.copytree(synthetic_record, tmp_path / "records"))

    @pytest.fixture
    def sums(self, folder) -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}

    def test_signals_as_written(self, folder, sums):
        record = mitdb.read_record(folder, "100", sums)
        assert (record.name, record.leads, record.sampling_rate_hz) == ("100", ("MLII", "V1"), 360)
        assert record.signals.dtype == "int16"
        assert record.signals.shape == (650_000, 2)
        first, second = (folder / "100.hea").read_text().splitlines()[1:3]
        assert [int(line.split()[5]) for line in (first, second)] == record.signals[0].tolist()

    def test_missing_file(self, folder, sums):
        (folder / "100.dat").unlink()
        with pytest.raises(DataError, match=r"100\.dat is missing"):
            mitdb.read_record(folder, "100", sums)

    def test_record_of_another_database(self, folder, sums):
        for suffix in mitdb.SUFFIXES:
            shutil.copy(folder / f"100{suffix}", folder / f"999{suffix}")
        with pytest.raises(DataError, match="must be one of the 48 of MIT-BIH, received '999'"):
            mitdb.read_record(folder, "999")

    def test_truncated(self, folder, sums):
        content = (folder / "100.dat").read_bytes()
        (folder / "100.dat").write_bytes(content[:-300])
        with pytest.raises(
            DataError, match=r"100\.dat does not match .* \(1949700 bytes\): it is truncated or changed"
        ):
            mitdb.read_record(folder, "100", sums)
        with pytest.raises(DataError, match=r"100\.dat must have 1950000 bytes, it has 1949700: it is truncated"):
            mitdb.read_record(folder, "100", {})

    def test_one_changed_bit(self, folder, sums):
        mitdb.read_record(folder, "100", sums)  # what was verified before does not hide a later change
        content = bytearray((folder / "100.dat").read_bytes())
        content[1_000_000] ^= 1
        (folder / "100.dat").write_bytes(content)
        with pytest.raises(DataError, match=r"does not match PhysioNet's SHA-256 sum"):
            mitdb.read_record(folder, "100", sums)
        assert mitdb.verify(folder, sums) == ["100.dat"]

    def test_line_ends_of_the_header_count(self, folder, sums):
        content = (folder / "100.hea").read_bytes()
        (folder / "100.hea").write_bytes(content.replace(b"\n", b"\r\n"))
        with pytest.raises(DataError, match="CR LF"):
            mitdb.read_record(folder, "100", sums)

    def test_verified_once(self, folder, sums, monkeypatch):
        mitdb.read_record(folder, "100", sums)
        monkeypatch.setattr(mitdb, "sha256", None)
        mitdb.read_record(folder, "100", sums)

    def test_wrong_sampling_rate(self, tmp_path):
        synthetic.write_record(tmp_path, "100", [("NSR", 3600)], sampling_rate_hz=250)
        with pytest.raises(DataError, match="Sampling rate must be 360 Hz: record 100 has 250 Hz"):
            mitdb.read_record(tmp_path, "100", {})

    def test_wrong_length(self, tmp_path):
        synthetic.write_record(tmp_path, "100", [("NSR", 3600)])
        with pytest.raises(DataError, match="must have 650000 samples: record 100 has 3600"):
            mitdb.read_record(tmp_path, "100", {})


def test_records_and_persons():
    assert len(mitdb.RECORDS) == 48
    assert set(mitdb.published_sums()) == {record + suffix for record in mitdb.RECORDS for suffix in mitdb.SUFFIXES}
    assert {mitdb.person(record) for record in mitdb.RECORDS} == set(mitdb.RECORDS) - {"202"}


def test_real_records_match_their_sums(mitdb_folder):
    assert mitdb.verify(mitdb_folder) == []


def test_real_record(mitdb_folder):
    record = mitdb.read_record(mitdb_folder, "100")
    assert record.leads == ("MLII", "V5")
    assert record.signals[0].tolist() == [995, 1011]  # initial values in 100.hea
    # checksums in 100.hea: the sum of all samples, as a signed 16-bit number
    sums = (record.signals.sum(axis=0, dtype="int64") + 2**15) % 2**16 - 2**15
    assert sums.tolist() == [-22131, 20052]
    assert mitdb.read_record(mitdb_folder, "114").leads == ("V5", "MLII")
