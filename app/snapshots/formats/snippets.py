"""How to load a release with each reader, as code that runs beside its unpacked folder."""

from app.snapshots.formats.info import SnapshotInfo
from app.snapshots.formats.shards import FOLDER as SHARDS
from app.snapshots.formats.tables import CAPTIONS, IMAGES, OPEN_CLIP

LANGUAGES = {"webdataset": "python", "datasets": "python", "pandas": "python", "open_clip": "bash"}


def snippets(info: SnapshotInfo) -> dict[str, str]:
    """Reader → code. Shards are named by braces: neither webdataset nor open_clip expands `*`."""
    split = info.splits[0]
    return {
        "webdataset": f'''\
import webdataset as wds

shards = "{shard_range(info, split)}"
pairs = wds.WebDataset(shards, shardshuffle=100).decode("pil").to_tuple("jpg", "txt", "json")

image, caption, record = next(iter(pairs))''',
        "datasets": f'''\
from datasets import load_dataset

pairs = load_dataset("./{info.name}")
pair = pairs["{hub_name(split)}"][0]
image, caption = pair["image"], pair["caption"]''',
        "pandas": f'''\
import pandas as pd

captions = pd.read_csv("{info.name}/{CAPTIONS}", dtype=str, keep_default_na=False)''',
        "open_clip": f"""\
{_train_on_shards(info, split)}

{_train_on_table(info, split)}""",
    }


def shard_range(info: SnapshotInfo, split: str) -> str:
    """All shards of a split, relative to where the release's folder lies."""
    return f"{info.name}/{SHARDS}/{split}-{{000000..{info.shards[split] - 1:06d}}}.tar"


def _train_on_shards(info: SnapshotInfo, split: str) -> str:
    validation = (
        f" \\\n  --val-data '{shard_range(info, 'val')}' --val-num-samples {info.counts['val']}"
        if "val" in info.splits
        else ""
    )
    return f"""\
# From the shards; at least as many shards as --workers.
python -m open_clip_train.main --dataset-type webdataset \\
  --train-data '{shard_range(info, split)}'{validation} \\
  {_settings(info, split)}"""


def _train_on_table(info: SnapshotInfo, split: str) -> str:
    validation = f" --val-data {info.name}/{OPEN_CLIP}/val.tsv" if "val" in info.splits else ""
    return f"""\
# Or from the tab-separated table, whose pictures come out of the shards.
mkdir -p {IMAGES}
for shard in {info.name}/{SHARDS}/*.tar; do tar -xf "$shard" -C {IMAGES}; done
python -m open_clip_train.main --dataset-type csv \\
  --train-data {info.name}/{OPEN_CLIP}/{split}.tsv{validation} \\
  {_settings(info, split)}"""


def _settings(info: SnapshotInfo, split: str) -> str:
    """A batch is filled by each loading process on its own, so small releases get small ones."""
    workers = min(4, info.shards[split])
    batch = max(1, min(128, info.counts[split] // (2 * workers)))
    return f"--model ViT-B-32 --batch-size {batch} --epochs 1 --workers {workers}"


def hub_name(split: str) -> str:
    """Hugging Face's word for the split."""
    return {"val": "validation"}.get(split, split)
