"""The documentation site: what its hooks do. `make lint` builds the whole site with warnings as errors."""

import importlib.util
import re
from pathlib import Path

import pytest

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

    def test_pages_link_to_pages(self):
        site = hooks("site")
        for source in site.PAGES:
            for target in re.findall(r"\]\(([^)#]+)\)", site.page(source)):
                known = re.match("https?://", target) or target in [*site.PAGES.values(), *site.PICTURES]
                assert known or (ROOT / "docs" / target).is_file(), f"{source}: {target}"
        assert "](number-contract.md)" in site.page("README.md")
        assert "](data.md)" in site.page("README.md")
        assert "](results/alq_curve.svg)" in site.page("README.md")
