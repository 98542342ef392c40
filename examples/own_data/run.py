"""From CSV files and labels.csv to a verified core, and to `ecg-alq classify` with class names of one's own.

Run: python -m examples.own_data.run [FOLDER]     a few minutes. Put your own recordings and labels.csv into FOLDER/data
to use them in place of the made-up ones (and look at the options of `ecg-alq train --dataset`).
"""

from __future__ import annotations

from pathlib import Path

from examples.cores import in_folder, verified_core
from examples.own_data.make_data import make
from flow.cli.main import main as ecg_alq
from qmodel.frozen import FrozenNetwork


def step(*words: str) -> None:
    """One command, as in a terminal; ends the program where it fails."""
    print("\n$ ecg-alq", " ".join(f'"{word}"' if " " in word else word for word in words), flush=True)
    if code := ecg_alq(list(words)):
        raise SystemExit(code)


def main(folder: Path, simulate: bool = True) -> FrozenNetwork:
    """Train on FOLDER/data, prove the core, classify one of the recordings.

    Args: simulate: the Verilog core too, which takes Verilator and a minute or two.
    """
    data, build = folder / "data", folder / "build"
    if not (data / "labels.csv").is_file():
        make(data)
    asked = ["--dataset", str(data), "--window", "5", "--network", "tiny", "--quick", "--build", str(build)]
    step("flow", *asked)
    frozen = build / "freeze" / "network.alq"
    network = FrozenNetwork.load(frozen)
    print("\nwhat the file says of its use:", dict(network.metadata or {}))
    print("core:", verified_core(network, folder, simulate=simulate))
    recording = sorted(path for path in data.glob("*.csv") if path.name != "labels.csv")[0]
    step("classify", str(recording), "--frozen", str(frozen), "--output", str(folder / "classified"))
    return network


if __name__ == "__main__":
    in_folder(main)
