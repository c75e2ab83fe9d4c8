"""Requirements against versions: what is understood is right, what is not raises no alarm."""

from __future__ import annotations

import pytest

from env_check.specifiers import applies, meets, parse


@pytest.mark.parametrize(
    ("line", "version", "is_met"),
    [
        ("torch<3,>=2.4", "2.13.0+cpu", True),
        ("torch<3,>=2.4", "2.3.1", False),
        ("huggingface-hub<1.0,>=0.34.0", "2.4.0", False),
        ("tokenizers<=0.23.0,>=0.22.0", "0.22.2", True),
        ("triton==3.7.1", "3.7.1", True),
        ("triton==3.7.1", "3.7.0", False),
        ("triton~=3.8.0", "3.8.4", True),
        ("triton~=3.8.0", "3.9.0", False),
        ("numpy==1.*", "1.26.4", True),
        ("numpy!=2.0.*", "2.0.1", False),
        ("trl>=1.0", "1.0.0rc1", False),
        ("trl>=1.0", "1.0.0.post1", True),
        ("accelerate (>=0.20)", "1.15.0", True),
        ("datasets[audio]>=2.0", "5.2.0", True),
        ("torch", "2.13.0", True),
    ],
)
def test_a_requirement_is_met_or_not(line: str, version: str, is_met: bool) -> None:
    """As the packaging standard says, for the forms that these packages use."""
    requirement = parse(line)
    assert requirement is not None
    assert meets(version, requirement.specifiers) is is_met


@pytest.mark.parametrize("line", ["torch @ https://example.org/torch.whl", "==broken", ""])
def test_a_form_not_understood_is_passed_over(line: str) -> None:
    """No alarm from what was not understood."""
    assert parse(line) is None


@pytest.mark.parametrize(
    ("marker", "holds"),
    [
        ("", True),
        ('platform_system == "Linux"', True),
        ('platform_system == "Linux" and platform_machine == "x86_64"', True),
        ('platform_machine == "aarch64"', False),
        ('python_version < "3.11"', False),
        ('python_version >= "3.9"', True),
        ('extra == "dev"', False),
        ('sys_platform == "win32" or sys_platform == "linux"', False),
    ],
)
def test_a_marker_holds_or_not(marker: str, holds: bool) -> None:
    """A marker with `or` is not understood, and counts as not holding."""
    assert applies(marker, python="3.12.3", machine="x86_64") is holds


def test_it_agrees_with_packaging_on_the_installed_stack() -> None:
    """The reference implementation, over every requirement installed here."""
    metadata = pytest.importorskip("importlib.metadata")
    specifier_sets = pytest.importorskip("packaging.specifiers")
    requirements = pytest.importorskip("packaging.requirements")
    compared = 0
    for distribution in metadata.distributions():
        for line in distribution.requires or ():
            mine, theirs = parse(line), requirements.Requirement(line)
            if mine is None:
                continue
            wanted = specifier_sets.SpecifierSet(str(theirs.specifier))
            for version in ("0.9", "1.0", "1.26.4", "2.13.0", "3.0.0", "5.23.0"):
                assert meets(version, mine.specifiers) is wanted.contains(version), line
                compared += 1
    assert compared > 50
