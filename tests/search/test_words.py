import pytest

from app.search.words import Typed, typed


@pytest.mark.parametrize(
    ("query", "text", "author"),
    [
        ("basal cell  carcinoma", "basal cell carcinoma", ""),
        ("@path_demo_01", "", "path_demo_01"),
        ("naevus @path.demo. eyelid", "naevus eyelid", "path.demo"),
        ("mail me@home", "mail me@home", ""),
        ("@", "@", ""),
    ],
)
def test_a_name_behind_an_at_is_the_author(query: str, text: str, author: str) -> None:
    assert typed(query) == Typed(text, author)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"Basal cell" or #naevus -eyelid', ["basal", "cell", "naevus"]),
        ("Naevus naevus NAEVUS", ["naevus"]),
        ("H&E 10× ; DROP TABLE", ["h", "10", "drop", "table"]),
        ("🔬 -- ''", []),
        (" ".join(f"w{n}" for n in range(50)), [f"w{n}" for n in range(8)]),
    ],
)
def test_the_words_that_are_wanted(text: str, words: list[str]) -> None:
    assert Typed(text).words == words
