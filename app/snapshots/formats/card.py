"""README.md: the dataset card that Hugging Face reads, how to load the release, and its datasheet."""

import json
from collections.abc import Iterable

from app.publish import Folder
from app.snapshots.formats.datasheet import Composition, cell, composition, datasheet
from app.snapshots.formats.info import SnapshotInfo
from app.snapshots.formats.parquet import FOLDER as DATA
from app.snapshots.formats.snippets import LANGUAGES, hub_name, snippets
from app.snapshots.member import Member

CARD = "README.md"
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
NOTES = """\
`captions.csv` is for spreadsheets: a text that would be a formula there begins with an apostrophe. The
Parquet files and shards hold every caption exactly. `open_clip` reads a caption that is only a word such as
`NA` or `null` as missing from its table, not from the shards."""


def write_card(folder: Folder, info: SnapshotInfo, members: Iterable[Member]) -> None:
    """Writes README.md; `members` are those of the released splits."""
    with folder.file(CARD) as file:
        file.write(card(info, composition(members)).encode())


def card(info: SnapshotInfo, counted: Composition) -> str:
    note = f"\n{cell(info.note)}\n" if info.note else ""
    return f"""\
{front_matter(info, counted)}
# {cell(info.title)}, {info.name}
{note}
## Load it

{load_it(info)}

{NOTES}

{datasheet(info, counted)}
"""


def front_matter(info: SnapshotInfo, counted: Composition) -> str:
    """The YAML head; each value is JSON, which is YAML too, so that no text of others is read as syntax."""
    values = {
        "license": "other",
        "license_name": "see-distribution",
        "license_link": f"{CARD}#distribution",
        "language": sorted(code for code in counted.values["language"] if code),
        "pretty_name": f"{info.title} {info.name}",
        "task_categories": ["image-to-text", "zero-shot-image-classification"],
        "size_categories": [next((words for limit, words in SIZES if info.released < limit), "n>1M")],
        "tags": ["histopathology", "medical"],
        "configs": [{"config_name": "default", "data_files": [_data_files(split) for split in info.splits]}],
    }
    lines = [f"{name}: {json.dumps(value)}" for name, value in values.items() if value]
    return "\n".join(["---", *lines, "---"])


def load_it(info: SnapshotInfo) -> str:
    """One block of code for each reader."""
    blocks = (f"With {reader}:\n\n```{LANGUAGES[reader]}\n{code}\n```" for reader, code in snippets(info).items())
    return "\n\n".join(["Beside the folder of this file:", *blocks])


def _data_files(split: str) -> dict[str, str]:
    return {"split": hub_name(split), "path": f"{DATA}/{split}-*.parquet"}
