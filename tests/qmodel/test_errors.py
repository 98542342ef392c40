"""Every error type of ours is one that a person can mend."""

import ast
from pathlib import Path

import pytest

from flow.cli import main as cli
from qmodel.errors import InputError, UserError

ROOT = Path(__file__).resolve().parents[2]


def error_classes():
    for package in ("qmodel", "hls", "board", "flow"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
                    yield path, node


def test_every_error_type_of_ours_is_a_user_error():
    bases = {node.name: [base.id for base in node.bases if isinstance(base, ast.Name)] for _, node in error_classes()}

    def mendable(name):
        return name == "UserError" or any(mendable(base) for base in bases.get(name, []))

    assert "OverlayError" in bases
    assert [name for name in bases if not mendable(name)] == []


@pytest.fixture
def failing_with(monkeypatch):
    """Makes the command `data` raise an error."""

    def install(error):
        def fails(arguments):
            raise error

        parser = cli.parser()
        parser._subparsers._group_actions[0].choices["data"].set_defaults(run=fails)
        monkeypatch.setattr(cli, "parser", lambda only: parser)

    return install


@pytest.mark.parametrize("kind", [UserError, InputError])
def test_the_command_line_prints_the_message_alone(kind, failing_with, capsys):
    failing_with(kind("clock must be\n  less, received 7"))
    assert cli.main(["data"]) == 2
    assert capsys.readouterr().err == "ecg-alq data: clock must be less, received 7\n"
    with pytest.raises(kind):
        cli.main(["data", "--debug"])


def test_a_bare_value_error_is_a_fault_of_ours(failing_with):
    failing_with(ValueError("shapes do not match"))
    with pytest.raises(ValueError, match="shapes do not match"):
        cli.main(["data"])
