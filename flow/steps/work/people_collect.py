"""What networks for persons never met learn from: tracks of all databases, and rhythms made of their persons."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np

from qmodel import people
from qmodel.data import partial

TRACKS, POOL = "tracks.npz", "made.npz"


def work(folder: Path, names: list[str], made_windows: int) -> dict:
    """Collect databases: `tracks.npz`, `made.npz`. Args: made_windows: how many rhythms are made."""
    tracks = partial.collect(names)
    tracks.save(folder / TRACKS)
    made = people.make_pool(tracks, made_windows, 1)
    np.savez(folder / POOL, **{field.name: getattr(made, field.name) for field in fields(made)})
    return {"databases": names, "windows": len(tracks.window_track), "made": made_windows}


def sampler(collected: Path, chosen: np.ndarray, tracks: partial.Tracks) -> people.Sampler:
    """Draws from the windows that are chosen of all tracks, and from rhythms made of their persons."""
    with np.load(collected / POOL, allow_pickle=False) as opened:
        made = people.MadePool(*(opened[field.name] for field in fields(people.MadePool)))
    return people.Sampler(tracks, chosen, made, people.PeopleRecipe())
