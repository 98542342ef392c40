"""Where a figure comes from: revision, versions, machine; and the hash of settings that names a cached product."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from importlib import metadata
from pathlib import Path

PACKAGES = ("ecg-alq", "numpy", "tensorflow", "keras", "qkeras-v3", "hls4ml", "wfdb", "scikit-learn")


def git_revision() -> str | None:
    """Commit of the source tree, with "+changes" when files differ from it; None outside a checkout."""
    root = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "qmodel", "hls", "flow", "board")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide results."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def provenance() -> dict:
    """Revision, versions and machine, for every result that is written."""
    return {"git_revision": git_revision(), "versions": versions(), "machine": platform.machine()}


def fingerprint(settings: dict) -> str:
    """SHA-256 of settings (JSON), hexadecimal: equal settings, equal product."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()
