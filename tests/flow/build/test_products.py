"""Products: made once, made again when an input changes, whole or not there at all."""

import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from flow.build.products import MANIFEST, locked, make
from qmodel.errors import InputError
from qmodel.files import read_sealed, sha256
from qmodel.program import program


class Work:
    """A step that counts its runs and writes one file."""

    def __init__(self, content="content"):
        self.runs, self.content = 0, content

    def __call__(self, folder):
        self.runs += 1
        (folder / "sub").mkdir(exist_ok=True)
        (folder / "sub" / "product.txt").write_text(self.content)
        return {"found": self.content}


def run(build, work, inputs=None, settings=None, **options):
    return make(build, "step", inputs or {"data": "1"}, settings or {"seed": 0}, work, **options)


def test_manifest_says_what_it_was_made_from(tmp_path):
    product = run(tmp_path, Work())
    manifest = read_sealed(tmp_path / "step" / MANIFEST, "again")
    assert manifest == product.manifest
    assert manifest["inputs"] == {"data": "1", "program": program(__file__)}
    assert manifest["settings"] == {"seed": 0}
    assert manifest["outputs"] == {"sub/product.txt": sha256(tmp_path / "step" / "sub" / "product.txt")}
    assert manifest["results"] == {"found": "content"}
    assert {"python", "numpy"} <= set(manifest["versions"])
    assert manifest["seconds"] >= 0
    assert {path.name for path in tmp_path.iterdir()} == {"step", ".step.lock"}


def test_same_inputs_are_free(tmp_path, capsys):
    work = Work()
    first, second = run(tmp_path, work), run(tmp_path, work)
    assert work.runs == 1
    assert (first.cached, second.cached) == (False, True)
    assert first.identity == second.identity
    assert "cached" in capsys.readouterr().err


@pytest.mark.parametrize("change", [{"inputs": {"data": "2"}}, {"settings": {"seed": 1}}])
def test_changed_input_runs_again(tmp_path, change):
    work = Work()
    run(tmp_path, work)
    assert not run(tmp_path, work, **change).cached
    assert work.runs == 2


def test_another_version_runs_again(tmp_path, monkeypatch):
    work = Work()
    run(tmp_path, work)
    monkeypatch.setattr("flow.build.products.versions", lambda: {"python": "2.7"})
    run(tmp_path, work)
    assert work.runs == 2


@pytest.mark.parametrize("damage", ["changed", "lost"])
def test_damaged_product_is_made_again(tmp_path, damage, capsys):
    work = Work()
    run(tmp_path, work)
    product = tmp_path / "step" / "sub" / "product.txt"
    if damage == "changed":
        product.write_text("mine")
    else:
        product.unlink()
    assert not run(tmp_path, work).cached
    assert product.read_text() == "content"
    said = capsys.readouterr().err
    assert "sub/product.txt was changed or lost: running again" in said
    # what somebody wrote there is not lost
    kept = tmp_path / "step.kept-1"
    if damage == "changed":
        assert {path.name: path.read_text() for path in kept.rglob("*.*")} == {"product.txt": "mine"}
        assert f"kept      {kept}: sub/product.txt was changed or added there" in said
    else:
        assert not kept.exists()


def edited(manifest, change):
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(change(content)))


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content | {"results": {"found": "better"}},
        lambda content: content | {"seconds": 0},
        lambda content: content | {"outputs": {}},
        lambda content: {key: content[key] for key in content if key != "outputs"},
        lambda content: {key: content[key] for key in content if key != "sha256"},
        lambda content: content | {"outputs": None, "sha256": "0" * 64},
        lambda content: None,
        lambda content: [content],
        lambda content: {},
        lambda content: 3,
    ],
)
def test_an_edited_manifest_is_noticed(tmp_path, change, capsys):
    work = Work()
    run(tmp_path, work)
    edited(tmp_path / "step" / MANIFEST, change)
    product = run(tmp_path, work)
    assert (product.cached, work.runs, product.results) == (False, 2, {"found": "content"})
    assert "manifest.json" in capsys.readouterr().err
    assert run(tmp_path, work).cached


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe", b"[" * 200_000, b'{"step": NaN}'])
def test_a_damaged_manifest_is_noticed(tmp_path, content):
    work = Work()
    run(tmp_path, work)
    (tmp_path / "step" / MANIFEST).write_bytes(content)
    assert not run(tmp_path, work).cached


def test_strays_are_said_and_kept(tmp_path, capsys):
    work = Work()
    run(tmp_path, work)
    (tmp_path / "step" / "notes.txt").write_text("mine")
    assert run(tmp_path, work).cached
    assert f"notes.txt in {tmp_path / 'step'} is not of this product and is left alone" in capsys.readouterr().err
    for seed in (1, 2):
        run(tmp_path, work, settings={"seed": seed})
    assert {path.name for path in tmp_path.iterdir()} == {"step", ".step.lock", "step.kept-1"}
    assert [path.name for path in (tmp_path / "step.kept-1").iterdir()] == ["notes.txt"]


def test_failure_leaves_the_old_product_and_nothing_else(tmp_path):
    run(tmp_path, Work("old"))

    def fails(folder):
        (folder / "half").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        run(tmp_path, fails, settings={"seed": 1})
    assert {path.name for path in tmp_path.iterdir()} == {"step", ".step.lock"}
    assert (tmp_path / "step" / "sub" / "product.txt").read_text() == "old"


def test_interrupted_work_is_handed_to_the_next_run(tmp_path):
    def interrupted(folder):
        (folder / "checkpoint").write_text("epoch 3")
        (folder / ".checkpoint.1.part").write_text("half")
        raise KeyboardInterrupt

    def resumes(folder):
        assert (folder / "checkpoint").read_text() == "epoch 3"
        assert not (folder / ".checkpoint.1.part").exists()
        return {}

    def starts_anew(folder):
        assert not (folder / "checkpoint").exists()
        return {}

    for settings, work in (({"seed": 0}, resumes), ({"seed": 1}, starts_anew)):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, interrupted, resumable=True)
        run(tmp_path, work, settings=settings, resumable=True)
        assert {path.name for path in tmp_path.iterdir()} == {"step", ".step.lock"}
        shutil.rmtree(tmp_path / "step")


def test_interruption_before_a_checkpoint_leaves_nothing(tmp_path):
    def interrupted(folder):
        (folder / "empty").mkdir()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, interrupted, resumable=True)
    assert {path.name for path in tmp_path.iterdir()} == {".step.lock"}


@pytest.mark.parametrize("manifest", [None, '{"name": "web app"}', "null", "[]", '{"step": "other", "key": "1"}', "{"])
def test_foreign_folder_is_not_touched(tmp_path, manifest):
    (tmp_path / "step").mkdir()
    (tmp_path / "step" / "thesis.txt").write_text("ten years")
    if manifest is not None:
        (tmp_path / "step" / MANIFEST).write_text(manifest)
    if manifest is None or "key" not in manifest:
        with pytest.raises(InputError, match="not a product of this step"):
            run(tmp_path, Work())
        assert (tmp_path / "step" / "thesis.txt").read_text() == "ten years"
    else:  # it says that it is a product, and is damaged
        run(tmp_path, Work())
        assert (tmp_path / "step.kept-1" / "thesis.txt").read_text() == "ten years"


def test_links_and_files_in_the_place_of_a_product(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for make_it in (lambda p: p.symlink_to(tmp_path / "elsewhere"), lambda p: p.write_text("mine")):
        make_it(tmp_path / "step")
        with pytest.raises(InputError, match="not a product of this step"):
            run(tmp_path, Work())
        (tmp_path / "step").unlink()


def test_of_two_that_ask_at_once_one_works(tmp_path):
    runs, begun, finish = [], threading.Event(), threading.Event()

    def slow(folder):
        runs.append(1)
        begun.set()
        assert finish.wait(20)
        return {}

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(run, tmp_path, slow)
        assert begun.wait(20)
        second = pool.submit(run, tmp_path, slow)
        finish.set()
        assert [first.result().cached, second.result().cached] == [False, True]
    assert len(runs) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"step", ".step.lock"}


def test_a_step_without_a_file_is_refused(tmp_path):
    step = eval("lambda folder: {}", {"__name__": "nowhere"})
    with pytest.raises(InputError, match="is in no file"):
        run(tmp_path, step)


def test_two_runs_do_not_meet_in_one_build(tmp_path):
    build = tmp_path / "new" / "build"
    with locked(build), pytest.raises(InputError, match="another ecg-alq"), locked(build):
        pass
    assert not build.parent.exists()  # nothing was made, so nothing stays


def test_killed_run_leaves_no_lock(tmp_path):
    code = "import os, sys; from pathlib import Path; from flow.build.products import locked\n"
    code += "with locked(Path(sys.argv[1])): os._exit(9)"
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=False).returncode == 9
    with locked(tmp_path):
        assert (tmp_path / ".lock").exists()
