"""What MkDocs asks while it builds the site: navigation, pages from the parser, from notebooks and from modules.

Nothing that a page shows may come from another place.
"""

from __future__ import annotations

import argparse
import json
import posixpath
import re
import sys
from html import escape
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
# Files of the project outside of docs/, and the pages they become.
PAGES = {
    "README.md": "index.md",
    "MODEL_CARD.md": "model-card.md",
    "qmodel/data/README.md": "data.md",
    "qmodel/data/mitdb106/README.md": "sample.md",
    "board/README.md": "board.md",
    "CHANGELOG.md": "changelog.md",
}
PAGES |= {name: name.lower() for name in ("CONTRIBUTING.md", "SECURITY.md") if (ROOT / name).is_file()}
PICTURES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "results").glob("*.svg"))
PACKAGES = ("qmodel", "hls", "board", "flow")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
EXECUTED = ROOT / "build" / "notebooks"  # `make notebooks` leaves them there
LISTED = "<!-- notebooks: the list is made by docs/site.py -->"
# What a browser would fetch by itself; links that a reader may follow are none of these.
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preconnect|preload|icon|dns-prefetch))"""
    r"""[^>]*\bhref=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|@import\s+["']?(?:url\()?["']?(?:https?:)?//[^"'\s)]+|url\(["']?(?:https?:)?//[^"'\s)]+""",
    re.IGNORECASE,
)
_outputs: dict[str, list[str]] = {}  # address of a notebook's page -> HTML of its outputs, put in after Markdown


def on_config(config):
    """The navigation: what a reader wants to do comes first."""
    from flow.cli.main import GROUPS

    config["nav"] = [
        {"Start": ["index.md", "install.md", "changelog.md"]},
        {"Tutorials": ["tutorials/index.md", *(f"tutorials/{path.stem}.md" for path in NOTEBOOKS)]},
        {
            "How-to": [
                "howto/classify.md",
                "recordings.md",
                "howto/monitor.md",
                "howto/train.md",
                "howto/own-data.md",
                "alq.md",
                "howto/hardware.md",
                "board.md",
                "first-contact.md",
            ]
        },
        {
            "Reference": [
                {
                    "Commands": [
                        "commands/index.md",
                        *({group: [f"commands/{name}.md" for name in names]} for group, names in GROUPS.items()),
                    ]
                },
                "architecture.md",
                "networks.md",
                "number-contract.md",
                "file-format.md",
                {"Data": ["data.md", "sample.md"]},
                *_own_pages(),
                {"Python": [{package: _tree(modules(package))} for package in PACKAGES]},
            ]
        },
        {"Model card": "model-card.md"},
        {"Results": "results.md"},
        {"Licences": "licences.md"},
    ]
    return config


def _own_pages() -> list[str]:
    return [address for source, address in PAGES.items() if source in ("CONTRIBUTING.md", "SECURITY.md")]


def modules(package: str) -> dict[tuple[str, ...], str]:
    """Public modules: path of names -> address of the page."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in name):
            found[name] = f"reference/{'/'.join((*name, 'index') if name != parts else name)}.md"
    return found


def _tree(pages: dict[tuple[str, ...], str]) -> list:
    """Pages of one package as a navigation: packages are sections whose first page is their own."""
    root = min(pages, key=len)
    tree: list = [pages[root]] if len(root) else []
    below: dict[str, dict] = {}
    for name, address in pages.items():
        if len(name) > len(root):
            below.setdefault(name[len(root)], {})[name] = address
    for part, own in below.items():
        tree.append({part: next(iter(own.values()))} if len(own) == 1 else {part: _tree(own)})
    return tree


def on_files(files, config):
    """Add the pages made from the project to the files of docs/."""
    for source, address in PAGES.items():
        files.append(File.generated(config, address, content=(ROOT / source).read_text("utf-8")))
    for picture in PICTURES:
        files.append(File.generated(config, picture, content=(ROOT / picture).read_bytes()))
    for address, text in command_pages().items():
        files.append(File.generated(config, address, content=text))
    for path in NOTEBOOKS:
        address = f"tutorials/{path.stem}.md"
        text, _outputs[address] = notebook_page(path)
        files.append(File.generated(config, address, content=text))
    for package in PACKAGES:
        for name, address in modules(package).items():
            text = f"---\ntitle: {name[-1]}\n---\n# {'.'.join(name)}\n\n::: {'.'.join(name)}\n"
            files.append(File.generated(config, address, content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    """Links as the project's files have them, turned into links of the site."""
    address = page.file.src_uri
    if address.startswith("reference/"):
        return markdown
    source = next((own for own, target in PAGES.items() if target == address), f"docs/{address}")
    if address in _outputs:
        source = f"notebooks/{Path(address).name}"
    return linked(markdown.replace(LISTED, notebook_list()), source, address)


def on_page_content(html, page, config, files):
    """Outputs of a notebook's cells, which Markdown must not touch."""
    for number, output in enumerate(_outputs.get(page.file.src_uri, ())):
        html = html.replace(f"<p>{_mark(number)}</p>", output)
    return html


def on_post_build(config):
    """Refuse a site that fetches anything from another place."""
    for path in sorted(Path(config.site_dir).rglob("*")):
        if path.suffix in (".html", ".css") and (found := FETCHED.search(path.read_text("utf-8"))):
            raise PluginError(f"{path} fetches from elsewhere: {found[0]}")


def linked(text: str, source: str, address: str) -> str:
    """A page's Markdown with the links of `source` as seen from `address`; those to what the site lacks become text."""
    folder = (ROOT / source).parent

    def link(found: re.Match) -> str:
        image, words, target = found.groups()
        if re.match(r"https?:|#", target):
            return found[0]
        file, _, anchor = target.partition("#")
        path = (folder / file).resolve()
        inside = _address(path.relative_to(ROOT).as_posix()) if path.is_relative_to(ROOT) else None
        if inside is None:
            return words
        relative = posixpath.relpath(inside, posixpath.dirname(address) or ".")
        return f"{image}[{words}]({relative}{'#' * bool(anchor)}{anchor})"

    pieces = re.split(r"(^```.*?^```|`[^`\n]+`)", text, flags=re.DOTALL | re.MULTILINE)
    changed = (re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", link, piece) for piece in pieces[::2])
    return "".join(piece for pair in zip(changed, [*pieces[1::2], ""]) for piece in pair)


def _address(file: str) -> str | None:
    """Where a file of the project stands on the site."""
    if file in PICTURES:
        return file
    if file in PAGES:
        return PAGES[file]
    if file.startswith("notebooks/") and file.endswith(".ipynb"):
        return f"tutorials/{Path(file).stem}.md"
    return file.removeprefix("docs/") if file.startswith("docs/") else None


# Commands -------------------------------------------------------------------------------------------------------------


def command_pages() -> dict[str, str]:
    """Address -> Markdown: a page per command and one of all, made from the parser."""
    from flow.cli.main import COMMANDS, GROUPS, parser

    top = parser()
    parsers = next(action for action in top._actions if isinstance(action, argparse._SubParsersAction)).choices
    examples = {command.name: command.example for command in COMMANDS}
    blocks = ["# Commands", "`ecg-alq --help` shows this list, `ecg-alq --version` the version."]
    pages = {}
    for group, names in GROUPS.items():
        rows = [f"| [`{name}`]({name}.md) | {_first_sentence(parsers[name].description)} |" for name in names]
        blocks.append("\n".join([f"## {group}", "", "| command | what it does |", "|---|---|", *rows]))
        for name in names:
            pages[f"commands/{name}.md"] = command_page(name, parsers[name], examples[name])
    pages["commands/index.md"] = "\n\n".join(blocks) + "\n"
    return pages


def command_page(name: str, parser: argparse.ArgumentParser, example: str) -> str:
    """One command: what it does, an example, its arguments and options."""
    blocks = [f"---\ntitle: {name}\n---\n# ecg-alq {name}", parser.description or "", f"    {parser.usage}"]
    blocks += ["For example:", f"    {example}"]
    for group in parser._action_groups:
        rows = [
            _option_row(parser, action)
            for action in group._group_actions
            if action.dest != "help" and action.help != argparse.SUPPRESS
        ]
        if rows:
            title = {"positional arguments": "Arguments", "options": "Options"}.get(group.title, group.title)
            intro = [group.description, ""] if group.description else []
            head = ["| | |", "|---|---|"]
            blocks.append("\n".join([f"## {title[:1].upper()}{title[1:]}", "", *intro, *head, *rows]))
    return "\n\n".join(blocks) + "\n"


def _option_row(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    names = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{action.metavar or action.dest}`"
    value = ""
    if action.option_strings and action.nargs != 0:
        value = f" {action.metavar or ('' if action.choices else action.dest.upper())}".rstrip()
    text = (action.help or "") % (vars(action) | {"prog": parser.prog})
    if action.choices:
        text += f"; one of {', '.join(f'`{choice}`' for choice in action.choices)}"
    return f"| {names}{value} | {text.replace('|', chr(92) + '|')} |"


def _first_sentence(text: str) -> str:
    return f"{text.partition('. ')[0].rstrip('.')}."


# Notebooks ------------------------------------------------------------------------------------------------------------


def notebook_page(path: Path) -> tuple[str, list[str]]:
    """A notebook as Markdown, with a mark for the outputs of each cell; and these outputs as HTML.

    The copy that `make notebooks` executed is taken where it has the same cells; else the page has no outputs.
    """
    notebook, executed = _read(path), EXECUTED / path.name
    if executed.is_file() and _sources(_read(executed)) == _sources(notebook):
        notebook = _read(executed)
    blocks, outputs = [], []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            blocks.append(source)
            continue
        blocks.append(f"```python\n{source}\n```")
        if html := "".join(map(_output, cell["outputs"])):
            blocks.append(_mark(len(outputs)))
            outputs.append(f'<div class="output">{html}</div>')
    if not outputs:
        blocks.insert(1, "!!! note\n    This copy was built without outputs. `ecg-alq notebook` opens the notebook.")
    return "\n\n".join(blocks) + "\n", outputs


def _read(path: Path) -> dict:
    return json.loads(path.read_text("utf-8"))


def _sources(notebook: dict) -> list[str]:
    return [
        "".join(cell["source"]) for cell in notebook["cells"] if "parameters" not in cell["metadata"].get("tags", ())
    ]


def _mark(number: int) -> str:
    return f"notebook-output-{number:03d}-here"


def _output(output: dict) -> str:
    if output["output_type"] == "stream":
        return f"<pre>{escape(''.join(output['text']))}</pre>"
    data = output.get("data", {})
    for kind in ("text/html", "image/svg+xml"):
        if kind in data:
            return "".join(data[kind])
    return f"<pre>{escape(''.join(data['text/plain']))}</pre>" if "text/plain" in data else ""


def notebook_list() -> str:
    """The notebooks as a table: name, goal, time."""
    rows = ["| tutorial | what you learn | time |", "|---|---|---|"]
    for path in NOTEBOOKS:
        head = "".join(_read(path)["cells"][0]["source"])
        facts = dict(re.findall(r"^\| \*\*(\w+)\*\* \| (.*?) \|$", head, re.MULTILINE))
        title = re.search(r"^# (.*)$", head, re.MULTILINE)[1].replace("&nbsp;", "").replace("  ", " ")
        rows.append(f"| [{title}](../../notebooks/{path.name}) | {facts['Goal']} | {facts['Time']} |")
    return "\n".join(rows)
