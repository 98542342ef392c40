"""A live source through the monitor: converted, classified and recorded as it comes, sent to every page that listens.

Nothing grows with time: pages that come late get the last minute, events and samples are kept on disk alone.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np

from flow.monitor.save import Recorder
from flow.monitor.sources import LONGEST_GAP_S, QUIET_S, RETRY_S, LostError, Source, SourceError
from flow.monitor.stream import MISSING_UV, BeatFinder, Stream, beats_of, opening, row_of
from flow.recordings.classify import Classifier
from qmodel.data.mitdb import SAMPLING_RATE_HZ
from qmodel.data.recording import Samples
from qmodel.data.resampling import Converter
from qmodel.errors import InputError

BACKLOG_S = 60  # that a page gets which comes late
QUEUE = 400  # messages that wait for a page that does not read; then it is let go

Listener = Callable[[dict], None]


class Live:
    """A source that is read in a thread of its own. Use it in a `with` statement.

    Args: folder: where the recording goes, None: it is not kept; hop_s: from decision to decision.
    Raises: SourceError: the source cannot be had now; later it is waited for; InputError: a network of several leads.
    """

    def __init__(
        self, source: Source, classifier: Classifier, hop_s: float | None = None, folder: Path | None = None
    ) -> None:
        self.source, self.classifier, self.hop_s, self._folder = source, classifier, hop_s, folder
        takes = classifier.usage.takes
        if takes.channels > 1:
            raise InputError(
                f"a live source gives one lead, the network takes {takes.channels}: record first, then play the "
                "recording"
            )
        Stream(classifier, hop_s)  # refuses a hop out of range
        self._lock = threading.Lock()
        self._listeners: dict[Listener, None] = {}
        self._backlog: deque[dict] = deque()
        self._stop = threading.Event()
        self.finished = threading.Event()
        self._received, self._said = 0, None  # type: int, str | None
        self._taken: deque[tuple[int, float]] = deque(maxlen=400)  # sample, when it was taken
        self._shown_s: float | None = None
        self.state, self.recorded = "connected", None  # type: str, Path | None

    def __enter__(self) -> Live:
        try:
            self.source.open()
        except LostError as error:
            raise SourceError(str(error)) from error
        self._converter = Converter(self.source.rate_hz)
        rate = self.classifier.usage.takes.rate_hz
        self._heard = None if rate == SAMPLING_RATE_HZ else Converter(self.source.rate_hz, rate)
        self._stream, self._beats = Stream(self.classifier, self.hop_s), BeatFinder()
        self._recorder = None
        if self._folder is not None:
            self._recorder = Recorder(self._folder, self.source.lead, self.source.rate_hz, self.source.name)
        self._thread = threading.Thread(target=self._run, name="live source", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join(timeout=10)
        self.source.close()
        if self._recorder is not None:
            self.recorded = self._recorder.close()

    def opening(self) -> dict:
        """The first message to a page."""
        described = (
            f"lead {self.source.lead} of {self.source.kind} at {self.source.rate_hz:g} Hz; network of "
            f"{self.classifier.network.size_bytes:,} bytes, {self.classifier.engine} engine"
        )
        return opening(self.source.name, described, self.source.lead, self.classifier, self.hop_s) | {
            "samples": None,
            "live": True,
            "playing": True,
            "recording": None if self._recorder is None else self._recorder.name,
        }

    def listen(self, listener: Listener) -> None:
        """Send every message to a listener, the last minute first. It is called from the source's thread."""
        with self._lock:
            for message in self._backlog:
                listener(message)
            self._listeners[listener] = None

    def leave(self, listener: Listener) -> None:
        """Stop sending."""
        with self._lock:
            self._listeners.pop(listener, None)

    def shown(self, sample: int) -> None:
        """A page has drawn up to this sample: how long ago it was taken is the latency."""
        now = time.monotonic()
        for at, taken in list(self._taken):
            if at >= sample:
                # Samples of one block were taken one after the other, this one so long before its last.
                self._shown_s = now - taken + (at - sample) / SAMPLING_RATE_HZ
                return

    def _run(self) -> None:
        heard = time.monotonic()
        try:
            while not self._stop.is_set():
                try:
                    block = self.source.read(0.1)
                except LostError as error:
                    self._tell_state("lost", str(error))
                    if not self._reopen():
                        return
                    continue
                except SourceError as error:
                    self._tell_state("ended", str(error))
                    return
                now = time.monotonic()
                if block is not None:
                    heard = now
                    self._tell_state("connected")
                    self._take(block.values, block.taken_at)
                elif now - heard > QUIET_S and not self.source.ended:
                    self._tell_state("silent")
                if self.source.ended:
                    self._take(np.zeros(0), now, flush=True)
                    self._tell_state("ended", "the source has ended")
                    return
        finally:
            self.finished.set()

    def _reopen(self) -> bool:
        """Wait until the source is back; what it did not give meanwhile is missing. Sources that tell of lost samples
        by their own clock say it themselves."""
        since = time.monotonic()
        while not self._stop.wait(RETRY_S):
            rate = self.source.rate_hz
            try:
                self.source.open()
            except (LostError, SourceError):
                continue
            if self.source.rate_hz != rate:
                self._tell_state("ended", f"the source has come back with {self.source.rate_hz:g} Hz, it had {rate:g}")
                return False
            away = time.monotonic() - since
            if not getattr(self.source, "tells_gaps", False) and away < LONGEST_GAP_S:
                self._take(np.full(round(away * rate), np.nan), time.monotonic())
            return True
        return False

    def _take(self, values: np.ndarray, taken_at: float, flush: bool = False) -> None:
        if self._recorder is not None and len(values):
            self._recorder.add(values)
        samples = self._converted(self._converter, values, flush, SAMPLING_RATE_HZ)
        heard = samples
        if self._heard is not None:
            heard = self._converted(self._heard, values, flush, self.classifier.usage.takes.rate_hz)
        signal, missing = samples.signal_mv, samples.missing
        if not len(signal) and not len(heard):
            return
        microvolts = np.clip(np.rint(1000 * signal), MISSING_UV + 1, -MISSING_UV - 1).astype(int)
        message: dict = {
            "start": self._received,
            "microvolts": np.where(missing, MISSING_UV, microvolts).tolist(),
            "decisions": [],
            "changes": [],
        }
        self._received += len(signal)
        self._taken.append((self._received, taken_at))
        for decision in self._stream.feed(heard):
            row = row_of(decision, self.classifier.usage.classes)
            message["decisions"].append(row)
            if row["said"] != self._said:
                message["changes"].append(row)
                self._keep({"event": row["said"], "at_s": row["at"] / SAMPLING_RATE_HZ, **row})
            self._said = row["said"]
        message |= beats_of(self._beats, samples)
        for beat in message["beats"]:
            self._keep({"beat": beat["kind"], "at_s": round(beat["at"] / SAMPLING_RATE_HZ, 4)})
        message["age_ms"] = round(1000 * (time.monotonic() - taken_at), 1)
        message["latency_ms"] = None if self._shown_s is None else round(1000 * self._shown_s, 1)
        message["state"] = self.state
        self._send(message)

    def _converted(self, converter: Converter, values: np.ndarray, flush: bool, rate_hz: float) -> Samples:
        parts = [converter.feed(values)] + ([converter.flush()] if flush else [])
        signal, missing = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        return Samples(self.source.lead, signal, missing, np.zeros(len(signal), bool), rate_hz)

    def _keep(self, content: dict) -> None:
        if self._recorder is not None:
            self._recorder.event(content)

    def _tell_state(self, state: str, why: str = "") -> None:
        if state == self.state:
            return
        self.state = state
        self._keep({"source": state, "at_s": self._received / SAMPLING_RATE_HZ, "why": why})
        self._send(
            {"start": self._received, "microvolts": [], "decisions": [], "changes": [], "state": state, "why": why}
        )

    def _send(self, message: dict) -> None:
        with self._lock:
            self._backlog.append(message)
            while self._backlog[0]["start"] < self._received - BACKLOG_S * SAMPLING_RATE_HZ:
                self._backlog.popleft()
            for listener in list(self._listeners):
                listener(message)
