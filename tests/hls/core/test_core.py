"""The simulated core against the golden model: whole frames, stalls, resets, broken frames, mutated tables."""

import dataclasses
import re
import shutil

import numpy as np
import pytest

from hls.engines.rtl import TOO_LONG, TOO_SHORT, SimulationError, play, stream_of
from tests.hls.projects import differs

LOGITS = 3


def logits_of(record):
    return record.out.reshape(-1, LOGITS)


def test_whole_frames_equal_golden_on_every_stream(ecg_core, ecg_inputs):
    windows = ecg_inputs[[0, 1, 2, 1, 1, 1]]  # back to back, and the same frame three times
    record = play(ecg_core, *stream_of(windows), LOGITS * len(windows))
    assert differs(ecg_core, record, windows) is None
    assert sorted(record.taps) == list(range(len(ecg_core.network.stages)))
    assert record.out_last.tolist() == [False, False, True] * len(windows)
    status = record.status
    assert status["magic"] == int.from_bytes(b"ALQF", "big")
    assert (status["version"], status["frames"], status["errors"]) == (1, len(windows), 0)
    assert (status["samples"], status["values"]) == (3600, LOGITS)
    assert record.identity == ecg_core.network.identity


def test_the_cycle_register_counts_first_sample_to_last_logit(ecg_core, ecg_inputs):
    record = play(ecg_core, *stream_of(ecg_inputs[:1]), LOGITS)
    assert record.status["cycles"] == record.out_cycle[-1] - record.in_cycle[0] + 1


@pytest.mark.parametrize(("stall_in", "stall_out"), [(0.3, 0.0), (0.0, 0.9), (0.5, 0.5)])
def test_random_stalls_change_nothing(ecg_core, ecg_inputs, stall_in, stall_out):
    windows = ecg_inputs[:2]
    record = play(ecg_core, *stream_of(windows), 2 * LOGITS, stall_in=stall_in, stall_out=stall_out, seed=3)
    assert differs(ecg_core, record, windows) is None


def test_an_output_that_never_moves_stops_the_input_and_loses_nothing(ecg_core, ecg_inputs):
    windows = np.repeat(ecg_inputs[:2], 6, axis=0)
    record = play(ecg_core, *stream_of(windows), LOGITS * len(windows), stall_out=0.9997, seed=5)
    assert differs(ecg_core, record, windows) is None
    assert record.out_cycle[0] > record.in_cycle[2 * 3600]  # frames had to wait inside


def test_a_reset_in_the_middle_of_a_frame_leaves_no_trace(ecg_core, ecg_inputs):
    broken, whole = ecg_inputs[0][:2000], ecg_inputs[1:3]
    samples = np.concatenate([broken, whole.reshape(-1)])
    lasts = np.concatenate([np.zeros(2000, bool), stream_of(whole)[1]])
    # no stalls: sample n enters near cycle n; the reset falls after the 2000 samples of the broken frame
    first = play(ecg_core, broken, np.zeros(2000, bool), LOGITS)
    assert len(first.out) == 0
    record = play(ecg_core, samples, lasts, 2 * LOGITS, reset_at=[int(first.in_cycle[-1]) + 1])
    assert np.array_equal(logits_of(record), ecg_core.network.run(whole))
    assert record.status["frames"] == 2
    assert record.status["errors"] == 0


@pytest.mark.parametrize(("length", "error"), [(3599, TOO_SHORT), (1, TOO_SHORT), (3601, TOO_LONG), (5000, TOO_LONG)])
def test_a_frame_of_the_wrong_length_is_flagged_and_the_next_is_right(ecg_core, ecg_inputs, length, error):
    wrong = np.resize(ecg_inputs[0], length)
    samples = np.concatenate([wrong, ecg_inputs[1], ecg_inputs[2]])
    lasts = np.zeros(len(samples), bool)
    lasts[[length - 1, length + 3599, length + 7199]] = True
    record = play(ecg_core, samples, lasts, 3 * LOGITS, taps=False)
    filled = np.zeros((1, 3600), np.int64)
    filled[0, : min(length, 3600)] = wrong[:3600]
    golden = ecg_core.network.run(np.concatenate([filled, ecg_inputs[1:3]]))
    assert np.array_equal(logits_of(record), golden)
    assert record.out_last.tolist() == [False, False, True] * 3
    assert record.status["errors"] == error
    assert record.errors_cleared


def mutated(core, folder, table, line, bit):
    """A copy of a core with one bit of one table changed."""
    tables = []
    for path in core.tables:
        shutil.copyfile(path, folder / path.name)
        tables.append(folder / path.name)
    path = folder / table
    words = path.read_text().splitlines()
    words[line] = f"{int(words[line], 16) ^ 1 << bit:0{len(words[line])}x}"
    path.write_text("\n".join(words) + "\n")
    return dataclasses.replace(core, tables=tuple(tables))


# A sign of every layer, the lowest bit of a coordinate, the lowest bit of a bias, and where a filter starts and ends.
MUTATIONS = [
    ("conv1_signs", 0, 0),
    ("conv2_signs", 3, 17),
    ("dense1_signs", 1, 0),
    ("conv2_program", 0, "coordinate"),
    ("dense1_program", 0, "bias"),
    ("conv1_program", 0, "start"),
]


@pytest.mark.parametrize(("table", "line", "bit"), MUTATIONS)
def test_a_flipped_bit_of_a_table_is_seen(ecg_core, ecg_inputs, tmp_path, table, line, bit):
    if isinstance(bit, str):
        text = (ecg_core.folder / f"{ecg_core.top}.v").read_text()
        name = table.removesuffix("_program")
        parameters = text[: text.index(f") {name} (")].rsplit("alq_layer", 1)[1]
        accumulator = int(re.search(r"ACCUMULATOR_BITS\((\d+)\)", parameters)[1])
        coordinate = int(re.search(r"COORDINATE_BITS\((\d+)\)", parameters)[1])
        bit = {"bias": 1, "coordinate": 1 + accumulator, "start": 1 + accumulator + coordinate}[bit]
    broken = mutated(ecg_core, tmp_path, f"{ecg_core.top}_{table}.hex", line, bit)
    record = play(broken, *stream_of(ecg_inputs[:1]), LOGITS)
    difference = differs(ecg_core, record, ecg_inputs[:1])
    assert difference is not None
    assert difference.layer == table.split("_")[0]


def test_a_lost_sample_or_swapped_filters_are_seen(ecg_core, ecg_inputs):
    record = play(ecg_core, *stream_of(ecg_inputs[:2]), 2 * LOGITS)
    assert differs(ecg_core, record, ecg_inputs[:2]) is None
    swapped = dict(record.taps)
    swapped[0] = swapped[0][:, [1, 0, 2, 3, 4]]
    assert differs(ecg_core, dataclasses.replace(record, taps=swapped), ecg_inputs[:2]).layer == "conv1"
    shorter = {**record.taps, 4: record.taps[4][:-1]}
    difference = differs(ecg_core, dataclasses.replace(record, taps=shorter), ecg_inputs[:2])
    assert difference.layer == ecg_core.network.stages[4].name
    assert "nothing instead of" in str(difference)


def test_a_fifo_that_asks_too_late_is_caught(ecg_core, ecg_inputs, tmp_path):
    """The overflow assertion is alive: without its margin the last FIFO loses beats when the output is stalled."""
    for path in (*ecg_core.sources, *ecg_core.tables, ecg_core.folder / "alq_functions.vh"):
        shutil.copyfile(path, tmp_path / path.name)
    fifo = tmp_path / "alq_fifo.v"
    text = fifo.read_text()
    assert "ENOUGH = DEPTH - MARGIN" in text
    fifo.write_text(text.replace("ENOUGH = DEPTH - MARGIN", "ENOUGH = DEPTH + 8"))
    sources = tuple(tmp_path / path.name for path in ecg_core.sources)
    core = dataclasses.replace(ecg_core, folder=tmp_path, sources=sources)
    with pytest.raises(SimulationError, match="FIFO overflow"):
        play(core, *stream_of(np.repeat(ecg_inputs, 2, axis=0)), 12 * LOGITS, stall_out=0.999)
