"""How many planted falsehoods of a proposed caption are marked, and how many true sentences are not.

Originals and proposals are rendered from templates. The rules were tuned on TUNED templates only; the figures are of
MEASURED ones, which share no wording with them, and of another seed.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from app.prefilter import faithfulness
from bench.figures import Figure, percentiles
from bench.ground import Ground

CAPTIONS = 400

# Each row: how the original says it, how a proposal may say the same, and what turns it round where there is such.
Template = tuple[str, str, str]
TUNED: tuple[Template, ...] = (
    ("{dx} of the {side} {organ}, {stain}, {power}x.", "{dx}, {side} {organ} ({stain}, {power}×).", ""),
    ("No evidence of {feature}.", "There is no {feature}.", "There is {feature}."),
    ("{marker} positive, {other} negative.", "Positive for {marker}, negative for {other}.", "{other} positive."),
    ("{age}F with a {size} cm mass.", "A {age}-year-old woman with a mass of {size} cm.", ""),
    ("Grade {grade} with {finding}.", "{finding}, grade {grade}.", ""),
)
MEASURED: tuple[Template, ...] = (
    ("Biopsy from {side} {organ}: {dx}", "{dx}, biopsy of the {side} {organ}.", ""),
    ("{stain} at {power}X shows {finding}", "Photomicrograph showing {finding} ({stain}, ×{power}).", ""),
    ("Without {feature} or ulceration", "{feature} and ulceration are absent.", "{feature} and ulceration are seen."),
    ("{marker}+, {other}-", "{marker} is positive and {other} is negative.", "{other} is positive."),
    ("Pt is a {age} yo M, lesion {size} mm for years", "{age}-year-old man with a {size} mm lesion for years.", ""),
    ("tumor cells with {finding}, who grade {grade}", "Tumour cells with {finding}, WHO grade {grade}.", ""),
    ("{feature} was not identified", "No {feature} identified.", "{feature} was identified."),
    ("Ki67 {size}%, favor {dx}", "Favor {dx}, Ki-67 of {size}%.", "{dx}, Ki-67 of {size}%."),
)
VALUES = {
    "dx": ["Basal cell carcinoma", "Squamous cell carcinoma", "Melanoma", "Schwannoma", "Lobular carcinoma", "Lipoma"],
    "organ": ["breast", "kidney", "eyelid", "ovary", "lung", "testis", "parotid", "thigh"],
    "side": ["left", "right"],
    "stain": ["H&E", "PAS", "Giemsa", "Congo red", "Masson trichrome"],
    "power": ["4", "10", "20", "40", "100"],
    "feature": ["perineural invasion", "necrosis", "mitotic activity", "lymphovascular invasion", "atypia"],
    "finding": ["peripheral palisading", "keratin pearls", "nuclear pleomorphism", "rosettes", "psammoma bodies"],
    "marker": ["CD20", "S100", "HER2", "Ki-67"],
    "other": ["CD3", "p63", "ER", "TTF1"],
    "age": ["34", "52", "67", "81"],
    "size": ["2", "7", "15", "24"],
    "grade": ["1", "2", "3"],
}
ADDED = (
    "Adjuvant radiotherapy is recommended.",
    "The prognosis is excellent.",
    "Tumor cells infiltrate the dermis.",
    "These are rare lesions of childhood.",
    "A BRAF mutation was detected.",
    "Surgical margins are clear.",
)
NOISE = ("#pathology #dermpath", "🔬🔬", "Follow us!", "")


@dataclass(frozen=True)
class Made:
    """An original, the sentences of a proposal, and what was planted in each ("" where it is true)."""

    original: str
    sentences: tuple[str, ...]
    planted: tuple[str, ...]


def run(ground: Ground) -> list[Figure]:
    told: Counter[tuple[str, bool]] = Counter()
    seconds = []
    for made in made_set(MEASURED, ground.count(CAPTIONS, least=300), seed=5021):
        before = time.perf_counter()
        found = faithfulness.check(made.original, " ".join(made.sentences))
        seconds.append(time.perf_counter() - before)
        told.update(zip(made.planted, (sentence.supported for sentence in found.sentences), strict=True))
    planted = sorted({kind for kind, _ in told if kind})
    caught, alarms = sum(told[kind, False] for kind in planted), told["", False]
    missed = sum(told[kind, True] for kind in planted)
    each = [Figure(f"{kind}: recall", *_share(told[kind, False], told[kind, True])) for kind in planted]
    recall, of = caught / (caught + missed), f"{caught} of {caught + missed} planted"
    precision = Figure("Precision", caught / (caught + alarms), "", f"{alarms} true ones marked", at_least=0.8)
    p50, _ = percentiles(seconds)
    time_each = Figure("A caption: p50", 1000 * p50, "ms")
    return [Figure("Recall", recall, "", of, at_least=0.95), precision, *each, time_each]


def _share(part: int, rest: int) -> tuple[float, str, str]:
    return part / (part + rest), "", f"{part} of {part + rest}"


def made_set(templates: tuple[Template, ...], count: int, seed: int) -> Iterator[Made]:
    """Originals of three templates each; of a proposal's sentences, one in three says something else."""
    chance = random.Random(seed)
    for _ in range(count):
        rows = chance.sample(templates, 3)
        values = {slot: chance.choice(choices) for slot, choices in VALUES.items()}
        lines = [_sentence(row[0].format(**values)) for row in rows]
        said = [_proposed(row, values, chance) for row in chance.sample(rows, 3)]
        if chance.random() < 0.25:
            said.append((chance.choice(ADDED), "added sentence"))
        yield Made("\n".join([*lines, chance.choice(NOISE)]), *zip(*said, strict=True))


def _proposed(row: Template, values: dict[str, str], chance: random.Random) -> tuple[str, str]:
    harmless: list[Callable[[str], str]] = [str, str, str.lower, lambda text: text.replace("carcinoma", "carcinomas")]
    if chance.random() > 1 / 3:
        return _sentence(chance.choice(harmless)(chance.choice(row[:2]).format(**values))), ""
    if row[2] and chance.random() < 0.6:
        return _sentence(row[2].format(**values)), "certainty dropped" if "avor" in row[0] else "negation"
    slot = chance.choice([slot for slot in VALUES if f"{{{slot}}}" in row[1]])
    taken = {value.lower() for value in values.values()}
    other = chance.choice([value for value in VALUES[slot] if value.lower() not in taken] or ["spindle cells"])
    return _sentence(row[1].format(**values | {slot: other})), f"other {NAMES.get(slot, slot)}"


NAMES = {"dx": "diagnosis", "power": "magnification", "size": "figure", "other": "marker"}


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] if text.endswith(".") else f"{text[:1].upper()}{text[1:]}."
