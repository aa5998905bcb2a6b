"""A proposed caption says only what the original says: each sentence is linked to it, or marked."""

import pytest

from app.prefilter.faithfulness import check

ORIGINAL = """Basal cell carcinoma of the left eyelid, H&E, 10x 🔬
No evidence of perineural invasion. CD20+, CD3 negative, Ki-67 of 30%.
Grade 2, 3 mm, 52F. Favor nodular type. #dermpath #bcc"""


@pytest.mark.parametrize(
    "proposal",
    [
        ORIGINAL,
        "",
        "BCC of the left eyelid (hematoxylin and eosin, ×10).",
        "H&E, 10×: left eyelid, basal cell carcinomas.",
        "Photomicrograph showing basal-cell carcinoma.",
        "There is no perineural invasion.",
        "Perineural invasion is absent.",
        "Perineural invasion was not seen.",
        "Positive for CD20; CD3-.",
        "Ki67 30%.",
        "A 52-year-old woman.",
        "Grade II.",
        "Favour nodular type.",
        "Basal cell carcinma.",
    ],
)
def test_order_case_spelling_and_known_abbreviations_make_no_difference(proposal: str) -> None:
    found = check(ORIGINAL, proposal)
    assert found.unsupported == ()
    assert found.support == 1


@pytest.mark.parametrize(
    "proposal",
    [
        "Radiotherapy is advised.",
        "Squamous cell carcinoma.",
        "BCC of the right eyelid.",
        "BCC of the left ear.",
        "Basal cell carcinoma, PAS.",
        "Basal cell carcinoma, 40x.",
        "Grade 3.",
        "Grade 2, 5 mm.",
        "Evidence of perineural invasion.",
        "Perineural invasion is seen.",
        "No basal cell carcinoma.",
        "CD20 negative.",
        "CD3 positive.",
        "CD20-, CD3+.",
        "Nodular type.",
        "A 25-year-old woman.",
        "A 52-year-old man.",
    ],
)
def test_what_the_original_does_not_say_is_marked(proposal: str) -> None:
    assert check(ORIGINAL, proposal).unsupported == ((0, len(proposal)),)


@pytest.mark.parametrize(
    ("original", "proposal"),
    [
        ("Left kidney and right ovary.", "Right kidney and left ovary."),
        ("Ki-67 of 30% and ER of 90%.", "Ki-67 of 90% and ER of 30%."),
        ("Melanoma?", "Melanoma."),
        ("Cannot exclude malignancy.", "Malignancy."),
        ("No atypia or necrosis.", "Necrosis."),
        ("Sin atipia.", "Con atipia."),
        ("Keine Nekrose.", "Nekrose."),
        ("Nekroz yok.", "Nekroz."),
        ("未见坏死。", "坏死。"),
        ("皮肤的基底细胞癌", "皮肤鳞状细胞癌"),
        ("皮膚の基底細胞癌", "胃の基底細胞癌"),
    ],
)
def test_what_was_true_of_something_else_is_marked(original: str, proposal: str) -> None:
    assert check(original, original).unsupported == ()
    assert check(original, proposal).unsupported == ((0, len(proposal)),)


@pytest.mark.parametrize(
    ("original", "proposal"),
    [
        ("Negative: CD3, CD5\nPositive: CD20", "CD20 positive; CD3 and CD5 negative."),
        ("Positive:\n- CD20\n- CD10\nNegative:\n- CD3\n- CD5", "Positive for CD20 and CD10. Negative for CD3 and CD5."),
        ("Without:\n• atypia\n• necrosis\nMelanoma", "Melanoma without atypia or necrosis."),
        ("Melanoma\n- right cheek\n- 3 mm\n- 52F", "A 52-year-old woman presenting with melanoma, right cheek, 3 mm."),
    ],
)
def test_a_sentence_that_joins_lines_of_the_original_is_supported(original: str, proposal: str) -> None:
    assert check(original, original).unsupported == ()
    assert check(original, proposal).unsupported == ()


@pytest.mark.parametrize("proposal", ["CD3 positive.", "Necrosis.", "No melanoma."])
def test_what_stands_below_a_heading_is_meant_by_it_and_nothing_behind_it_is(proposal: str) -> None:
    original = "Negative:\n- CD3\nNo:\n- necrosis\nMelanoma"
    assert check(original, "CD3 negative. No necrosis. Melanoma.").unsupported == ()
    assert check(original, proposal).unsupported == ((0, len(proposal)),)


@pytest.mark.parametrize(
    ("original", "proposal"),
    [
        ("皮膚の基底細胞癌、HE染色", "基底細胞癌、皮膚。HE染色"),
        ("皮肤的基底细胞癌", "皮肤基底细胞癌"),
        ("Carcinoma basocelular, tinción de hematoxilina y eosina", "CARCINOMA BASOCELULAR, H&E"),
        ("Базальноклеточный рак кожи", "Рак кожи, базальноклеточный"),
        ("Melanoma without ulceration, margins negative", "Melanoma. Negative margins. No ulceration."),
        ("Naevus, oedema, tumour", "Nevus, edema, tumor"),
    ],
)
def test_other_languages_and_scripts_are_compared_alike(original: str, proposal: str) -> None:
    assert check(original, proposal).unsupported == ()


def test_a_sentence_links_to_the_words_it_came_from_and_only_bad_ones_are_marked() -> None:
    proposal = "BCC of the left eyelid. It often recurs."
    good, bad = check(ORIGINAL, proposal).sentences
    assert [ORIGINAL[start:end] for start, end in good.links] == ["Basal cell carcinoma", "left eyelid"]
    assert (good.supported, good.support) == (True, 1)
    assert proposal[bad.start : bad.end] == "It often recurs."
    assert (bad.supported, bad.support) == (False, 0)


def test_support_is_the_share_of_words_that_come_from_the_original() -> None:
    assert check("alpha beta gamma", "Alpha beta delta epsilon.").support == 0.5
    assert check("", "Melanoma.").support == 0
    assert check("Melanoma.", "This is a picture of the slide.").support == 1


@pytest.mark.parametrize(
    "text", ["\x00\u200b", "((((((", "?!?!?", "+ - ×", "İıŞ", "e\u0301" * 5, "2" * 50, "10x" * 30, "🔬" * 9, "a-1 " * 9]
)
def test_any_text_is_true_to_itself(text: str) -> None:
    found = check(text, text)
    assert (found.support, found.unsupported) == (1, ())
    for sentence in found.sentences:
        assert 0 <= sentence.start < sentence.end <= len(text)


def test_a_long_hostile_text_is_compared_too() -> None:
    for text in ("CD20 positive, no word " * 200, "細胞" * 10_000, "(" * 20_000, "acanthosis, " * 800):
        assert check(text, text).support == 1
        assert check(text, "Melanoma.").support == 0
