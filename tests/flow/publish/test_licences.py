"""Licences: what is on the list, what is not, and the page of the locked packages."""

from __future__ import annotations

import pytest

from flow.build.products import REPOSITORY
from flow.publish import licences
from flow.publish.licences import LicenceError, Package, check, is_allowed


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 OR GPL-3.0-or-later", True),
        ("Apache-2.0 AND GPL-3.0-or-later", False),
        ("(MIT OR GPL-2.0) AND BSD-3-Clause", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only", False),
        ("Proprietary", False),
        ("", False),
    ],
)
def test_the_list(licence, allowed):
    assert is_allowed(licence) == allowed


def test_what_is_refused():
    with pytest.raises(LicenceError, match=r"scapy 2\.8\.0 is GPL-2\.0-only, which is not on the list"):
        check([Package("scapy", "2.8.0", "GPL-2.0-only", False)])
    check([Package("cocotbpynq", "0.2.0", "GPL-3.0-or-later", False)])
    with pytest.raises(LicenceError, match="an extra that users install must not need it"):
        check([Package("cocotbpynq", "0.2.0", "GPL-3.0-or-later", True)])
    with pytest.raises(LicenceError, match="nowhere-at-all is not installed here"):
        licences.licence_of("nowhere-at-all")


def test_every_locked_package_and_no_gpl_for_users():
    found = licences.packages(REPOSITORY / licences.LOCK)
    check(found)
    names = {package.name: package for package in found}
    assert "scapy" not in names
    assert names["numpy"].users
    assert not names["mkdocs"].users
    assert [package.name for package in found if package.users and "GPL" in package.licence] == ["quantizers"]  # LGPL


def test_every_locked_package_has_hashes():
    lines = (REPOSITORY / licences.LOCK).read_text().splitlines()
    pinned = [number for number, line in enumerate(lines) if "==" in line.partition(";")[0]]
    assert len(pinned) > 200
    assert all(lines[number + 1].startswith("    --hash=sha256:") for number in pinned)


def test_the_page():
    text = licences.page([Package("numpy", "2.4", "BSD-3-Clause", True), Package("docutils", "1", "MIT", False)])
    assert "| numpy | 2.4 | BSD-3-Clause | users |" in text
    assert "| docutils | 1 | MIT (its COPYING.rst: the GPL holds for an Emacs mode alone) | development |" in text
