"""Results files: rows of figures in JSON, beside what holds for all of them; pages and tables are written from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from qmodel.errors import InputError
from qmodel.files import write_json

FASTEST, SMALLEST = "fastest", "smallest"  # goals of a core; others name the limit that was given


def read_rows(path: Path, section: str = "rows") -> list[dict]:
    """Rows of a results file, none without the file; `earlier` ones may be missing. Raises: InputError: damaged."""
    if not path.is_file():
        return []
    try:
        content = json.loads(path.read_text("utf-8"))
        if section == "earlier":
            return list(content.get(section, []))
        return list(content["rows"] if isinstance(content, dict) else content)
    except (AttributeError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} must be a list of rows, or hold one under `rows`: {error!r}") from None


def put_rows(
    path: Path,
    rows: list[dict],
    key: Callable[[dict], tuple],
    replaced: Callable[[dict], bool] | None = None,
    head: dict | None = None,
) -> list[dict]:
    """Write rows into a results file, in the order of their keys, and keep the others that it holds.

    Args: replaced: which stored rows go, None: those whose key a new row has; head: what holds for all rows.
    Returns: all rows of the file.
    """
    new = {key(row) for row in rows}
    goes = replaced or (lambda row: key(row) in new)
    merged = sorted([row for row in read_rows(path) if not goes(row)] + rows, key=key)
    write_json(path, (head or {}) | {"rows": merged})
    return merged


def rows_of_goal(path: Path, goal: str) -> list[dict]:
    """Rows of a hardware.json with a goal. Raises: InputError: a row names none."""
    rows = read_rows(path)
    for row in rows:
        if not row.get("goal"):
            raise InputError(
                f"{path}: the row of {row['network']} on {row['target']}, {row['lanes']} lanes, names no goal: measure "
                f"it again with `ecg-alq hardware --results {path.parent}`"
            )
    return [row for row in rows if row["goal"] == goal]
