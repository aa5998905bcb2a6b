from app.search.marks import START, STOP, Stretch, stretches


def test_a_text_is_cut_at_its_marks() -> None:
    assert stretches(f"a {START}naevus{STOP} of") == [
        Stretch("a ", False),
        Stretch("naevus", True),
        Stretch(" of", False),
    ]


def test_markup_of_the_text_stays_text() -> None:
    marked = f"<mark>{START}<b>{STOP}</mark>"
    assert stretches(marked) == [Stretch("<mark>", False), Stretch("<b>", True), Stretch("</mark>", False)]


def test_a_mark_without_its_other_half_is_dropped() -> None:
    assert stretches(f"{STOP}a{START}b") == [Stretch("ab", False)]
    assert stretches("") == []
    assert stretches(f"{START}{START}a{STOP}{STOP}") == [Stretch("a", True)]
