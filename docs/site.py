"""What MkDocs asks while it builds the site: README and the like, results' pictures, a page per module.

Nothing that a page shows may come from another place.
"""

import re
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
# Files of the project outside of docs/, and the pages they become.
PAGES = {
    "README.md": "index.md",
    "MODEL_CARD.md": "model-card.md",
    "qmodel/data/README.md": "data.md",
    "board/README.md": "board.md",
    "CHANGELOG.md": "changelog.md",
}
PICTURES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "results").glob("*.svg"))
PACKAGES = ("qmodel", "hls", "board", "flow")
# What a browser would fetch by itself; links that a reader may follow are none of these.
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preconnect|preload|icon|dns-prefetch))"""
    r"""[^>]*\bhref=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|@import\s+["']?(?:url\()?["']?(?:https?:)?//[^"'\s)]+|url\(["']?(?:https?:)?//[^"'\s)]+""",
    re.IGNORECASE,
)


def on_files(files, config):
    """Add those pages, the pictures of results and the reference to the files of docs/."""
    for source, address in PAGES.items():
        files.append(File.generated(config, address, content=page(source)))
    for picture in PICTURES:
        files.append(File.generated(config, picture, content=(ROOT / picture).read_bytes()))
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            address = "/".join(parts)
            if parts[-1] == "__init__":
                address, parts = "/".join((*parts[:-1], "index")), parts[:-1]
            if any(part.startswith("_") for part in parts):
                continue
            name = ".".join(parts)
            text = f"---\ntitle: {parts[-1]}\n---\n# {name}\n\n::: {name}\n"
            files.append(File.generated(config, f"reference/{address}.md", content=text))
    return files


def on_post_build(config):
    """Refuse a site that fetches anything from another place."""
    for path in sorted(Path(config.site_dir).rglob("*")):
        if path.suffix in (".html", ".css") and (found := FETCHED.search(path.read_text("utf-8"))):
            raise PluginError(f"{path} fetches from elsewhere: {found[0]}")


def page(source: str) -> str:
    """A Markdown file of the project, its links as seen from docs/; those to what the site lacks become plain text."""
    folder = (ROOT / source).parent

    def link(found: re.Match) -> str:
        image, text, target = found.groups()
        if re.match(r"https?:|#", target):
            return found[0]
        path = (folder / target).resolve()
        if path.is_relative_to(ROOT / "docs"):
            return f"{image}[{text}]({path.relative_to(ROOT / 'docs').as_posix()})"
        file = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
        inside = file if file in PICTURES else PAGES.get(file)
        return f"{image}[{text}]({inside})" if inside else text

    return re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", link, (ROOT / source).read_text("utf-8"))
