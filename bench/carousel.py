"""How many captions that name their post's images are split right, and how many others are left whole.

The rules were written against the examples of their tests; these templates were not looked at for them.
"""

import random
from collections.abc import Iterator

from app.prefilter import carousel
from bench.figures import Figure
from bench.ground import Ground

CAPTIONS = 400
MARKERS = (
    "Picture {n}: {part}.", "pic {n} - {part}.", "Slide {n}: {part}.", "Fig. {n}: {part}.", "Figure {n}) {part}.",
    "{letter}: {part}.", "({letter}) {part};", "{letter}) {part},", "{letter} - {part}.", "Panel {letter}: {part}.",
    "{n}) {part}.", "{n}- {part}", "({n}) {part},", "{ordinal} image: {part}.", "{ordinal} pic shows {part}.",
    "Imagen {n}: {part}.", "Foto {n}: {part}.", "Bild {n}: {part}.", "Resim {n}: {part}.", "Рис. {n}: {part}.",
    "[{letter}] {part}.", "Photo #{n}: {part}.", "In the {ordinal} photo {part}.",
)  # fmt: skip
LIKE = (
    "{organ}: 1) {a}, 2) {b}, 3) {c}?", "Types: A: {a}, B: {b}, C: {c}, D: {c}.", "{organ}, {a} and {b} (fig 1).",
    "See image 2 for {a} of the {organ}", "Grade 1: {a}. Grade 2: {b}.", "CK7 (A) {a} negative. {organ}", "{organ} {a}",
    "1st biopsy of {organ}: {a}. 2nd biopsy: {b}.", "Hepatitis B. {a}. Swipe for more {organ} cases",
    "Stage 1: {a}\nStage 2: {b}", "{a} as in picture 1, {b} as in picture 2", "Figure 3: {a} of {organ}",
)  # fmt: skip
PARTS = (
    "low power of the {organ}", "nests with palisading", "H&E, 10x", "CD20 positive cells", "atypical mitoses, 40x",
    "keratin pearls", "PAS stain", "tumor necrosis", "Ki-67 of 30%", "higher magnification", "the surgical margin",
)  # fmt: skip
ORGANS = ("eyelid", "colon", "kidney", "lymph node", "breast")
ORDINALS = ("First", "2nd", "Third", "4th")


def run(ground: Ground) -> list[Figure]:
    right = split = named = whole = 0
    for caption, parts, images in made_set(ground.count(CAPTIONS, least=300), seed=7703):
        found = carousel.split(caption, images)
        named += parts is not None
        split += found is not None
        right += found is not None and parts is not None and _same(found, parts)
        whole += found is None and parts is None
    others = ground.count(CAPTIONS, least=300) - named
    return [
        Figure("Precision", right / max(1, split), "", f"{right} of {split} that were split"),
        Figure("Recall", right / named, "", f"{right} of {named} that name their images"),
        Figure("Left whole", whole / others, "", f"{whole} of {others} that do not"),
    ]


def _same(found: list[str], parts: list[str]) -> bool:
    """Whether each image has its own part and what is of all, and no other's part."""
    own = all(part in text for text, part in zip(found, parts, strict=True))
    return own and all(part not in text for text in found for part in parts if part not in parts[found.index(text)])


def made_set(count: int, seed: int) -> Iterator[tuple[str, list[str] | None, int]]:
    """Captions, the part of each image or None, and how many images the post has."""
    chance = random.Random(seed)
    for number in range(count):
        images = chance.randint(2, 4)
        organ = chance.choice(ORGANS)
        parts = [part.format(organ=organ) for part in chance.sample(PARTS, images)]
        if number % 2:
            a, b, c = [*parts, *chance.sample(PARTS, 3)][:3]
            yield chance.choice(LIKE).format(organ=organ, a=a, b=b, c=c), None, images
            continue
        template = chance.choice(MARKERS)
        pieces = [
            template.format(n=at + 1, letter="ABCD"[at], ordinal=ORDINALS[at], part=part)
            for at, part in enumerate(parts)
        ]
        opening = chance.choice(["", f"Case of the {organ}.\n", "52F, punch biopsy. "])
        yield (
            opening + chance.choice(["\n", " "]).join(pieces) + chance.choice(["", "\n#pathology #h&e"]),
            parts,
            images,
        )
