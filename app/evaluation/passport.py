"""The passport of an evaluation: all that its numbers hang on and all that was predicted, in one small file.

A gzipped JSON object with `format`, `version`, `sha256` (of the canonical JSON of what follows) and `passport`. Whoever
has the pictures and the weights makes the same predictions from it, or is told which input differs.
"""

import gzip
import hashlib
import json
import math
import sys
import zlib
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, NoReturn

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

FORMAT = "ipath-evaluation-passport"
VERSION = 1
MOST_PACKED = 64 * 2**20  # bytes
MOST_UNPACKED = 512 * 2**20
CLOSE = 1e-3  # two best scores that are no further apart may change places by rounding alone
NAMED = 3  # items that a sentence names

STRICT = ConfigDict(strict=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")

Text = Annotated[str, Field(max_length=4_096, pattern=r"^[^\x00]*$")]  # what PostgreSQL can keep
Texts = Annotated[tuple[Text, ...], Field(max_length=1_000_000)]
Codes = Annotated[tuple[int, ...], Field(max_length=1_000_000)]


class BadPassport(ValueError):
    """The file is no passport that can be used; the message says why."""


@dataclass(frozen=True)
class Inputs:
    """What a prediction hangs on, but for the pictures. `checksum` is the SHA-256 of the model's weights.

    `names` are the words for each class, in the order of `classes`. `settings` hold preset, k, seed and the like.
    """

    __pydantic_config__ = STRICT

    task: Text
    model: Text
    checksum: Text
    set_name: Text
    layout: Text
    importer_version: Text
    variant: Text
    classes: Annotated[tuple[Text, ...], Field(max_length=10_000)]
    names: Annotated[tuple[tuple[Text, ...], ...], Field(max_length=10_000)]
    templates: Annotated[tuple[Text, ...], Field(max_length=10_000)]
    preprocessing: dict[Text, Text]
    precision: Text
    logit_scale: float | None
    settings: dict[Text, Any]
    seed: int
    versions: dict[Text, Text]


@dataclass(frozen=True)
class Answer:
    """One answer to all used items: a prompt ensemble's, a head's, one draw's, one direction's.

    `predicted` [n] are places in `classes`; empty for a search. `scores` are float32, little-endian, [n, columns]:
    a column a class, or one with the ranks of a search.
    """

    __pydantic_config__ = STRICT

    name: Text
    predicted: Codes
    scores: bytes
    columns: int

    @staticmethod
    def of(name: str, predicted: Sequence[int], scores: Sequence[Sequence[float]]) -> "Answer":
        flat = array("f", [score for row in scores for score in row])
        if sys.byteorder == "big":
            flat.byteswap()
        return Answer(name, tuple(predicted), flat.tobytes(), len(scores[0]) if scores else 0)

    def rows(self) -> Iterator[tuple[float, ...]]:
        """The scores of each item."""
        flat = array("f", self.scores)
        if sys.byteorder == "big":
            flat.byteswap()
        return (tuple(flat[at : at + self.columns]) for at in range(0, len(flat), self.columns or 1))


@dataclass(frozen=True)
class Passport:
    """`used` [n] are measured on, `learned_from` are what a head learned from, `skipped` are (item, why).

    `files` are the first 16 hex digits of the SHA-256 of the file that each used item is or lies in, or of a pair's
    picture and caption; `learned_files` and `learned_truth` are the same, and the classes, of `learned_from`.
    `figures` are for people to read; they follow from the rest.
    """

    __pydantic_config__ = STRICT

    inputs: Inputs
    used: Texts
    learned_from: Texts
    skipped: Annotated[tuple[tuple[Text, Text], ...], Field(max_length=1_000_000)]
    answers: Annotated[tuple[Answer, ...], Field(max_length=1_000)]
    truth: Codes = ()
    files: Texts = ()
    learned_files: Texts = ()
    learned_truth: Codes = ()
    figures: dict[Text, float | None] = field(default_factory=dict)


# --- bytes --------------------------------------------------------------------------------------

_ADAPTER = TypeAdapter(Passport)


def digest(passport: Passport) -> str:
    """SHA-256 of the canonical JSON: the same inputs and predictions have the same one everywhere."""
    return hashlib.sha256(_canonical(_plain(passport))).hexdigest()


def to_bytes(passport: Passport) -> bytes:
    """The file. Raises BadPassport for one that could not be read again."""
    _check(passport)
    plain = _plain(passport)
    sha256 = hashlib.sha256(_canonical(plain)).hexdigest()
    whole = {"format": FORMAT, "version": VERSION, "sha256": sha256, "passport": plain}
    return gzip.compress(_canonical(whole), mtime=0)


def from_bytes(data: bytes) -> Passport:
    """The passport in a file, which may come from anybody. Raises BadPassport with what is wrong."""
    whole = _parsed(_unpacked(data))
    if not isinstance(whole, dict) or whole.get("format") != FORMAT:
        raise BadPassport("The file is no passport of an evaluation.")
    if whole.get("version") != VERSION:
        raise BadPassport(
            f"The passport has version {str(whole.get('version'))[:20]}; this program reads version {VERSION}."
        )
    canonical = _canonical(whole.get("passport"))
    if hashlib.sha256(canonical).hexdigest() != whole.get("sha256"):
        raise BadPassport("The passport was changed or damaged: its checksum does not fit. Download it again.")
    try:
        passport = _ADAPTER.validate_json(canonical)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise BadPassport(f"The passport can't be used: {where}: {first['msg']}.") from error
    _check(passport)
    return passport


def _plain(passport: Passport) -> Any:
    return _ADAPTER.dump_python(passport, mode="json")


def _canonical(plain: Any) -> bytes:
    try:
        return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
    except ValueError as error:
        raise BadPassport("The passport holds a number that is not finite.") from error


def _unpacked(data: bytes) -> bytes:
    if len(data) > MOST_PACKED:
        raise BadPassport(f"The file is larger than {MOST_PACKED // 2**20} MB; no passport is.")
    unzip = zlib.decompressobj(wbits=31)
    try:
        unpacked = unzip.decompress(data, MOST_UNPACKED)
    except zlib.error as error:
        raise BadPassport("The file is no passport of an evaluation: it is not gzipped JSON.") from error
    if not unzip.eof or unzip.unused_data:
        raise BadPassport("The file is cut short, too large, or has something after its end. Download it again.")
    return unpacked


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data, parse_constant=_not_finite)
    except (ValueError, RecursionError) as error:
        raise BadPassport(f"The file is no passport of an evaluation: {str(error)[:120]}.") from error


def _not_finite(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _check(passport: Passport) -> None:
    """What types alone do not say."""
    n, learned, classes = len(passport.used), len(passport.learned_from), len(passport.inputs.classes)
    if not n:
        raise BadPassport("The passport has no items.")
    if len(set(passport.used)) < n or len(set(passport.learned_from)) < learned:
        raise BadPassport("The passport names an item twice.")
    if len(set(passport.inputs.classes)) < classes:
        raise BadPassport("The passport lists a class twice.")
    for name, some, items in (
        ("truth", passport.truth, n),
        ("files", passport.files, n),
        ("learned_files", passport.learned_files, learned),
        ("learned_truth", passport.learned_truth, learned),
    ):
        if some and len(some) != items:
            raise BadPassport(f"The passport has {len(some):,} entries of {name} for {items:,} items.")
    for answer in passport.answers:
        _check_answer(answer, n, classes)
    if any(not 0 <= code < classes for code in (*passport.truth, *passport.learned_truth)):
        raise BadPassport("The passport names a class that it does not list.")


def _check_answer(answer: Answer, n: int, classes: int) -> None:
    if answer.predicted and len(answer.predicted) != n:
        raise BadPassport(f"The passport has {len(answer.predicted):,} predictions for {n:,} items.")
    if any(not 0 <= code < classes for code in answer.predicted):
        raise BadPassport("The passport predicts a class that it does not list.")
    if answer.columns < 0 or len(answer.scores) != 4 * n * answer.columns:
        raise BadPassport(f"The passport's scores are not those of {n:,} items.")
    if not all(math.isfinite(score) for score in array("f", answer.scores)):
        raise BadPassport("The passport holds a score that is not finite.")


# --- what differs -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Here:
    """The same as it is where a passport is run again: inputs, the items there, their files' digests and the classes
    that they have here, if known."""

    inputs: Inputs
    items: Collection[str]
    files: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


_WORDS = {
    "task": "The task",
    "checksum": "The model’s weights (SHA-256)",
    "layout": "The set’s layout",
    "importer_version": "The version of the set’s importer",
    "variant": "The variant of the set",
    "classes": "The classes",
    "names": "The names of the classes",
    "templates": "The templates",
    "precision": "The precision",
    "logit_scale": "The logit scale",
    "seed": "The seed",
}


def differences(passport: Passport, here: Here) -> list[str]:
    """Which inputs are others here, a sentence each; none when all are the same. What a set is called here is none."""
    then, now = passport.inputs, here.inputs
    found = [
        f"{words}: {_short(getattr(then, name))} then, {_short(getattr(now, name))} here."
        for name, words in _WORDS.items()
        if _told(getattr(then, name)) != _told(getattr(now, name))
    ]
    for words, old, new in (
        ("The preprocessing", then.preprocessing, now.preprocessing),
        ("The setting", then.settings, now.settings),
        ("The version of", then.versions, now.versions),
    ):
        found += [
            f"{words} {name}: {_short(old.get(name))} then, {_short(new.get(name))} here."
            for name in sorted(old.keys() | new.keys())
            if _told(old.get(name)) != _told(new.get(name))
        ]
    return found + _of_pictures(passport, here)


def _of_pictures(passport: Passport, here: Here) -> list[str]:
    there = set(here.items)
    found = []
    for words, ids, files, truth in (
        ("measured on", passport.used, passport.files, passport.truth),
        ("learned from", passport.learned_from, passport.learned_files, passport.learned_truth),
    ):
        of = f"of the {len(ids):,} items {words}"
        labels = [passport.inputs.classes[code] for code in truth]
        if missing := [id_ for id_ in ids if id_ not in there]:
            found.append(f"{len(missing):,} {of} are missing here: {_some(missing)}.")
        if other := _other(ids, files, here.files):
            found.append(f"{len(other):,} {of} have other files here: {_some(other)}.")
        if other := _other(ids, labels, here.labels):
            found.append(f"{len(other):,} {of} have other labels here: {_some(other)}.")
    return found


def _other(ids: Sequence[str], then: Sequence[str], now: Mapping[str, str]) -> list[str]:
    """The ids whose value is another now; what is not known then or now is none."""
    return [id_ for id_, value in zip(ids, then, strict=False) if now.get(id_, value) != value]


def _told(value: Any) -> str:
    """As JSON tells it, which knows no tuples."""
    return value if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True)


def _short(value: Any) -> str:
    said = _told(value)
    return (said if len(said) <= 80 else f"{said[:77]}…") or "nothing"


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:NAMED]) + (f" and {len(ids) - NAMED:,} more" if len(ids) > NAMED else "")


# --- whether the predictions are the same -------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """`differing` are the items with another prediction (or rank) in some answer, `close` those of them that were near
    a tie: two best scores within 0.001. `farthest` is the largest difference of scores."""

    of: int
    differing: tuple[str, ...]
    close: tuple[str, ...]
    farthest: float

    @property
    def sentence(self) -> str:
        if not self.differing:
            return f"Same predictions ({self.of:,} of {self.of:,}); scores differ by {self.farthest:.2g} at most."
        near = f" {len(self.close):,} of these were near a tie." if self.close else ""
        return f"{len(self.differing):,} of {self.of:,} predictions differ: {_some(self.differing)}.{near}"


def same_predictions(passport: Passport, answers: Sequence[Answer]) -> Comparison:
    """Compares what was predicted again, for the same items in the same order. Raises ValueError for other answers."""
    if [one.name for one in answers] != [one.name for one in passport.answers]:
        raise ValueError("The passport holds other answers than were made again.")
    differing: dict[str, bool] = {}
    farthest = 0.0
    for then, now in zip(passport.answers, answers, strict=True):
        if (len(then.predicted), len(then.scores)) != (len(now.predicted), len(now.scores)):
            raise ValueError(f"The answer {then.name or 'to all items'} is not of the passport's items.")
        for at, (id_, old, new) in enumerate(zip(passport.used, then.rows(), now.rows(), strict=True)):
            apart = max((abs(a - b) for a, b in zip(old, new, strict=True)), default=0.0)
            farthest = max(farthest, apart)
            if then.predicted[at] != now.predicted[at] if then.predicted else apart > CLOSE:
                differing[id_] = _is_close(old)
    close = tuple(id_ for id_, is_close in differing.items() if is_close)
    return Comparison(len(passport.used), tuple(differing), close, farthest)


def _is_close(scores: Sequence[float]) -> bool:
    best = sorted(scores, reverse=True)[:2]
    return len(best) == 2 and best[0] - best[1] <= CLOSE
