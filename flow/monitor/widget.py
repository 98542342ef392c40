"""The monitor in a notebook: the same page with the recording inside it, so that it needs no server and no network.

It plays wherever the notebook is shown: in JupyterLab here or on a remote machine, and in the HTML copy of an executed
notebook.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from html import escape

from flow.monitor.server import PAGE
from flow.monitor.stream import Play, tracks
from flow.recordings.classify import Classifier
from qmodel.data.mitdb import SAMPLING_RATE_HZ
from qmodel.data.recording import Recording

STRETCH = 5 * SAMPLING_RATE_HZ  # of one message


@dataclass(frozen=True)
class Widget:
    """A self-contained page that plays what a stream has said; a notebook shows it where it is a cell's last value.

    Args: messages: what the server would have sent: Play.opening(), then stretches to the end; height_px: of the frame.
    """

    messages: list[dict]
    height_px: int = 800

    @property
    def page(self) -> str:
        """The whole page, HTML. Its policy allows this script and this style, and no request at all."""
        style = (PAGE / "monitor.css").read_text("utf-8")
        script = (PAGE / "monitor.js").read_text("utf-8")
        policy = f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}"
        # "<" is written so that no sample text can end the element.
        recording = json.dumps(self.messages, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
        page = (PAGE / "index.html").read_text("utf-8")
        for tag, content in (
            (
                '<meta charset="utf-8">',
                f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">',
            ),
            ('<link rel="icon" href="icon.svg">', ""),
            ('<link rel="stylesheet" href="monitor.css">', f"<style>{style}</style>"),
            (
                '<script type="module" src="monitor.js"></script>',
                f'<script type="application/json" id="recording">{recording}</script>'
                f'<script type="module">{script}</script>',
            ),
        ):
            before, found, after = page.partition(tag)
            assert found, f"the page has no {tag}"
            page = before + content + after
        return page

    def _repr_html_(self) -> str:
        return (
            f'<iframe title="ECG monitor: {escape(self.messages[0]["title"])}" sandbox="allow-scripts" '
            f'style="width: 100%; height: {self.height_px}px; border: 0" srcdoc="{escape(self.page)}"></iframe>'
        )


def widget(
    recording: Recording,
    classifier: Classifier,
    lead: str | None = None,
    start_s: float = 0.0,
    stop_s: float | None = None,
    hop_s: float | None = None,
) -> Widget:
    """Let the stream hear a recording, and keep what it says for a page to play.

    Args: lead: as in Recording.lead; start_s, stop_s: which part of it, at least ten seconds (a page holds about 100 kB
        for a minute); hop_s: seconds from decision to decision.
    Raises: DataError: a part shorter than a window, or what Recording.samples raises.
    """
    part, heard = tracks(recording, lead, classifier.usage.takes, start_s, stop_s)
    play = Play.of(recording, part, classifier, hop_s=hop_s, start_s=start_s, playing=False, heard=heard)
    messages = [play.opening()]
    for stop in range(STRETCH, len(part) + STRETCH, STRETCH):
        messages.append(play.advance(stop))
    return Widget(messages)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
