"""Fields that a caption names outright: stain, magnification, organ, species. Reviewers check them."""

import re

STAIN_WORDS = {
    "he": r"h\s?[&＆+]\s?e|h/e|(?-i:HE)|hematoxylin|haematoxylin|hematoxilina|h\.e\.",
    "ihc": r"ihc|immunohistochem\w*|inmunohistoqu\w*|immunhistochem\w*|immunostain\w*",
    "pas": r"pas|periodic acid",
    "trichrome": r"trichrom\w*|masson",
    "giemsa": r"giemsa",
    "silver": r"gms|grocott|warthin|silver stain",
    "reticulin": r"reticulin",
    "congo_red": r"congo red",
    "alcian_blue": r"alcian",
    "ziehl_neelsen": r"ziehl|afb",
    "perls": r"perls|prussian blue",
    "pap": r"papanicolaou",
}
ORGAN_WORDS = {
    "skin": r"skin|dermis|epiderm\w*|dermal|cutaneous|dermat\w*|dermpath|piel|pele|haut|peau|n(?:a)?evus|melanom\w*",
    "colon": r"colon\w*|colorectal|rectum",
    "breast": r"breast|mamma\w*",
    "lymph_node": r"lymph nodes?",
    "liver": r"liver|hepat\w*",
    "kidney": r"kidney|renal|glomerul\w*",
    "lung": r"lung|pulmonary",
    "stomach": r"stomach|gastric",
    "prostate": r"prostat\w*",
    "thyroid": r"thyroid",
    "brain": r"brain|glioma|glioblastoma",
    "bone_marrow": r"bone marrow",
}
# A stain that is asked for, or that only shows the nuclei beside another, is not what the picture shows.
NOT_SHOWN = (
    r"(?! (?:stains? |staining )?(?:(?:is|was|are|were|has been) )?"
    r"(?:requested|ordered|pending|recommended|suggested|advised|counterstain\w*)(?!\w))"
)
# Neither is one that the reader is sent to: "compare with the H&E". Python looks behind by fixed lengths only.
NOT_COMPARED = "".join(
    rf"(?<!{verb} {link} {article})"
    for verb in ("compare", "compared", "correlate", "correlated")
    for link in ("with", "to")
    for article in ("", "the ", "an ")
)
MAGNIFICATION = re.compile(
    r"(?<![\w.])(2|4|5|10|20|40|60|63|100|200|400|600|1000)\s?(?:×|x(?!\w)|x(?=h&e))(?! ?\d)"
    r"|[×x]\s?(10|20|40|100|200|400)(?!\w)",
    re.I,
)
ANIMAL = re.compile(r"(?<!\w)(dog|canine|cat|feline|horse|equine|bovine|mouse|murine|rat)(?!\w)", re.I)


def _compiled(words: dict[str, str], before: str = "", end: str = "") -> dict[str, re.Pattern[str]]:
    begin = rf"(?:(?<!\w)|(?<=\dx)){before}"  # also right behind a power: 40xH&E
    return {value: re.compile(rf"{begin}(?:{pattern})(?!\w){end}", re.I) for value, pattern in words.items()}


STAINS = _compiled(STAIN_WORDS, NOT_COMPARED, NOT_SHOWN)
ORGANS = _compiled(ORGAN_WORDS)


def fields_in(caption: str) -> dict[str, str]:
    """Field → vocabulary id, only where the caption names exactly one value."""
    found = {
        "stain": _only(STAINS, caption),
        "organ": _only(ORGANS, caption),
        "magnification": _power(caption),
    }
    if ANIMAL.search(caption):
        found["species"] = "animal"
    return {name: value for name, value in found.items() if value}


def _only(patterns: dict[str, re.Pattern[str]], caption: str) -> str:
    values = [value for value, pattern in patterns.items() if pattern.search(caption)]
    return values[0] if len(values) == 1 else ""


def _power(caption: str) -> str:
    powers = {one or other for one, other in MAGNIFICATION.findall(caption)}
    return powers.pop() if len(powers) == 1 else ""
