"""Caption rules: what is cut, what stays, where it was, and that no text can break them."""

import subprocess
import sys
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.prefilter.caption_rules import MAX_CHARACTERS, Removed, clean, score

POST = (
    "🔬 Case of the week!! 58F with a breast lump 👀 High grade invasive carcinoma, H&E 40x: sheets of "
    "pleomorphic cells. Grade 3 (3+3+3=9). What IHC panel would you order? 👇 Follow @path_demo_01 for daily "
    "cases ❤️ #pathology #breastpathology #pathresidents"
)


def cut(caption: str, kind: str) -> list[str]:
    return [caption[part.start : part.end] for part in clean(caption).removed if part.kind == kind]


def test_a_post_becomes_its_description() -> None:
    assert clean(POST).text == (
        "58F with a breast lump High grade invasive carcinoma, H&E 40×: sheets of pleomorphic cells. Grade 3 (3+3+3=9)."
    )


def test_what_was_cut_is_named_and_found_in_the_original() -> None:
    assert cut(POST, "hashtag") == ["#pathology #breastpathology #pathresidents"]
    assert cut(POST, "question") == ["What IHC panel would you order?"]
    assert [text.strip() for text in cut(POST, "promotion")] == [
        "Case of the week!!",
        "Follow @path_demo_01 for daily cases",
    ]
    assert cut(POST, "emoji") == ["🔬", "👀", "👇", "❤"]


@pytest.mark.parametrize(
    "caption",
    [
        "Patient with DM for 10 years, follow-up biopsy at 6 months.",
        "The lesions share features with X, followed by fibrosis; CD3-, CD20+, Ki67 <5 %.",
        "El paciente comenta dolor. Lesión de corta duración.",
        "Se sigue para más estudios; el paciente siga en control.",
        "Lesão de curta duração, sem atipia.",
        "Tumor de 2 x 3 cm; 30 mm x 40 mm. Grade 2 of 3, level #3, case #1.",
        "Carcinome basocellulaire : cellules basaloïdes en palissade.",
        "胃生検、印環細胞癌のHE像です。",
        "结肠腺癌，HE染色。",
        "위 생검, 반지세포암종.",
        "سرطان الثدي، صبغة الهيماتوكسيلين",
        "می‌خواهم نمونه",
        "कैंसर क्‍ष ऊतक",
        "Melanoma?",
        "Was the margin positive?",
        "Diagnosis:\nMelanoma, Breslow 2.5 mm",
        "H&E; α-SMA, κ and λ light chains, 5 µm, 10⁻³, 37 °C, Ki-67™, 58 ♀",
    ],
)
def test_medical_prose_stays_as_it_is(caption: str) -> None:
    assert clean(caption).text == caption
    assert clean(caption).removed == ()


@pytest.mark.parametrize(
    ("caption", "text"),
    [
        ("Colon biopsy showing adenoma, follow for more cases!", "Colon biopsy showing adenoma!"),
        ("Invasive carcinoma — link in bio", "Invasive carcinoma"),
        ("For the answer check the link in bio", ""),
        ("Swipe left to see the IHC: CD20 positive", "CD20 positive"),
        ("S100+ SOX10+ (swipe)", "S100+ SOX10+"),
        ("Lymphoma. Please like, share and follow. Save this post for later", "Lymphoma."),
        (
            "Lipoma.\nOnline dermatopathology course, 20 % discount\nRegister here: https://bit.ly/x",
            "Lipoma.",
        ),
        ("Carcinoma escamoso. Síguenos para más casos", "Carcinoma escamoso."),
        ("Adenocarcinoma de cólon. Link na bio!", "Adenocarcinoma de cólon."),
        ("Nevo intradérmico. Siga @path_demo para mais casos!", "Nevo intradérmico."),
        ("Nevo azul. ¡Sigue la cuenta para más!", "Nevo azul."),
        ("Nevo azul. Siga nuestra página para más casos", "Nevo azul."),
        ("Nevo azul. Síganme para ver más", "Nevo azul."),
        ("Basaliom der Haut. Folgt uns für mehr Fälle!", "Basaliom der Haut."),
        ("Mélanome. Abonnez-vous !", "Mélanome."),
        ("Karsinom. Takip etmeyi unutmayın", "Karsinom."),
        ("印環細胞癌。フォローしてね！", "印環細胞癌。"),
        ("结肠腺癌。关注我们，点赞转发！", "结肠腺癌。"),
    ],
)
def test_promotion_goes_and_the_description_beside_it_stays(caption: str, text: str) -> None:
    assert clean(caption).text == text
    assert cut(caption, "promotion")


@pytest.mark.parametrize(
    ("caption", "text"),
    [
        ("Lymph node. What is your diagnosis?", "Lymph node."),
        ("Lymph node. Dx?", "Lymph node."),
        ("Carcinoma in situ, which grade would you assign?", "Carcinoma in situ"),
        ("Guess the diagnosis", ""),
        ("Piel. ¿Cuál es tu diagnóstico?", "Piel."),
        ("Haut. Was ist eure Diagnose?", "Haut."),
        ("Peau. Quel est votre diagnostic ?", "Peau."),
        ("Deri. Tanınız nedir?", "Deri."),
        ("皮膚。診断は？", "皮膚。"),
    ],
)
def test_questions_to_the_reader_go(caption: str, text: str) -> None:
    assert clean(caption).text == text
    assert cut(caption, "question")


def test_a_kept_question_is_noted() -> None:
    assert clean("Melanoma?").notes == ("A question is kept.",)


@pytest.mark.parametrize(
    ("caption", "text"),
    [
        ("Ductal carcinoma #pathology", "Ductal carcinoma"),
        ("Ductal carcinoma #pathology #breast\n#histology", "Ductal carcinoma"),
        (
            "Nice case of #melanoma with #BRAF mutation. #dermpath #path #skin",
            "Nice case of melanoma with BRAF mutation.",
        ),
        ("An example of #melanoma", "An example of melanoma"),
        ("An example of #melanoma #dermpath #skin", "An example of melanoma"),
        ("We see #melanoma.", "We see melanoma."),
        ("Stains: #CD20, #CD3, #CD10 positive", "Stains: CD20, CD3, CD10 positive"),
        ("#breast_cancer is common", "breast cancer is common"),
        ("#one #two #three #four Lipoma", "Lipoma"),
        ("印環細胞癌 #病理 #胃癌", "印環細胞癌"),
        ("#pathology", ""),
    ],
)
def test_hashtag_blocks_go_and_hashtags_in_a_sentence_keep_their_word(caption: str, text: str) -> None:
    assert clean(caption).text == text


@pytest.mark.parametrize(
    ("caption", "text", "kind"),
    [
        ("Lipoma https://example.org/a?b=c#d end", "Lipoma end", "link"),
        ("Lipoma www.example.com", "Lipoma", "link"),
        ("Lipoma linktr.ee/demo", "Lipoma", "link"),
        ("Lipoma, write a.b@example.org", "Lipoma, write", "link"),
        ("Courtesy of @dr_demo. Thyroid tissue", "Thyroid tissue", "mention"),
        ("Thyroid tissue, credit: @demo and @other", "Thyroid tissue", "mention"),
        ("Breast🔬biopsy", "Breast biopsy", "emoji"),
        ("Family 👨‍👩‍👧‍👦 nevus 🇧🇷 👍🏽", "Family nevus", "emoji"),
        ("evil\u202etxt\u202c and zero\u200bwidth\ufeff", "eviltxt and zerowidth", "invisible"),
        ("nul\x00 and lone \ud800 surrogate", "nul and lone surrogate", "invisible"),
        ("Lipoma\n.\n.\n.\n_____\nfat", "Lipoma\nfat", "punctuation"),
    ],
)
def test_things_that_are_no_words_go(caption: str, text: str, kind: str) -> None:
    assert clean(caption).text == text
    assert cut(caption, kind)


@pytest.mark.parametrize(
    ("caption", "text"),
    [
        ("MÃ©lanome, colorÃ© Ã\xa0 l'HES", "Mélanome, coloré à l'HES"),
        ("H&amp;E and &amp;amp; H&amp;E", "H&E and & H&E"),
        ("𝗕𝗿𝗲𝗮𝘀𝘁 𝘤𝘢𝘯𝘤𝘦𝘳", "Breast cancer"),
        ("Hu\u0308rthle cell", "H\u00fcrthle cell"),
        ("40x, 400X, 10 x and x20", "40×, 400×, 10× and ×20"),
        ("CD20➕ CD3➖", "CD20+ CD3-"),
        ("1️⃣ adenoma", "1 adenoma"),
        ("wow!!! really?!?! end.....", "wow! really? end..."),
        ("  two\t spaces \r\n\r\n lines  ", "two spaces\nlines"),
    ],
)
def test_broken_and_decorated_letters_are_made_plain(caption: str, text: str) -> None:
    assert clean(caption).text == text


def test_spans_point_into_the_original_through_mojibake_and_decomposed_letters() -> None:
    caption = "MÃ©lanome ðŸ”¬ e\u0301pithe\u0301lium #une #deux"
    assert cut(caption, "emoji") == ["ðŸ”¬"]
    assert cut(caption, "hashtag") == ["#une #deux"]


def test_the_score_is_the_share_of_twenty_different_words() -> None:
    assert score("") == 0
    assert score("...!! 123 #") == 0
    assert score("wow wow WOW") == 1 / 20
    assert score("invasive ductal carcinoma 3") == 3 / 20
    assert score("印環細胞癌") == 2 / 20
    assert score(" ".join(chr(97 + at) * 3 for at in range(25))) == 1


@pytest.mark.parametrize("caption", ["", "   ", "😍😍", "#a #b", "@a @b", "What is your diagnosis?", "\u200b"])
def test_nothing_that_describes_scores_zero(caption: str) -> None:
    assert clean(caption).text == ""
    assert clean(caption).score == 0


FRAGMENTS = [
    *POST.split(), "follow us", "link in bio", "please", ",", ":", "—", "(", ")", "\n", ".", "!!", "?",
    "#", "#tag", "@me", "@", "https://a.b/c", "a@b.co", "💊", "\u200d", "\ufe0f", "\u202e", "Ã©", "Ã", "©",
    "&amp;", "amp;", "40x", "x40", "𝗕", "\ud800", "\x00", "关注我们", "，", "。", "診断は", "？", "İ", "ß",
    "what", "you", "\u0301", "e\u0301", "한", "\u1112\u1161", "می\u200cخواهم", "swipe", "....", "+++",
    "CD3-", "_", "¿", "·", "、",
]  # fmt: skip
fragments = st.sampled_from(FRAGMENTS)
captions = st.one_of(
    st.text(max_size=80),
    st.text(st.characters(codec=None, exclude_categories=()), max_size=40),
    st.lists(fragments, max_size=14).map(" ".join),
    st.lists(fragments, max_size=14).map("".join),
)


@settings(max_examples=300, deadline=None)
@given(captions)
@example(POST)
def test_cleaning_twice_changes_nothing_more(caption: str) -> None:
    once = clean(caption)
    twice = clean(once.text)
    assert twice.text == once.text
    assert twice.removed == ()


@settings(max_examples=300, deadline=None)
@given(captions)
def test_spans_are_inside_the_original_in_order_and_apart(caption: str) -> None:
    at = 0
    for part in clean(caption).removed:
        assert isinstance(part, Removed)
        assert at <= part.start < part.end <= len(caption)
        at = part.end


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*POST.split(), "Melanoma", "link in bio", "follow us", "#tag", "\n"]), max_size=20))
def test_no_word_is_invented(words: list[str]) -> None:
    caption = " ".join(words)
    known = caption.replace("40x", "40×")
    assert all(word.rstrip(".,:!?") in known for word in clean(caption).text.split())


@settings(max_examples=100, deadline=None)
@given(captions)
def test_the_score_is_between_zero_and_one(caption: str) -> None:
    assert 0 <= clean(caption).score <= 1


HOSTILE = [
    "a", "a ", "!", ". ", "#", "#a ", "#a", "@", "@a ", "😀", "😀 w ", "a-", "a.", "\u202e", "Ã© ", "(",
    "()", "follow us ", "follow us, ", "what? ", "you ? ", "&amp;", "amp;", "e\u0301", "\u0301",
    "\u1112\u1161\u11ab", ".\n", "\n", "𝗕", "\u200d", "关注我们，", "40x ", "please ", "like, ", "via ",
    ", ", "http://", "a@", "a.b+", "İ", "| ", "like,like", "what would you ", "\ud800", "- ", "https://a ",
    "online a a ", "#1", "credit ", "¿",
]  # fmt: skip


@pytest.mark.parametrize("length", [MAX_CHARACTERS, 100_000])
def test_hostile_text_is_cleaned_quickly(length: int) -> None:
    """Some hundredths of a second each; minutes, if anything grew faster than the text."""
    for fragment in HOSTILE:
        caption = "&" + (fragment * length)[: length - 2] + "x"
        started = time.process_time()
        clean(caption)
        assert time.process_time() - started < 3, fragment


def test_a_text_beyond_any_caption_is_left_alone_and_says_so() -> None:
    caption = "melanoma #a " * 2_000
    result = clean(caption)
    assert (result.text, result.removed, result.score) == (caption, (), 0)
    assert result.notes == ("Too long to be a caption, so it is not cleaned.",)


def test_the_rules_need_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from app.prefilter.caption_rules import clean; clean('MÃ©lanome 🔬 #a');"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
