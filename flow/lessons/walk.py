"""The flow as the notebooks walk it: one switch for all, progress as plain text, tables that check themselves."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from html import escape
from pathlib import Path
from typing import NamedTuple

from flow.build.products import Product, locked
from flow.build.settings import Settings, record
from flow.look.html import Html, card, facts, table
from flow.steps.chain import Flow

BUILD = "../build"  # the notebooks run in their own folder
QUICK = Settings(build=f"{BUILD}/walk", network="tiny", quick=True, synthetic=True)
FULL = Settings(build=f"{BUILD}/flow")  # what `ecg-alq flow` does without options


def _alone(step: Callable[[Flow], Product]) -> Callable[[Walk], Product]:
    @wraps(step)
    def asked(self: Walk) -> Product:
        with self.alone():
            return step(self)

    return asked


class Walk(Flow):
    """The flow behind a notebook.

    Args: full: the settings of `make flow`, on its products; else a small network on synthetic ECG, few epochs;
        on_epoch: as in Flow.
    """

    def __init__(self, full: bool = False, on_epoch: Callable[[int, dict], None] | None = None):
        super().__init__(FULL if full else QUICK, on_epoch)
        self.full = full
        self._inside = False
        show_progress_as_text()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """The build folder for this notebook alone, as for a command; its settings are left for later commands."""
        if self._inside:
            yield
            return
        with locked(self.build):
            self._inside = True
            try:
                yield
                record(self.settings)
            finally:
                self._inside = False

    train, quantise, freeze = _alone(Flow.train), _alone(Flow.quantise), _alone(Flow.freeze)
    convert, csim, parity, report = _alone(Flow.convert), _alone(Flow.csim), _alone(Flow.parity), _alone(Flow.report)

    def _repr_html_(self) -> str:
        settings, source = self.settings, self.source
        mode = "full: as <code>make flow</code>" if self.full else "quick: a demonstration, not a result"
        rows = [
            ("mode", Html(mode)),
            ("network", settings.network),
            ("data", f"{source['data_source']} ECG" + (f" ({self.records})" if self.records else "")),
            ("products", Html(f"<code>{settings.build}</code>, made once and then found again")),
        ]
        note = source.get("note", "")
        banner = f'<p class="banner">{note[:1].upper() + note[1:]}.</p>' if note else ""
        return Html(banner + facts(rows), 760)._repr_html_()


def show_progress_as_text() -> None:
    """In a notebook, progress goes where results go: JupyterLab paints what comes from stderr as an error."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and hasattr(shell, "kernel"):
        sys.stderr = sys.stdout
        from IPython.core.pylabtools import select_figure_formats

        select_figure_formats(shell, {"svg"})


class Check(NamedTuple):
    """A line of a checked table: a figure, and what must hold of it."""

    figure: str
    value: object
    must: str
    holds: bool


class CheckedTable:
    """Figures that were checked; shows itself as a table. `figures`: by name."""

    def __init__(self, checks: Sequence[Check]):
        self.checks = tuple(checks)
        self.figures = {check.figure: check.value for check in self.checks}

    def __repr__(self) -> str:
        return "\n".join(f"{check.figure}: {_text(check.value)} ({check.must})" for check in self.checks)

    def _repr_html_(self) -> str:
        mark = Html('<b style="color: var(--good)">&#10003;</b>')
        rows = [(check.figure, _short(_text(check.value)), check.must, mark) for check in self.checks]
        return Html(table(("figure", "value", "checked", ""), rows, kind="words"), 900)._repr_html_()


def checked(checks: Sequence[Check]) -> CheckedTable:
    """The table of the checks. Raises: AssertionError: a check does not hold; the message has the figure."""
    broken = [check for check in checks if not check.holds]
    if broken:
        raise AssertionError("; ".join(f"{c.figure} is {_text(c.value)}, must be: {c.must}" for c in broken))
    return CheckedTable(checks)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _short(text: str) -> str:
    return f"{text[:12]}..." if len(text) == 64 else text  # a hash


class Exercise(NamedTuple):
    """A question whose answer is a number; the notebook asks it in words."""

    right: float
    hint: str

    def check(self, answer: float | None) -> Html:
        """Say whether an answer is right; None has not been answered yet."""
        if answer is None:
            colour, text = "muted", "Put your number into <code>answer</code> and run the cell again."
        elif isinstance(answer, (int, float)) and abs(answer - self.right) < 1e-9:
            colour, text = "good", f"{answer:,} is right."
        else:
            colour, text = "bad", f"{escape(str(answer))} is not right. Hint: {self.hint}"
        return Html(card(f'<span style="color: var(--{colour})">{text}</span>'), 760)


def percent(share: float) -> str:
    """A share as a percentage with one decimal."""
    return f"{100 * share:.1f} %"


def same_as_report(walk: Walk, figures: dict[str, object]) -> list[Check]:
    """Checks that figures are those of `report.json`, where `make flow` or 04_convert has written it.

    Args: figures: key in report.json -> value here.
    """
    path = Path(walk.build) / "report.json"
    return [
        Check(key, value, f"equal in {path.name}", json.loads(path.read_text("utf-8"))[key] == value)
        for key, value in figures.items()
    ]
