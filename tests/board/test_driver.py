"""The driver on the fast model of a board: answers, protocol, every error, buffers counted."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from board.codec import Codec
from board.driver import ArrhythmiaOverlay, OverlayError, TransferError, describe
from board.manifest import MANIFEST, REGISTERS, ManifestError
from board.simulation.checks import CHECKS
from board.simulation.model import Board, Faults, installed, stand_in
from hls.core.generate import VERILOG
from qmodel.fixed_point import standardise
from tests.board.folders import CLASSES, deploy_folder, ecg_network, manifest_of, windows, write_manifest


@pytest.fixture(scope="module")
def network():
    return ecg_network()


@pytest.fixture
def folder(network, tmp_path):
    return deploy_folder(tmp_path / "deploy", network)


@pytest.fixture
def board(network):
    """A board in which `import pynq` works."""
    board = Board(network, Codec.of(network))
    with installed(stand_in(board)):
        yield board
    assert board.memory.live == 0


def golden(network, adc):
    return network.run(standardise(adc, network.input_format))


def test_a_thousand_windows_nothing_lost_no_buffer_leaked(network, folder, board):
    adc = windows(1000)
    with ArrhythmiaOverlay(folder) as overlay:
        results = overlay.classify_many(adc)
    assert np.array_equal([result.logits for result in results], golden(network, adc))
    assert board.frames == 1000
    assert (board.memory.allocated, board.memory.freed, board.memory.most_live) == (2, 2, 2)


def test_a_thousand_calls_leak_no_buffer(network, folder, board):
    adc = windows(10)
    with ArrhythmiaOverlay(folder) as overlay:
        for number in range(1000):
            overlay.classify(adc[number % 10])
    assert (board.memory.allocated, board.memory.freed, board.memory.most_live) == (2000, 2000, 2)


def test_a_result_names_its_class_and_its_times(network, folder, board):
    adc = windows(1)[0]
    with ArrhythmiaOverlay(folder) as overlay:
        result = overlay.classify(adc)
        assert overlay.status()["frames"] == 1
        assert overlay.ip_dict.keys() == {"ecg_alq_0", "axi_dma_0"}
    assert result.class_index == golden(network, adc[None])[0].argmax()
    assert result.label == CLASSES[result.class_index]
    assert result.times.compute == 3600 / 100e6
    assert result.times.pack > 0
    assert result.times.transfer >= 0


def test_a_stream_is_a_record_window_by_window(network, folder, board):
    record = windows(1, samples=3 * 3600 + 100)[0]
    with ArrhythmiaOverlay(folder) as overlay:
        whole = list(overlay.stream(record))
        half = list(overlay.stream(record, step=1800))
        with pytest.raises(ValueError, match=r"at least 3600 samples, received \(3599,\)"):
            next(overlay.stream(record[:3599]))
        with pytest.raises(ValueError, match="step must be at least 1 sample, received 0"):
            next(overlay.stream(record, step=0))
    assert [start for start, _ in whole] == [0, 3600, 7200]
    assert [start for start, _ in half] == [0, 1800, 3600, 5400, 7200]
    cut = np.stack([record[start : start + 3600] for start, _ in half])
    assert np.array_equal([result.logits for _, result in half], golden(network, cut))


def test_async_tasks_take_turns_and_others_run_meanwhile(network, folder, board):
    adc, ticks = windows(6), []

    async def tick():
        while True:
            ticks.append(board.frames)
            await asyncio.sleep(0)

    async def work():
        with ArrhythmiaOverlay(folder) as overlay:
            ticking = asyncio.create_task(tick())
            several = await asyncio.gather(*(overlay.classify_async(window) for window in adc[:4]))
            several += await overlay.classify_many_async(adc[4:])
            streamed = [result async for _, result in overlay.stream_async(adc[:2].reshape(-1))]
            ticking.cancel()
        return several, streamed

    several, streamed = asyncio.run(work())
    assert np.array_equal([result.logits for result in several], golden(network, adc))
    assert np.array_equal([result.logits for result in streamed], golden(network, adc[:2]))
    assert set(ticks) >= set(range(8))  # another task ran during every window


def test_threads_take_turns(network, folder, board):
    adc, results = windows(8), {}
    with ArrhythmiaOverlay(folder, timeout_s=30) as overlay:
        threads = [threading.Thread(target=lambda n=n: results.update({n: overlay.classify(adc[n])})) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert np.array_equal([results[n].logits for n in range(8)], golden(network, adc))


def test_a_stalled_core_ends_in_time_with_the_status(network, folder, board):
    board.faults.stall_after = 2
    adc = windows(3)
    overlay = ArrhythmiaOverlay(folder, timeout_s=0.2)
    overlay.classify_many(adc[:2])
    before = time.monotonic()
    with pytest.raises(TransferError) as caught:
        overlay.classify(adc[2])
    assert 0.2 <= time.monotonic() - before < 2
    assert "no answer within 0.2 s" in str(caught.value)
    assert "send status 0x00001002 (idle), receive status 0x00001000 (running)" in str(caught.value)
    assert "2 frames done" in str(caught.value)
    assert board.memory.live == 0
    assert board.dma.recvchannel.buffer is None  # stopped before its buffer was freed
    with pytest.raises(OverlayError, match="closed: load it again"):
        overlay.classify(adc[2])
    board.faults.stall_after = None
    with ArrhythmiaOverlay(folder) as again:
        assert np.array_equal(again.classify(adc[2]).logits, golden(network, adc[2:])[0])


def test_a_cancelled_task_stops_the_dma(folder, board):
    board.faults.stall_after = 0

    async def work():
        overlay = ArrhythmiaOverlay(folder, timeout_s=60)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(overlay.classify_async(windows(1)[0]), 0.05)
        return overlay

    overlay = asyncio.run(work())
    assert board.dma.recvchannel.buffer is None
    with pytest.raises(OverlayError, match="closed"):
        overlay.status()


def test_waiting_for_another_task_has_a_limit_too(folder, board):
    board.faults.stall_after = 0

    async def work():
        overlay = ArrhythmiaOverlay(folder, timeout_s=0.1)
        first = asyncio.create_task(overlay.classify_async(windows(1)[0]))
        await asyncio.sleep(0)
        overlay.timeout_s = 0.02
        with pytest.raises(OverlayError, match=r"busy with other windows for 0\.02 s"):
            await overlay.classify_async(windows(1)[0])
        with pytest.raises(TransferError):
            await first

    asyncio.run(work())


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ({"error": 1 << 5}, r"DMA reports an error: .*slave error"),
        ({"lose": 1}, r"an answer must be 12 bytes, received 8"),
        ({"flags": 1}, r"1 frames were sent, the core finished 1, a frame was too short"),
    ],
)
def test_a_transfer_that_fails(folder, board, faults, message):
    overlay = ArrhythmiaOverlay(folder)
    board.faults = Faults(**faults)
    with pytest.raises(TransferError, match=message):
        overlay.classify(windows(1)[0])
    with pytest.raises(OverlayError, match="closed"):
        overlay.classify(windows(1)[0])


def test_another_network_in_the_core(folder, board):
    board.faults.identity = "ab" * 32
    with pytest.raises(OverlayError, match=r"holds network abababababab\.\.\., the manifest names"):
        ArrhythmiaOverlay(folder)
    assert board.frames == 0


def test_another_core_at_the_address(folder, board):
    board.faults.magic = 0
    with pytest.raises(OverlayError, match="no ecg-alq core answers at 0x43c00000"):
        ArrhythmiaOverlay(folder)


def test_another_design_in_the_bitstream(network, tmp_path, board):
    class Empty:
        def __init__(self, bit):
            pass

    folder = deploy_folder(tmp_path, network)
    pynq = stand_in(board)
    pynq.Overlay = Empty
    with installed(pynq), pytest.raises(OverlayError, match=r"no block axi_dma_0: ecg_alq\.hwh belongs to another"):
        ArrhythmiaOverlay(folder)


def test_wrong_manifests(network, folder, board, tmp_path):
    other = ecg_network(seed=4)
    write_manifest(folder, manifest_of(other))  # the network's file and the core are not the ones that it names
    with pytest.raises(OverlayError, match="the bitstream holds network"):
        ArrhythmiaOverlay(folder)
    with pytest.raises(ManifestError, match=r"has no manifest\.json: name a folder that `ecg-alq package` wrote"):
        ArrhythmiaOverlay(tmp_path / "nowhere")
    content = json.loads((folder / MANIFEST).read_text())
    del content["sha256"]
    for changed, message in (
        ({"format": 9}, "has format 9, this program reads 2"),
        ({"format": True}, "has format True"),
        ({"bit": "../other.bit"}, r"names files outside its folder \('\.\./other\.bit'\)"),
        ({"bit": "other.bit"}, r"has no SHA-256 of other\.bit"),
        ({"registers": {}}, "has no register cycles, errors"),
        ({"unknown": 1}, r"is damaged \(the entry unknown is missing or unknown\)"),
        ({"clock_mhz": 125.0}, "was edited"),
        ({"clock_mhz": "125"}, r"is damaged \(clock_mhz must be a number above 0\)"),
        ({"input_bits": None}, r"is damaged \(input_bits must be 8, 16, 32 or 64\)"),
        ({"classes": {"NSR": 0}}, r"is damaged \(classes must be a list of names\)"),
        ({"files": []}, r"is damaged \(files must be SHA-256 sums by name of file\)"),
        ({"identity": "$x$"}, r"is damaged \(identity must be 64 hexadecimal digits\)"),
    ):
        (folder / MANIFEST).write_text(json.dumps(content | changed))
        with pytest.raises(ManifestError, match=message):
            ArrhythmiaOverlay(folder)
    for text, message in (
        ("{", "is damaged"),
        ("null", "is not the manifest of a deploy folder"),
        ("[]", "is not the manifest"),
        ("[" * 10**6, "is damaged"),
        ('{"format": 2, "format": 2}', "an entry comes twice"),
        ("\udcff", "is damaged"),
    ):
        (folder / MANIFEST).write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(ManifestError, match=message):
            ArrhythmiaOverlay(folder)


def test_missing_and_changed_files(network, folder, board):
    (folder / "network.alq").write_bytes(ecg_network(seed=4).file_bytes)
    with pytest.raises(OverlayError, match=r"network\.alq in .* differ from the manifest"):
        ArrhythmiaOverlay(folder)
    network.save(folder / "network.alq")
    (folder / "ecg_alq.hwh").unlink()
    with pytest.raises(OverlayError, match=r"ecg_alq\.hwh is missing in .*: PYNQ needs \.bit and \.hwh side by side"):
        ArrhythmiaOverlay(folder)
    (folder / "other.hwh").write_text("")
    write_manifest(folder, manifest_of(network, hwh="other.hwh"))
    with pytest.raises(OverlayError, match=r"one stem for both, received ecg_alq\.bit and other\.hwh"):
        ArrhythmiaOverlay(folder)


@pytest.mark.parametrize(
    ("window", "error", "message"),
    [
        (windows(1)[0][:3599], ValueError, r"must have shape \(3600,\), received \(3599,\): cut the record"),
        (windows(2), ValueError, r"must have shape \(3600,\), received \(2, 3600\)"),
        (np.zeros(3600, np.float32), TypeError, r"must hold integers \(ADC units\), received float32: convert"),
        (np.where(np.arange(3600) == 7, np.nan, 1.0), ValueError, "must not hold NaN, the first is at sample 7"),
        (np.zeros(3600, int), ValueError, "must not be flat"),
        (np.full(3600, "x"), TypeError, "must hold integers"),
        (np.arange(3600) * 100, ValueError, "16-bit integers, received 0 to 359900"),
    ],
    ids=["short", "two", "float", "NaN", "flat", "text", "wide"],
)
def test_a_wrong_window_is_refused_and_the_next_is_right(network, folder, board, window, error, message):
    good = windows(1)[0]
    with ArrhythmiaOverlay(folder) as overlay:
        with pytest.raises(error, match=message):
            overlay.classify(window)
        assert board.frames == 0
        assert np.array_equal(overlay.classify(good).logits, golden(network, good[None])[0])


def test_a_closed_overlay(folder, board):
    overlay = ArrhythmiaOverlay(folder)
    overlay.close()
    overlay.close()
    for call in (
        lambda: overlay.classify(windows(1)[0]),
        overlay.status,
        lambda: asyncio.run(overlay.classify_async(windows(1)[0])),
    ):
        with pytest.raises(OverlayError, match=r"the overlay is closed: load it again"):
            call()
    assert not hasattr(overlay, "ip_dict")


def test_without_pynq(folder):
    with installed(None), pytest.raises(OverlayError, match="package pynq is not installed: run this on a PYNQ board"):
        ArrhythmiaOverlay(folder)


@pytest.mark.parametrize("name", CHECKS)
def test_the_checks_of_a_device_on_the_fast_model(folder, board, name):
    CHECKS[name](folder, windows(3), 5.0)


def test_the_status_in_words():
    assert describe(0x1002) == "0x00001002 (idle)"
    assert describe(0) == "0x00000000 (running)"
    assert describe(0x41) == "0x00000041 (halted, decode error (no memory at this address))"


def test_the_register_map_is_the_cores():
    """Against the Verilog, since neither package may import the other."""
    text = (VERILOG / "alq_registers.v").read_text()
    words = {int(case, 16): what for case, what in re.findall(r"10'h([0-9a-f]+): word = (.*);", text)}
    names = {"magic": "MAGIC", "version": "VERSION", "samples": "SAMPLES", "values": "VALUES"}
    for name, offset in REGISTERS.items():
        assert re.search(rf"\b{names.get(name, name)}\b", words[offset // 4], re.IGNORECASE), name


def test_times_count_the_clock_that_the_divider_gives(folder, board):
    """Asked for 87.5 MHz, a divider of 1,000 MHz gives 83.3 or 90.9."""
    pynq = stand_in(board)
    pynq.Clocks = SimpleNamespace(fclk0_mhz=90.909091)
    with installed(pynq), ArrhythmiaOverlay(folder) as overlay:
        assert overlay.clock_mhz == pytest.approx(90.909091)
        assert overlay.classify(windows(1)[0]).times.compute == pytest.approx(3600 / 90.909091e6)


def test_integers_of_the_input_format_as_other_engines_take_them(network, folder, board):
    integers = standardise(windows(3), network.input_format)
    with ArrhythmiaOverlay(folder) as overlay:
        assert np.array_equal(overlay.logits_many(integers), network.run(integers))
        with pytest.raises(ValueError, match="input must lie in the range of"):
            overlay.logits_many(integers.astype(int) + 1000)
