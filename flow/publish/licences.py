"""Licences of everything in requirements.lock: a table for the documentation, and a check against what is allowed.

    python -m flow.publish.licences            # writes docs/licences.md
    python -m flow.publish.licences --check    # exit code 1: the page is out of date

What users install (the extras of `all`) may be permissive, of weak copyleft by file (MPL) or by library (LGPL). What
tests alone install may be more, one by one and with a reason.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from packaging.markers import Marker
from packaging.requirements import Requirement

from flow.build.products import REPOSITORY
from flow.publish.readme import update_file
from qmodel.errors import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LOCK, PAGE = "requirements.lock", "docs/licences.md"
ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD", "CC0-1.0", "ISC", "LLVM-exception", "MIT", "MIT-0"),
    *("MIT-CMU", "PSF-2.0", "Public-Domain", "Unlicense", "Zlib", "MPL-2.0", "LGPL-3.0"),
}
# What packages write instead of an SPDX identifier.
SPELLINGS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}
# What the metadata does not say, read in the package: licence and where.
READ = {
    "brainflow": ("MIT", "its LICENSE.txt"),
    "docutils": ("Public-Domain OR BSD-2-Clause", "its COPYING.rst: the GPL holds for an Emacs mode alone"),
    "namex": ("Apache-2.0", "its LICENSE"),
}
TESTS_ALONE = {"cocotbpynq": "runs PYNQ's driver code against the simulated core; in no extra that users install"}
# Locked for other systems or versions of Python than this environment's, so there is nothing to read here.
ELSEWHERE = {
    "appnope": "BSD-2-Clause",
    "async-timeout": "Apache-2.0",
    "backports-tarfile": "MIT",
    "decorator": "BSD-2-Clause",
    "exceptiongroup": "MIT",
    "importlib-metadata": "Apache-2.0",
    "pytz": "MIT",
    "pywin32-ctypes": "BSD-3-Clause",
    "pywinpty": "MIT",
    "tomli": "MIT",
    "zipp": "MIT",
}


class LicenceError(UserError):
    """A package whose licence is not allowed, or is not known."""


class Package(NamedTuple):
    """A locked package; `users`: an extra of `all` needs it."""

    name: str
    version: str
    licence: str
    users: bool


def packages(lock: Path) -> list[Package]:
    """Every package of a lock file, once. Raises: LicenceError: one without a known licence."""
    text = lock.read_text("utf-8")
    ours = _needed("ecg-alq", {"all"}, lock.with_name("pyproject.toml"))
    versions: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;\\\n]+)", text, re.M):
        versions.setdefault(name, []).append(version)
    return [
        Package(name, ", ".join(sorted(set(found))), licence_of(name), name in ours) for name, found in versions.items()
    ]


def licence_of(name: str) -> str:
    """Licence of an installed package, as SPDX writes it. Raises: LicenceError: none is told."""
    if name in READ:
        return READ[name][0]
    try:
        about: Any = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        if name in ELSEWHERE:
            return ELSEWHERE[name]
        raise LicenceError(f"{name} is not installed here: install {LOCK}, or say its licence in ELSEWHERE") from None
    stated = about.get("License-Expression")
    if not stated:
        classes = [entry.rpartition(" :: ")[2] for entry in about.get_all("Classifier", []) if "License ::" in entry]
        stated = " AND ".join(SPELLINGS.get(entry, entry) for entry in classes)
    if not stated:
        stated = (about.get("License") or "").strip().partition("\n")[0]
    stated = SPELLINGS.get(stated, stated)
    if not stated:
        raise LicenceError(f"{name} tells no licence: read it in the package and say so in READ")
    return stated


def is_allowed(licence: str) -> bool:
    """Whether an SPDX expression is on the list: one side of every OR, both of every AND and WITH."""
    words = re.sub(r"[()]", " ", licence)
    return all(
        any(part.strip() in ALLOWED for part in re.split(r"\bOR\b", both))
        for both in re.split(r"\bAND\b|\bWITH\b", words)
    )


def check(found: list[Package]) -> None:
    """Raises: LicenceError: a licence that is not on the list, or one for tests alone that users would install."""
    for package in found:
        if is_allowed(package.licence):
            continue
        if package.name not in TESTS_ALONE:
            raise LicenceError(f"{package.name} {package.version} is {package.licence}, which is not on the list")
        if package.users:
            raise LicenceError(f"{package.name} is {package.licence}: an extra that users install must not need it")


def page(found: list[Package]) -> str:
    """The page in Markdown."""
    rows = [
        f"| {package.name} | {package.version} | {package.licence}{_note(package.name)} | "
        f"{'users' if package.users else 'development'} |"
        for package in sorted(found)
    ]
    text = [
        "# Licences of dependencies",
        "",
        "ecg-alq itself is Apache-2.0. These are the packages of `requirements.lock`, with the licence each states.",
        "*users*: an extra of `ecg-alq[all]` installs it; *development*: tests, linters or documentation alone.",
        "Written by `python -m flow.publish.licences`, which refuses a package whose licence is not on its list.",
        "",
        "| package | version | licence | for |",
        "|---|---|---|---|",
        *rows,
    ]
    return "\n".join(text) + "\n"


def _note(name: str) -> str:
    if name in READ:
        return f" ({READ[name][1]})"
    return f" ({TESTS_ALONE[name]})" if name in TESTS_ALONE else ""


def _needed(name: str, extras: set[str], project: Path) -> set[str]:
    """Names of everything that a package with some extras needs, as far as it is installed here.

    Our own needs are read from the project's file: what was installed of it may be older.
    """
    own = tomllib.loads(project.read_text("utf-8"))["project"]
    needs = [*own.get("dependencies", ())]
    for extra, texts in own["optional-dependencies"].items():
        needs += [_with_extra(Requirement(text), extra) for text in texts]

    seen: set[tuple[str, str]] = set()
    open_ = [(name, extra) for extra in {"", *extras}]
    while open_:
        current, extra = open_.pop()
        if (current, extra) in seen:
            continue
        seen.add((current, extra))
        try:
            wanted = needs if current == own["name"] else metadata.requires(current) or []
        except metadata.PackageNotFoundError:
            continue
        for text in wanted:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                target = re.sub(r"[-_.]+", "-", requirement.name).lower()
                open_ += [(target, more) for more in ("", *requirement.extras)]
    return {current for current, _ in seen}


def _with_extra(requirement: Requirement, extra: str) -> str:
    """A requirement as a package's metadata write it: wanted with an extra alone."""
    marker = f"({requirement.marker}) and " if requirement.marker else ""
    requirement.marker = Marker(f'{marker}extra == "{extra}"')
    return str(requirement)


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or check it. Returns: the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    if words not in ([], ["--check"]):
        print("use: python -m flow.publish.licences [--check]", file=sys.stderr)
        return 2
    try:
        found = packages(REPOSITORY / LOCK)
        check(found)
    except LicenceError as error:
        print(f"licences: {error}", file=sys.stderr)
        return 2
    differs = update_file(REPOSITORY / PAGE, page(found), write=not words)
    if differs and words:
        print(f"{PAGE} is out of date: run python -m flow.publish.licences", file=sys.stderr)
    return int(differs and bool(words))


if __name__ == "__main__":
    sys.exit(main())
