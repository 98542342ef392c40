"""Tasks on Dask workers: processes of this machine, or those of a scheduler somewhere that see the same folders."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import TypeVar

from qmodel.errors import InputError

Task = TypeVar("Task")
Result = TypeVar("Result")

ADDRESS = re.compile(r"(\w+://)?\S+:\d+")  # of a scheduler
# Dask has workers give memory back to the system at every 64 KB freed. A training step that asks for the same arrays
# again and again then takes twice as long: keep up to 1 GB, and cut arrays of up to 32 MB from it.
MEMORY = {"MALLOC_TRIM_THRESHOLD_": 1 << 30, "MALLOC_MMAP_THRESHOLD_": 1 << 25}


def check_workers(scheduler: str | None, workers: int) -> None:
    """Raises: InputError: no worker, or no address."""
    if workers < 1:
        raise InputError(f"--workers must be at least 1, received {workers}")
    if scheduler is not None and not ADDRESS.fullmatch(scheduler):
        raise InputError(f"--scheduler must be an address like tcp://host:8786, received {scheduler!r}")


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    scheduler: str | None = None,
    workers: int = 2,
    failed: Callable[[Task, Exception], Result] | None = None,
) -> Iterator[tuple[Task, Result]]:
    """Every task with what the function makes of it, as they finish.

    Args: scheduler: address of a Dask scheduler; None: a cluster on this machine of `workers` processes; failed:
        makes a result of a task that raised, or raises; without it the error is raised.
    Raises: InputError: as `check_workers`; OSError: nobody answers at the address.
    """
    check_workers(scheduler, workers)
    import dask
    from dask.distributed import Client, LocalCluster, as_completed

    with ExitStack() as held:
        address: object = scheduler
        if scheduler is None:
            environment = {f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in MEMORY.items()}
            held.enter_context(dask.config.set(environment))
            # Workers that are slow to end log it; what fails in a task comes back with its result.
            address = held.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    dashboard_address="127.0.0.1:0",  # any free port: another cluster may hold the usual one
                    silence_logs=logging.CRITICAL,
                )
            )
        client = held.enter_context(Client(address))
        under_way = {client.submit(function, task, pure=False): task for task in tasks}
        for done in as_completed(under_way):
            task = under_way[done]
            try:
                result = done.result()
            except Exception as error:
                if failed is None:
                    raise
                result = failed(task, error)
            yield task, result
