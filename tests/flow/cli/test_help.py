"""What the command line says of itself: groups, version, completion, and what was probably meant."""

import shutil
import subprocess
import sys
import time
from importlib import metadata

import pytest

from flow.cli.main import COMMANDS, GROUPS, main, parser


def ended(capsys, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that argparse ends."""
    with pytest.raises(SystemExit) as error:
        main(list(arguments))
    captured = capsys.readouterr()
    return error.value.code, captured.out, captured.err


def test_every_command_stands_in_one_group():
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(command.name for command in COMMANDS)


def test_overview_fits_and_names_every_command(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = ended(capsys, "--help")
    assert code == 0
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    for group, names in GROUPS.items():
        assert f"{group}:" in lines
        for name in names:
            assert sum(line.startswith(f"  {name} ") for line in lines) == 1, name


def test_nothing_given_shows_the_overview(capsys):
    assert main([]) == 2
    assert "Use a trained network:" in capsys.readouterr().err


def test_version(capsys):
    code, out, _ = ended(capsys, "--version")
    assert code == 0
    assert out.startswith(f"ecg-alq {metadata.version('ecg-alq')} (Python 3.")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["clasify"], "ecg-alq: unknown command 'clasify': did you mean 'classify'?"),
        (["xyzzy"], "ecg-alq: unknown command 'xyzzy': see `ecg-alq --help`"),
        (["classify", "--sampel"], "ecg-alq classify: unknown option '--sampel': did you mean '--sample'?"),
        (["monitor", "--poort=3"], "ecg-alq monitor: unknown option '--poort': did you mean '--port'?"),
        (["train", "--qqq"], "ecg-alq train: unknown option '--qqq': see `ecg-alq train --help`"),
        (
            ["train", "--network", "compct"],
            "ecg-alq train: unknown value for --network 'compct': did you mean 'compact'?",
        ),
        (
            ["train", "--network", "zzz"],
            "ecg-alq train: unknown value for --network 'zzz': choose from compact, paper, tiny",
        ),
        (["classify", "one", "two"], "ecg-alq classify: unexpected argument 'two': see `ecg-alq classify --help`"),
        (["train", "--fold", "x"], "ecg-alq train: --fold must be a whole number, received 'x'"),
        (["classify", "r", "--fs", "x"], "ecg-alq classify: --fs must be a number, received 'x'"),
        (["deploy"], "ecg-alq deploy: missing: HOST: see `ecg-alq deploy --help`"),
    ],
)
def test_slips_end_in_one_line_with_a_guess(arguments, says, capsys):
    assert ended(capsys, *arguments) == (2, "", says + "\n")


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_commands_and_options(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("classify", "--sample", "ecp5-85k", "completion"):
        assert word in script
    if shell == "bash" and shutil.which("bash"):
        code = 'COMP_WORDS=(ecg-alq classify --sam); COMP_CWORD=2; _shtab_ecg_alq; echo "${COMPREPLY[@]}"'
        done = subprocess.run(["bash", "-c", f"{script}\n{code}"], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "--sample"


def test_starts_fast():
    """CPU time of help beyond the interpreter's own, the best of five; a loaded machine takes longer."""

    def seconds(code: str) -> float:
        best = 9.0
        for _ in range(5):
            program = f"import time; {code}\nprint(time.process_time())"
            done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
            best = min(best, float(done.stdout))
        return best

    assert seconds("from flow.cli.main import parser; parser('')") - seconds("pass") < 0.25
    started = time.perf_counter()
    parser("").format_help()
    assert time.perf_counter() - started < 1


def test_texts_are_plain():
    """Summaries are sentences; an option's help neither starts with "of" nor leaves out its noun."""
    for command in COMMANDS:
        assert command.summary.endswith("."), command.name
        assert len(command.summary.partition(". ")[0]) <= 66, command.name
    subparsers = next(action for action in parser()._actions if action.dest == "command").choices
    for name, sub in subparsers.items():
        for action in sub._actions:
            assert action.help, (name, action.dest)
            assert not action.help.startswith(("of ", "whose ", "these ", "this one ")), (name, action.dest)
