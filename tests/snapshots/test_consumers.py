"""A researcher's view: the release's own snippets, run as the README prints them, with no code of ours."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.snapshots import made

pytestmark = pytest.mark.process
PAIRS = 64
TINY = Path(__file__).parents[1] / "tiny_clip.json"
TRAINER = f"""\
import sys
import open_clip
from open_clip_train.main import main
open_clip.add_model_config({str(TINY)!r})
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the release v0007 lies unpacked."""
    folder = tmp_path_factory.mktemp("desk")
    made.release(folder / "v0007", made.members(PAIRS))
    return folder


def snippet(desk: Path, reader: str) -> str:
    """The README's code for a reader."""
    found = re.search(rf"With {reader}:\n\n```\w+\n(.*?)\n```", (desk / "v0007/README.md").read_text(), re.S)
    assert found
    return found[1]


def run(desk: Path, command: list[str]) -> str:
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(desk / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        command, cwd=desk, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def python(desk: Path, code: str) -> str:
    return run(desk, [sys.executable, "-c", code])


def test_webdataset_gives_every_pair_with_picture_caption_and_record(desk: Path) -> None:
    code = snippet(desk, "webdataset")
    check = """
found = list(pairs)
assert all(image.size == (72, 64) for image, _, _ in found)
assert all(record["caption"] == caption for _, caption, record in found)
print(len(found), image.mode, sorted(record["key"] for _, _, record in found)[0])
"""
    assert python(desk, code + check).split()[-3:] == ["40", "RGB", "000000000000"]


def test_datasets_shows_pictures_in_three_splits(desk: Path) -> None:
    code = snippet(desk, "datasets")
    check = """
assert {name: len(part) for name, part in pairs.items()} == {"train": 40, "validation": 8, "test": 8}
assert image.size == (72, 64)
captions = {row["key"]: row["caption"] for part in pairs.values() for row in part}
assert captions["000000000002"] == 'A "quoted"\\tcaption\\nof two lines'
scores = pairs["train"].with_format("pandas")["domain_score"]
assert scores.isna().any() and scores.max() <= 1
print(pairs["train"].features["taken_at"].dtype, pairs["train"].features["image"])
"""
    out = python(desk, code + check)
    assert "timestamp[us, tz=UTC] Image(" in out


def test_datasets_reads_the_shards_too(desk: Path) -> None:
    code = """
from datasets import load_dataset
pairs = load_dataset("webdataset", data_files={"train": "v0007/shards/train-*.tar"})["train"]
assert len(pairs) == 40 and pairs[0]["jpg"].size == (72, 64)
unknown = [row["json"]["domain_score"] for row in pairs if row["json"]["shortcode"] == ""]
assert unknown and set(unknown) == {""}
"""
    python(desk, code)


def test_pandas_reads_captions_as_text(desk: Path) -> None:
    check = """
assert len(captions) == 56 and captions["key"][0].isdigit() and len(captions["key"][0]) == 12
assert list(captions.columns[:3]) == ["key", "split", "caption"]
by_key = captions.set_index("key")
assert by_key.caption["000000000000"] == "Tubular adenoma, H&E, 10×. 腺腫 🔬"
"""
    python(desk, snippet(desk, "pandas") + check)


def test_open_clip_trains_from_the_shards_and_from_the_table(desk: Path) -> None:
    (desk / "trainer.py").write_text(TRAINER)
    commands = snippet(desk, "open_clip")
    assert commands.count("python -m open_clip_train.main") == 2
    commands = commands.replace("python -m open_clip_train.main", f"{sys.executable} trainer.py")
    commands = commands.replace("--model ViT-B-32", "--model tiny_clip --precision fp32")
    run(desk, ["bash", "-euc", commands])
    assert len(list(desk.glob("logs/*/checkpoints/epoch_1.pt"))) == 2
    assert len(list((desk / "images").glob("*.jpg"))) == 56
    logs = "".join(path.read_text() for path in desk.glob("logs/*/out.log"))
    assert logs.count("clip_val_loss") == 2
