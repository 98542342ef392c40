"""The picture of the architecture page, from the imports that are there: `python docs/picture.py [--check]`."""

from __future__ import annotations

import sys
from pathlib import Path

import grimp

PAGE = Path(__file__).with_name("architecture.md")
BEGIN, END = "<!-- made by docs/picture.py -->\n```text\n", "```\n"
PACKAGES = ("flow", "hls", "board", "qmodel")
COLUMN = 36


def layers(graph: grimp.ImportGraph, package: str) -> list[str]:
    """Modules and folders of a package, highest first: each stands one line above the highest that it imports."""
    names = sorted(graph.find_children(package))
    below = {
        name: [
            other
            for other in names
            if other != name and graph.direct_import_exists(importer=name, imported=other, as_packages=True)
        ]
        for name in names
    }
    heights: dict[str, int] = {}
    while len(heights) < len(names):
        ready = [name for name in names if name not in heights and all(other in heights for other in below[name])]
        if not ready:
            raise ValueError(f"imports of {package} go in a circle: {sorted(set(names) - set(heights))}")
        heights |= {name: 1 + max((heights[other] for other in below[name]), default=-1) for name in ready}
    rows: list[list[str]] = [[] for _ in range(1 + max(heights.values()))]
    for name, height in heights.items():
        rows[-1 - height].append(name.partition(".")[2])
    return [" | ".join(sorted(row)) for row in rows]


def taken(graph: grimp.ImportGraph, package: str, other: str) -> list[str]:
    """Modules of another package that a package imports."""
    return [
        name.partition(".")[2]
        for name in sorted(graph.find_children(other))
        if graph.direct_import_exists(importer=package, imported=name, as_packages=True)
    ]


def picture() -> str:
    """The four packages and their layers."""
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)
    rows = {package: layers(graph, package) for package in PACKAGES}
    rows["board"] += ["", "takes of qmodel:", *taken(graph, "board", "qmodel")]

    def column(package: str, line: int) -> str:
        text = rows[package][line] if line < len(rows[package]) else ""
        return f"{package if line == 0 else '':8}{text}"

    both = range(max(len(rows["hls"]), len(rows["board"])))
    ruler = "    +" + "-" * (COLUMN - 1) + "+"
    lines = [
        *(column("flow", line) for line in range(len(rows["flow"]))),
        "    |",
        ruler,
        "    v" + " " * (COLUMN - 1) + "v",
        *(f"{column('hls', line):{COLUMN}}    {column('board', line)}" for line in both),
        "    |" + " " * (COLUMN - 1) + "|",
        ruler,
        "    v",
        *(column("qmodel", line) for line in range(len(rows["qmodel"]))),
    ]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def main(check: bool) -> int:
    """Put the picture into its page, or say whether it stands there; returns the exit code."""
    text = PAGE.read_text("utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE} has no block that begins with {BEGIN!r}")
    made = before + begin + picture() + end + after
    if check:
        if made != text:
            print(f"{PAGE.name} does not show the imports that are there: python docs/picture.py", file=sys.stderr)
        return int(made != text)
    PAGE.write_text(made, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
