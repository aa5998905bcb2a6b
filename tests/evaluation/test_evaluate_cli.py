"""`ipath evaluate` of several: a licence is confirmed by a flag, and what fails leaves the others their figures."""

import pytest

from tests.evaluation.fixtures import files
from tests.evaluation.test_passport_cli import shell  # noqa: F401  # a fixture
from tests.test_cli import Shell

pytestmark = pytest.mark.process


def test_a_licence_is_named_with_its_flag_and_one_set_that_fails_leaves_the_other_its_figures(
    shell: Shell,  # noqa: F811
) -> None:
    files.bach(shell.home / "evaluation-sets" / "bach", each=2)
    shell.run("encoder", "add", "tiny_clip.json", "--checkpoint", "run-1.safetensors", "--name", "tiny")
    shell.run("evaluation-set", "bach", "--name", "BACH", "--go-on")
    shell.run("evaluation-set", "made", "--name", "Made")
    asked = ("evaluate", "--model", "tiny", "--set", "BACH", "--set", "Made", "--task", "zero-shot")
    refused = shell.run(*asked, code=1)
    assert "BACH: No commercial use" in refused
    assert "Give --confirm-licence" in refused

    for picture in (shell.home / "evaluation-sets" / "bach").rglob("b*.tif"):
        picture.unlink()
    told = shell.json(*asked, "--confirm-licence", code=1)
    assert [one["on"] for one in told["evaluations"]] == ["Made"]
    (why,) = told["failed"].values()
    assert "Read the set again" in why
