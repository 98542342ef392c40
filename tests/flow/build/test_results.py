"""Results files keep what a new row does not replace, and say what is wrong with a damaged one."""

import json

import pytest

from flow.build.results import put_rows, read_rows
from qmodel.errors import InputError

ROW = {"network": "compact", "part": "test", "windows": 1}


def _key(row: dict) -> tuple:
    return row["network"], row["part"]


def test_rows_replace_those_of_the_same_key(tmp_path):
    path = tmp_path / "new" / "abstain.json"
    for row in (ROW, ROW | {"part": "all"}, ROW | {"windows": 2}):
        rows = put_rows(path, [row], _key, head={"source": "here"})
    assert rows == read_rows(path) == [ROW | {"part": "all"}, ROW | {"windows": 2}]
    assert json.loads(path.read_text())["source"] == "here"


def test_who_writes_may_say_what_goes(tmp_path):
    put_rows(tmp_path / "rows.json", [ROW, ROW | {"part": "all"}], _key)
    assert put_rows(tmp_path / "rows.json", [], _key, lambda row: row["part"] == "test") == [ROW | {"part": "all"}]


def test_files_are_read_as_they_are(tmp_path):
    path = tmp_path / "rows.json"
    assert read_rows(path) == []
    path.write_text(json.dumps([ROW]))  # a list alone
    assert read_rows(path) == [ROW]
    path.write_text(json.dumps({"rows": [ROW]}))
    assert read_rows(path, "earlier") == []


@pytest.mark.parametrize("content", ['{"rows": 3}', "{}", "3", "{"])
def test_damaged_files_are_named_and_left_alone(tmp_path, content):
    path = tmp_path / "rows.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"rows\.json must be a list of rows"):
        put_rows(path, [ROW], _key)
    assert path.read_text() == content
