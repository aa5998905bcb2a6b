"""What says which code made a model: the commit where the files are as it has them, else their hash."""

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from workers.source import code_version, commit, files_hash


@pytest.fixture
def product(tmp_path: Path) -> Path:
    for part in ("app", "workers"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "one.py").write_text("ONE = 1\n")
    return tmp_path


def git(folder: Path, *words: str) -> str:
    named = ("-c", "user.name=Alder", "-c", "user.email=alder@example.org")
    return subprocess.run(["git", *named, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_a_checkout_is_named_by_its_commit_until_a_file_of_the_product_differs(product: Path) -> None:
    assert commit(product) == ""
    git(product, "init", "--quiet")
    git(product, "add", ".")
    git(product, "commit", "--quiet", "--message", "One")
    assert commit(product) == git(product, "rev-parse", "HEAD").strip()
    (product / "notes.txt").write_text("beside the product")
    assert commit(product)
    (product / "app" / "two.py").write_text("TWO = 2\n")
    assert commit(product) == ""


def test_the_hash_is_of_names_and_contents(product: Path) -> None:
    first = files_hash(product)
    assert files_hash(product) == first
    (product / "app" / "one.py").rename(product / "app" / "two.py")
    renamed = files_hash(product)
    (product / "app" / "two.py").write_text("TWO = 2\n")
    assert len({first, renamed, files_hash(product)}) == 3


def test_the_version_that_models_keep_says_which_source_it_was() -> None:
    number, _, source = code_version().partition("+")
    assert number == version("ipath-curator")
    assert len(source) == 12
