"""Mutated frozen files with repaired checksums: each is refused with FrozenFileError, or is the one file of a network.

Bytes of small networks of every kind of stage, of both versions, and of the smaller shipped one are set, flipped, cut,
doubled and blown up; then the checksum is made right again, so that everything behind it is tried. Prints how many were
refused and read, the slowest file and the most memory.

    python -m benchmarks.fuzz_files [--files 200000] [--seed 0] [--minutes 30]     writes results/fuzz_files.json
"""

from __future__ import annotations

import argparse
import json
import resource
import time
import zlib
from pathlib import Path

import numpy as np

from flow.build.provenance import provenance
from qmodel import models
from qmodel.files import write_json
from qmodel.fixed_point import Format
from qmodel.frozen import (
    Activation,
    Add,
    AveragePool,
    Concatenate,
    FrozenFileError,
    FrozenNetwork,
    MaxPool,
    PlaneLayer,
    TimeSum,
)

SECONDS, MEGABYTES = 1.0, 200  # bounds that every file must keep
INTERESTING = (0, 1, 2, 0x3F, 0x7F, 0x80, 0xFE, 0xFF)


ROOT = Path(__file__).parents[1]


def planes(random, channels, filters, taps, output, **options) -> PlaneLayer:
    """A plane layer with random planes, channelwise."""
    runs = options.get("channel_groups", 1)
    owner = np.repeat(np.arange(filters), random.integers(0, 3, filters))
    return PlaneLayer(
        channels, filters, taps, 1, options.pop("padding", (0, 0)), False, 1, owner, np.zeros_like(owner),
        random.integers(1, 32, len(owner)), random.random((len(owner), taps * channels // runs)) < 0.5,
        random.integers(-90, 90, filters), Format(5, 3, False), output, **options,
    )  # fmt: skip


def seeds(random) -> list[bytes]:
    """Files that are mutated."""
    relu = Format(4, 2, False)
    chain = (planes(random, 1, 4, 5, relu, padding=(2, 2)), MaxPool(2, 2), TimeSum(), planes(random, 4, 3, 1, None))
    graph = (
        planes(random, 2, 4, 3, None, padding=(4, 0), dilation=2),
        planes(random, 2, 4, 1, relu, channel_groups=2),
        Add(),
        Activation(relu),
        AveragePool(2, 1, (0, 1), 1),
        Concatenate(),
        MaxPool(3, 2, (1, 1)),
        planes(random, 8, 3, 1, None),
    )
    sources = ((-1,), (-1,), (0, 1), (2,), (3,), (3, 4), (5,), (6,))
    told = {"classes": ["a", "b", "c"], "rate_hz": 250, "leads": ["I", "II"]}
    networks = (
        FrozenNetwork(12, Format(6, 3, True), chain),
        FrozenNetwork(9, Format(5, 2, True), graph, 2, sources, told),
        models.load("compact"),
    )
    return [network.file_bytes for network in networks]


def mutated(data: bytes, random) -> bytes:
    """A few changes behind the magic number, then the right checksum."""
    content = bytearray(data[:-4])
    for _ in range(int(random.integers(1, 5))):
        at = (
            int(random.integers(4, len(content)))
            if random.random() < 0.5
            else int(random.integers(4, min(40, len(content))))
        )
        move = random.integers(0, 5)
        if move == 0:
            content[at] = int(random.choice(INTERESTING))
        elif move == 1:
            content[at] ^= 1 << int(random.integers(0, 8))
        elif move == 2:
            content[at : at + 1] = bytes([0xFF, 0xFF, 0xFF, int(random.integers(0, 128))])  # a large varint
        elif move == 3:
            del content[at : at + int(random.integers(1, 9))]
        else:
            content[at:at] = content[at : at + int(random.integers(1, 9))]
        if len(content) < 6:
            return data
    return bytes(content) + zlib.crc32(content).to_bytes(4, "little")


def main() -> None:
    """Fuzz, print and write. Ends with an error at the first file that breaks a bound or is read as another's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="stop then; what is written tells how many files were tried")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "fuzz_files.json")
    options = parser.parse_args()
    origin = provenance()
    random = np.random.default_rng(options.seed)
    bases, refused, slowest, tried = seeds(random), 0, 0.0, 0
    end = time.monotonic() + 60 * (options.minutes or float("inf"))
    for number in range(options.files):
        if time.monotonic() > end:
            break
        tried += 1
        data = mutated(bases[number % len(bases)], random)
        start = time.process_time()
        try:
            if FrozenNetwork.from_bytes(data).file_bytes != data:
                raise SystemExit(f"file {number} is read but written otherwise: {data.hex()}")
        except FrozenFileError:
            refused += 1
        slowest = max(slowest, time.process_time() - start)
        if slowest > SECONDS:
            raise SystemExit(f"file {number} took {slowest:.1f} s: {data.hex()}")
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if megabytes > MEGABYTES:
        raise SystemExit(f"{megabytes:.0f} MB were in use")
    found = {"files": tried, "seed": options.seed, "refused": refused, "read": tried - refused,
             "slowest_s": round(slowest, 3), "megabytes": round(megabytes)}  # fmt: skip
    print(json.dumps(found))
    write_json(options.out, found | {"command": "python -m benchmarks.fuzz_files", "provenance": origin})


if __name__ == "__main__":
    main()
