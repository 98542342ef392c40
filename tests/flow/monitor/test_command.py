"""`ecg-alq monitor` without a browser: it serves and ends, and refuses bad input in one line."""

from urllib.request import urlopen

import pytest

from tests.flow.cli.test_main import refused
from tests.flow.monitor.browser import monitor


def test_serves_until_interrupted(rhythms):
    with monitor(str(rhythms), "--hop", "2.5") as (address, process), urlopen(address) as page:
        assert page.status == 200
        assert "ecg-alq monitor" in page.read().decode()
        assert process.poll() is None
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give one of these: PATH, --sample, --synthetic"),
        (["RECORD", "--synthetic"], "give one of these: PATH, --sample, --synthetic"),
        (["RECORD", "--hop", "0"], "hop"),
        (["RECORD", "--hop", "10.1"], "hop"),
        (["RECORD", "--lead", "V9"], "choose one of MLII"),
        (["RECORD", "--threshold", "2"], "threshold"),
        (["RECORD", "--port", "70000"], "--port 70000 is not available"),
        (["RECORD", "--frozen", "RECORD"], "is it an .alq file?"),
        (["missing record"], "no such recording"),
        (["FOLDER"], "is a folder"),
    ],
)
def test_refuses(rhythms, capsys, arguments, says):
    places = {"RECORD": str(rhythms), "FOLDER": str(rhythms.parent)}
    assert says in refused(capsys, "monitor", "--no-browser", *(places.get(a, a) for a in arguments))
