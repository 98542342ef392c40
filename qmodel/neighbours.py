"""Packages of others that take our names, or a name that we need: found at import, and said with the way out."""

from __future__ import annotations

import warnings
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

from qmodel.errors import InputError

PACKAGES = ("qmodel", "hls", "board", "flow")
REPAIR = "pip uninstall hgq2, then pip install --force-reinstall --no-deps qkeras-v3"


def _place(spec: ModuleSpec | None) -> Path | None:
    """The folder that a package lies in."""
    if spec is None or spec.origin is None:
        return None
    origin = Path(spec.origin)
    return origin.parents[1] if origin.name == "__init__.py" else origin.parent


def check_packages() -> None:
    """Warn where one of our packages is another one, or hides another one: Adafruit Blinka has a `board` too."""
    ours = Path(__file__).resolve().parents[1]
    for name in PACKAGES:
        spec = find_spec(name)
        place = _place(spec)
        alike = ours / f"{name}.py"
        if spec is None or place is None or place.resolve() != ours or not spec.submodule_search_locations:
            found = "nothing" if spec is None else spec.origin
            warnings.warn(
                f"`import {name}` gives {found}, not ecg-alq's package in {ours}: use an environment of its own for "
                "ecg-alq" + (", or pip uninstall Adafruit-Blinka" if name == "board" else ""),
                stacklevel=2,
            )
        elif alike.is_file():
            warnings.warn(
                f"{alike} is another package's and cannot be imported beside ecg-alq's {name}: use an environment of "
                "its own for either" + (", or pip uninstall Adafruit-Blinka" if name == "board" else ""),
                stacklevel=2,
            )


def check_qkeras() -> None:
    """Look whether the module `qkeras` is that of qkeras-v3; hgq2 overwrites it, and takes it along when it goes.

    Warns where hgq2 is installed and the module is ours all the same.
    Raises: InputError: another package's files, or none, where qkeras-v3 put its own.
    """
    import base64
    import csv
    import hashlib
    from importlib import metadata  # slow to import, and `import flow` needs none of it

    try:
        distribution = metadata.distribution("qkeras-v3")
    except metadata.PackageNotFoundError:
        return  # who needs it is told what to install
    try:
        other = metadata.version("hgq2")
    except metadata.PackageNotFoundError:
        other = None
    # RECORD itself: from Python 3.12 on `distribution.files` leaves out what is missing.
    for name, put, *_ in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
        if name != "qkeras/__init__.py" or not put.startswith("sha256="):
            continue
        path = Path(str(distribution.locate_file(name)))
        content = path.read_bytes() if path.is_file() else b""
        found = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        if found != put.removeprefix("sha256="):
            because = f"hgq2 {other} has overwritten" if other else "another package has overwritten or removed"
            raise InputError(f"{because} the module qkeras of qkeras-v3, which training needs: {REPAIR}")
    if other:
        warnings.warn(
            f"hgq2 {other} is installed beside qkeras-v3; whichever of the two is installed last overwrites the module "
            f"qkeras of the other: {REPAIR}",
            stacklevel=2,
        )
