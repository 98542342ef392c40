"""The project's docstrings as Markdown: sections that begin inside a line become paragraphs and lists."""

import re

import griffe

SECTIONS = ("Args", "Input shape", "Output shape", "Returns", "Raises", "Source", "Sources", "Example")
_SECTION = re.compile(rf"(?:^|(?<=\s))({'|'.join(SECTIONS)}): ")
_ITEM = re.compile(r"(?:^|; )((?:\w+(?: \(|\))?)(?:, \w+)*): ")


class ReadableDocstrings(griffe.Extension):
    """Rewrites every docstring before it is rendered."""

    def on_object(self, *, obj: griffe.Object, **_) -> None:
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(docstring: str) -> str:
    """A docstring as Markdown; blocks that are indented by four or more are left as code."""
    blocks = re.split(r"\n\s*\n", docstring)
    return "\n\n".join(block if re.match(r" {4}", block) else _block(block) for block in blocks)


def _block(block: str) -> str:
    before, *sections = _SECTION.split(" ".join(block.split()) if _SECTION.search(block) else block)
    parts = [_plain(before.strip())] if before.strip() else []
    for title, text in zip(sections[::2], sections[1::2]):
        _, *items = _ITEM.split(text.strip())
        listed = title in ("Args", "Raises") and _ITEM.match(text)
        if listed:
            rows = "".join(f"\n- `{name}`: {_plain(content)}" for name, content in zip(items[::2], items[1::2]))
            parts.append(f"**{title}**\n{rows}")
        else:
            parts.append(f"**{title}**: {_plain(text.strip())}")
    return "\n\n".join(parts)


def _plain(text: str) -> str:
    """Text whose stars, angle brackets and brackets mean themselves; what stands in backticks is code already."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(p if p.startswith("`") else re.sub(r"([*<\[\]|])", r"\\\1", p) for p in pieces)
