"""What in a text may identify a patient: the Safe Harbor kinds that rules can tell, as spans, and a text without them.

Names and places are found where a word beside them tells ("Mrs. Smith", "Paciente: …", "St. Mary's Hospital");
`workers.ml.names` finds others. A doctor's name is attribution, not a patient's. Spans are of code points.
"""

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from app.prefilter import private_phrases as phrases
from app.prefilter.privacy import TAKEN_OUT, PrivateKind

VERSION = 1
MADE_BY = f"private {VERSION}"
OLDEST_SAID = 89  # years; Safe Harbor takes ages above together


@dataclass(frozen=True, order=True)
class Detail:
    start: int
    end: int
    kind: PrivateKind


def find(text: str) -> list[Detail]:
    """The private details of a text, in order, none overlapping another."""
    return merged(detail for rule in _RULES for detail in rule(text))


def merged(details: Iterable[Detail]) -> list[Detail]:
    """Details in order; where two overlap the kind that says more stays, of one kind the longer.

    What the other says beside it stays too: in "Ann Lee MRN 1234" both are found.
    """
    kept: list[Detail] = []
    for detail in sorted(details, key=lambda one: (_RANK[one.kind], one.start - one.end, one.start)):
        at = bisect_right(kept, detail.start, key=lambda other: other.end)
        start, parts = detail.start, []
        while at < len(kept) and kept[at].start < detail.end:
            parts.append((at, start, kept[at].start))
            start, at = kept[at].end, at + 1
        parts.append((at, start, detail.end))
        for before, low, high in reversed(parts):
            if high - low >= (LEAST_BESIDE if len(parts) > 1 else 1):
                kept.insert(before, Detail(low, high, detail.kind))
    return kept


def with_own_handle(text: str, details: Iterable[Detail], handle: str) -> list[Detail]:
    """The details, with the poster's own handle told from those of others; `handle` "" where it is not known."""
    own = f"@{handle}".casefold()
    return [
        replace(detail, kind=PrivateKind.OWN_HANDLE)
        if detail.kind is PrivateKind.HANDLE and text[detail.start : detail.end].casefold() == own
        else detail
        for detail in details
    ]


def without(text: str, details: Collection[Detail]) -> str:
    """The text with these details cut and the gaps closed; every other word stays as it is."""
    if not details:
        return text
    pieces, last = [], 0
    for detail in sorted(details):
        leads = _LEADS.get(detail.kind)
        lead = leads.search(text, max(last, detail.start - 40), detail.start) if leads else None
        pieces.append(text[last : lead.start() if lead else detail.start])
        last = detail.end
    text = "\0".join([*pieces, text[last:]])
    for pattern, instead in _TIDY:
        text = pattern.sub(instead, text)
    return text.strip()


def proposal(text: str, details: Iterable[Detail], actions: Mapping[str, str]) -> str:
    """The text without what `actions`, by kind, take out; "" where no word would be left."""
    left = without(text, [detail for detail in details if actions.get(detail.kind) in TAKEN_OUT])
    return left if left == text or any(letter.isalnum() for letter in left) else ""


def _emails(text: str) -> Iterator[Detail]:
    return _all(PrivateKind.EMAIL, _EMAIL, text)


def _links(text: str) -> Iterator[Detail]:
    return _all(PrivateKind.LINK, _LINK, text)


def _handles(text: str) -> Iterator[Detail]:
    return _all(PrivateKind.HANDLE, _HANDLE, text)


def _records(text: str) -> Iterator[Detail]:
    """A number behind a word that says what it is, or of the form that laboratories give: S23-12345."""
    for match in _RECORD.finditer(text):
        if sum(letter.isdecimal() for letter in match["code"]) >= FEWEST_DIGITS:
            yield Detail(*match.span(), PrivateKind.RECORD_NUMBER)
    for match in _ACCESSION.finditer(text):
        if match["prefix"].rstrip("- ") not in phrases.NO_ACCESSION:
            yield Detail(*match.span(), PrivateKind.RECORD_NUMBER)
    yield from _all(PrivateKind.RECORD_NUMBER, _SOCIAL_SECURITY, text)


def _phones(text: str) -> Iterator[Detail]:
    for pattern in (_CALLED, _INTERNATIONAL, _NATIONAL):
        for match in pattern.finditer(text):
            if 6 <= sum(letter.isdecimal() for letter in match.group()) <= 15:
                yield Detail(*match.span(), PrivateKind.PHONE)


def _dates(text: str) -> Iterator[Detail]:
    """Dates with a day or a month; a year alone is no private detail."""
    for match in _FIGURES.finditer(text):
        if _is_date(match):
            yield Detail(*match.span(), PrivateKind.DATE)
    for pattern in (_DAY_MONTH, _MONTH_DAY, _MONTH_YEAR):
        yield from _all(PrivateKind.DATE, pattern, text)


def _is_date(match: re.Match[str]) -> bool:
    if match["iso_month"]:
        return int(match["iso_month"]) <= 12 and int(match["iso_day"]) <= 31
    if match["month_of"]:
        return int(match["month_of"]) <= 12
    one, other = int(match["one"]), int(match["other"])
    return 1 <= min(one, other) <= 12 and max(one, other) <= 31


def _ages(text: str) -> Iterator[Detail]:
    for match in _AGE.finditer(text):
        said = next((match[name] for name in ("age", "aged", "sexed") if match[name]), "")
        if not said or OLDEST_SAID < int(said) <= 125:
            yield Detail(*match.span(), PrivateKind.AGE)


def _names(text: str) -> Iterator[Detail]:
    for match in _NAMED.finditer(text):
        if match["name"].split()[0].casefold() not in phrases.NO_NAMES:
            start = match.start("title") if match["title"] else match.start("name")
            yield Detail(start, match.end("name"), PrivateKind.NAME)


def _places(text: str) -> Iterator[Detail]:
    for pattern in (_HOSPITAL, _HOSPITAL_OF, _STREET, _CITY_STATE, _GERMAN_TOWN):
        yield from _all(PrivateKind.PLACE, pattern, text)


def _all(kind: PrivateKind, pattern: re.Pattern[str], text: str) -> Iterator[Detail]:
    return (Detail(*match.span(), kind) for match in pattern.finditer(text))


FEWEST_DIGITS = 4
LEAST_BESIDE = 3  # characters of a detail beside another that count
_RULES = (_emails, _links, _handles, _records, _phones, _dates, _ages, _names, _places)
_RANK = {  # "Saint Luke Hospital" is a place, though a name is in it
    kind: rank
    for rank, kind in enumerate(
        (
            PrivateKind.EMAIL,
            PrivateKind.LINK,
            PrivateKind.HANDLE,
            PrivateKind.RECORD_NUMBER,
            PrivateKind.DATE,
            PrivateKind.AGE,
            PrivateKind.PHONE,
            PrivateKind.PLACE,
            PrivateKind.NAME,
            PrivateKind.FACE,
            PrivateKind.WRITING,
        )
    )
}

_EMAIL = re.compile(r"(?<![\w.+@-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,6}")
_LINK = re.compile(
    r"(?:https?://|www\.)[^\s<>\"]+"
    r"|(?<![\w.@-])(?:[a-z0-9-]{1,63}\.){1,4}(?:com|org|net|edu|ly|ee|info|io)\b(?:/[^\s<>\"]*)?",
    re.IGNORECASE,
)
_HANDLE = re.compile(r"(?<![\w@./+-])@(?!\d+\s?[x×]?\b)\w[\w.]{0,28}\w")

_RECORD = re.compile(
    rf"(?<!\w)(?:{phrases.RECORD})(?!\w)[\s:.#ºª°№-]{{0,4}}(?:(?:is|no|nr|number|num|n)\b[\s:.#º°]{{0,3}})?"
    r"(?P<code>[A-Z]{0,4}[-/]?\d[\dA-Z]*(?:[-/.]\d[\dA-Z]*){0,3})(?![\w×]|\s?[x×%])",
    re.IGNORECASE,
)
_ACCESSION = re.compile(
    r"(?<![\w/.-])(?P<prefix>[A-Z]{1,4}[- ]?)(?:19|20)?\d{2}[-/:]\d{3,7}(?:-?[A-Z]\d{0,2})?(?!\w|[-/.]\d)"
)
_SOCIAL_SECURITY = re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])")

_CALLED = re.compile(
    rf"(?<!\w)(?:{phrases.PHONE})\.?[\s:.]{{0,3}}(?:no\.?|number|nr\.?)?[\s:]{{0,2}}\+?\(?\d[\d\s().-]{{4,18}}\d(?!\w)",
    re.IGNORECASE,
)
_INTERNATIONAL = re.compile(r"(?<![\w+])\+\d{1,3}[\s.-]?\(?\d{1,4}\)?(?:[\s.-]?\d{2,4}){2,4}(?!\w)")
_NATIONAL = re.compile(
    r"(?<![\w-])(?:\(\d{3}\)\s?|\d{3}[-. ])\d{3}[-.]\d{4}(?![\w-])|(?<![\w.])0\d(?:[ .]\d{2}){4}(?!\w)"
)

_MONTH = f"(?:{phrases.MONTHS})"
_YEAR = r"(?:19|20)\d{2}"
_OF = r"(?:\s?[.,]?\s(?:de |of |del? )?|[-/])"
_FIGURES = re.compile(
    rf"(?<![\w/.,-])(?:{_YEAR}(?P<iso>[-/.])(?P<iso_month>\d{{1,2}})(?P=iso)(?P<iso_day>\d{{1,2}})"
    rf"|(?P<one>\d{{1,2}})(?:(?P<mark>[-/])|(?P<dot>\. ?))(?P<other>\d{{1,2}})"
    rf"(?:(?P=mark)(?:{_YEAR}|\d{{2}})|(?P=dot)(?:{_YEAR}|\d{{2}}(?<=\d\d\.\d\d\.\d\d)))"
    rf"|(?P<month_of>\d{{1,2}})/{_YEAR})(?![\w/-]|[.,]\d)"
)
_DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th|er|[ºª°.])?"
_DAY_MONTH = re.compile(
    rf"(?<![\w./-]){_DAY}(?:\s?(?:of|de|di|d')?\s?|[-/]){_MONTH}\.?(?!\w)(?:(?:,|\s?del?|-|/)?\s?{_YEAR}(?!\w))?"
)
_MONTH_DAY = re.compile(rf"(?<!\w){_MONTH}\.?\s{_DAY}(?!\w|[.,]\d|\s?[x×%]|\s?[mcµμ]m)(?:,?\s{_YEAR}(?!\w))?")
_MONTH_YEAR = re.compile(rf"(?<!\w){_MONTH}\.?(?:,|\s?(?:de|del|of|/|-))?\s?(?:{_YEAR}|['’]\d{{2}})(?!\w)")

_AGE = re.compile(
    r"(?<![\w.,/-])(?:(?P<age>\d{2,3})[\s-]{0,2}"
    r"(?:years?[\s-]old|years?(?! (?:ago|later|of (?:follow|surv)))|y\.?/?\s?o\.?(?!\w)|yrs?|y(?=[\s,.])"
    r"|a[ñn]os|anos|ans|anni|ann[ií]|jahre?|j[äa]hrig\w*|ya[sş][ıi]nda\w*|лет|歳|岁|세)(?!\w)"
    r"|(?:aged?|age of|edad|idade|[âa]ge|âgée?(?: de)?|alter|et[àa]|ya[sş]|возраст)[\s:]{1,2}(?:of |de |di )?"
    r"(?P<aged>\d{2,3})(?![\w.,]\d|\w|\s?[x×%])"
    r"|(?P<sexed>\d{2,3})\s?/?\s?(?-i:[MFWHKE])(?![\w-])"
    r"|(?:her|his|their|early|mid|late)[\s-](?:early |mid |late )?(?:90s|nineties)(?!\w)"
    r"|(?:nonagenarian|centenarian)s?(?!\w))",
    re.IGNORECASE,
)

_NAME_WORD = r"(?:[^\W\d_a-zß-öø-ÿ][^\W\d_]*(?:[-'’][^\W\d_]+)*)"
_NAME = (
    rf"{_NAME_WORD}(?: (?:(?:de|del|della|di|da|dos|van|von|der|la|el|al|bin|ben) ){{0,2}}{_NAME_WORD}"
    rf"| [A-Z]\.(?= {_NAME_WORD})){{0,3}}"
)
_NAMED = re.compile(
    rf"(?<!\w)(?:(?P<title>{phrases.TITLES}) |(?:{phrases.NAME_FOLLOWS})(?: ?: ?| ))"
    rf"(?:(?:{phrases.TITLES}) )?(?P<name>{_NAME})"
)
_CAPITAL = r"[^\W\d_a-zß-öø-ÿ][\w.'’-]{0,40}"  # bounded: every letter of a long run may begin one
_HOSPITAL = re.compile(
    rf"(?<!\w)(?!(?:The|Our|This|A|In|At)\s){_CAPITAL}(?:\s(?:(?:of|and|&|de)\s)?{_CAPITAL}){{0,4}}\s(?:{phrases.HOSPITALS})(?!\w)"
)
_HOSPITAL_OF = re.compile(
    rf"(?<!\w)(?:{phrases.HOSPITALS_OF})(?:\s(?:de|del|di|du|des|da|do|la|las|los|le|der|Universitario|Universitaire|General)){{0,3}}"
    rf"(?:\s(?:(?:de|di|del|la|du|da)\s){{0,2}}{_CAPITAL}){{1,4}}"
)
_STREET = re.compile(
    rf"(?<![\w-])\d{{1,5}}\s(?:{_CAPITAL}\s){{1,3}}(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Drive)\.?(?!\w)"
    rf"|(?<!\w)(?:Calle|Avenida|Rua|Via|Rue (?:de |du |des |la )*)\s?{_CAPITAL}"
    rf"(?:\s{_CAPITAL}){{0,2}},?\s(?:n[º°o.]\s?)?\d{{1,5}}"
    rf"|(?<!\w){_CAPITAL}(?:stra(?:ß|ss)e|str\.)\s\d{{1,4}}"
)
_CITY_STATE = re.compile(
    rf"(?<!\w){_CAPITAL}(?:\s{_CAPITAL}){{0,2}},\s?(?:{phrases.STATES})(?:\s\d{{5}}(?:-\d{{4}})?)?(?!\w)"
)
# German writes every noun with a capital: a town is told by its ending, behind the word for "from".
_GERMAN_TOWN = re.compile(
    rf"(?<=\b[Aa]us )(?!(?:Men|Schl|D|R|Kl)ingen\b)"
    rf"(?:{phrases.GERMAN_TOWNS}|[A-ZÄÖÜ][a-zäöüß]+(?:ingen|burg|heim|hausen|furt))(?!\w)"
)


def _leading(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{words})\Z", re.IGNORECASE)


_WHERE = (
    r"(?:on|in|at|from|near|dated|since|of|aged|el|en|del|le|à|au|am|vom|aus|im|il|da|em|no|na)\s"
    r"(?:(?:the|el|la|den)\s)?"
)
_LEADS = {  # what goes with a detail of this kind, where it stands right before it
    PrivateKind.DATE: _leading(rf"(?:{phrases.DATE_LEADS})\.?(?:\s?:)?\s(?:{_WHERE})?|{_WHERE}"),
    PrivateKind.PLACE: _leading(_WHERE),
    PrivateKind.AGE: _leading(_WHERE),
    PrivateKind.NAME: _leading(rf"(?:{phrases.NAME_LEADS})\s?:\s?|(?:named|called|llamad[oa]|namens)\s"),
    PrivateKind.RECORD_NUMBER: _leading(rf"(?:{phrases.RECORD_LEADS})[,:]?\s"),
    PrivateKind.EMAIL: _leading(rf"(?:{phrases.MAIL_LEADS})\s?:?\s"),
    PrivateKind.PHONE: _leading(rf"(?:{phrases.MAIL_LEADS})\s?:?\s"),
}
_TIDY = (
    (re.compile(rf"\0(?:(?:[ \t,;:|/–—-]|\b(?:{phrases.AND})\b)*\0)+"), "\0"),
    (re.compile(r"[(\[][ \t,;:]*\0[ \t,;:]*[)\]]"), "\0"),
    (re.compile(r"^[^\w\n\0]*\0[^\w\n\0]*(?:\n|\Z)", re.MULTILINE), ""),
    (re.compile(r"^[ \t]*\0[ \t,;:|/.–—-]*", re.MULTILINE), ""),
    (re.compile(r"(?<=[(\[.!?])[ \t]*\0[ \t,;:./–—-]*(?=[)\]]|$)", re.MULTILINE), ""),
    (re.compile(r"(?<=[.!?])[ \t]*\0[ \t]*[.!?,;]"), ""),
    (re.compile(r"(?<=[(\[])\0[ \t,;:/–—-]*"), ""),
    (re.compile(r"(?<![ \t,;:|/–—-])[ \t,;:|/–—-]*\0[ \t]*(?=[.,;!?)\]]|$)", re.MULTILINE), ""),
    (re.compile(r"(?<![ \t])[ \t]*\0[ \t]*"), " "),
)
