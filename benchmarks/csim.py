"""C simulation of the `paper` network: ours against stock hls4ml's with 4-bit QKeras weights, in one run.

Both engines get the same windows, one thread, and a fresh compiler run each; the runs alternate, so that whatever else
the machine does hits both, and every figure is the median. Compile times run from the graph in memory to the loaded
library. Weights are random from the seed: the time of neither engine depends on their values.

    python -m benchmarks.csim            (about ten minutes; writes results/csim.json)
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from tqdm import tqdm

from flow.build.provenance import provenance
from hls.cpp.convert import convert
from hls.cpp.extension import register
from hls.engines.csim import CSimulation
from qmodel.files import write_json
from qmodel.fixed_point import INPUT_FORMAT
from qmodel.frozen import FrozenNetwork

OURS = "ecg-alq"
STOCK = "hls4ml, QKeras 4-bit weights, io_stream, Resource"
STOCK_PRECISION = "fixed<24,12>"  # accumulators and logits
STOCK_STEP = 2.0**-12
STOCK_WEIGHT_BITS = 4
PLANES = 2  # of every filter, before any pruning


def ours(seed: int, activation_bits: int) -> FrozenNetwork:
    """The `paper` network with two planes per filter, frozen."""
    import keras

    from qmodel.alq.quantizer import alq
    from qmodel.freeze import freeze
    from qmodel.networks import build, network
    from qmodel.normalisation import absorb

    keras.utils.set_random_seed(seed)
    spec = network("paper")
    model = build(spec, "alq", weight_quantizer=lambda _: alq(bits=PLANES), activation_bits=activation_bits)
    return freeze(absorb(model))


def stock(seed: int, activation_bits: int, reuse_factor: int, folder: Path):
    """The same layers with 4-bit QKeras weights: the Keras model and hls4ml's graph (io_stream, Resource)."""
    import hls4ml
    import keras
    from qkeras import quantized_bits

    from qmodel.networks import build, network

    keras.utils.set_random_seed(seed)
    spec = network("paper")
    model = build(
        spec,
        "alq",
        weight_quantizer=lambda _: quantized_bits(STOCK_WEIGHT_BITS, 0, alpha=1.0),
        activation_bits=activation_bits,
        bias_quantizer=quantized_bits(24, 23 - STOCK_WEIGHT_BITS, alpha=1.0),
    )
    config = hls4ml.utils.config_from_keras_model(model, "name", backend="Vitis", default_precision=STOCK_PRECISION)
    config["Model"] |= {"Strategy": "Resource", "ReuseFactor": reuse_factor}
    first = model.layers[0].name
    for name, layer in config["LayerName"].items():
        layer |= {"Strategy": "Resource", "ReuseFactor": reuse_factor}
        if name in ("window", first) and "conv" not in name:
            layer["Precision"] = {"result": f"fixed<{INPUT_FORMAT.bits},{INPUT_FORMAT.bits - INPUT_FORMAT.fraction}>"}
    graph = hls4ml.converters.convert_from_keras_model(
        model,
        output_dir=str(folder),
        project_name="stock",
        backend="Vitis",
        io_type="io_stream",
        part="xc7z020clg400-1",
        hls_config=config,
        allow_da_fallback=False,
    )
    return model, graph


class Timings:
    """Wall and processor seconds (children included) of repeated calls."""

    def __init__(self):
        self.wall: list[float] = []
        self.processor: list[float] = []

    def measure(self, action, per: int = 1):
        """Call, note the seconds divided by `per`, and return the result."""
        wall, processor = time.perf_counter(), _processor_seconds()
        result = action()
        self.wall.append((time.perf_counter() - wall) / per)
        self.processor.append((_processor_seconds() - processor) / per)
        return result

    def medians(self) -> tuple[float, float]:
        """Wall and processor seconds."""
        return statistics.median(self.wall), statistics.median(self.processor)


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    """Run and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=16, help="windows per timed run (default 16)")
    parser.add_argument("--repeats", type=int, default=5, help="alternating runs (default 5)")
    parser.add_argument("--compiles", type=int, default=3, help="alternating compilations (default 3)")
    parser.add_argument("--activation-bits", type=int, default=4)
    parser.add_argument("--reuse-factor", type=int, default=1, help="of stock hls4ml (default 1)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("results/csim.json"))
    arguments = parser.parse_args()

    register()
    rng = np.random.default_rng(arguments.seed)
    with tempfile.TemporaryDirectory() as scratch, tqdm(total=arguments.compiles + arguments.repeats) as bar:
        folder = Path(scratch)
        quiet = io.StringIO()
        with contextlib.redirect_stdout(quiet):
            frozen = ours(arguments.seed, arguments.activation_bits)
            model, graph = stock(arguments.seed, arguments.activation_bits, arguments.reuse_factor, folder / "stock")
        x = rng.integers(INPUT_FORMAT.low, INPUT_FORMAT.high + 1, (arguments.windows, frozen.input_length))
        values = np.ascontiguousarray((x * INPUT_FORMAT.step).astype(np.float32)[..., None])

        compiling, running = {OURS: Timings(), STOCK: Timings()}, {OURS: Timings(), STOCK: Timings()}
        for run in range(arguments.compiles):

            def build_ours(run=run):
                convert(frozen, folder / f"ours{run}")
                return CSimulation(folder / f"ours{run}", cache=folder / f"cache{run}")

            with contextlib.redirect_stdout(quiet):
                simulation = compiling[OURS].measure(build_ours)
                compiling[STOCK].measure(graph.compile)
            bar.update()
        for _ in range(arguments.repeats):
            logits = running[OURS].measure(lambda: simulation.run(x, workers=1), len(x))
            predicted = running[STOCK].measure(lambda: graph.predict(values), len(x))
            bar.update()
        expected = model.predict(values, verbose=0)

    errors = {
        OURS: int(np.abs(logits - frozen.run(x)).max()),
        STOCK: float(np.abs(predicted.reshape(expected.shape) - expected).max() / STOCK_STEP),
    }
    rows = []
    for engine in (OURS, STOCK):
        (compile_s, compile_cpu), (seconds, cpu) = compiling[engine].medians(), running[engine].medians()
        rows.append(
            {
                "engine": engine,
                "compile_s": compile_s,
                "seconds_per_window": seconds,
                "max_error_lsb": errors[engine],
                "compile_processor_s": compile_cpu,
                "processor_seconds_per_window": cpu,
            }
        )
    first, second = rows
    result = {
        "kind": "measured",
        "tool": "g++, one thread",
        "rows": rows,
        "speed_ratio": second["seconds_per_window"] / first["seconds_per_window"],
        "processor_speed_ratio": second["processor_seconds_per_window"] / first["processor_seconds_per_window"],
        "compile_ratio": second["compile_s"] / first["compile_s"],
        "max_error_of": {OURS: "logits against the golden model", STOCK: f"logits against Keras, LSB {STOCK_STEP}"},
        "runs": {
            "compile_s": {engine: timings.wall for engine, timings in compiling.items()},
            "seconds_per_window": {engine: timings.wall for engine, timings in running.items()},
        },
        "settings": {
            "network": "paper",
            "planes_per_filter": PLANES,
            "sign_bits": frozen.plane_bits,
            "identity": frozen.identity,
            "windows": arguments.windows,
            "activation_bits": arguments.activation_bits,
            "stock_precision": STOCK_PRECISION,
            "stock_reuse_factor": arguments.reuse_factor,
        },
        "seed": arguments.seed,
        **provenance(),
    }
    write_json(arguments.output, result)
    for row in rows:
        print(
            f"{row['engine']:<50} compile {row['compile_s']:6.2f} s, {row['seconds_per_window'] * 1e3:8.3f} ms per "
            f"window, largest error {row['max_error_lsb']:g} LSB"
        )
    print(
        f"stock / ours: {result['speed_ratio']:.1f} per window ({result['processor_speed_ratio']:.1f} in processor "
        f"time), {result['compile_ratio']:.2f} to compile"
    )


if __name__ == "__main__":
    main()
