"""Which part of a caption is of which image, where a text of several images says so.

"A: … B: …", "1st picture …", "Figs 1–3: …" and the like: markers that begin a clause, in order, and that name every
image once. What stands before the first marker is of all images, as is what follows the lines of the parts. Anything
less clear is not split: a wrong part is worse than the whole text.
"""

import re
from dataclasses import dataclass

VERSION = 1
MOST_IMAGES = 20  # Instagram's limit


@dataclass(frozen=True)
class _Marker:
    """Which images it names, and where it and the words of its part begin."""

    images: tuple[int, ...]
    start: int
    text_start: int


def split(caption: str, images: int) -> list[str] | None:
    """The caption of each of a post's images, or None where the text does not clearly tell them apart."""
    if not 2 <= images <= MOST_IMAGES:
        return None
    for family in _FAMILIES:
        markers = [_marker(match) for match in family.finditer(caption)]
        if family is _SWIPE:
            markers = [_Marker((1,), 0, 0), *markers]
        if [number for marker in markers for number in marker.images] == list(range(1, images + 1)):
            return _parts(caption, markers)
    return None


def _marker(match: re.Match[str]) -> _Marker:
    """A marker that a colon or the like follows is left out; "2nd image shows" stays, as words of its part."""
    found = match.groupdict()
    named = next((found[kind] for kind in ("numbers", "letters", "ordinal", *_OTHERS) if found.get(kind)), "2")
    is_said = "separator" in found and not found["separator"]
    return _Marker(_images(named), match.start(), match.start() if is_said else match.end())


def _images(named: str) -> tuple[int, ...]:
    """Numbers of images: 1-3 is 1, 2, 3; B is 2; second is 2; "1 and 3" is 1, 3."""
    if named.lower() in ORDINALS:
        return (ORDINALS[named.lower()],)
    ends = [int(one) if one.isdecimal() else ord(one) - ord("A") + 1 for one in _ONE.findall(named)]
    if len(ends) == 2 and _RANGE.search(named):
        return tuple(range(ends[0], ends[1] + 1))
    return tuple(ends)


def _parts(caption: str, markers: list[_Marker]) -> list[str] | None:
    ends = [*(marker.start for marker in markers[1:]), len(caption)]
    parts = [caption[marker.text_start : end].strip() for marker, end in zip(markers, ends, strict=True)]
    after = ""
    if not any("\n" in part for part in parts[:-1]):
        parts[-1], _, after = parts[-1].partition("\n")
    if not all(_WORDS.search(part) for part in parts):
        return None
    before = caption[: markers[0].start]
    by_image = {number: part for marker, part in zip(markers, parts, strict=True) for number in marker.images}
    return [
        "\n".join(text.strip() for text in (before, by_image[number], after) if text.strip()) for number in by_image
    ]


ORDINALS = {
    word: number
    for number, words in enumerate(
        (
            "first primera primeira première premiere erstes erste prima ilk birinci первое",
            "second segunda deuxième deuxieme seconde zweites zweite seconda ikinci второе",
            "third tercera terceira troisième troisieme drittes dritte terza üçüncü третье",
            "fourth cuarta quarta quatrième quatrieme viertes vierte dördüncü четвёртое",
            "fifth quinta cinquième cinquieme fünftes fünfte beşinci пятое",
        ),
        start=1,
    )
    for word in words.split()
}
_PICTURE = (
    r"(?:images?|img|pics?|pictures?|photos?|slides?|figs?|figures?|panels?|frames?|fotos?|im[aá]gene?s?|imagem|imagens"
    r"|immagin[ei]|bild(?:er)?|abb|abbildung(?:en)?|figuras?|figur[ae]|resim|foto[gğ]raf|[sş]ekil|рис|рисунок|фото)"
)
_JOIN = r"\s?(?:[-–—~,&+/]|\b(?:and|y|e|et|und|ve|to|bis|à|a)\b)\s?"
_ONE = re.compile(r"\d{1,2}|[A-J](?!\w)")
_RANGE = re.compile(r"[-–—~]|\b(?:to|bis|à|a)\b", re.IGNORECASE)
_OTHERS = ("bracketed", "keycap")
_NUMBERS = rf"\d{{1,2}}(?:{_JOIN}\d{{1,2}}){{0,{MOST_IMAGES}}}(?!\w|[.,]\d|\s?[%×]|\s?(?:mm|cm|x)\b)"
_LETTERS = rf"(?-i:[A-J](?:{_JOIN}[A-J]){{0,{MOST_IMAGES}}})(?!\w)"
_BEGINS = r"(?:\A|(?<=[^\w\s])|(?<=[^\w\s]\s)|(?<=\n)|(?<=[^\w\s]\s\s))"
_LEAD = r"(?:(?:in|on|en|na|im|nella|dans)\s)?(?:(?:the|la|el|a|l|der|das|die)[\s'’])?"
_SEPARATOR = r"\s?(?P<separator>[:.)\]=/|]+|[-–—]+(?=\s)|➡\ufe0f?|→)?\s*"
_ORDINAL = rf"(?:\d{{1,2}}(?:st|nd|rd|th|[ªº°]|\.|[eè]re?|i?[eè]me)|{'|'.join(ORDINALS)})"
_NAMED = re.compile(
    rf"{_BEGINS}(?P<marker>[(\[]?{_LEAD}(?:{_PICTURE}\.?\s?(?:no\.?\s?|nr\.?\s?|#)?(?P<numbers>{_NUMBERS})"
    rf"|{_PICTURE}\.?\s?(?P<letters>{_LETTERS})|(?P<ordinal>{_ORDINAL})\s{_PICTURE}(?!\w)))(?!\w){_SEPARATOR}",
    re.IGNORECASE,
)
_UNSPACED = re.compile(r"(?P<marker>(?:图片?|圖片?|図|写真|画像|第)\s?(?P<numbers>\d{1,2})[张張枚]?\s?[:：、.)）]\s*)")
_LETTERED = re.compile(
    rf"(?P<marker>[(\[](?P<bracketed>{_LETTERS})[)\]]\s?:?\s*"
    rf"|{_BEGINS}(?P<letters>{_LETTERS})\s?(?:[:)]|[-–—](?=\s)|\.(?=\s))\s*)"
)
_NUMBERED = re.compile(
    rf"(?P<marker>\((?P<bracketed>{_NUMBERS})\)\s?:?\s*"
    rf"|(?:\A|(?<=\n)|(?<=[.!?;]\s))(?P<numbers>{_NUMBERS})\s?(?:[:.)/]|[-–—](?=\s))\s*"
    r"|(?P<keycap>\d)\ufe0f?\u20e3\s?[:.)-]?\s*)"
)
_SWIPE = re.compile(
    r"(?P<marker>(?:swipe|desliza|arraste|glissez|scorri)(?:\s(?:left|right))?[\s:,➡\ufe0f→👉]*"
    r"(?:(?:for|to see|para ver|pour voir|per vedere)\s(?:the\s)?)?)"
    r"(?=(?:high|low|medium|close|higher|lower|\d{1,3}\s?[x×]|[x×]\d|ihc|immuno|inmuno|h&e|pas\b|cd\d))",
    re.IGNORECASE,
)
_FAMILIES = (_NAMED, _UNSPACED, _LETTERED, _NUMBERED, _SWIPE)
_WORDS = re.compile(r"[^\W\d_]\S*\w|[\u3400-\u9fff]")
