"""Made pairs and pictures, and a release built from them; also run as a program: `made.py FOLDER PAIRS`."""

import io
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from PIL import Image

from app.snapshots.formats.build import build
from app.snapshots.formats.info import SnapshotInfo
from app.snapshots.formats.parquet import table_count
from app.snapshots.formats.shards import shard_count
from app.snapshots.member import RELEASED, Member, Value, rank

SEED = 7
TRAPS = (
    "Tubular adenoma, H&E, 10×. 腺腫 🔬",
    '=HYPERLINK("http://example.org","look")',
    'A "quoted"\tcaption\nof two lines',
    "NA means normal appearance",
    "-2 SD, \\ and | marks",
)


def picture(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (72, 64), (number % 256, 60, 120)).save(out, "JPEG", quality=90 - number // 256)
    return out.getvalue()


def row(number: int) -> dict[str, Value]:
    """Every third pair lacks what may be unknown."""
    known = number % 3 != 0
    return {
        "candidate": f"C-{number}",
        "platform": "instagram",
        "shortcode": f"B{number:08d}" if known else None,
        "permalink": None,
        "author": "made_up" if known else None,
        "position": 1,
        "taken_at": "2024-03-01T10:20:30+00:00" if known else None,
        "source": "Made | up",
        "consent": "agreed",
        "licence": "CC-BY-4.0" if known else None,
        "organ": "colon" if known else None,
        "diagnosis": None,
        "stain": "he" if known else None,
        "magnification": "10" if known else None,
        "species": None,
        "language": "en" if known else None,
        "width": 72,
        "height": 64,
        "masked": number % 5 // 4,
        "source_sha256": "0" * 64,
        "edited": number % 2 == 0,
        "reviewed_at": "2026-11-01T08:00:00.123456+00:00",
        "reviews": 1,
        "domain_score": 0.5 + number % 7 / 16 if known else None,
        "alignment_score": None,
    }


def split_of(number: int) -> str:
    return ("val", "test", "reserve")[number % 8 - 5] if number % 8 >= 5 else "train"


def member(number: int) -> Member:
    caption = TRAPS[number] if number < len(TRAPS) else f"Made caption {number}"
    sha = sha256(picture(number)).hexdigest()
    return Member(f"{number:012d}", sha, caption, split_of(number), row(number))


def members(count: int) -> list[Member]:
    """In release order."""
    return sorted((member(number) for number in range(count)), key=lambda made: rank(SEED, made.key))


def info_for(made: Sequence[Member]) -> SnapshotInfo:
    counts = Counter(one.split for one in made)
    return SnapshotInfo(
        number=7,
        seed=SEED,
        frozen_at=datetime(2026, 11, 25, 9, tzinfo=UTC),
        counts=counts,
        shards={split: shard_count(counts[split], 0) for split in RELEASED},
        tables={split: table_count(0) for split in RELEASED},
        versions={"ipath-curator": "0.1.0"},
        reserve=[one.key for one in made if one.split == "reserve"],
        note="Made <for> tests",
        contact="curators@example.org",
        funnel={"Imported": 300, "Accepted": len(made)},
        rejections={"Not histology": 3},
        reviewing={"Reviewers": 2},
    )


def release(folder: Path, made: Sequence[Member], info: SnapshotInfo | None = None) -> Path:
    """A release of the pairs, whose pictures are made from their keys."""
    pictures = {one.image_sha256: int(one.key) for one in made}

    def of_split(split: str) -> Iterator[Member]:
        return (one for one in made if one.split == split)

    build(folder, of_split, lambda sha: picture(pictures[sha]), info or info_for(made), lambda _: None)
    return folder


if __name__ == "__main__":
    release(Path(sys.argv[1]), members(int(sys.argv[2])))
