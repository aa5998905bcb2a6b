"""A caption that names the images of its post is split over them; anything less clear stays whole."""

import pytest

from app.prefilter.carousel import split


@pytest.mark.parametrize(
    ("caption", "parts"),
    [
        ("A: low power. B: high power.", ["low power.", "high power."]),
        ("BCC of the eyelid.\nA) H&E 4x\nB) H&E 40x", ["BCC of the eyelid.\nH&E 4x", "BCC of the eyelid.\nH&E 40x"]),
        ("Lymph node (A) H&E, (B) CD20.", ["Lymph node\nH&E,", "Lymph node\nCD20."]),
        ("Image 1: nests\nImage 2: clefts\nImage 3: stroma", ["nests", "clefts", "stroma"]),
        ("Pic 1 – nests. Pic 2 – clefts.", ["nests.", "clefts."]),
        ("Figs 1-2: H&E. Fig. 3: PAS.", ["H&E.", "H&E.", "PAS."]),
        ("Images 1 and 2: H&E; image 3: CD20", ["H&E;", "H&E;", "CD20"]),
        ("1. Low power\n2. High power", ["Low power", "High power"]),
        ("1/ Low power\n2/ High power", ["Low power", "High power"]),
        ("1️⃣ Low power 2️⃣ High power", ["Low power", "High power"]),
        ("1st pic shows nests. 2nd pic shows clefts.", ["1st pic shows nests.", "2nd pic shows clefts."]),
        ("The first image is H&E, the second image is PAS", ["The first image is H&E,", "the second image is PAS"]),
        ("Primera imagen: nidos. Segunda imagen: hendiduras.", ["nidos.", "hendiduras."]),
        ("Abb. 1: Nester. Abb. 2: Spalten.", ["Nester.", "Spalten."]),
        ("图1：皮肤。图2：淋巴结。", ["皮肤。", "淋巴结。"]),
        ("Melanoma at low power. Swipe ➡️ high power.", ["Melanoma at low power.", "high power."]),
        ("A: nests\nB: clefts\n#dermpath", ["nests\n#dermpath", "clefts\n#dermpath"]),
    ],
)
def test_each_image_gets_its_part_and_what_is_of_all(caption: str, parts: list[str]) -> None:
    assert split(caption, len(parts)) == parts


@pytest.mark.parametrize(
    ("caption", "images"),
    [
        ("A: low power. B: high power.", 1),
        ("A: low power. B: high power.", 3),
        ("A: low power. B: high power. C: IHC.", 2),
        ("B: low power. A: high power.", 2),
        ("Image 1: nests. Image 3: clefts.", 2),
        ("Low power (A) and high power (B).", 2),
        ("The nests in image 1 are larger than in image 2.", 2),
        ("Basal cell carcinoma, H&E, 10x.", 2),
        ("Swipe for the diagnosis!", 2),
        ("Hepatitis A. Hepatitis B.", 2),
        ("Fig 1: 2: 3:", 3),
        ("Magnification 1: 10x. Magnification 2: 20x", 2),
        ("", 2),
        ("A: nests. B: clefts. Compare (A) with (B).", 2),
    ],
)
def test_what_does_not_clearly_split_stays_whole(caption: str, images: int) -> None:
    assert split(caption, images) is None


@pytest.mark.parametrize("text", ["A:" * 9_000, "A,B," * 5_000, "image " * 3_000, "1st the " * 2_000, "\n1" * 9_000])
def test_a_long_hostile_text_stays_whole(text: str) -> None:
    assert split(text, 2) is None
