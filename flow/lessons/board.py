"""06_board: the network on a PYNQ-Z2, or the same driver on a simulated board where there is none.

Light on a board: NumPy, Matplotlib and PYNQ are all that is imported there.
"""

from __future__ import annotations

import dataclasses
import json
import platform
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from tqdm import tqdm

from board.codec import Codec
from board.driver import ArrhythmiaOverlay, Result, Times, TransferError
from board.manifest import MANIFEST, Manifest
from flow.lessons.walk import BUILD, Check, CheckedTable, Exercise, checked, show_progress_as_text
from flow.look.html import Html, card, facts, table
from flow.look.pictures import ACCENT, GRID, INK, MUTED, SECOND, ecg_strip, figure
from qmodel.files import sha256
from qmodel.fixed_point import standardise
from qmodel.frozen import FrozenNetwork

WINDOWS = 20  # in quick mode
TIMEOUT_S = 5.0
STALL_TIMEOUT_S = 0.2


@dataclasses.dataclass
class Session:
    """An open board: real or simulated.

    Args: folder: deploy folder; windows: int16 (window, sample), ADC units; simulated: a model stands for the board.
    """

    folder: Path
    overlay: ArrhythmiaOverlay
    windows: np.ndarray
    simulated: bool
    stack: ExitStack

    @property
    def network(self) -> FrozenNetwork:
        """The network in the deploy folder, which the core was found to hold."""
        return self.overlay.network

    @property
    def test_window(self) -> dict:
        """A window and the logits it must give, from the deploy folder."""
        return json.loads((self.folder / self.overlay.manifest.window).read_text("utf-8"))


def connect(full: bool = False) -> Session:
    """Open the board: on a board with PYNQ the deploy folder beside this notebook or in ../build; else a simulated one.

    Args: full: all test windows instead of a few; without a board, `make flow`'s network instead of the shipped one.
    """
    show_progress_as_text()
    stack = ExitStack()
    if _on_a_board():
        folder = _deployed()
        overlay = stack.enter_context(ArrhythmiaOverlay(folder))
        window = np.array(json.loads((folder / overlay.manifest.window).read_text("utf-8"))["samples"])
        shifts = np.linspace(0, len(window), WINDOWS, endpoint=False).astype(int)
        return Session(folder, overlay, np.array([np.roll(window, shift) for shift in shifts]), False, stack)
    from board.simulation.model import Board, installed, stand_in
    from flow.lessons.walk import Walk
    from qmodel import models

    walk = Walk(full)
    network = FrozenNetwork.load(walk.freeze().folder / "network.alq") if full else models.load()
    windows = walk.windows.signals[walk.fold.test]
    folder = _simulated_folder(Path(walk.build) / "simulated-board", network, windows[0])
    stack.enter_context(installed(stand_in(Board(network, Codec.of(network)))))
    overlay = stack.enter_context(ArrhythmiaOverlay(folder, TIMEOUT_S))
    return Session(folder, overlay, windows if full else windows[:WINDOWS], True, stack)


def _on_a_board() -> bool:
    return platform.machine() in ("armv7l", "aarch64") and find_spec("pynq") is not None


def _deployed() -> Path:
    for folder in (Path(), Path(BUILD) / "flow" / "deploy"):
        if (folder / MANIFEST).is_file():
            return folder
    raise FileNotFoundError("no deploy folder here: run this notebook in the folder that was copied to the board")


def _simulated_folder(folder: Path, network: FrozenNetwork, window: np.ndarray) -> Path:
    """A deploy folder whose bitstream is a stand-in: the simulated board holds the network itself."""
    from board.simulation import hwh
    from flow.ship import bitstream, package

    codec = Codec.of(network)
    manifest = Manifest(
        identity=network.identity,
        network=package.NETWORK,
        bit=bitstream.BIT,
        hwh=bitstream.HWH,
        window=package.WINDOW,
        engine="rtl",
        part=bitstream.PART,
        clock_mhz=100.0,
        core=bitstream.CORE,
        dma=bitstream.DMA,
        address=bitstream.CORE_ADDRESS,
        input_bits=codec.input_bits,
        output_bits=codec.output_bits,
        classes=package.class_names(network),
        pynq="simulated",
    )
    folder.mkdir(parents=True, exist_ok=True)
    network.save(folder / manifest.network)
    (folder / manifest.bit).write_bytes(b"no bitstream: the board is simulated")
    hwh.write(folder / manifest.hwh, manifest, "ecg_alq")
    logits = network.run(standardise(window, network.input_format)[None])[0]
    test = {"samples": window.tolist(), "logits": logits.tolist(), "source": "first window of the test part"}
    (folder / manifest.window).write_text(json.dumps(test), "utf-8")
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    (folder / MANIFEST).write_text(dataclasses.replace(manifest, files=files).text, "utf-8")
    return folder


def describe(session: Session) -> Html:
    """What is connected, and what the driver has checked already."""
    overlay, manifest = session.overlay, session.overlay.manifest
    what = "simulated: a model of DMA, registers and core in place of the hardware" if session.simulated else "real"
    status = overlay.status()
    rows = (
        ("board", what),
        ("deploy folder", Html(f"<code>{session.folder}</code>, every file matches the manifest's SHA-256 sums")),
        ("device", f"{manifest.part}, core at {manifest.clock_mhz:g} MHz"),
        ("core", f"registers at 0x{manifest.address:08x}; it says it takes {status['samples']:,} samples a frame"),
        ("network", f"{manifest.identity[:16]}..., the same in manifest, file and core"),
        ("streams", f"{manifest.input_bits} bits in, {manifest.output_bits} bits out"),
    )
    banner = '<p class="banner">No board here: the same driver and cells run on a simulated one.</p>'
    return Html((banner if session.simulated else "") + facts(rows), 900)


def way_picture() -> Html:
    """The way of a window through processor, DMA and core."""
    boxes = (
        (0.0, 1.0, "processor (ARM)", "standardises, rounds,\nwrites 8-bit words", SECOND),
        (2.7, 1.0, "memory", "a buffer that\nDMA may read", GRID),
        (5.4, 1.0, "DMA", "moves words without\nthe processor", GRID),
        (8.1, 1.0, "core (FPGA)", "3600 samples in,\n17 logits out", ACCENT),
        (8.1, -0.9, "registers", "identity, cycles,\nframes, errors", ACCENT),
    )
    with figure("way", 9.4, 2.6) as (_, axes, drawn):
        for x, y, name, words, colour in boxes:
            axes.barh(y, 2.0, left=x, height=1.3, color=colour, alpha=0.35, linewidth=0)
            axes.text(x + 1.0, y + 0.33, name, ha="center", va="center", fontsize=9.5)
            axes.text(x + 1.0, y - 0.22, words, ha="center", va="center", fontsize=7.5, color=MUTED)
        arrow = {"arrowstyle": "->", "color": MUTED}
        for x in (2.0, 4.7, 7.4):
            axes.annotate("", (x + 0.7, 1.2), (x, 1.2), arrowprops=arrow)
            axes.annotate("", (x, 0.8), (x + 0.7, 0.8), arrowprops=arrow)
        axes.annotate("", (1.0, 0.3), (8.1, -0.9), arrowprops={**arrow, "connectionstyle": "angle,angleA=0,angleB=90"})
        axes.text(4.5, -0.75, "read through AXI4-Lite", fontsize=7.5, color=MUTED, ha="center")
        axes.set(xlim=(-0.2, 10.3), ylim=(-1.7, 1.8))
        axes.set_axis_off()
    return Html(card(drawn[0], "The way of a window, and of its answer back"), 940)


def classify(session: Session) -> list[Result]:
    """Send the windows one after the other."""
    return [session.overlay.classify(window) for window in tqdm(session.windows, desc="board", unit="window")]


def answer_picture(session: Session, results: list[Result], window: int = 0) -> Html:
    """A window and the logits that came back."""
    classes, result = session.overlay.manifest.classes, results[window]
    with figure("answer", 9.4, 2.2) as (_, axes, drawn):
        colours = [ACCENT if place == result.class_index else GRID for place in range(len(classes))]
        axes.bar(range(len(classes)), result.logits, color=colours)
        axes.axhline(0, color=INK, linewidth=0.6)
        axes.set_xticks(range(len(classes)), classes, rotation=40, ha="right", color=INK)
        axes.set(ylabel="logit, integer")
        axes.tick_params(length=0)
    strip = card(ecg_strip(session.windows[window].astype(np.int64), "the window that was sent"), "sent")
    return Html(strip + card(drawn[0], f"received: the largest logit is {result.label}"), 940)


def times_table(session: Session, results: list[Result]) -> Html:
    """Where the time goes; without a board only what the core's register says."""
    if session.simulated:
        cycles = session.overlay.status()["cycles"]
        text = (
            f"A simulated board has no time of its own. Its cycle register says {cycles:,}, the least that a core of "
            "one sample per cycle needs; 05_hardware has the cycles of the Verilog core. On a board this cell shows "
            "how long packing, transfer and core took."
        )
        return Html(card(f"<p style='margin: 0'>{text}</p>"), 860)
    microseconds = 1e6 * np.array([result.times for result in results])
    rows = [
        (name, *(f"{value:.1f}" for value in np.quantile(microseconds[:, column], (0.5, 0.95))))
        for column, name in enumerate(Times._fields)
    ]
    return Html(table(("microseconds", "median", "95 % below"), rows), 560)


def stall(session: Session) -> str:
    """What the driver says when a board stops answering; tried on a simulated one, not on a board that works."""
    if not session.simulated:
        return "not tried on a real board"
    from board.simulation.model import Board, Faults, installed, stand_in

    broken = Board(session.network, Codec.of(session.network), Faults(stall_after=0))
    with installed(stand_in(broken)), ArrhythmiaOverlay(session.folder, STALL_TIMEOUT_S) as overlay:
        try:
            overlay.classify(session.windows[0])
        except TransferError as error:
            return str(error)
    return "no error"


def stall_card(message: str) -> Html:
    """The message as the user sees it."""
    return Html(card(f"<code>{message}</code>", "A board that stops answering"), 940)


def exercise() -> Exercise:
    """Bytes that DMA moves per window: 3600 samples of one byte, 17 logits of four."""
    return Exercise(3600 * 1 + 17 * 4, "8 bits are one byte, 32 bits are four.")


def final_table(session: Session, results: list[Result], message: str) -> CheckedTable:
    """The figures of 06_board, checked; the board is let go of."""
    test = session.test_window
    again = session.overlay.classify(np.array(test["samples"]))
    golden = session.network.run(standardise(session.windows, session.network.input_format))
    different = sum(int((result.logits != row).sum()) for result, row in zip(results, golden))
    status = session.overlay.status()
    checks = [
        Check(
            "network in the core",
            session.overlay.manifest.identity,
            "the file's",
            session.network.identity == session.overlay.manifest.identity,
        ),
        Check("windows classified", len(results), "all that were sent", len(results) == len(session.windows)),
        Check("logits that differ from the golden model", different, "none", different == 0),
        Check(
            "test window's class",
            again.label,
            "logits as in the deploy folder",
            again.logits.tolist() == test["logits"],
        ),
        Check("frames the core counted", status["frames"], "one per window sent", status["frames"] >= len(results) + 1),
        Check("error flags of the core", status["errors"], "none", status["errors"] == 0),
    ]
    if session.simulated:
        checks.append(Check("a board that stops", "said in time", "no waiting for ever", "no answer within" in message))
    session.stack.close()
    return checked(checks)
