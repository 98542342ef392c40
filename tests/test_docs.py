"""The documentation site: what its hooks do. `make lint` builds the whole site with warnings as errors."""

import importlib.util
import json
import os
import re
from pathlib import Path

import pytest

from flow.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
pytest.importorskip("mkdocs", reason="needs MkDocs: pip install 'ecg-alq[docs]'")


def hooks(name: str):
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestDocstrings:
    def test_sections_become_lists(self):
        text = (
            "One line.\n\nArgs: bits: width, sign included; a, b: more\n    of them.  Returns: int64, step 2**-fx.\n"
            "Raises: ValueError: x < 0."
        )
        assert hooks("docstrings").markdown(text) == (
            "One line.\n\n**Args**\n\n- `bits`: width, sign included\n- `a, b`: more of them.\n\n"
            "**Returns**: int64, step 2\\*\\*-fx.\n\n**Raises**\n\n- `ValueError`: x \\< 0."
        )

    def test_code_stays_code(self):
        text = "Of `a * b`.\n\n    4 bytes  magic * 2"
        assert hooks("docstrings").markdown(text) == text


class TestSite:
    @pytest.mark.parametrize(
        "text",
        [
            '<script src="https://cdn.example/x.js">',
            "<script async src=//cdn.example/x.js>",
            '<link href="https://fonts.example/css" rel="stylesheet">',
            '<link rel=preconnect href="https://fonts.example">',
            "<img alt='x' src='http://elsewhere.example/a.png'>",
            '@import "https://fonts.example/css";',
            "background: url(https://elsewhere.example/a.png)",
        ],
    )
    def test_what_is_fetched_from_elsewhere_is_found(self, text, tmp_path):
        from mkdocs.exceptions import PluginError

        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "page.html").write_text(f"<html>{text}</html>", "utf-8")
        config = type("Config", (), {"site_dir": str(tmp_path)})
        with pytest.raises(PluginError, match="fetches from elsewhere"):
            hooks("site").on_post_build(config)

    def test_links_that_a_reader_may_follow_are_not(self, tmp_path):
        page = (
            '<a href="https://arxiv.org/abs/1">x</a><link rel="canonical" href="https://a.example/"><img src="a.png">'
        )
        (tmp_path / "page.html").write_text(page, "utf-8")
        hooks("site").on_post_build(type("Config", (), {"site_dir": str(tmp_path)}))

    def test_links_lead_to_pages(self):
        site = hooks("site")
        sources = dict(site.PAGES)
        docs = ROOT / "docs"
        sources |= {f"docs/{path.relative_to(docs)}": str(path.relative_to(docs)) for path in docs.rglob("*.md")}
        known = {*sources.values(), *site.PICTURES, *site.command_pages()}
        known |= {f"tutorials/{path.stem}.md" for path in site.NOTEBOOKS}
        for source, address in sources.items():
            text = site.linked((ROOT / source).read_text("utf-8"), source, address)
            for target in re.findall(r"(?<!`)\]\(([^)#\s]+)[^)]*\)", text):
                if re.match("https?://", target):
                    continue
                path = (docs / address).parent / target
                inside = os.path.relpath(path, docs)
                assert inside in known or path.is_file(), f"{source}: {target}"
        text = site.linked((ROOT / "README.md").read_text("utf-8"), "README.md", "index.md")
        assert "](howto/classify.md)" in text
        assert "](model-card.md)" in text
        assert "](data.md)" in text
        text = site.linked(
            "[b](../../board/README.md) [x](../../setup.cfg) `[a](b)`", "docs/howto/train.md", "howto/x.md"
        )
        assert text == "[b](../board.md) x `[a](b)`"

    def test_every_page_is_in_the_navigation(self):
        site = hooks("site")
        listed = re.findall(r"'([^']+\.md)'", repr(site.on_config({})["nav"]))
        assert len(set(listed)) == len(listed)
        pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
        pages |= {*site.PAGES.values(), *site.command_pages()}
        pages |= {address for package in site.PACKAGES for address in site.modules(package).values()}
        assert pages <= set(listed)

    def test_command_pages_tell_every_option(self):
        site = hooks("site")
        pages = site.command_pages()
        assert sorted(pages) == sorted([f"commands/{c.name}.md" for c in COMMANDS] + ["commands/index.md"])
        for command in COMMANDS:
            page = pages[f"commands/{command.name}.md"]
            assert command.example in page
            assert "%(" not in page
            assert "`--json`" in page
            assert f"]({command.name}.md)" in pages["commands/index.md"]
        hop = "| `--hop` SECONDS | step from window to window (default: a window) |"
        assert hop in pages["commands/classify.md"]

    def test_a_notebooks_page_shows_outputs_of_the_same_cells_alone(self, tmp_path, monkeypatch):
        site = hooks("site")
        path = site.NOTEBOOKS[0]
        monkeypatch.setattr(site, "EXECUTED", tmp_path)
        text, outputs = site.notebook_page(path)
        assert outputs == []
        assert "built without outputs" in text
        notebook = json.loads(path.read_text("utf-8"))
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        cells[1]["outputs"] = [
            {"output_type": "stream", "name": "stdout", "text": ["a < b\n"]},
            {"output_type": "display_data", "data": {"text/html": ["<b>x</b>"], "text/plain": ["x"]}, "metadata": {}},
        ]
        (tmp_path / path.name).write_text(json.dumps(notebook))
        text, outputs = site.notebook_page(path)
        assert outputs == ['<div class="output"><pre>a &lt; b\n</pre><b>x</b></div>']
        assert text.count(site._mark(0)) == 1
        cells[1]["source"] = ["another()"]
        (tmp_path / path.name).write_text(json.dumps(notebook))
        assert site.notebook_page(path)[1] == []


def test_the_readme_begins_with_what_a_newcomer_needs():
    """One sentence, one picture, two commands, five figures of which the first is for persons never met."""
    text = (ROOT / "README.md").read_text("utf-8")
    first = text[: text.index("\n## ")]
    assert len(re.findall(r"^!\[", first, re.MULTILINE)) == 1
    assert re.findall(r"^    (\S.*)$", first, re.MULTILINE) == ["pip install '.[data]'", "ecg-alq monitor --sample"]
    figures = re.findall(r"^\| (?!network|---|\|)(.*)$", first, re.MULTILINE)
    assert len(figures) == 5
    assert "persons never met" in figures[0]
    assert "No FPGA board has run it yet" in text


def test_the_architecture_is_the_one_that_is_there():
    """The picture shows the imports that are there, and every file that the page names is there."""
    pytest.importorskip("grimp", reason="needs import-linter: pip install 'ecg-alq[lint]'")
    assert hooks("picture").main(check=True) == 0
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    named = re.findall(r"`((?:flow|hls|qmodel|board)/[\w/.]+)`", text)
    assert len(named) > 15
    assert [path for path in named if not (ROOT / path).exists()] == []


class TestPicture:
    """The picture of the architecture page, on packages of its own."""

    def graph(self, **imports):
        import grimp

        graph = grimp.ImportGraph()
        for module in ("house", *(f"house.{name}" for name in imports)):
            graph.add_module(module)
        for name, others in imports.items():
            for other in others:
                graph.add_import(importer=f"house.{name}", imported=f"house.{other}")
        return graph

    def test_each_stands_above_what_it_imports(self):
        pytest.importorskip("grimp")
        graph = self.graph(top=["middle", "cellar"], middle=["cellar"], cellar=[], shed=[])
        assert hooks("picture").layers(graph, "house") == ["top", "middle", "cellar | shed"]

    def test_a_circle_is_named(self):
        pytest.importorskip("grimp")
        with pytest.raises(ValueError, match=r"circle: .*house\.one.*house\.two"):
            hooks("picture").layers(self.graph(one=["two"], two=["one"], three=[]), "house")
