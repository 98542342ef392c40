"""C99 of a frozen network: `ecg_alq.h`, `ecg_alq.c` and `test_ecg_alq.c`, from the sources beside this module.

The engine is the same for every network; what is generated are its tables and types: the narrowest that hold every
value that can occur.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from qmodel.errors import InputError
from qmodel.files import folder_beside
from qmodel.fixed_point import Format, standardise
from qmodel.frozen import (
    INPUT,
    Activation,
    Add,
    AveragePool,
    Concatenate,
    FrozenNetwork,
    MaxPool,
    PlaneLayer,
    Stage,
    TimeSum,
)

SOURCES = Path(__file__).parent
HEADER, SOURCE, TEST, NETWORK = "ecg_alq.h", "ecg_alq.c", "test_ecg_alq.c", "network.alq"
KINDS = {
    PlaneLayer: "PLANES",
    MaxPool: "MAXIMUM",
    AveragePool: "AVERAGE",
    TimeSum: "TIME_SUM",
    Activation: "ACTIVATION",
    Add: "ADD",
    Concatenate: "CONCATENATE",
}
LINE = 118  # columns of a generated line


class CExportError(InputError):
    """A network that the C engine's types do not hold."""


def write(
    network: FrozenNetwork, folder: str | os.PathLike, classes: Sequence[str] = (), window: np.ndarray | None = None
) -> Path:
    """Write the header, the source, the test with its golden vector, and the network's file.

    Args: classes: names of the logits; window: ADC units of the golden vector, int16, shape (sample,) or
        (sample, channel); default noise. Returns: the folder.
    Raises: InputError: the folder holds something else; CExportError: a size beyond the engine's types.
    """
    tables = _Tables(network)
    if window is None:
        shape = (
            (network.input_length,) if network.input_channels == 1 else (network.input_length, network.input_channels)
        )
        window = np.random.default_rng(0).integers(-400, 400, shape)
    with folder_beside(folder, HEADER, "a folder of `ecg-alq export`") as made:
        (made / HEADER).write_text(_header(network, tables, classes), "utf-8")
        source = (SOURCES / SOURCE).read_text("utf-8")
        (made / SOURCE).write_text(_filled(source, _source_values(network, tables)), "utf-8")
        (made / TEST).write_text(_test(network, window), "utf-8")
        network.save(made / NETWORK)
    return Path(folder)


def _source_values(network: FrozenNetwork, tables: _Tables) -> dict[str, str]:
    names = tables.types
    form = network.input_format
    text = [
        f"enum {{ STAGES = {len(network.stages)}, WINDOW = {tables.window}, INPUT_READER = {tables.reader(INPUT)} }};",
        f"#define INPUT_SCALE {2.0**form.fraction!r} /* 2**{form.fraction} */",
        f"#define INPUT_LOW ({form.low})",
        f"#define INPUT_HIGH {form.high}",
        f"typedef {names['coordinate']} coordinate_t;",
        f"typedef {names['bias']} bias_t;",
        tables.text,
    ]
    return {
        "ECG_ALQ_VALUE": names["value"],
        "ECG_ALQ_PARTIAL": names["partial"],
        "ECG_ALQ_SUM": names["sum"],
        "/*TABLES*/": "\n".join(text),
    }


def _filled(text: str, values: dict[str, str]) -> str:
    for mark, value in values.items():
        text = text.replace(mark, value)
    return text


def _header(network: FrozenNetwork, tables: _Tables, classes: Sequence[str]) -> str:
    form, last = network.input_format, network.output
    kind = "signed" if form.signed else "unsigned"
    names = ""
    if classes:
        if len(classes) != last.values:
            raise CExportError(f"classes must name {last.values} logits, received {len(classes)}")
        quoted = ", ".join('"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' for name in classes)
        names = f"/* Names of the logits. */\n#define ECG_ALQ_CLASSES {{{quoted}}}\n"
    values = {
        "@IDENTITY@": network.identity,
        "@SAMPLES@": str(network.input_length),
        "@CHANNELS@": str(network.input_channels),
        "@LOGITS@": str(last.values),
        "@FRACTION@": f"({last.format.fraction})",
        "@INPUT@": f"{kind}, {form.bits} bits, step 2**{-form.fraction}",
        "@STAGES@": str(len(network.stages)),
        "@INPUTS@": str(len(tables.inputs)),
        "@SUMS@": str(tables.joined),
        "@TABLE@": str(tables.table),
        "@VALUES@": str(max(1, tables.values)),
        "@VALUE@": tables.types["value"],
        "@PARTIAL@": tables.types["partial"],
        "@SUM@": tables.types["sum"],
        "@CLASSES@": names,
    }
    return _filled((SOURCES / HEADER).read_text("utf-8"), values)


def _test(network: FrozenNetwork, window: np.ndarray) -> str:
    window = np.asarray(window)
    frames = standardise(window[None], network.input_format, axis=-1 if window.ndim == 1 else -2)
    logits = network.run(frames)[0]
    return _filled(
        (SOURCES / TEST).read_text("utf-8"),
        {
            "/*WINDOW*/": _numbers(window.reshape(-1)),
            "/*EXPECTED*/": _numbers(logits),
        },
    )


def _numbers(values: Iterable[int]) -> str:
    """Numbers in lines, with commas."""
    lines, line = [], " "
    for value in values:
        word = f" {int(value)},"
        if len(line) + len(word) > LINE:
            lines.append(line)
            line = " "
        line += word
    return "\n".join([*lines, line])


def _signed(bits: int, what: str) -> str:
    for width in (16, 32, 64):
        if bits <= width:
            return f"int{width}_t"
    raise CExportError(f"{what} need {bits} bits, the C engine has at most 64")


def _width(form: Format) -> int:
    """Bits of a two's complement integer that holds a format."""
    return form.bits + (not form.signed)


@dataclass
class _Tables:
    """Everything of a network that the C source holds as tables, and the sizes that its header needs."""

    network: FrozenNetwork
    types: dict[str, str] = field(init=False)
    inputs: list[str] = field(init=False, default_factory=list)
    values: int = field(init=False, default=0)  # integers that the state keeps
    table: int = field(init=False, default=16)  # sums of four values
    window: int = field(init=False, default=4)  # values of the largest group
    joined: int = field(init=False, default=1)  # channels of the widest addition
    text: str = field(init=False)

    def __post_init__(self):
        self.types = _types(self.network)
        sum_bits = 64 if self.types["sum"] == "int64_t" else 32
        counts: list[np.ndarray] = []
        coordinates: list[np.ndarray] = []
        signs: list[np.ndarray] = []
        biases: list[np.ndarray] = []
        rows = []
        queues = _queues(self.network)
        for number, stage in enumerate(self.network.stages):
            layer = stage.layer
            row = {"kind": KINDS[type(layer)], "sources": len(stage.sources), "first_input": len(self.inputs)}
            row |= {
                "reader": self.reader(number),
                "channels": stage.input_channels,
                "out_channels": stage.output_channels,
            }
            row |= {"length": stage.input_length, "taps": 1, "dilation": 1, "stride": 1, "runs": 1, "groups": 1}
            self._add_inputs(number, stage, queues[number])
            row |= self._places(number, stage)
            if isinstance(layer, MaxPool | AveragePool):
                row |= {"taps": layer.size, "stride": layer.stride, "left": layer.padding[0], "right": layer.padding[1]}
                row["low"] = stage.input_format.low
            elif isinstance(layer, Activation):
                row |= _requantisation(stage, sum_bits)
            elif isinstance(layer, Add):
                self.joined = max(self.joined, stage.output_channels)
            elif isinstance(layer, PlaneLayer):
                row |= {"taps": layer.taps, "dilation": layer.dilation, "stride": layer.stride}
                row |= {"left": layer.padding[0], "right": layer.padding[1]}
                row |= {"runs": layer.channel_groups, "groups": layer.groups, "kernelwise": int(layer.kernelwise)}
                row |= {"counts_at": sum(map(len, counts)), "coordinates_at": sum(map(len, coordinates))}
                row |= {"signs_at": sum(map(len, signs)), "bias_at": sum(map(len, biases))}
                row |= _requantisation(stage, sum_bits)
                fours = -(-layer.group_size // 4)
                self.window, self.table = max(self.window, 4 * fours), max(self.table, 16 * fours * layer.groups)
                counts.append(layer.plane_counts.reshape(-1))
                coordinates.append(layer.coordinates)
                padded = np.zeros((len(layer.signs), 8 * ((fours + 1) // 2)), np.uint8)
                padded[:, : layer.group_size] = layer.signs
                signs.append(np.packbits(padded, axis=1, bitorder="little").reshape(-1))
                biases.append(layer.bias)
            rows.append(row)
        self._check(rows, counts)
        self.text = "\n".join(
            [
                _array("uint8_t", "plane_counts", counts, "planes of every group of every filter"),
                _array("coordinate_t", "coordinates", coordinates, "one per plane"),
                _array("uint8_t", "signs", signs, "of every plane: bit set +1, clear -1; rest of a byte zeros"),
                _array("bias_t", "biases", biases, "one per filter"),
                f"static const input_t inputs[] = {{\n{chr(10).join(self.inputs)}\n}};",
                "static const stage_t stages[STAGES] = {",
                *(
                    f"    {{{', '.join(f'.{key} = {value}' for key, value in row.items() if value != 0)}}}, "
                    f"/* {stage.name} */"
                    for row, stage in zip(rows, self.network.stages)
                ),
                "};",
            ]
        )

    def reader(self, source: int) -> int:
        """The last stage that reads a stage."""
        return max([0, *(number for number, stage in enumerate(self.network.stages) if source in stage.sources)])

    def _add_inputs(self, number: int, stage: Stage, queue: list[int]) -> None:
        finest = max(tensor.format.fraction for tensor in stage.inputs)
        join = isinstance(stage.layer, Add | Concatenate)
        for place, (source, tensor) in enumerate(zip(stage.sources, stage.inputs)):
            entry = f"    {{.stage = {source}"
            if join:
                entry += f", .shift = {finest - tensor.format.fraction}, .capacity = {queue[place]}"
                entry += f", .queue_at = {self._take(queue[place] * tensor.channels)}"
            self.inputs.append(entry + "},")

    def _places(self, number: int, stage: Stage) -> dict[str, int]:
        layer, places = stage.layer, {}
        span = layer.span if isinstance(layer, PlaneLayer) else layer.size if hasattr(layer, "size") else 1
        if isinstance(layer, PlaneLayer | MaxPool | AveragePool | TimeSum):
            places["ring_at"] = self._take(span * stage.input_channels)
        if number + 1 < len(self.network.stages):
            places["out_at"] = self._take(stage.output_channels)
        return places

    def _take(self, count: int) -> int:
        self.values += count
        return self.values - count

    def _check(self, rows: list[dict], counts: list[np.ndarray]) -> None:
        small = ("channels", "out_channels", "taps", "dilation", "stride", "left", "right", "runs", "groups")
        for row, stage in zip(rows, self.network.stages):
            for key in small:
                if row.get(key, 0) > 0xFFFF:
                    raise CExportError(f"{stage.name} has {key} {row[key]}, the C engine takes at most 65535")
        if any((part > 255).any() for part in counts):
            raise CExportError("a group has more than 255 planes, the C engine takes no more")
        if len(self.network.stages) > 0x7FFF:
            raise CExportError("the C engine takes at most 32767 stages")


def _types(network: FrozenNetwork) -> dict[str, str]:
    """The narrowest C types: of values between stages, sums of four of them, accumulators, coordinates and biases."""
    stages, layers = network.stages, network.plane_layers
    kept = [network.input_format, *(stage.output_format for stage in stages[:-1])]
    kept += [stage.output_format for stage in stages if isinstance(stage.layer, TimeSum)]
    total = [32, *(_width(stage.output_format) for stage in stages)]
    for stage in stages:
        if isinstance(stage.layer, PlaneLayer):
            total.append(stage.layer.accumulator_bits(stage.input_format))
        if (shift := _shift(stage)) is not None:
            total.append(abs(shift) + 2)
    coordinate = max([8, *(layer.coordinate_format.bits for layer in layers)])
    return {
        "value": _signed(max(map(_width, kept)), "values"),
        "partial": _signed(max([8, *(_width(stage.input_format) + 3 for stage in network.plane_stages)]), "sums"),
        "sum": _signed(min(64, max(total)), "accumulators"),
        "coordinate": f"uint{next(width for width in (8, 16, 32) if coordinate <= width)}_t",
        "bias": _signed(max([8, *(int(np.abs(layer.bias).max()).bit_length() + 1 for layer in layers)]), "biases"),
    }


def _shift(stage: Stage) -> int | None:
    """Bits that a stage drops (negative: appends); None: it does not requantise."""
    layer, fraction = stage.layer, stage.input_format.fraction
    if isinstance(layer, PlaneLayer) and layer.output is not None:
        return fraction + layer.coordinate_format.fraction - layer.output.fraction
    return fraction - layer.output.fraction if isinstance(layer, Activation) else None


def _requantisation(stage: Stage, sum_bits: int) -> dict[str, int | str]:
    """Shift and bounds as C constants. Beyond the accumulator's width every shift gives the same."""
    shift, output = _shift(stage) or 0, stage.output_format
    suffix = "LL" if sum_bits == 64 else ""
    low = f"(-{-output.low - 1}{suffix} - 1)" if output.low < 0 else 0
    row: dict[str, int | str] = {"shift": min(abs(shift), sum_bits - 2), "low": low, "high": f"{output.high}{suffix}"}
    return row | {"append": 1} if shift < 0 else row


def _array(kind: str, name: str, parts: list[np.ndarray], comment: str) -> str:
    values = np.concatenate(parts) if parts else np.zeros(1, np.int64)
    if not len(values):
        values = np.zeros(1, np.int64)
    return f"/* {comment} */\nstatic const {kind} {name}[{len(values)}] = {{\n{_numbers(values)}\n}};"


def _queues(network: FrozenNetwork) -> list[list[int]]:
    """Time steps that every source of a join must hold at most: one frame played in the order of the engine."""
    held = [[0] * len(stage.sources) for stage in network.stages]
    most = [[1] * len(stage.sources) for stage in network.stages]
    joins = [isinstance(stage.layer, Add | Concatenate) for stage in network.stages]
    if not any(joins):
        return most
    entered = [0] * len(network.stages)

    def windowed(number: int) -> bool:
        layer, entered[number] = network.stages[number].layer, entered[number] + 1
        left, span = layer.padding[0], layer.span if isinstance(layer, PlaneLayer) else layer.size
        behind = entered[number] + left - span
        return behind >= 0 and behind % layer.stride == 0

    def sweep(first: int, fresh: set[int]) -> None:
        for number in range(first, len(network.stages)):
            stage = network.stages[number]
            given = [source in fresh for source in stage.sources]
            if not any(given):
                continue
            if joins[number]:
                for place, one in enumerate(given):
                    held[number][place] += one
                    most[number][place] = max(most[number][place], held[number][place])
                gives = all(held[number])
                if gives:
                    held[number] = [count - 1 for count in held[number]]
            elif isinstance(stage.layer, Activation):
                gives = True
            elif isinstance(stage.layer, TimeSum):
                entered[number] += 1
                gives = entered[number] == stage.input_length
            else:
                gives = windowed(number)
            if gives:
                fresh.add(number)

    for _ in range(network.input_length):
        sweep(0, {INPUT})
    for number, stage in enumerate(network.stages):
        for _ in range(stage.layer.padding[1] if hasattr(stage.layer, "padding") else 0):
            if windowed(number):
                sweep(number + 1, {number})
    return most
