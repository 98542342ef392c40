"""Pictures as elements of a page: its colours, names of their own, and the grid in millimetres."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from flow.look import pictures
from flow.publish.report import CLASSES

LAYERS = [
    {"name": "conv1", "groups": 4, "groups_by_planes": [1, 2, 1], "average_bits": 1.0},
    {"name": "dense1", "groups": 10, "groups_by_planes": [0, 0, 0, 10], "average_bits": 3.0},
]
DRAWN = {
    "accuracy": lambda: pictures.accuracy_curve([("float", [0.2, 0.9]), ("sign planes", [0.5])]),
    "size": lambda: pictures.size_curve([900, 500], 450),
    "bitwidths": lambda: pictures.bitwidths(LAYERS, {"conv1": 0.25, "dense1": 0.0}),
    "confusion": lambda: pictures.confusion(np.eye(17, dtype=int) * 3 + np.eye(17, k=1, dtype=int), CLASSES),
}


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    return {name: draw() for name, draw in DRAWN.items()}


@pytest.mark.parametrize("name", DRAWN)
def test_colours_are_the_pages(name, drawn):
    text = drawn[name]
    assert text.startswith("<svg")
    assert "var(--muted)" in text
    assert not re.search(r"#0[0-9a-f]{5}\b", text.replace("#000000", ""))


def test_names_are_unique_in_a_page(drawn):
    names = re.findall(r'\bid="([^"]+)"', "".join(drawn.values()))
    assert names
    assert len(names) == len(set(names))


def test_every_reference_is_there(drawn):
    for text in drawn.values():
        assert set(re.findall(r'(?:url\(|href=")#([\w.-]+)', text)) <= set(re.findall(r'\bid="([^"]+)"', text))


def test_what_the_loss_paid_stands_beside_the_bits(drawn):
    assert ">0.25</text>" in drawn["bitwidths"]
    assert "paid" not in pictures.bitwidths(LAYERS)


def test_same_data_same_picture(drawn):
    assert {name: draw() for name, draw in DRAWN.items()} == drawn


def test_a_file_stands_alone(drawn):
    root = ElementTree.fromstring(pictures.file(drawn["confusion"], "true & said"))
    assert root.attrib["aria-label"] == "true & said"
    assert (root.attrib["width"], root.attrib["height"]) == ("660", "620")  # 6.6 by 6.2 inches, 100 pixels each
    style = root.find("{http://www.w3.org/2000/svg}style").text
    used = set(re.findall(r"var\((--[\w-]+)\)", drawn["confusion"]))
    assert used <= set(re.findall(r"(--[\w-]+):", style))


def test_strip_is_25_mm_per_second_and_10_mm_per_millivolt():
    samples = np.full(3600, 1024)
    samples[1800] += 200  # one millivolt, five seconds from the start
    strip = pictures.ecg_strip(samples, "test")
    x, y, highest = 0, 0, (0, 0)
    start, steps = re.search(r'class="trace" d="M(\S+ \S+)l([^"]+)"', strip).groups()
    x, y = map(int, start.split())
    values = list(map(int, steps.split()))
    for dx, dy in zip(values[::2], values[1::2], strict=True):
        x, y = x + dx, y + dy
        highest = min(highest, (y, x))
    assert x == 2499  # tenths of a millimetre: ten seconds but one sample
    assert highest[0] == -100
    assert abs(highest[1] - 1250) <= 1
