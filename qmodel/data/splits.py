"""Split the fragments into folds: stratified, blocked, by person, or from a file, with whole groups on one side."""

import csv
import os
from dataclasses import dataclass

import numpy as np

from qmodel.data import mitdb
from qmodel.data.fragments import Fragments
from qmodel.errors import InputError
from qmodel.hyperparameters import PROTOCOLS

PARTS = ("train", "validation", "test")
BLOCK_S = 300  # five minutes


@dataclass(frozen=True)
class Fold:
    """Indices into the fragments, each sorted, without overlap."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def make(
    protocol: str, fragments: Fragments, folds: int = 10, seed: int = 0, path: str | os.PathLike | None = None
) -> list[Fold]:
    """Split the fragments by a protocol's name, one of PROTOCOLS; `file` reads the CSV file at path."""
    if protocol not in PROTOCOLS:
        raise InputError(f"Protocol must be one of {', '.join(PROTOCOLS)}, received {protocol!r}.")
    if (protocol == "file") != (path is not None):
        raise InputError(f"Protocol `file`, and no other, needs a path: received protocol {protocol!r}, path {path!r}.")
    if path is not None:
        return from_file(path, fragments)
    return {"stratified": stratified, "blocked": blocked, "patient": patient}[protocol](fragments, folds, seed)


def stratified(fragments: Fragments, folds: int = 10, seed: int = 0) -> list[Fold]:
    """Split into folds of like class shares; the copies of a window, on any lead, and windows that overlap, stay
    together.

    Returns: one Fold per fold; every fragment is tested once; the validation part is another fold's test part.
    Raises: InputError: fewer than three folds, or more folds than groups.
    """
    return _split(fragments, _together(fragments, fragments.first_sample), folds, seed)


def blocked(fragments: Fragments, folds: int = 10, seed: int = 0) -> list[Fold]:
    """Split like `stratified`, with all fragments of a five-minute block of a record together.

    The fragments of WPW, IVR and SDHB lie in one block each: where they are tested, the training part has none of them.
    """
    blocks = fragments.first_sample // round(BLOCK_S * fragments.rate_hz)
    return _split(fragments, _together(fragments, blocks), folds, seed)


def patient(fragments: Fragments, folds: int = 10, seed: int = 0) -> list[Fold]:
    """Split by person, over the classes that at least two persons have; other fragments are in no part.

    The validation part is of other persons than the training part too.
    """
    persons = _ids(fragments.persons)
    shared = [label for label in np.unique(fragments.label) if len(set(persons[fragments.label == label])) >= 2]
    return _split(fragments, persons, folds, seed, np.flatnonzero(np.isin(fragments.label, shared)))


def near_training(fragments: Fragments, folds: list[Fold], within_s: float = 0.0) -> int:
    """How many test fragments have another one in training whose edge is at most `within_s` seconds away.

    0: they touch. Training means all that is not tested, the validation part as well: a finished recipe trains on both.
    """
    found = 0
    for fold in folds:
        known = np.concatenate([fold.train, fold.validation])
        same = fragments.record[fold.test][:, None] == fragments.record[known]
        apart = np.abs(fragments.first_sample[fold.test][:, None] - fragments.first_sample[known])
        found += int((same & (apart <= fragments.samples + within_s * fragments.rate_hz)).any(1).sum())
    return found


def from_file(path: str | os.PathLike, fragments: Fragments) -> list[Fold]:
    """Read a split from a CSV file with the columns fragment, fold and part (train, validation or test).

    Returns: one Fold per fold, in the order of the file; the validation part may be empty.
    Raises: DataError: a column, a part or a test part is missing, a fragment is unknown or twice in a fold, or
        copies of one window are on two sides.
    """
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, restval="")
        if missing := {"fragment", "fold", "part"} - set(reader.fieldnames or ()):
            raise mitdb.DataError(
                f"A split needs the columns fragment, fold, part: {path} lacks {', '.join(sorted(missing))}."
            )
        rows = list(reader)
    position = {str(fragment): i for i, fragment in enumerate(fragments.fragment)}
    window = _ids(fragments.record, fragments.first_sample)
    parts: dict[str, dict[str, list[int]]] = {}
    side: dict[tuple[str, int], str] = {}
    for line, row in enumerate(rows, start=2):
        fragment, fold, part = row["fragment"].strip(), row["fold"].strip(), row["part"].strip()
        if fragment not in position or part not in PARTS:
            raise mitdb.DataError(
                f"{path}, line {line}: fragment must be in the index and part one of {', '.join(PARTS)}, "
                f"received fragment {fragment!r}, part {part!r}."
            )
        index = position[fragment]
        members = parts.setdefault(fold, {name: [] for name in PARTS})
        if any(index in indices for indices in members.values()):
            raise mitdb.DataError(f"{path}, line {line}: fragment {fragment} is already in fold {fold}.")
        if side.setdefault((fold, int(window[index])), part) != part:
            raise mitdb.DataError(
                f"{path}, line {line}: a copy of fragment {fragment} (the same window) is in another part."
            )
        members[part].append(index)
    for fold, members in parts.items():
        if not members["train"] or not members["test"]:
            raise mitdb.DataError(f"{path}: fold {fold} must have training and test fragments.")
    if not parts:
        raise mitdb.DataError(f"{path} holds no fragments.")
    return [Fold(*(np.array(sorted(members[name]), np.int64) for name in PARTS)) for members in parts.values()]


def _ids(*keys) -> np.ndarray:
    """Number the distinct tuples of keys; shape (fragment,)."""
    order: dict[tuple, int] = {}
    return np.array([order.setdefault(key, len(order)) for key in zip(*keys)])


def _together(fragments: Fragments, keys: np.ndarray) -> np.ndarray:
    """Number the groups of windows that share a record and a key, or overlap; shape (fragment,)."""
    groups = _ids(fragments.record, keys)
    order = np.lexsort((fragments.first_sample, fragments.record))
    same = fragments.record[order][1:] == fragments.record[order][:-1]
    overlap = same & (np.diff(fragments.first_sample[order]) < fragments.samples)
    joined = np.arange(groups.max() + 1)
    for first, second in zip(groups[order][:-1][overlap], groups[order][1:][overlap]):
        a, b = sorted((joined[first], joined[second]))
        if a != b:
            joined[joined == b] = a
    return _ids(joined[groups])


def _split(
    fragments: Fragments, groups: np.ndarray, folds: int, seed: int, members: np.ndarray | None = None
) -> list[Fold]:
    """Deal whole groups of the member fragments into folds; fold f is tested once, another one validates."""
    members = np.arange(len(fragments)) if members is None else members
    labels = fragments.label[members]
    counts = np.zeros((groups.max() + 1, labels.max() + 1), np.int64)  # (group, class)
    np.add.at(counts, (groups[members], labels), 1)
    present = np.flatnonzero(counts.sum(axis=1))
    if fragments.person is not None:  # somebody's own data
        if len(present) < 3:
            raise mitdb.DataError(
                f"training, validation and test need a group of windows each, the labels have {len(present)} (of "
                "classes that two groups have): label more persons, or split with --protocol blocked or stratified"
            )
        folds = min(folds, len(present))
    if not 3 <= folds <= len(present):
        raise mitdb.DataError(f"folds must be from 3 to {len(present)}, the number of groups, received {folds}.")
    fold_of_group = np.full(len(counts), -1)
    fold_of_group[present] = _deal(counts[present], folds, np.random.default_rng(seed))
    fold_of = fold_of_group[groups[members]]
    table = np.zeros((folds, counts.shape[1]), np.int64)  # (fold, class)
    np.add.at(table, (fold_of, labels), 1)
    result = []
    for test in range(folds):
        validation = _validation_fold(table, test)
        train = (fold_of != test) & (fold_of != validation)
        result.append(Fold(members[train], members[fold_of == validation], members[fold_of == test]))
    return result


def _validation_fold(table: np.ndarray, test: int) -> int:
    """Choose the next fold that leaves the training part the most classes."""
    others = [(test + step) % len(table) for step in range(1, len(table))]
    classes_left = [np.count_nonzero(table.sum(axis=0) - table[test] - table[other]) for other in others]
    return others[int(np.argmax(classes_left))]


def _deal(counts: np.ndarray, folds: int, random: np.random.Generator) -> np.ndarray:
    """Choose a fold for every group, so that every class, and the whole, is spread evenly.

    The cost is the sum over folds of squared shares, over all classes and the total; groups are dealt largest first and
    then moved as long as a move lowers the cost.
    Args: counts: fragments, shape (group, class).  Returns: fold, shape (group,).
    """
    shares = np.column_stack([counts, counts.sum(axis=1)]).astype(float)
    shares = shares[:, shares.sum(axis=0) > 0]
    shares /= shares.sum(axis=0)
    order = random.permutation(len(shares))
    order = order[np.argsort(-(shares[order] ** 2).sum(axis=1), kind="stable")]
    fold_of = np.full(len(shares), -1)
    totals = np.zeros((folds, shares.shape[1]))
    moved = True
    while moved:
        moved = False
        for group in order:
            old = fold_of[group]
            if old >= 0:
                totals[old] -= shares[group]
            cost = totals @ shares[group]  # moving here raises the sum of squares by twice this and a constant
            best = np.flatnonzero(cost <= cost.min() + 1e-12)
            new = old if old in best else random.choice(best)
            totals[new] += shares[group]
            fold_of[group] = new
            moved |= new != old
    return fold_of
