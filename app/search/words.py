"""What someone typed to search by words: an author's name behind an @, and the rest."""

import re
from dataclasses import dataclass

AUTHOR = re.compile(r"(?<!\S)@([\w.]{1,64})")
WORD = re.compile(r'(?<![^\s"])#?(\w[\w’\x27-]*)')  # one behind a minus is not wanted
SHORTEST = 3  # letters from which a word has trigrams enough to be looked for by them
MOST_WORDS = 8


@dataclass(frozen=True)
class Typed:
    """`text` is for `websearch_to_tsquery`: words, "phrases", or, -not. `author` is a part of a name."""

    text: str
    author: str = ""

    @property
    def words(self) -> list[str]:
        """The words that are wanted, each once."""
        found = (word.lower() for word in WORD.findall(self.text))
        return list(dict.fromkeys(word for word in found if word != "or"))[:MOST_WORDS]

    @property
    def name(self) -> str:
        """What may be an author's whole name without its @."""
        alone = self.text.strip()
        return alone if re.fullmatch(r"[\w.]{3,64}", alone) else ""


def typed(query: str) -> Typed:
    """The first @name of a query is its author; all others are words."""
    author = AUTHOR.search(query)
    if author is None:
        return Typed(" ".join(query.split()))
    rest = query[: author.start()] + " " + query[author.end() :]
    return Typed(" ".join(rest.split()), author[1].rstrip("."))
