"""Commands that use a trained network: one recording, a folder of them, or a page that plays one."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flow.cli.command import Command, Result
from flow.cli.steps import network_of
from flow.recordings.choices import DEFAULT_FORMATS, FORMATS, NETWORK, THRESHOLD
from flow.recordings.engines import ENGINES
from qmodel.errors import InputError

if TYPE_CHECKING:
    from qmodel.frozen import FrozenNetwork

TITLE = "Use a trained network"


def _recording_options(parser: argparse.ArgumentParser, hop: str) -> None:
    parser.add_argument(
        "--lead",
        metavar="NAME",
        help="name, or number from 1; several joined by + for a network of several leads (default: those the network "
        "names, otherwise MLII or II, otherwise a lead called ECG)",
    )
    parser.add_argument(
        "--fs",
        type=float,
        metavar="HZ",
        help="sampling rate of a CSV file, or a correction to a header; for a folder: of its CSV files",
    )
    parser.add_argument(
        "--units", metavar="UNITS", help="V, mV, uV, or a gain such as 200/mV; replaces what the file says"
    )
    parser.add_argument("--hop", type=float, metavar="SECONDS", help=f"step from window to window (default: {hop})")
    parser.add_argument("--frozen", metavar="FILE", help="use this frozen network (.alq) instead of the shipped one")
    parser.add_argument(
        "--engine",
        choices=tuple(ENGINES),
        default="golden",
        help="what computes; all give the same integers (default: %(default)s)",
    )
    parser.add_argument("--deploy", type=Path, metavar="FOLDER", help="deploy folder, for --engine board")
    parser.add_argument(
        "--threshold",
        type=float,
        default=THRESHOLD,
        metavar="SHARE",
        help="lowest confidence at which a class is given, 0 to 1 (default: %(default)g)",
    )


def _classify_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", metavar="PATH", nargs="?", help="a recording: WFDB, EDF, BDF, CSV, clinical files; or a folder of them"
    )
    parser.add_argument("--sample", action="store_true", help="take the minute of MIT-BIH ECG that ships with ecg-alq")
    _recording_options(parser, "a window")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("build/classify"),
        metavar="FOLDER",
        help="folder for the files (default: %(default)s)",
    )
    parser.add_argument(
        "--formats",
        nargs="+",
        choices=FORMATS,
        default=DEFAULT_FORMATS,
        metavar="FORMAT",
        help=f"any of {', '.join(FORMATS)} (default: {' '.join(DEFAULT_FORMATS)})",
    )
    group = parser.add_argument_group("a folder of recordings", "Results go into one table, findings.parquet.")
    group.add_argument(
        "--scheduler", metavar="ADDRESS", help="Dask cluster, for example tcp://host:8786 (default: local)"
    )
    group.add_argument("--workers", type=int, default=2, metavar="COUNT", help="local processes (default: %(default)s)")


def _monitor_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", nargs="?", help="a recording: WFDB, EDF, BDF, CSV, clinical files")
    parser.add_argument(
        "--source",
        metavar="SOURCE",
        help="a live source: lsl:NAME, serial:/dev/ttyUSB0, brainflow:BOARD, or - for standard input",
    )
    parser.add_argument("--baud", type=int, default=115_200, help="baud rate of a serial line (default: %(default)s)")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="keep what a live source sends, as a WFDB record")
    parser.add_argument("--sample", action="store_true", help="play the minute of MIT-BIH ECG that ships with ecg-alq")
    parser.add_argument("--synthetic", action="store_true", help="play made-up ECG: a demonstration")
    _recording_options(parser, "1, or a window where that is shorter")
    parser.add_argument("--port", type=int, help="port on this machine (default: 8360, or a free one)")
    parser.add_argument(
        "--browser", action=argparse.BooleanOptionalAction, default=True, help="open the page in the browser"
    )


def _only_one_source(arguments: argparse.Namespace, *options: str) -> None:
    """Refuse commands that name no recording, or more than one."""
    given = [arguments.path is not None, *(bool(getattr(arguments, option)) for option in options)]
    if sum(given) != 1:
        raise InputError(f"give one of these: PATH, {', '.join(f'--{option}' for option in options)}")


def _sample_path() -> Path:
    """The sample's header; its source is said, on stderr so that results stay results."""
    from qmodel.data import sample

    print(f"Sample: {sample.CREDIT}", file=sys.stderr)
    return sample.PATH


def _classify(arguments: argparse.Namespace) -> Result:
    _only_one_source(arguments, "sample")
    network = network_of(arguments.frozen, NETWORK)
    path = _sample_path() if arguments.sample else Path(arguments.path).expanduser()
    whole = path.resolve()  # "." has no name of its own
    if path.is_dir() and not (whole.parent / f"{whole.name}.hea").is_file():
        return _classify_archive(arguments, network)
    from flow.recordings import classify, outputs
    from flow.recordings.words import classification

    with classify.Classifier(network, arguments.engine, arguments.threshold, arguments.deploy) as classifier:
        result = classify.classify(path, classifier, arguments.lead, arguments.hop, arguments.fs, arguments.units)
    files = [str(file) for file in outputs.write(result, arguments.output, tuple(dict.fromkeys(arguments.formats)))]
    content = outputs.summary(result) | {"files": files}
    return Result(content, classification(content))


def _classify_archive(arguments: argparse.Namespace, network: FrozenNetwork) -> Result:
    from flow.recordings.archive import ArchiveSettings, classify_archive
    from flow.recordings.words import archive

    settings = ArchiveSettings(
        arguments.lead,
        arguments.hop,
        arguments.fs,
        arguments.units,
        arguments.engine,
        arguments.threshold,
        str(arguments.deploy.absolute()) if arguments.deploy else None,
    )
    summary = classify_archive(
        arguments.path, network, arguments.output, settings, arguments.scheduler, arguments.workers
    )
    return Result(summary, archive(summary))


def _monitor(arguments: argparse.Namespace) -> Result | None:
    _only_one_source(arguments, "sample", "synthetic", "source")
    if arguments.source:
        return _monitor_live(arguments)
    if arguments.save:
        raise InputError("--save goes with --source: a recording is on disk already")
    import asyncio
    import webbrowser

    from flow.monitor import server
    from flow.monitor.stream import Play, demonstration, tracks
    from flow.recordings import classify
    from qmodel.data import recording
    from qmodel.usage import Usage

    network = network_of(arguments.frozen, NETWORK)
    takes = Usage.of(network).takes
    if arguments.synthetic:
        source = demonstration()
    else:
        path = _sample_path() if arguments.sample else arguments.path
        source = recording.read_for(takes, path, arguments.lead, arguments.fs, arguments.units)
        if arguments.sample:
            source = replace(source, name="MIT-BIH record 106")
    samples, heard = tracks(source, arguments.lead, takes)

    def ready(address: str) -> None:
        print(json.dumps({"address": address}) if arguments.json else f"{source.name}: {address}", flush=True)
        print("Press Ctrl-C to stop.", file=sys.stderr)
        if arguments.browser:
            webbrowser.open(address)

    with classify.Classifier(network, arguments.engine, arguments.threshold, arguments.deploy) as classifier:

        def new_play() -> Play:
            return Play.of(source, samples, classifier, hop_s=arguments.hop, heard=heard)

        new_play()  # refuses bad settings before anything is served
        token = server.new_token()
        with suppress(KeyboardInterrupt):
            asyncio.run(server.serve(server.application(new_play, token=token), arguments.port, ready, token))
    return None


def _monitor_live(arguments: argparse.Namespace) -> Result | None:
    import asyncio
    import webbrowser

    from flow.monitor import server, sources
    from flow.monitor.live import Live
    from flow.recordings import classify

    wanted = sources.Wanted(arguments.lead, arguments.fs, arguments.units, arguments.baud)
    source = sources.source(arguments.source, wanted)

    def ready(address: str) -> None:
        print(json.dumps({"address": address}) if arguments.json else f"{source.name}: {address}", flush=True)
        print("Press Ctrl-C to stop.", file=sys.stderr)
        if arguments.browser:
            webbrowser.open(address)

    network = network_of(arguments.frozen, NETWORK)
    with classify.Classifier(network, arguments.engine, arguments.threshold, arguments.deploy) as classifier:
        live, token = Live(source, classifier, arguments.hop, arguments.save), server.new_token()
        with suppress(KeyboardInterrupt), live:
            asyncio.run(server.serve(server.application(live=live, token=token), arguments.port, ready, token))
    if live.recorded is None:
        return None
    return Result({"recorded": str(live.recorded)}, [f"recorded: {live.recorded}"])


COMMANDS = (
    Command(
        "classify",
        "Classify an ECG recording in ten-second windows. Reads WFDB, EDF, BDF and CSV files at any sampling rate and "
        "gain. Writes a table, WFDB annotations, JSON and a picture. A window with a poor signal or a low confidence "
        "gets no class, and the output says why. Given a folder, classifies every recording in it.",
        "ecg-alq classify my_ecg.csv --fs 250",
        _classify_options,
        _classify,
    ),
    Command(
        "monitor",
        "Play a recording or a live source like a bedside monitor. Shows the scrolling ECG, beats and "
        "heart rate, the current rhythm and a list of events. Only this machine can open the page, with the token in "
        "its address.",
        "ecg-alq monitor my_record --lead II",
        _monitor_options,
        _monitor,
    ),
)
