"""Commands from data to a frozen network: the steps of the flow, and cross-validation."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from flow.build.settings import FOLDS, Settings
from flow.cli import help
from flow.cli.command import Command, Result
from flow.cli.steps import flow_options, frozen_options, step
from qmodel.errors import InputError
from qmodel.hyperparameters import PEOPLE_NETWORK, PEOPLE_PROTOCOLS, PROTOCOLS
from qmodel.recipe import RECIPES

TITLE = "Train and evaluate"


def _data_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", metavar="FOLDER", help="folder that holds the records, or will hold them")
    parser.add_argument("--check", action="store_true", help="check the files, download nothing")
    parser.add_argument(
        "--database",
        nargs="+",
        metavar="NAME",
        help="other public databases instead of MIT-BIH, each in a folder of its name (all: every one); searched in "
        "--data and $ECG_ALQ_DATABASES",
    )


def _cross_validation_options(parser: argparse.ArgumentParser, validate: str, people: bool = False) -> None:
    parser.add_argument(
        "--network",
        choices=sorted(RECIPES) + [PEOPLE_NETWORK] * people,
        default=Settings.network,
        help="network to train (default: %(default)s)",
    )
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS + tuple(name for name in PEOPLE_PROTOCOLS if people and name not in PROTOCOLS),
        default=Settings.protocol,
        help="how windows are split (default: %(default)s)"
        + (f"; {', '.join(PEOPLE_PROTOCOLS)} for --network {PEOPLE_NETWORK}" if people else ""),
    )
    parser.add_argument(
        "--split", metavar="CSV", help="your own split, with columns fragment, fold, part; needs --protocol file"
    )
    parser.add_argument(
        "--fold-count", type=int, default=FOLDS, metavar="COUNT", help="number of folds (default: %(default)s)"
    )
    parser.add_argument(
        "--folds", type=int, nargs="+", metavar="FOLD", help="run only these; a result is written when all have run"
    )
    parser.add_argument(
        "--seed", type=int, default=Settings.seed, help="seed of split and training (default: %(default)s)"
    )
    parser.add_argument("--training-seed", type=int, help="seed of the training alone (default: --seed)")
    parser.add_argument(
        "--data", metavar="FOLDER", help="folder of the MIT-BIH records (default: see `ecg-alq data --help`)"
    )
    parser.add_argument(
        "--build",
        default="build/evaluate",
        metavar="FOLDER",
        help="folder for the products of the folds (default: %(default)s)",
    )
    parser.add_argument(
        "--results", default="results", metavar="FOLDER", help="folder of the result files (default: %(default)s)"
    )
    parser.add_argument("--validate", action="store_true", help=validate)
    parser.add_argument(
        "--dataset",
        action=help.Refused,
        const="it cross-validates the windows of MIT-BIH. For your own recordings run `ecg-alq flow --dataset FOLDER "
        "--fold N --build build/fold_N` for every fold; each report has the figures of its test windows",
    )


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    _cross_validation_options(
        parser, "report on validation windows instead of test windows: use this to choose a recipe", people=True
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="Dask cluster, for example tcp://host:8786 (default: local)"
    )
    parser.add_argument(
        "--workers", type=int, default=2, metavar="COUNT", help="local processes (default: %(default)s)"
    )


def _final_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--network",
        choices=[*sorted(RECIPES), PEOPLE_NETWORK],
        default=Settings.network,
        help="network to train (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=Settings.seed, help="seed of the training (default: %(default)s)")
    parser.add_argument(
        "--data", metavar="FOLDER", help="folder of the MIT-BIH records (default: see `ecg-alq data --help`)"
    )
    parser.add_argument(
        "--build", default="build/evaluate", metavar="FOLDER", help="folder for the products (default: %(default)s)"
    )
    parser.add_argument(
        "--results", default="results", metavar="FOLDER", help="folder of the result files (default: %(default)s)"
    )
    parser.add_argument(
        "--models", type=Path, metavar="FOLDER", help="folder for the network (default: inside the package)"
    )
    parser.add_argument(
        "--dataset",
        action=help.Refused,
        const="it trains the networks that ship, on MIT-BIH. For your own recordings run `ecg-alq flow --dataset "
        "FOLDER`: its network is build/flow/freeze/network.alq",
    )


def _abstain_options(parser: argparse.ArgumentParser) -> None:
    _cross_validation_options(parser, "measure on the validation windows of `ecg-alq evaluate --validate`")


def _databases(arguments: argparse.Namespace) -> Result:
    from qmodel.data import databases

    names = arguments.database
    if names == ["all"]:
        names = [name for name, own in databases.DATABASES.items() if own.address]
    for name in names:
        databases.database(name)
    rows, lines, broken = [], [], []
    for name in names:
        own, downloaded = databases.database(name), False
        try:
            found = databases.verify(name, arguments.data)
        except databases.DataError:
            if arguments.check:
                raise
            below = Path(arguments.data) / name if arguments.data else None
            found, downloaded = databases.verify(name, databases.download(name, below)), True
        if found.broken and not arguments.check:
            found, downloaded = databases.verify(name, databases.download(name, found.folder)), True
        broken += [found] * bool(found.broken)
        rows.append(
            {
                "name": name,
                "title": own.title,
                "folder": str(found.folder),
                "records": len(databases.record_names(found.folder)),
                "files": found.files,
                "files_verified": found.compared - len(found.broken),
                "origin": found.origin,
                "downloaded": downloaded,
                "licence": own.licence,
                "citation": own.citation,
                "labels": own.labels,
                "notes": own.notes,
            }
        )
        lines.append(found.words)
    if broken:
        raise InputError("; ".join(found.words for found in broken) + ": run without --check to fetch them again")
    return Result(rows, lines)


def _data(arguments: argparse.Namespace) -> Result:
    if arguments.database:
        return _databases(arguments)
    from qmodel.data import mitdb

    folder = None
    try:
        folder = mitdb.find(arguments.data)
    except mitdb.DataError:
        if arguments.check:
            raise
    broken = mitdb.verify(folder) if folder else None
    if broken and arguments.check:
        raise InputError(
            f"{len(broken)} files of {folder} do not match PhysioNet's SHA-256 sums, the first is {broken[0]}: "
            "run `ecg-alq data` to download them again"
        )
    if folder is None or broken:
        folder = mitdb.download(arguments.data or folder)
    result = {
        "data_source": mitdb.SOURCE,
        "folder": str(folder),
        "records": len(mitdb.RECORDS),
        "files_verified": len(mitdb.published_sums()),
        "downloaded": broken is None,
        "fetched_again": broken or [],
    }
    verified = f"{result['records']} MIT-BIH records, {result['files_verified']} files verified: {folder}"
    return Result(result, [verified])


def _cross_validation(arguments: argparse.Namespace) -> dict:
    """What `evaluate` and `abstain` have in common, checked."""
    Settings(protocol=arguments.protocol, split=arguments.split).checked()
    count = arguments.fold_count
    if count < 3:
        raise InputError(f"--fold-count must be at least 3 (train, validation, test), received {count}")
    if arguments.protocol != "file" and (bad := [f for f in arguments.folds or [] if not 0 <= f < count]):
        raise InputError(f"--folds must be 0 to {count - 1}, received {', '.join(map(str, bad))}")
    from qmodel.data import mitdb

    mitdb.find(arguments.data)
    from qmodel.experiment import Split

    seed = arguments.seed if arguments.training_seed is None else arguments.training_seed
    return {
        "recipe": replace(RECIPES[arguments.network], seed=seed),
        "split": Split(arguments.protocol, count, None, arguments.seed, arguments.split, arguments.validate),
        "data": arguments.data,
        "build": arguments.build,
        "results": arguments.results,
        "only": arguments.folds,
    }


# Options of cross-validation that say nothing about persons never met, and what they are when nobody gives them.
_NOT_FOR_PEOPLE = {
    "validate": False, "folds": None, "split": None, "fold_count": FOLDS, "data": None, "scheduler": None, "workers": 2,
}  # fmt: skip


def _refuse_for_people(arguments: argparse.Namespace) -> None:
    """Raises: InputError: an option was given that `rhythm` would pass over."""
    given = [name for name, default in _NOT_FOR_PEOPLE.items() if getattr(arguments, name, default) != default]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        way = "; name the records' folders in $MITDB_DIR and $ECG_ALQ_DATABASES" if "data" in given else ""
        raise InputError(f"--network {PEOPLE_NETWORK} takes no {options}: leave it out{way}")


def _evaluate_people(arguments: argparse.Namespace) -> Result:
    if arguments.network != PEOPLE_NETWORK or arguments.protocol not in PEOPLE_PROTOCOLS:
        raise InputError(
            f"--network {PEOPLE_NETWORK} goes with --protocol {', '.join(PEOPLE_PROTOCOLS)}, and "
            f"{', '.join(p for p in PEOPLE_PROTOCOLS if p not in PROTOCOLS)} with no other network: received "
            f"--network {arguments.network} --protocol {arguments.protocol}"
        )
    _refuse_for_people(arguments)
    from flow.experiments.people_protocols import evaluate
    from flow.look.words import people

    seed = arguments.seed if arguments.training_seed is None else arguments.training_seed
    rows = evaluate(arguments.protocol, Path(arguments.build), Path(arguments.results), seed)
    return Result(rows, people(rows))


def _evaluate(arguments: argparse.Namespace) -> Result:
    if arguments.network == PEOPLE_NETWORK or arguments.protocol not in PROTOCOLS:
        return _evaluate_people(arguments)
    common = _cross_validation(arguments)
    from flow.experiments.evaluate import evaluate
    from flow.look.words import evaluation

    rows = evaluate(**common, scheduler=arguments.scheduler, workers=arguments.workers)
    return Result(rows, evaluation(rows))


def _abstain(arguments: argparse.Namespace) -> Result:
    common = _cross_validation(arguments)
    from flow.experiments.abstain import measure
    from flow.look.words import abstention

    row = measure(**common)
    return Result(row, abstention(row))


def _final(arguments: argparse.Namespace) -> Result:
    if arguments.network == PEOPLE_NETWORK:
        _refuse_for_people(arguments)
    from qmodel.data import mitdb

    mitdb.find(arguments.data)
    from qmodel import models

    folder = arguments.models or models.FOLDER
    if arguments.network == PEOPLE_NETWORK:
        from flow.experiments import people_protocols

        network = people_protocols.train_final(Path(arguments.build), folder, arguments.seed)
        figures = {"network": PEOPLE_NETWORK, "bytes": network.size_bytes, "identity": network.identity}
        file = folder / f"{PEOPLE_NETWORK}.alq"
        # Which recordings it was trained on is read from a list that names the network it is of.
        lines = [f"{file}: {network.size_bytes:,} bytes"]
        if folder == models.FOLDER:
            lines.append("next: `python -m benchmarks.people keys` lists its recordings")
        return Result(figures, lines)
    from flow.experiments.evaluate import train_final

    figures = train_final(
        replace(RECIPES[arguments.network], seed=arguments.seed),
        arguments.data,
        arguments.build,
        arguments.results,
        folder,
    )
    return Result(figures, [f"{folder / f'{arguments.network}.alq'}: {figures['bytes']:,} bytes"])


COMMANDS = (
    Command(
        "flow",
        "Run all steps, from ECG records to report. Options that are not given take their defaults.",
        "ecg-alq flow --network tiny --quick --synthetic --build build/demo",
        flow_options,
        step("flow", fresh=True),
    ),
    Command(
        "data",
        "Find, check or download ECG databases, MIT-BIH by default. Looks in --data, $MITDB_DIR and "
        "~/.cache/ecg-alq/mitdb. Files that do not match PhysioNet's SHA-256 checksums are downloaded again.",
        "ecg-alq data --database svdb vfdb",
        _data_options,
        _data,
    ),
    Command(
        "train",
        "Train a network in floating point. After Ctrl-C, the same command continues from the last epoch.",
        "ecg-alq train --network compact --fold 3",
        flow_options,
        step("train", fresh=True),
    ),
    Command(
        "quantise",
        "Quantise the trained network with ALQ. Prunes it to its byte budget, folds batch normalisation and "
        "fine-tunes.",
        "ecg-alq quantise",
        flow_options,
        step("quantise"),
    ),
    Command(
        "freeze",
        "Freeze the quantised network to integers. Writes one .alq file.",
        "ecg-alq freeze --json",
        frozen_options,
        step("freeze"),
    ),
    Command(
        "evaluate",
        "Cross-validate: train, quantise, freeze and test each fold. Folds run on Dask workers; the result goes to "
        "results/PROTOCOL.json. A run that was stopped continues where it left off. Protocols of persons never met "
        "(ec57, database, one of svdb, vfdb and cinc2017, and patient with --network rhythm) need the other databases; "
        "their results go to results/people.json.",
        "ecg-alq evaluate --protocol patient --network compact",
        _evaluate_options,
        _evaluate,
    ),
    Command(
        "abstain",
        "Measure accuracy against the share of windows answered. Uses the networks that `ecg-alq evaluate` trained, "
        "on windows they have not seen, with and without added noise. Writes results/abstain.json.",
        "ecg-alq abstain --protocol stratified",
        _abstain_options,
        _abstain,
    ),
    Command(
        "final",
        "Train on all windows and store the network that ships. Nothing is held out, so there is no test accuracy.",
        "ecg-alq final --network compact",
        _final_options,
        _final,
    ),
)
