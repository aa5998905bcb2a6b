"""The body of a release's README: the datasheet of Gebru et al. (2021), fed by what is counted."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from statistics import median

from app.snapshots.formats.info import SnapshotInfo
from app.snapshots.member import FIELDS, Member

CONSENT = {
    "agreed": "owner agreed",
    "ids_only": "owner agreed to ids only",
    "not_asked": "owner not asked",
}
RIGHTS = "Rights stay with the authors of the posts; each pair names the licence of its source."
DESCRIBED = ("stain", "organ", "magnification", "species", "language")
SHOWN = 10
SPLIT_WORDS = {
    "train": "Train",
    "val": "Validation",
    "test": "Test, held out",
    "reserve": "Reserve, in no file",
}


@dataclass
class Composition:
    """What the released pairs are, counted in one reading of them."""

    values: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in DESCRIBED})
    sources: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    words: list[int] = field(default_factory=list)
    years: Counter[str] = field(default_factory=Counter)
    pictures: set[bytes] = field(default_factory=set)
    edited: int = 0
    masked: int = 0

    def add(self, member: Member) -> None:
        row = member.row
        for name, counter in self.values.items():
            counter[str(row[name] or "")] += 1
        self.sources[f"{row['source']}, {CONSENT.get(str(row['consent']), row['consent'])}"] += 1
        self.licences[str(row["licence"] or "")] += 1
        self.words.append(len(member.caption.split()))
        self.years[str(row["taken_at"] or "")[:4]] += 1
        self.pictures.add(bytes.fromhex(member.image_sha256))
        self.edited += bool(row["edited"])
        self.masked += bool(row["masked"])


def composition(members: Iterable[Member]) -> Composition:
    counted = Composition()
    for member in members:
        counted.add(member)
    return counted


def datasheet(info: SnapshotInfo, counted: Composition) -> str:
    """Markdown, from "Motivation" to "Maintenance"."""
    sections = (
        MOTIVATION,
        _composition(info, counted),
        _collection(info, counted),
        _labelling(info, counted),
        USES,
        _distribution(info, counted),
        _maintenance(info),
    )
    return "\n\n".join(sections)


MOTIVATION = """\
## Motivation

Pictures with captions from pathology posts, chosen one by one by reviewers, to train and evaluate
vision–language models of histopathology."""

USES = """\
## Uses

Research on image–text models. Not for diagnosis: captions are opinions in public posts, without the slide,
the history or a second reader. Captions beyond CLIP's 77 tokens are cut by its tokenizer without a word."""


def _composition(info: SnapshotInfo, counted: Composition) -> str:
    splits = {words: info.counts.get(name, 0) for name, words in SPLIT_WORDS.items()}
    years = sorted(year for year in counted.years if year)
    words = f"{median(counted.words):g}" if counted.words else "0"
    span = f" Posts from {years[0]} to {years[-1]}." if years else ""
    tables = "\n\n".join(table(name.capitalize(), "Pairs", _most(counter)) for name, counter in counted.values.items())
    fields = "\n".join(f"- `{column.name}`: {column.description}" for column in FIELDS)
    return f"""\
## Composition

{info.released:,} pairs of {len(counted.pictures):,} pictures; captions have a median of {words} words.{span}

{table("Split", "Pairs", splits)}

No author, post or duplicate group is on two sides of the splits. Reserve is what was held out beyond the
wanted number, so that it is neither trained on nor counted.{_shortfalls(info)}

{tables}

Each pair has its picture and

{fields}"""


def _shortfalls(info: SnapshotInfo) -> str:
    return "".join(f"\n\n{sentence}" for sentence in info.split_report.get("shortfalls", ()))


def _collection(info: SnapshotInfo, counted: Composition) -> str:
    return f"""\
## Collection process

Posts were read from files that people brought: folders saved by Instaloader and tables with pictures.
Nothing was fetched from a network.{_if_any("What became of all that was read", "Entries", info.funnel)}

{table("Source and consent", "Pairs", largest_first(counted.sources))}"""


def _labelling(info: SnapshotInfo, counted: Composition) -> str:
    return f"""\
## Preprocessing, cleaning, labelling

Each picture was turned upright, converted to sRGB, stripped of metadata and stored as JPEG. Captions were
cleaned by rules and each pair was accepted by a person; {counted.edited:,} captions were edited in review.
{_masked(counted)}\
{_if_any("Reviewing", "Number", info.reviewing)}\
{_if_any("Rejected because", "Reviews", info.rejections)}"""


def _masked(counted: Composition) -> str:
    one = counted.masked == 1
    pictures = "1 picture has" if one else f"{counted.masked:,} pictures have"
    return f"""\
Faces, and what is written in a picture, were looked for by machine. {pictures} parts covered in black that might
identify a patient: those whose `masked` is not 0."""


def _distribution(info: SnapshotInfo, counted: Composition) -> str:
    return f"""\
## Distribution

{cell(info.licence) or RIGHTS}

{table("Licence", "Pairs", _most(counted.licences))}"""


def _maintenance(info: SnapshotInfo) -> str:
    contact = f" To have a post taken out, write to {cell(info.contact)}." if info.contact else ""
    day = f"{info.frozen_at.astimezone(UTC):%d %B %Y}"
    return f"""\
## Maintenance

Release {info.name} was frozen on {day} and never changes; a later release has a higher number.
What is withdrawn is left out of later releases.{contact}

`sha256sum -c SHA256SUMS` checks every file."""


def table(name: str, unit: str, counts: Mapping[str, int]) -> str:
    """A Markdown table of counts."""
    rows = [f"| {cell(key)} | {count:,} |" for key, count in counts.items()]
    return "\n".join([f"| {name} | {unit} |", "|---|---:|", *rows])


def _if_any(name: str, unit: str, counts: Mapping[str, int]) -> str:
    """A paragraph with the table, or nothing where nothing was counted."""
    return f"\n\n{table(name, unit, largest_first(counts))}" if counts else ""


def largest_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def cell(text: str) -> str:
    """Text of others in one line of Markdown, where it can make neither markup nor columns."""
    flat = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{letter}" if letter in "\\`*_[]|#!" else letter for letter in flat)


def _most(counter: Counter[str]) -> dict[str, int]:
    """The most frequent values, by number then name; unknown and the rest last."""
    known = list(largest_first({value: number for value, number in counter.items() if value}).items())
    rows = dict(known[:SHOWN])
    rest = {"Other": sum(number for _, number in known[SHOWN:]), "Not stated": counter[""]}
    return rows | {name: number + rows.get(name, 0) for name, number in rest.items() if number}
