"""What the commands of the flow's steps have in common: their options, and the run of one step."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow.build.settings import FOLDS, OF_A_DATASET, Settings, record, recorded
from flow.cli.command import Result
from qmodel.hyperparameters import PROTOCOLS
from qmodel.recipe import RECIPES

if TYPE_CHECKING:
    from qmodel.frozen import FrozenNetwork


def flow_options(parser: argparse.ArgumentParser) -> None:
    """Options that are not given keep the value an earlier step of the same build used (train, flow: the defaults)."""
    # SUPPRESS: an option that was not given leaves no trace, so that recorded settings show through.
    group = parser.add_argument_group("settings", flow_options.__doc__)

    def add(*names: str, **options: Any) -> None:
        group.add_argument(*names, default=argparse.SUPPRESS, **options)

    add("--data", metavar="FOLDER", help="folder of the MIT-BIH records (default: see `ecg-alq data --help`)")
    add(
        "--dataset",
        metavar="FOLDER",
        help="your own recordings: a folder with labels.csv, in place of MIT-BIH (columns recording, start, end, "
        "label, and person, lead where known)",
    )
    add("--window", type=float, metavar="SECONDS", help="length of the data set's windows (default: of its labels)")
    add("--rate", type=float, metavar="HZ", help="sampling rate of the network (default: of the data set's recordings)")
    add("--leads", metavar="NAMES", help="lead, or leads joined by +, where labels.csv names none")
    add("--fs", type=float, metavar="HZ", help="sampling rate of the data set's tables that do not tell it")
    add("--units", help="units of the data set: V, mV, uV, or a gain such as 200/mV")
    add("--build", metavar="FOLDER", help=f"folder for all products (default: {Settings.build})")
    add("--network", choices=sorted(RECIPES), help=f"network to train (default: {Settings.network})")
    add(
        "--protocol",
        choices=PROTOCOLS,
        help=f"how windows are split (default: {Settings.protocol}, of a data set patient)",
    )
    add("--fold", type=int, help=f"fold to test on, 0 to {FOLDS - 1} (default: {Settings.fold})")
    add("--split", metavar="CSV", help="your own split, with columns fragment, fold, part; needs --protocol file")
    add(
        "--quick",
        action=argparse.BooleanOptionalAction,
        help="train for a few epochs only: a demonstration, not a result",
    )
    add("--synthetic", action=argparse.BooleanOptionalAction, help="use synthetic ECG even if the records are there")
    add("--seed", type=int, help=f"seed of split and training (default: {Settings.seed})")
    add("--training-seed", type=int, help="seed of the training alone (default: --seed)")


def frozen_options(parser: argparse.ArgumentParser) -> None:
    flow_options(parser)
    parser.add_argument(
        "--frozen",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="start from this frozen network (.alq) instead of training one",
    )


def _settings(arguments: argparse.Namespace, fresh: bool) -> Settings:
    given: dict = {f.name: getattr(arguments, f.name) for f in fields(Settings) if hasattr(arguments, f.name)}
    build = given.get("build", Settings.build)
    base = replace(Settings(), build=build) if fresh else recorded(build)
    if given.get("synthetic"):
        base = replace(base, data=None)
    elif "data" in given:
        base = replace(base, synthetic=False)
    if given.get("dataset"):
        given["dataset"] = str(Path(given["dataset"]).expanduser())
        base = replace(base, protocol="patient", data=None, synthetic=False, split=None)
    elif given.get("synthetic") or "data" in given:
        unset: dict = dict.fromkeys(OF_A_DATASET)
        base = replace(base, dataset=None, **unset)
    if "protocol" in given and given["protocol"] != "file":
        base = replace(base, split=None)
    if "engines" in given:
        given["engines"] = tuple(dict.fromkeys(given["engines"]))
    return replace(base, **given).checked()


def step(name: str, fresh: bool = False) -> Callable[[argparse.Namespace], Result]:
    """The function that runs a step and what it needs, and gives the step's manifest and lines about its results."""

    def run(arguments: argparse.Namespace) -> Result:
        settings = _settings(arguments, fresh)
        from flow.build.products import locked
        from flow.look.words import lines
        from flow.steps.chain import Flow

        with locked(Path(settings.build)):
            try:
                flow = Flow(settings)
                product = flow.report() if name == "flow" else getattr(flow, name)()
            except KeyboardInterrupt:
                record(settings)
                raise
            record(settings)
        results = product.results
        differs = bool(results.get("mismatches")) or not results.get("frames_independent", True)
        data = product.manifest | {"folder": str(product.folder), "cached": product.cached}
        shown = lines(product.manifest["step"], results)
        return Result(results if name in ("flow", "report") else data, shown, int(differs))

    return run


def network_of(frozen: str | None, name: str = "compact") -> FrozenNetwork:
    """The frozen network of a file, or a shipped one."""
    from qmodel import models
    from qmodel.frozen import FrozenNetwork

    return models.load(name) if frozen is None else FrozenNetwork.load(frozen)
