"""What a run of the flow is asked to do; light, so that the command line answers at once."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from qmodel.errors import InputError
from qmodel.files import write_json

FOLDS = 10
PARITY_ENGINES = ("csim", "c", "rtl")  # of flow.recordings.engines: those that show every layer
RECORDED = "settings.json"
OF_A_DATASET = ("window", "rate", "leads", "fs", "units")


@dataclass(frozen=True)
class Settings:
    """Settings of all steps.

    Args: build: folder of the products; data: folder of the records, None: search;
        network, protocol, fold: what is trained and tested; split: CSV file of protocol `file`;
        quick: few epochs, for demonstrations; synthetic: made-up ECG even where records are found;
        dataset: folder of somebody's own recordings with labels.csv; window, rate, leads, fs, units: how its windows
        are cut (qmodel.dataset.Cutting; leads joined by +);
        seed: of the split, and of the training unless training_seed is given;
        frozen: a frozen network to go on from instead of training one;
        part, clock_mhz, backend, io_type: of the HLS project;
        engines: compared in step parity, beside golden model and Keras.
    """

    build: str = "build/flow"
    data: str | None = None
    network: str = "compact"
    protocol: str = "stratified"
    fold: int = 0
    split: str | None = None
    quick: bool = False
    synthetic: bool = False
    dataset: str | None = None
    window: float | None = None
    rate: float | None = None
    leads: str | None = None
    fs: float | None = None
    units: str | None = None
    seed: int = 0
    training_seed: int | None = None
    frozen: str | None = None
    part: str = "xc7z020clg400-1"
    clock_mhz: float = 100.0
    backend: str = "Vitis"
    io_type: str = "io_stream"
    engines: tuple[str, ...] = PARITY_ENGINES[:2]

    @property
    def training_seed_or_seed(self) -> int:
        """The seed of the training."""
        return self.seed if self.training_seed is None else self.training_seed

    def checked(self) -> Settings:
        """Self. Raises: InputError: settings that contradict each other."""
        if (self.protocol == "file") != (self.split is not None):
            raise InputError("--protocol file and --split CSV go together: give both or neither")
        if self.fold < 0 or (self.protocol != "file" and self.fold >= FOLDS):
            raise InputError(f"--fold must be 0 to {FOLDS - 1}, received {self.fold}")
        if self.synthetic and self.data is not None:
            raise InputError("--synthetic needs no records: leave out --data or --synthetic")
        if self.dataset is None:
            given = [name for name in OF_A_DATASET if getattr(self, name) is not None]
            if given:
                raise InputError(f"--{given[0]} says how a data set is cut: it goes with --dataset FOLDER")
            return self
        if self.synthetic or self.data is not None:
            raise InputError("--dataset is data enough: leave out --data and --synthetic")
        if self.protocol == "file":
            raise InputError("--protocol file numbers the fragments of MIT-BIH: split a data set by patient, "
                             "blocked or stratified")  # fmt: skip
        return self


def record(settings: Settings) -> None:
    """Write the settings into the build folder, for later steps of the same build."""
    write_json(Path(settings.build) / RECORDED, asdict(settings))


def recorded(build: str | os.PathLike) -> Settings:
    """Settings that an earlier step left in the build folder; the defaults where there are none."""
    settings = replace(Settings(), build=str(build))
    path = Path(build) / RECORDED
    if not path.is_file():
        return settings
    try:
        content = json.loads(path.read_text("utf-8"))
        known = {field.name: content[field.name] for field in fields(Settings) if field.name in content}
        known["engines"] = tuple(known.get("engines", settings.engines))
        return replace(settings, **known | {"build": str(build)})
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}): remove it and give the options again") from None
