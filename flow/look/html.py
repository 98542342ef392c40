"""Pieces of pages, the report's or a notebook's: cards, tables, and the colours that all of them share."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path


class Html(str):
    """A piece of a page, HTML or SVG, that a notebook shows in the colours of its theme.

    Args: text: the piece; width: at most this many pixels wide in a notebook.
    """

    width: int

    def __new__(cls, text: str, width: int = 1000) -> Html:
        """A string that knows how wide it wants to be."""
        piece = super().__new__(cls, text)
        piece.width = width
        return piece

    def _repr_html_(self) -> str:
        style = theme(".ecg-alq", NOTEBOOK_DARK) + stylesheet("notebook.css")
        style += f".ecg-alq {{ {stylesheet('parts.css')} }}"  # nested: a notebook's other tables stay as they are
        return f'<style>{style}</style><div class="ecg-alq" style="max-width: {self.width}px">{self}</div>'

    def __repr__(self) -> str:
        return re.sub(r"<svg.*?</svg>", "(picture)", self, flags=re.DOTALL) if "<svg" in self else str(self)


NOTEBOOK_DARK = ':is([data-jp-theme-light="false"], [data-md-color-scheme="slate"]) .ecg-alq'  # JupyterLab, our site


@cache
def stylesheet(name: str) -> str:
    """One of the style sheets beside this module."""
    return (Path(__file__).parent / name).read_text("utf-8")


def theme(selector: str, dark: str | None = None) -> str:
    """Our colours as variables of the elements that `selector` chooses.

    Args: dark: chooses the elements of a dark page; None: the reader's system decides.
    """
    light_colours, dark_colours = stylesheet("theme.css").split("/* dark */")
    dark_rule = (
        f"{dark} {{ {dark_colours} }}"
        if dark
        else (f"@media (prefers-color-scheme: dark) {{ {selector} {{ {dark_colours} }} }}")
    )
    return f"{selector} {{ {light_colours} }}\n{dark_rule}\n"


def card(content: str, caption: str = "", scroll: bool = False, kind: str = "") -> Html:
    """A framed picture with its caption above it."""
    caption = f"<figcaption>{caption}</figcaption>" if caption else ""
    # A wide picture scrolls inside its card; the keyboard must reach it as well.
    body = f'<div class="scroll" tabindex="0">{content}</div>' if scroll else content
    return Html(f'<figure class="card {kind}">{caption}{body}</figure>')


def table(head: Sequence[str], rows: Sequence[Sequence[str]], foot: Sequence[str] = (), kind: str = "") -> Html:
    """A table; the first column is names. Args: kind: class of the page's style, `words` for columns of text."""

    def line(cells: Sequence[str], tag: str = "td") -> str:
        return "<tr>" + "".join(f"<{tag}>{_escaped(cell)}</{tag}>" for cell in cells) + "</tr>"

    last = f"<tfoot>{line(foot)}</tfoot>" if foot else ""
    lines = f"<table><thead>{line(head, 'th')}</thead><tbody>{''.join(map(line, rows))}</tbody>{last}</table>"
    return Html(f'<div class="card scroll {kind}" tabindex="0">{lines}</div>')


def _escaped(cell: str) -> str:
    return cell if isinstance(cell, Html) else escape(cell)


def facts(rows: Sequence[tuple[str, str]]) -> Html:
    """Names and values."""
    lines = "".join(f"<tr><td>{escape(name)}</td><td>{_escaped(value)}</td></tr>" for name, value in rows)
    return Html(f'<div class="card facts" style="margin-top:.8rem"><table>{lines}</table></div>')


def image(path: Path, caption: str = "", width: int = 760) -> Html:
    """A picture file as part of the page."""
    kind = {".svg": "svg+xml", ".png": "png"}[path.suffix]
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    tag = f'<img style="width: 100%; background: white" alt="{caption}" src="data:image/{kind};base64,{data}">'
    return Html(card(tag, caption), width)
