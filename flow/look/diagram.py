"""The flow as a picture: one pictogram per step, the SVG of the README, and the icons of the report."""

from __future__ import annotations

from typing import NamedTuple


class Drawn(NamedTuple):
    """A step as it is drawn: title, what leaves it, and the strokes of its pictogram in a square of 24 units."""

    step: str
    title: str
    product: str
    strokes: str


STEPS = (
    Drawn("data", "Records", "ten-second windows", "M2 13h5l2-3 2 9 3-15 2 11 1-2h5"),
    Drawn("train", "Train", "float network", "M3 3v18h18M6 7c2 8 5 9 14 10"),
    Drawn("quantise", "Quantise", "sums of signs", "M4 8h6M7 5v6M14 8h6M4 16h6M14 16h6M17 13v6"),
    Drawn("freeze", "Freeze", "integers, one file", "M12 2v20M3.3 7l17.4 10M20.7 7L3.3 17M9 3l3 3 3-3M9 21l3-3 3 3"),
    Drawn("convert", "Convert", "HLS project", "M8 6l-6 6 6 6M16 6l6 6-6 6M14 4l-4 16"),
    Drawn("csim", "Simulate", "C simulation", "M7 7h10v10H7zM10 3v4m4 0V3M10 17v4m4 0v-4M3 10h4m0 4H3M17 10h4m0 4h-4"),
    Drawn("parity", "Compare", "every integer equal", "M4 9h16M4 15h16"),
    Drawn("report", "Report", "one page", "M6 2h9l4 4v16H6zM15 2v4h4M9 11h7M9 15h7M9 19h4"),
)

_STYLE = """
    .box { fill: #f4f6f8; stroke: #c3ccd5; } .icon { fill: none; stroke: #0b6e7f; stroke-width: 1.6;
      stroke-linecap: round; stroke-linejoin: round; } .arrow { fill: none; stroke: #7b8794; stroke-width: 1.6; }
    .head { fill: #7b8794; } .title { font: 600 15px system-ui, sans-serif; fill: #17212b; }
    .note { font: 12px system-ui, sans-serif; fill: #55616e; }
    @media (prefers-color-scheme: dark) { .box { fill: #1b232c; stroke: #3a4652; } .icon { stroke: #5cc8d7; }
      .title { fill: #eef2f5; } .note { fill: #a9b4bf; } .arrow { stroke: #8b97a3; } .head { fill: #8b97a3; } }
"""
_WIDTH, _HEIGHT, _GAP, _PER_ROW = 176, 96, 40, 4


def icon(strokes: str) -> str:
    """A pictogram that takes the colour of the text around it."""
    return f'<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d="{strokes}"/></svg>'


def svg() -> str:
    """The whole flow, two rows of four steps; follows the reader's light or dark theme."""
    width = _PER_ROW * _WIDTH + (_PER_ROW - 1) * _GAP + 8
    height = 2 * _HEIGHT + _GAP + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{", ".join(f"{drawn.title}: {drawn.product}" for drawn in STEPS)}">',
        f"  <style>{_STYLE}  </style>",
    ]
    for i, drawn in enumerate(STEPS):
        row, column = divmod(i, _PER_ROW)
        x, y = 4 + column * (_WIDTH + _GAP), 4 + row * (_HEIGHT + _GAP)
        middle = x + _WIDTH // 2
        parts += [
            f'  <rect class="box" x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="10"/>',
            f'  <path class="icon" transform="translate({middle - 14} {y + 10}) scale(1.17)" d="{drawn.strokes}"/>',
            f'  <text class="title" x="{middle}" y="{y + 61}" text-anchor="middle">{drawn.title}</text>',
            f'  <text class="note" x="{middle}" y="{y + 81}" text-anchor="middle">{drawn.product}</text>',
        ]
        if i == len(STEPS) - 1:
            continue
        if column < _PER_ROW - 1:
            end = x + _WIDTH + _GAP - 6
            parts.append(f'  <path class="arrow" d="M{x + _WIDTH + 4} {y + _HEIGHT // 2}H{end - 6}"/>')
            parts.append(f'  <path class="head" d="M{end} {y + _HEIGHT // 2}l-8 -4v8z"/>')
        else:
            turn, first = y + _HEIGHT + _GAP // 2, 4 + _WIDTH // 2
            parts.append(f'  <path class="arrow" d="M{middle} {y + _HEIGHT + 4}V{turn}H{first}V{turn + 8}"/>')
            parts.append(f'  <path class="head" d="M{first} {turn + 15}l-4 -8h8z"/>')
    return "\n".join([*parts, "</svg>\n"])


if __name__ == "__main__":  # python -m flow.look.diagram > docs/flow.svg
    print(svg(), end="")
