"""Nothing half-written is ever seen, and nothing of a person's is replaced."""

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from qmodel import files
from qmodel.errors import InputError


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def ours(folder):
    return (folder / "mark").is_file()


def fill(made, text):
    (made / "mark").write_text("")
    (made / "content").write_text(text)


def test_a_folder_takes_its_place_when_it_is_finished(tmp_path):
    place = tmp_path / "new" / "place"
    for text in ("first", "second"):
        with files.folder_beside(place, ours, "a place") as made:
            fill(made, text)
            assert not place.exists() or contents(place)["content"] == "first"
        assert contents(place) == {"mark": "", "content": text}
        assert set(os.listdir(place.parent)) == {"place", ".place.made"}


def interrupted(place):
    with files.folder_beside(place, ours, "a deploy folder") as made:
        fill(made, "half")
        raise KeyboardInterrupt


def test_an_interruption_leaves_what_was_there(tmp_path):
    place = tmp_path / "place"
    for before in ({}, {"mark": "", "content": "first"}):
        with pytest.raises(KeyboardInterrupt):
            interrupted(place)
        assert contents(tmp_path / "place" if before else tmp_path) == before
        with files.folder_beside(place, ours, "a place") as made:
            fill(made, "first")
    with files.folder_beside(place, ours, "a place") as made:  # a block that finds nothing to change
        made.rmdir()
    assert contents(place)["content"] == "first"


def test_a_failed_swap_puts_the_old_folder_back(tmp_path, monkeypatch):
    place, replace = tmp_path / "place", os.replace
    place.mkdir()
    fill(place, "old")

    def fails(source, target):
        if os.path.exists(os.path.join(source, "content")) and str(target) == str(place) and "kept" not in str(source):
            raise OSError("no room")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="no room"), files.folder_beside(place, ours, "a place") as made:
        fill(made, "new")
    assert contents(place)["content"] == "old"


@pytest.mark.parametrize("strange", ["file", "folder"])
def test_what_is_not_ours_is_never_replaced(tmp_path, strange):
    place = tmp_path / "place"
    if strange == "file":
        place.write_text("a letter")
    else:
        place.mkdir()
        (place / "letter").write_text("a letter")
    before = contents(tmp_path)
    with (
        pytest.raises(InputError, match="place is not a deploy folder"),
        files.folder_beside(place, ours, "a deploy folder"),
    ):
        pytest.fail("nothing may be built")
    assert contents(tmp_path) == before


def test_what_somebody_changed_or_added_is_kept(tmp_path, capsys):
    place = tmp_path / "place"
    for text in ("first", "second", "third"):
        with files.folder_beside(place, ours, "a place") as made:
            fill(made, text)
            (made / "sub").mkdir()
            (made / "sub" / "other").write_text(text)
        if text == "first":
            (place / "content").write_text("mine")
            (place / "sub" / "notes").write_text("mine too")
    kept = tmp_path / "place.kept-1"
    assert set(os.listdir(tmp_path)) == {"place", ".place.made", "place.kept-1"}
    assert contents(kept) == {"content": "mine", "sub/notes": "mine too"}
    assert capsys.readouterr().err == f"kept      {kept}: content and 1 more was changed or added there\n"


def test_without_knowing_what_it_was_made_with_everything_is_kept(tmp_path):
    place = tmp_path / "place"
    for text, stamp in (("first", None), ("second", "null"), ("third", "{"), ("fourth", None)):
        with files.folder_beside(place, ours, "a place") as made:
            fill(made, text)
        if stamp:
            (tmp_path / ".place.made").write_text(stamp)
        else:
            (tmp_path / ".place.made").unlink()
    texts = [contents(tmp_path / f"place.kept-{number}")["content"] for number in (1, 2, 3)]
    assert texts == ["first", "second", "third"]


@pytest.mark.parametrize("text", ["null", "[]", "3", "{", "", '{"a": 1, "sha256": "0"}', '{"a": 1}', "[" * 200_000])
def test_a_sealed_file_that_is_none(tmp_path, text):
    (tmp_path / "file").write_text(text)
    with pytest.raises(InputError, match=r"file .*: make it again"):
        files.read_sealed(tmp_path / "file", "make it again")
    assert not files.json_with("file", "b")(tmp_path)


def test_a_sealed_file(tmp_path):
    content = {"a": 0.1 + 0.2, "b": (1, None), "c": {10: "ten", 9: "nine"}, "d": "é\ud7ff"}
    files.write_json(tmp_path / "file", files.sealed(content))
    again = files.read_sealed(tmp_path / "file", "")
    assert again == {"a": 0.1 + 0.2, "b": [1, None], "c": {"10": "ten", "9": "nine"}, "d": "é\ud7ff"}
    assert files.json_with("file", "a", "sha256")(tmp_path)


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, (1 << 20) + 1])
def test_the_sum_of_a_file(tmp_path, size):
    content = bytes(i * 7 % 251 for i in range(size % 1000)) + b"x" * (size - size % 1000)
    (tmp_path / "file").write_bytes(content)
    assert files.sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


class TestKept:
    """`files.kept`: what was made stays as long as it is whole and its key is the same."""

    @pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
    def test_made_once_and_again_with_another_key_or_when_it_is_damaged(self, tmp_path, folder):
        place = tmp_path / "new" / "place"
        content = place / "content" if folder else place

        def make(made):
            if folder:
                made.mkdir()
            (made / "content" if folder else made).write_text(next(texts))

        texts = iter("abcdef")
        assert files.kept(place, "key", make)
        assert not files.kept(place, "key", make)
        assert content.read_text() == "a"
        assert files.kept(place, "another", make)
        for damaged in ("x", "", "bb"):
            content.write_text(damaged)
            assert files.kept(place, "another", make), damaged
        assert content.read_text() == "e"
        (place.parent / ".place.kept").write_text("{")
        assert files.kept(place, "another", make)
        assert {path.name for path in place.parent.iterdir()} == {"place", ".place.kept", ".place.lock"}

    def test_an_interrupted_one_leaves_what_was_there(self, tmp_path):
        def interrupted(made):
            made.write_text("half")
            raise KeyboardInterrupt

        place = tmp_path / "place"
        files.kept(place, "key", lambda made: made.write_text("whole"))
        with pytest.raises(KeyboardInterrupt):
            files.kept(place, "another", interrupted)
        assert place.read_text() == "whole"
        assert not files.kept(place, "key", interrupted), "it is still what was made"

    def test_of_several_at_once_one_makes_it(self, tmp_path):
        made = []

        def make(path):
            made.append(path)
            time.sleep(0.05)
            path.write_text("content")

        with ThreadPoolExecutor(4) as pool:
            told = list(pool.map(lambda _: files.kept(tmp_path / "place", "key", make), range(4)))
        assert len(made) == told.count(True) == 1
