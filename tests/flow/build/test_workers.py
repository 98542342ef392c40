"""Dask workers on this machine: every task's result, in processes that keep their memory."""

import os
import re

import pytest

from flow.build.workers import MEMORY, check_workers, run_tasks
from qmodel.errors import InputError


def environment(name: str) -> tuple[int, str | None]:
    """Process and value of an environment variable there."""
    return os.getpid(), os.environ.get(name)


def fail(name: str) -> None:
    raise ValueError(f"not {name}")


def test_workers_keep_their_memory():
    found = dict(run_tasks(environment, list(MEMORY), workers=1))
    assert {name: value for name, (_, value) in found.items()} == {name: str(value) for name, value in MEMORY.items()}
    assert os.getpid() not in {process for process, _ in found.values()}


def test_what_fails_in_a_worker_fails_here():
    with pytest.raises(ValueError, match="not this"):
        list(run_tasks(fail, ["this"], workers=1))


@pytest.mark.parametrize(
    ("scheduler", "workers", "message"),
    [
        (None, 0, "--workers must be at least 1, received 0"),
        ("host", 2, "--scheduler must be an address like tcp://host:8786, received 'host'"),
        ("tcp://host", 2, "received 'tcp://host'"),
    ],
)
def test_nobody_to_work_is_refused(scheduler, workers, message):
    with pytest.raises(InputError, match=re.escape(message)):
        check_workers(scheduler, workers)


def test_refused_before_anything_starts():
    with pytest.raises(InputError):
        next(run_tasks(environment, ["this"], scheduler="host"))
