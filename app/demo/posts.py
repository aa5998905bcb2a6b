"""Sample posts on disk, ready for `ipath import`: Instaloader folders, and a table with pictures.

The captions are made up (written/*.toml); the pictures are views of what published packages carry.
"""

import csv
import random
import shutil
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from app.demo import instaloader
from app.demo.instaloader import Post
from app.demo.pictures import Camera, Picture, Studio

WRITTEN = Path(__file__).parent / "written"
TABLE_COLUMNS = ("image", "caption", "author", "post_id", "date")
TABLE_START = date(2024, 2, 1)

Plan = dict[str, Any]


@dataclass(frozen=True)
class SampleReport:
    """What was written. `importable` are the folders to import; `labels` tells histology from the rest."""

    posts: int
    images: int
    accounts: int
    importable: tuple[Path, ...]
    labels: Path


@dataclass
class _Desk:
    """What the writing of one post leaves for the next: named pictures to copy, labelled files, tallies."""

    studio: Studio
    target: Path
    seed: int
    named: dict[str, tuple[Plan, tuple[Picture, ...]]] = field(default_factory=dict)
    labelled: list[tuple[str, str, str]] = field(default_factory=list)
    posts: int = 0
    images: int = 0
    owners: set[str] = field(default_factory=set)

    def record(self, path: Path, picture: Picture) -> None:
        if picture.label:
            name = path.relative_to(self.target).as_posix()
            self.labelled.append((name, picture.label, picture.origin))

    def pictures(self, plan: Plan, camera: Camera) -> tuple[Picture, ...]:
        """The pictures that a post asks for, taken anew or from an earlier post; kept if it has a name."""
        taken = tuple(self._picture(words, camera) for words in plan["show"])
        if "name" in plan:
            self.named[plan["name"]] = plan, taken
        return taken

    def text(self, plan: Plan) -> str:
        """A post's own caption, or the one it copies."""
        return str(plan["text"] if "text" in plan else self.named[plan["text_of"]][0]["text"])

    def _picture(self, words: str, camera: Camera) -> Picture:
        if not words.startswith("copy "):
            return self.studio.take(words, camera)
        _, name, number, change = words.split()
        return self.studio.retake(self.named[name][1][int(number) - 1], change)


def write_sample_posts(wheels: Path, target: Path, seed: int = 20418) -> SampleReport:
    """Write the sample posts into a folder; the same seed gives the same bytes.

    `wheels` is the folder that `download_wheels` filled; raises WheelsUnavailable when a wheel is missing.
    """
    desk = _Desk(Studio(wheels, seed), target, seed)
    for folder in _account_plans():
        _write_account(desk, folder)
    _write_table(desk, _read_plan("table"))
    labels = target / "labels.csv"
    _write_csv(labels, ("file", "label", "group"), desk.labelled)
    shutil.copyfile(WRITTEN / "README.txt", target / "README.txt")
    importable = (target / "instaloader", target / "table")
    return SampleReport(desk.posts, desk.images, len(desk.owners), importable, labels)


def _account_plans() -> Iterator[Plan]:
    """Accounts in the order of their names, as later ones copy from earlier ones; the hashtag last."""
    for path in sorted(WRITTEN.glob("path_demo_*.toml")):
        yield _read_plan(path.stem)
    yield _read_plan("hashtag")


def _read_plan(name: str) -> Plan:
    return tomllib.loads((WRITTEN / f"{name}.toml").read_text(encoding="utf-8"))


def _write_account(desk: _Desk, plan: Plan) -> None:
    name, camera = plan["name"], Camera(**plan["camera"])
    folder = desk.target / "instaloader" / name
    folder.mkdir(parents=True, exist_ok=True)
    _write_side_files(desk, folder, plan, camera)
    for post_plan, taken_at in zip(plan["post"], _times(desk.seed, plan), strict=True):
        post = _post(desk, post_plan, post_plan.get("by", name), taken_at, camera)
        written = instaloader.write_post(
            folder, post, plan.get("shape", "graph"), "by" not in post_plan, plan.get("compressed", True)
        )
        desk.posts += 1
        desk.images += 0 if post.lost else len(post.pictures)
        desk.owners.add(post.owner)
        for path, picture in written:
            desk.record(path, picture)


def _write_side_files(desk: _Desk, folder: Path, plan: Plan, camera: Camera) -> None:
    name, since = plan["name"], _midnight(plan["since"])
    if name.startswith("#"):
        instaloader.write_hashtag(folder, name)
        return
    portrait = desk.studio.take("overview 20x", camera)
    instaloader.write_profile(folder, name, plan["title"], plan["biography"], since, portrait)
    if plan.get("interrupted"):
        instaloader.write_resume_state(folder, name)


def _post(desk: _Desk, plan: Plan, owner: str, taken_at: datetime, camera: Camera) -> Post:
    return Post(
        owner=owner,
        taken_at=taken_at,
        text=desk.text(plan),
        pictures=desk.pictures(plan, camera),
        video=plan.get("video", False),
        spoiled=plan.get("spoiled"),
        lost=plan.get("same_second", False),
        comments=tuple(plan.get("comments", ())),
        place=plan.get("place", ""),
        earlier_text=plan.get("earlier_text", ""),
        suffix=plan.get("suffix", ".jpg"),
    )


def _times(seed: int, plan: Plan) -> Iterator[datetime]:
    """When each post of an account was taken: some days apart, but for two posts of one second."""
    pace = random.Random(f"{seed} {plan['name']}")  # noqa: S311  # variety, not secrecy
    now = _midnight(plan["since"])
    for post in plan["post"]:
        if not post.get("same_second"):
            now += timedelta(seconds=pace.randint(40_000, 600_000))
        yield now


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _write_table(desk: _Desk, plan: Plan) -> None:
    folder = desk.target / "table"
    (folder / "images").mkdir(parents=True, exist_ok=True)
    camera = Camera(**plan["camera"])
    rows = [_table_row(desk, folder, number, row, camera) for number, row in enumerate(plan["row"], start=1)]
    _write_csv(folder / "captions.csv", TABLE_COLUMNS, rows)
    desk.posts += len(rows)


def _table_row(desk: _Desk, folder: Path, number: int, row: Plan, camera: Camera) -> tuple[str, ...]:
    """Write a row's picture; the row, which may name a picture that is missing, as such tables do."""
    name = f"images/slide_{number:03}.jpg"
    if row["show"] != "missing":
        (picture,) = desk.pictures({"show": [row["show"]]}, camera)
        (folder / name).write_bytes(picture.data)
        desk.record(folder / name, picture)
        desk.images += 1
    day = TABLE_START + timedelta(days=number)
    return name, row["text"], row["by"], f"DEMO-{number:03}", day.isoformat()


def _write_csv(path: Path, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
