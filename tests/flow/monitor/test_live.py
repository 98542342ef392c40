"""Live sources: what comes in pieces is said as of the whole, window for window; gaps, loss and return are shown."""

import asyncio
import json
import os
import threading
import time
import tracemalloc

import numpy as np
import pytest
import wfdb
from aiohttp import WSServerHandshakeError
from aiohttp.test_utils import TestClient
from aiohttp.test_utils import TestServer as TestServer_

from flow.monitor import live as live_module
from flow.monitor import sources
from flow.monitor.live import Live
from flow.monitor.server import HOST, application
from flow.monitor.sources import Block, Lines, LostError, SourceError, Wanted, source
from flow.monitor.stream import HOP_S
from flow.recordings import beats
from qmodel.data.recording import Recording, read
from qmodel.data.resampling import Converter, resample
from tests.qmodel.data.readers.make import ecg_mv


class Played:
    """A source that plays an array in pieces; LostError where a piece is None."""

    name, kind, lead = "played", "array", "II"

    def __init__(self, pieces, rate_hz):
        self.pieces, self.rate_hz, self.ended, self.opened = list(pieces), float(rate_hz), False, 0

    def open(self):
        self.opened += 1

    def read(self, timeout_s):
        if not self.pieces:
            self.ended = True
            return None
        piece = self.pieces.pop(0)
        if piece is None:
            raise LostError("cut off")
        return Block(piece, time.monotonic())

    def close(self):
        pass


def cut(signal, rng, most=400):
    at = 0
    while at < len(signal):
        step = int(rng.integers(1, most))
        yield signal[at : at + step]
        at += step


def heard(played, classifier, folder=None, hop_s=HOP_S):
    """Every message of a live source to its end, and the Live."""
    messages: list[dict] = []
    with Live(played, classifier, hop_s, folder) as live:
        live.listen(messages.append)
        assert live.finished.wait(120)
    return messages, live


class TestConversion:
    @pytest.mark.parametrize("rate", [130, 250, 360, 500, 1000, 129.97])
    def test_pieces_equal_the_whole(self, rate):
        rng = np.random.default_rng(int(rate))
        signal = ecg_mv(25, rate)
        signal[int(3 * rate) : int(3.5 * rate)] = np.nan  # a line
        signal[int(8 * rate) : int(12 * rate)] = np.nan  # too long for one
        signal[-20:] = np.nan
        whole = resample(signal, rate)
        converter = Converter(rate)
        parts = [converter.feed(piece) for piece in cut(signal, rng)] + [converter.flush()]
        assert np.array_equal(np.concatenate([p[0] for p in parts]), whole)
        missing = np.concatenate([p[1] for p in parts])
        assert missing.sum() / 360 == pytest.approx(4.5 + 20 / rate, abs=0.01)

    @pytest.mark.parametrize("rate", [130, 250, 500])
    def test_live_is_batch_window_for_window(self, classifier, rate):
        rng = np.random.default_rng(rate)
        signal = ecg_mv(40, rate, bpm=100).astype(np.float32).astype(float)
        signal[int(15 * rate) : int(20 * rate)] = np.nan
        signal += 0.05 * rng.standard_normal(len(signal))
        signal = signal.astype(np.float32).astype(float)
        played = Played([*cut(signal, rng), signal[:0]], rate)
        messages, _ = heard(played, classifier)
        decisions = [d for m in messages for d in m["decisions"]]
        samples = Recording("r", signal.astype(np.float32)[:, None], ("II",), rate).samples()
        findings = classifier.recording(samples.windows(HOP_S))
        assert [d["said"] for d in decisions] == findings.said.tolist()
        assert [d["confidence"] for d in decisions] == [
            None if np.isnan(c) else round(c, 4) for c in findings.confidence.tolist()
        ]
        microvolts = np.concatenate([m["microvolts"] for m in messages])
        assert (microvolts == -32768).sum() == samples.missing.sum()

    def test_heart_rate_and_beats(self, classifier):
        signal = ecg_mv(30, 250, bpm=90)
        messages, _ = heard(Played(np.array_split(signal, 60), 250), classifier)
        assert messages[-1].get("heart_rate_bpm", messages[-2].get("heart_rate_bpm")) == pytest.approx(90, abs=1)
        found = [b["at"] for m in messages for b in m.get("beats", [])]
        assert len(found) == pytest.approx(30 * 1.5, abs=5)
        assert np.diff(found) == pytest.approx(np.full(len(found) - 1, 240), abs=12)

    def test_memory_does_not_grow(self, classifier, monkeypatch):
        """Five minutes at speed, after the first two, without the search for beats, which is slow under tracemalloc."""
        nothing = np.zeros(0, np.int64), np.zeros(0, "<U1")
        monkeypatch.setattr(beats, "detector", lambda: (lambda signal: nothing, False, "nobody"))
        piece = ecg_mv(2, 250, bpm=60)  # whole beats, so that it repeats
        grown = []

        class Endless(Played):
            def read(self, timeout_s):
                if len(grown) == 2:
                    self.ended = True
                    return None
                self.said = getattr(self, "said", 0) + 1
                if self.said in (60, 210):
                    grown.append(tracemalloc.get_traced_memory()[0])
                return Block(piece, time.monotonic())

        tracemalloc.start()
        try:
            heard_nothing = []
            with Live(Endless([], 250), classifier, 10.0) as live:
                live.listen(lambda message: heard_nothing.append(1))
                assert live.finished.wait(240)
        finally:
            tracemalloc.stop()
        assert grown[1] - grown[0] < 300_000


class TestLossAndReturn:
    def test_what_is_not_sent_is_missing(self, classifier, monkeypatch):
        monkeypatch.setattr(live_module, "RETRY_S", 0.3)
        signal = ecg_mv(12, 250)
        played = Played([signal, None, signal], 250)
        messages, _ = heard(played, classifier)
        assert played.opened == 2
        states = [m["state"] for m in messages if "why" in m]
        assert states == ["lost", "connected", "ended"]
        microvolts = np.concatenate([m["microvolts"] for m in messages])
        gap = (microvolts == -32768).sum() / 360
        assert 0.25 < gap < 3
        assert len(microvolts) / 360 == pytest.approx(24 + gap, abs=0.05)

    def test_a_recording_while_it_plays(self, classifier, tmp_path):
        signal = ecg_mv(25, 250) + 120  # an electrode's offset
        signal[1000:1100] = np.nan
        _, live = heard(Played(np.array_split(signal, 40), 250), classifier, tmp_path / "kept")
        record = read(live.recorded)
        assert not record.notes
        assert np.array_equal(np.isnan(record.signals[:, 0]), np.isnan(signal))
        assert np.nanmax(np.abs(record.signals[:, 0] - signal)) < 1e-4
        theirs = wfdb.rdrecord(str(live.recorded.with_suffix(""))).p_signal[:, 0]
        assert np.nanmax(np.abs(theirs - signal)) < 1e-4
        events = [json.loads(line) for line in live.recorded.with_suffix(".events.jsonl").read_text().splitlines()]
        assert {"event", "beat"} <= {key for event in events for key in event}

    def test_nothing_is_left_of_nothing(self, classifier, tmp_path):
        _, live = heard(Played([], 250), classifier, tmp_path)
        assert live.recorded is None
        assert not list(tmp_path.iterdir())

    def test_a_recording_that_is_cut_short_can_be_read(self, classifier, tmp_path):
        from flow.monitor.save import Recorder

        recorder = Recorder(tmp_path, "II", 250, "a line")
        recorder.add(ecg_mv(11, 250))
        assert len(read(recorder.header).signals) == 11 * 250
        recorder.close()


class TestSources:
    @pytest.mark.parametrize(
        ("spec", "wanted", "says"),
        [
            ("bluetooth:x", Wanted(), "--source must be lsl:NAME"),
            ("lsl:", Wanted(), "--source must be"),
            ("-", Wanted(), "give --fs"),
            ("-", Wanted(rate_hz=250), "give --units"),
            ("-", Wanted(rate_hz=1, units="mV"), "100 to 5000 Hz"),
            ("-", Wanted(rate_hz=250, units="furlong"), "units must be"),
            ("serial:/dev/x", Wanted("II", 250, "mV"), "have numbers"),
        ],
    )
    def test_refused(self, spec, wanted, says):
        with pytest.raises(ValueError, match=says):
            source(spec, wanted)

    def test_lines_of_numbers(self, classifier):
        class Bytes:
            parts = [b"0.1,0.5\n0.2,0.", b"6\r\n!\n", b"junk,7\n0.3,0.7\n0.4", b"", None]  # noqa: RUF012

            def open(self):
                pass

            def read(self, timeout_s):
                return self.parts.pop(0)

            def close(self):
                pass

        lines = Lines(Bytes(), "x", "y", Wanted("2", 250, "mV"))
        lines.open()
        blocks = []
        while not lines.ended:
            if (block := lines.read(0)) is not None:
                blocks.append(block.values)
        values = np.concatenate(blocks)
        assert np.array_equal(values, [0.5, 0.6, np.nan, 7, 0.7, np.nan], equal_nan=True)

    @pytest.mark.parametrize("sent", ["1,0.5", "0,512", "12 7"])
    def test_lines_of_several_numbers_are_asked_about(self, sent):
        class Bytes:
            def open(self):
                pass

            def read(self, timeout_s):
                return f"{sent}\n".encode() * 30

        lines = Lines(Bytes(), "x", "y", Wanted(None, 250, "mV"))
        with pytest.raises(SourceError, match=f"several numbers, like '{sent}': say with --lead"):
            lines.read(0)

    @pytest.mark.parametrize(
        ("arrivals", "missing"),
        [
            ({2.0: 500}, 0),  # late, all at once
            ({2.0: 16, 2.1: 300, 2.2: 184 + 50}, 0),  # late, in a burst of pieces
            ({2.0: 25, 2.1: 25}, 450),  # lost
            ({2.0: 250, 2.1: 25}, 225),  # lost in part: the line kept a second of it
        ],
    )
    def test_a_silence_counts_once(self, arrivals, missing):
        """A serial line of 250 Hz is silent from 0 to 2 s; samples that were late are none that were lost."""
        clock = sources._Clock(250)
        assert len(clock.feed(np.zeros(25), 0.0, False)) == 25
        at = {**arrivals, **{round(2.2 + 0.1 * i, 1): 25 for i in range(10) if round(2.2 + 0.1 * i, 1) not in arrivals}}
        given = [clock.feed(np.ones(number), now, False) for now, number in sorted(at.items())]
        values = np.concatenate(given)
        assert np.isnan(values).sum() == pytest.approx(missing, abs=26)
        assert np.isnan(values[: int(np.isnan(values).sum())]).all()
        assert len(values) - np.isnan(values).sum() == sum(at.values())
        assert max(len(piece) for piece in given[-3:]) == 25  # nothing is held for long

    def test_a_pseudo_terminal(self, classifier):
        pytest.importorskip("serial")
        import pty

        master, slave = pty.openpty()
        signal = np.round(ecg_mv(12, 250) * 200 + 512)
        own = source(f"serial:{os.ttyname(slave)}", Wanted(None, 250, "200/mV", 115_200))

        def send():
            os.write(master, b"12\n")  # the line that a reader may join in its middle
            for part in np.array_split(signal, 50):
                os.write(master, b"".join(b"%d\r\n" % v for v in part))
                time.sleep(0.005)

        messages: list[dict] = []
        with Live(own, classifier) as live:
            live.listen(messages.append)
            sender = threading.Thread(target=send)
            sender.start()
            sender.join()
            deadline = time.monotonic() + 20
            while sum(len(m["microvolts"]) for m in messages) < 11 * 360 and time.monotonic() < deadline:
                time.sleep(0.05)
        os.close(master)
        os.close(slave)
        got = np.concatenate([m["microvolts"] for m in messages]) / 1000
        expected = resample(signal.astype(np.float32) / 200, 250)
        assert len(got) > 11 * 360
        assert np.abs(got[:3600] - expected[:3600]).max() < 0.002

    def test_standard_input(self, monkeypatch):
        read_end, write_end = os.pipe()
        os.write(write_end, b"1\n2\n3\n")
        os.close(write_end)
        with os.fdopen(read_end) as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            own = source("-", Wanted(None, 250, "uV"))
            own.open()
            assert own.read(1).values.tolist() == [0.001, 0.002, 0.003]
            assert own.read(1) is None
            assert own.ended

    def test_lab_streaming_layer(self, classifier, tmp_path, monkeypatch):
        pylsl = pytest.importorskip("pylsl")
        name = f"ecg-alq-test-{os.getpid()}"
        info = pylsl.StreamInfo(name, "ECG", 2, 130, "float32", name)
        channels = info.desc().append_child("channels")
        for label, unit in (("acc", "g"), ("ECG", "microvolts")):
            channel = channels.append_child("channel")
            channel.append_child_value("label", label)
            channel.append_child_value("unit", unit)
        outlet = pylsl.StreamOutlet(info)
        signal = ecg_mv(16, 130).astype(np.float32)
        own = source(f"lsl:{name}", Wanted())
        messages: list[dict] = []
        with Live(own, classifier, HOP_S, tmp_path) as live:
            assert (own.lead, own.rate_hz) == ("ECG", 130)
            live.listen(messages.append)
            assert outlet.wait_for_consumers(5)
            stamp = pylsl.local_clock()
            for i, value in enumerate(signal):
                # Three seconds that the sender never sends: its clock tells.
                at = stamp + i / 130 + (3 if i >= 1690 else 0)
                outlet.push_sample([0.0, 1000 * float(value)], at)
            deadline = time.monotonic() + 20
            while sum(len(m["microvolts"]) for m in messages) < 18 * 360 and time.monotonic() < deadline:
                time.sleep(0.05)
        record = read(live.recorded).signals[:, 0]
        assert len(record) == len(signal) + 390
        assert np.isnan(record[1690 : 1690 + 390]).all()
        assert np.nanmax(np.abs(np.delete(record, np.s_[1690:2080]) - signal)) < 1e-4
        monkeypatch.setattr(sources, "PATIENCE_S", 0.3)
        with pytest.raises(SourceError, match="no LSL stream named"):
            source("lsl:no such stream", Wanted()).open()

    def test_a_synthetic_board_of_brainflow(self, classifier):
        pytest.importorskip("brainflow")
        with pytest.raises(SourceError, match="say with --lead"):
            source("brainflow:synthetic", Wanted()).open()
        with pytest.raises(SourceError, match="BrainFlow has no board"):
            source("brainflow:toaster", Wanted()).open()
        own = source("brainflow:synthetic", Wanted(lead="3"))
        messages: list[dict] = []
        with Live(own, classifier) as live:
            assert own.rate_hz == 250
            live.listen(messages.append)
            deadline = time.monotonic() + 20
            while sum(len(m["microvolts"]) for m in messages) < 360 and time.monotonic() < deadline:
                time.sleep(0.05)
            assert live.state == "connected"
        assert sum(len(m["microvolts"]) for m in messages) >= 360


class TestServer:
    def test_pages_follow_the_source(self, classifier):
        signal = ecg_mv(14, 250)
        hold = threading.Event()

        class Held(Played):
            def read(self, timeout_s):
                if len(self.pieces) == 1 and not hold.wait(0.05):
                    return None
                return super().read(timeout_s)

        async def session(live):
            app = application(live=live, token="secret")
            async with TestClient(TestServer_(app, host=HOST)) as client:
                for address in ("/", "/?token=wrong"):
                    async with client.get(address) as response:
                        assert response.status == 403
                        assert "whole address" in await response.text()
                async with client.get("/?token=secret") as response:
                    assert response.status == 200
                with pytest.raises(WSServerHandshakeError):
                    await client.ws_connect("/stream")
                async with client.ws_connect("/stream?token=secret") as first:
                    opening = await first.receive_json()
                    assert (opening["live"], opening["samples"]) == (True, None)
                    got = [await first.receive_json()]
                    await first.send_json({"shown": 100})
                    async with client.ws_connect("/stream?token=secret") as late:
                        await late.receive_json()
                        hold.set()
                        while got[-1]["state"] != "ended":
                            got.append(await first.receive_json())
                        theirs = [await late.receive_json()]
                        while theirs[-1]["state"] != "ended":
                            theirs.append(await late.receive_json())
                    await first.send_str("nonsense")
                    closed = await first.receive()
                    assert closed.data == 1008
                return got, theirs

        with Live(Held(np.array_split(signal, 5), 250), classifier) as live:
            got, theirs = asyncio.run(session(live))
        own, late = (np.concatenate([m["microvolts"] for m in messages]) for messages in (got, theirs))
        assert np.array_equal(own, late)
        assert len(own) == 14 * 360
        assert any(m.get("latency_ms") is not None for m in got)
