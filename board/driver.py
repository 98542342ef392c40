"""The driver of a PYNQ board: windows of ECG in, logits out, over AXI DMA, with a time limit on every wait.

    with ArrhythmiaOverlay("deploy") as overlay:
        result = overlay.classify(window)
        print(result.label, result.times)

NumPy alone is needed to import this; PYNQ is imported when an overlay is loaded.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from board.codec import Codec, check_window
from board.manifest import MAGIC, REGISTERS_BYTES, REGISTERS_VERSION, Manifest
from qmodel.errors import UserError
from qmodel.frozen import FrozenNetwork

# AXI DMA, direct register mode. Source: AMD PG021, "Register Address Map".
SEND_CONTROL, SEND_STATUS = 0x00, 0x04
RECEIVE_STATUS, RECEIVED_BYTES = 0x34, 0x58
RESET = 1 << 2  # of a control register: both channels
STATUS_BITS = {
    0: "halted",
    1: "idle",
    4: "internal error (a transfer of length 0, or a packet longer than the buffer)",
    5: "slave error (the memory refused)",
    6: "decode error (no memory at this address)",
}
IDLE, ERRORS = 1 << 1, 0x70
FRAME_ERRORS = {0: "a frame was too short", 1: "a frame was too long"}

T = TypeVar("T")


class OverlayError(UserError, RuntimeError):
    """The board, its files or the core are not as the manifest says; the message says what to do."""


class TransferError(OverlayError):
    """A transfer failed, or did not end in time; the message holds the status registers."""


class Times(NamedTuple):
    """Seconds of one window: pack: standardising and writing words; compute: the core's own count of cycles, from first
    sample to last logit (None: the board does not tell); transfer: what moving data and waiting added to that."""

    pack: float
    transfer: float
    compute: float | None


class Result(NamedTuple):
    """One window's answer: logits int64, shape (logit,), the largest one's index and class, and times."""

    logits: np.ndarray
    class_index: int
    label: str
    times: Times


def describe(status: int) -> str:
    """A DMA status register in words."""
    names = [name for bit, name in STATUS_BITS.items() if status >> bit & 1] or ["running"]
    return f"0x{status:08x} ({', '.join(names)})"


class ArrhythmiaOverlay:
    """A network on a board: loads the bitstream, checks that it holds this network, and classifies windows of ECG.

    Attributes of the PYNQ overlay (`ip_dict`, `axi_dma_0`, `is_loaded()`) are this object's as well. One window is
    under way at a time; threads and tasks wait for each other. After a transfer that failed the DMA is stopped and the
    overlay closed, since what is left of the frame in the core would spoil the next one: load it again.

    Args: folder: a deploy folder; timeout_s: for every window, more than enough at its default.
    Raises: ManifestError: not a deploy folder; OverlayError: a file is missing or was changed, PYNQ is not installed,
        or the core holds another network.
    """

    def __init__(self, folder: str | os.PathLike, timeout_s: float = 1.0):
        folder = Path(folder).absolute()
        self.overlay: Any = None
        self.timeout_s = timeout_s
        self.manifest = Manifest.load(folder)
        self._one_at_a_time = threading.Lock()
        _check_files(folder, self.manifest)
        self.network = FrozenNetwork.load(folder / self.manifest.network)
        self.codec = Codec(self.network, self.manifest.input_bits, self.manifest.output_bits)
        self._pynq = _import_pynq()
        self.overlay = self._pynq.Overlay(str(folder / self.manifest.bit))
        try:
            self._dma = getattr(self.overlay, self.manifest.dma)
        except AttributeError:
            self.close()
            raise OverlayError(
                f"the overlay has no block {self.manifest.dma}: {self.manifest.hwh} belongs to another design"
            ) from None
        self._mmio = self._pynq.MMIO(self.manifest.address, REGISTERS_BYTES)
        self.clock_mhz = self._read_clock()
        try:
            self._check_core()
        except OverlayError:
            self.close()
            raise

    def __enter__(self) -> ArrhythmiaOverlay:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        overlay = self.__dict__.get("overlay")
        if overlay is None or name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}, or is closed")
        return getattr(overlay, name)

    def close(self) -> None:
        """Let go of the board; the bitstream stays loaded. Closing twice is no error."""
        self.overlay = None

    def classify(self, window: np.ndarray) -> Result:
        """Classify one window.

        Args: window: ADC units, integers, shape (sample,), of a network of several leads (sample, lead).
        Raises: TypeError: not integers; ValueError: NaN, flat, another length; OverlayError: closed; TransferError.
        """
        return self.classify_many([window])[0]

    def classify_many(self, windows: Sequence[np.ndarray] | np.ndarray) -> list[Result]:
        """Classify windows one after the other, with one pair of buffers; types and lengths of all are checked first.

        Args: windows: as `classify`, shape (window, sample). Raises: as `classify`.
        """
        return _wait(self._work(windows, self.codec.encode))

    def logits_many(self, integers: np.ndarray) -> np.ndarray:
        """Logits of windows that are standardised already, as other engines take them: int64, shape (window, logit).

        Args: integers: of the network's input format, (window, sample), with leads, or flat. Raises: InputError:
            others; as `classify`.
        """
        windows = np.asarray(integers).reshape(len(integers), *self.codec.shape) if len(integers) else []
        results = _wait(self._work(list(windows), self.codec.words))
        return np.array([result.logits for result in results], np.int64).reshape(len(integers), self.codec.values)

    def stream(self, record: np.ndarray, step: int | None = None) -> Iterator[tuple[int, Result]]:
        """Classify a whole record, window after window; what is left at its end is no window.

        Args: record: ADC units, integers, shape (sample,); step: samples from one window to the next, default a window.
        Yields: first sample of the window, its result. Raises: as `classify`; ValueError: shorter than one window.
        """
        for start, window in self.codec.windows_of(record, step):
            yield start, self.classify(window)

    async def classify_async(self, window: np.ndarray) -> Result:
        """As `classify`; other tasks run while the board works."""
        return (await self.classify_many_async([window]))[0]

    async def classify_many_async(self, windows: Sequence[np.ndarray] | np.ndarray) -> list[Result]:
        """As `classify_many`; other tasks run while the board works."""
        return await _wait_async(self._work(windows, self.codec.encode))

    async def stream_async(self, record: np.ndarray, step: int | None = None) -> AsyncIterator[tuple[int, Result]]:
        """As `stream`; other tasks run while the board works."""
        for start, window in self.codec.windows_of(record, step):
            yield start, await self.classify_async(window)

    def status(self) -> dict[str, int]:
        """The core's registers by name, without its identity. Raises: OverlayError: closed."""
        self._check_open()
        return {name: self._read(name) for name in self.manifest.registers if name != "identity"}

    def _read_clock(self) -> float:
        """MHz that the divider of the processing system really gives, which need not be what the design asked for; what
        the manifest says where PYNQ does not tell."""
        clocks = getattr(self._pynq, "Clocks", None)
        return self.manifest.clock_mhz if clocks is None else float(clocks.fclk0_mhz)

    def _check_open(self) -> None:
        if self.overlay is None:
            raise OverlayError("the overlay is closed: load it again with ArrhythmiaOverlay(folder)")

    def _read(self, name: str, word: int = 0) -> int:
        return int(self._mmio.read(self.manifest.registers[name] + 4 * word))

    def _check_core(self) -> None:
        """Compare the core's registers with the manifest. Raises: OverlayError."""
        magic, version = self._read("magic"), self._read("version")
        if (magic, version) != (MAGIC, REGISTERS_VERSION):
            raise OverlayError(
                f"no ecg-alq core answers at 0x{self.manifest.address:08x} "
                f"(it reads 0x{magic:08x}, version {version}): "
                f"is {self.manifest.bit} the bitstream of this manifest?"
            )
        identity = "".join(f"{self._read('identity', word):08x}" for word in range(8))
        if identity != self.manifest.identity:
            raise OverlayError(
                f"the bitstream holds network {identity[:12]}..., the manifest names {self.manifest.identity[:12]}...: "
                "package the network together with its own bitstream"
            )
        sizes = self._read("samples"), self._read("values")
        if sizes != (self.codec.samples, self.codec.values):
            raise OverlayError(
                f"the core takes {sizes[0]} samples and gives {sizes[1]} logits, "
                f"the network {self.codec.samples} and {self.codec.values}"
            )

    # A generator that yields while it waits: `_wait` and `_wait_async` decide what happens meanwhile.
    def _work(
        self, windows: Sequence[np.ndarray] | np.ndarray, encode: Callable[[np.ndarray], np.ndarray]
    ) -> Generator[None, None, list[Result]]:
        for window in windows:
            check_window(window, self.codec.shape)
        with (yield from self._alone()):
            self._check_open()
            allocate = self._pynq.allocate
            with (
                allocate(shape=(self.codec.samples,), dtype=self.codec.frame_dtype) as frame,
                allocate(shape=(self.codec.values,), dtype=self.codec.answer_dtype) as answer,
            ):
                results = []
                before = self._read("frames")
                for window in windows:
                    results.append((yield from self._one(window, encode, frame, answer)))
                self._check_frames(before, len(results))
                return results

    def _one(
        self, window: np.ndarray, encode: Callable[[np.ndarray], np.ndarray], frame: Any, answer: Any
    ) -> Generator[None, None, Result]:
        start = time.perf_counter()
        frame[:] = encode(window)
        packed = time.perf_counter()
        try:
            yield from self._transfer(frame, answer)
        except BaseException:
            self._stop()  # before the buffers are freed: the DMA would go on writing to memory that is no longer ours
            raise
        seconds = time.perf_counter() - packed
        logits = self.codec.decode(np.array(answer))
        compute = self._read("cycles") / (self.clock_mhz * 1e6)
        index = int(logits.argmax())
        label = self.manifest.classes[index] if self.manifest.classes else str(index)
        return Result(logits, index, label, Times(packed - start, max(0.0, seconds - compute), compute))

    def _transfer(self, frame: Any, answer: Any) -> Generator[None, None, None]:
        """Send a frame and receive its answer. Raises: TransferError."""
        # PYNQ's own wait() has no time limit, so its channels start transfers and the registers are read here.
        limit = time.monotonic() + self.timeout_s
        self._dma.recvchannel.transfer(answer)
        self._dma.sendchannel.transfer(frame)
        for register in (SEND_STATUS, RECEIVE_STATUS):
            while True:
                late = (
                    time.monotonic() > limit
                )  # before reading: a process that slept finds out what happened meanwhile
                status = int(self._dma.read(register))
                if status & ERRORS:
                    raise TransferError(f"DMA reports an error: {self._registers_in_words()}")
                if status & IDLE:
                    break
                if late:
                    raise TransferError(
                        f"the board gave no answer within {self.timeout_s:g} s: {self._registers_in_words()}"
                    )
                yield
        received = int(self._dma.read(RECEIVED_BYTES))
        if received != answer.nbytes:
            raise TransferError(
                f"an answer must be {answer.nbytes} bytes, received {received}: {self._registers_in_words()}"
            )
        answer.invalidate()  # drop what the processor's cache still holds of the buffer

    def _registers_in_words(self) -> str:
        send, receive = (int(self._dma.read(register)) for register in (SEND_STATUS, RECEIVE_STATUS))
        core = f"{self._read('frames')} frames done, error flags {self._read('errors')}"
        return f"send status {describe(send)}, receive status {describe(receive)}; core: {core}"

    def _check_frames(self, before: int, sent: int) -> None:
        flags, done = self._read("errors"), (self._read("frames") - before) % (1 << 32)
        if flags or done != sent:
            self.close()
            words = [text for bit, text in FRAME_ERRORS.items() if flags >> bit & 1]
            raise TransferError(", ".join([f"{sent} frames were sent, the core finished {done}", *words]))

    def _stop(self) -> None:
        """Reset the DMA, so that it touches no memory any more, and close."""
        limit = time.monotonic() + self.timeout_s
        self._dma.write(SEND_CONTROL, RESET)
        while self._dma.read(SEND_CONTROL) & RESET and time.monotonic() < limit:
            pass
        self.close()

    def _alone(self) -> Generator[None, None, Any]:
        """Wait until no other thread or task has a window under way; returns a context that lets the next one in."""
        limit = time.monotonic() + self.timeout_s
        while not self._one_at_a_time.acquire(blocking=False):
            if time.monotonic() > limit:
                raise OverlayError(f"the board was busy with other windows for {self.timeout_s:g} s")
            yield
        return _released(self._one_at_a_time)


@contextmanager
def _released(lock: threading.Lock) -> Iterator[None]:
    try:
        yield
    finally:
        lock.release()


def _wait(work: Generator[None, None, T]) -> T:
    try:
        while True:
            try:
                next(work)
            except StopIteration as done:
                return done.value
            time.sleep(0)  # let other threads run
    finally:
        work.close()  # after Ctrl-C: stops the DMA and frees the buffers


async def _wait_async(work: Generator[None, None, T]) -> T:
    try:
        while True:
            try:
                next(work)
            except StopIteration as done:
                return done.value
            await asyncio.sleep(0)
    finally:
        work.close()  # of a task that was cancelled: the same


def _check_files(folder: Path, manifest: Manifest) -> None:
    if Path(manifest.bit).stem != Path(manifest.hwh).stem:
        raise OverlayError(f"PYNQ wants one stem for both, received {manifest.bit} and {manifest.hwh}: package again")
    for name in (manifest.bit, manifest.hwh, manifest.network):
        if not (folder / name).is_file():
            raise OverlayError(f"{name} is missing in {folder}: PYNQ needs .bit and .hwh side by side; deploy again")
    damaged = manifest.damaged(folder)
    if damaged:
        raise OverlayError(f"{', '.join(damaged)} in {folder} differ from the manifest: deploy the folder again")


def _import_pynq() -> Any:
    try:
        import pynq
    except ModuleNotFoundError as error:
        raise OverlayError(
            f"the package {error.name} is not installed: run this on a PYNQ board, in its own Python environment"
        ) from None
    return pynq
