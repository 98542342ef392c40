"""The HLS project of a frozen network."""

from __future__ import annotations

from pathlib import Path

from flow.steps.work.names import PROJECT
from qmodel.frozen import FrozenNetwork


def work(folder: Path, frozen: Path, options: dict, described: dict) -> dict:
    """Write the project, in the folder `project`. Args: frozen: file; options: of `hls.cpp.convert.convert`.

    Raises: BudgetError: a core that the part cannot hold, which is not worth generating.
    """
    from hls.area import device_of
    from hls.cpp.convert import convert
    from hls.cpp.graph import default_folding
    from hls.estimate import HardwareBudget, check_budget, estimate
    from hls.plan import Plan

    network = FrozenNetwork.load(frozen)
    folding = default_folding(network, options["part"])
    device = device_of(options["part"])
    guess = estimate(Plan.of(network, folding, device)) if device else None
    if guess is not None:
        check_budget(guess, HardwareBudget())
    convert(network, folder / PROJECT, folding, **options)
    files = [path for path in (folder / PROJECT).rglob("*") if path.is_file()]
    found = {"identity": network.identity, "files": len(files), "estimated": guess.row if guess else None}
    return described | found | options
