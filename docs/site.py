"""What MkDocs asks while it builds the site: the README as its first page, a page per module, and nothing from elsewhere."""

import re
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("qmodel", "hls", "board", "flow")
# What a browser would fetch by itself; links that a reader may follow are none of these.
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preconnect|preload|icon|dns-prefetch))[^>]*\bhref=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|@import\s+["']?(?:url\()?["']?(?:https?:)?//[^"'\s)]+|url\(["']?(?:https?:)?//[^"'\s)]+""",
    re.IGNORECASE,
)


def on_files(files, config):
    """Add the README and the reference pages to the files of docs/."""
    files.append(File.generated(config, "index.md", content=_readme()))
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[-1] == "__init__":
                page, parts = "/".join((*parts[:-1], "index")), parts[:-1]
            else:
                page = "/".join(parts)
            if any(part.startswith("_") for part in parts):
                continue
            name = ".".join(parts)
            text = f"---\ntitle: {parts[-1]}\n---\n# {name}\n\n::: {name}\n"
            files.append(File.generated(config, f"reference/{page}.md", content=text))
    return files


def on_post_build(config):
    """Refuse a site that fetches anything from another place."""
    for path in sorted(Path(config.site_dir).rglob("*")):
        if path.suffix in (".html", ".css") and (found := FETCHED.search(path.read_text("utf-8"))):
            raise PluginError(f"{path} fetches from elsewhere: {found[0]}")


def _readme() -> str:
    """The README, its links as seen from docs/; links to files that the site does not have become plain text."""

    def link(found: re.Match) -> str:
        image, text, target = found.groups()
        if target.startswith("docs/"):
            return f"{image}[{text}]({target.removeprefix('docs/')})"
        return found[0] if re.match(r"https?:|#", target) else text

    return re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", link, (ROOT / "README.md").read_text("utf-8"))
