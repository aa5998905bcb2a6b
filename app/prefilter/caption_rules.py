"""Caption cleaning by rules: what describes the picture stays, word for word; the rest is cut and named.

Nothing is added and nothing reworded. Letters change only where they were broken (mojibake, decomposed or
display-font letters) and `40x` becomes `40×`. Text that is cut is reported as spans of the original.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html import unescape
from typing import Literal

from app.prefilter import caption_phrases as phrases
from app.prefilter.tracked_text import Edit, Removed, Span, TrackedText

__all__ = ["VERSION", "CleanedCaption", "Removed", "clean", "score"]

VERSION = 1
FULL_SCORE_WORDS = 20
MAX_CHARACTERS = 20_000  # Instagram ends a caption at 2,200; cleaning time grows with length
MAX_PASSES = 10


@dataclass(frozen=True)
class CleanedCaption:
    """The cleaned text; `score` says how much description is left, 0 to 1."""

    text: str
    removed: tuple[Removed, ...]
    score: float
    notes: tuple[str, ...]


def clean(caption: str) -> CleanedCaption:
    """Clean any text; the same text always gives the same result, and cleaning twice changes nothing more.

    Questions to the reader ("what is your diagnosis?") are cut, as they describe nothing; a hedged statement
    ("melanoma?") stays. Hashtags in a sentence keep their word, blocks of them go. Line breaks stay, single.
    """
    if len(caption) > MAX_CHARACTERS:
        return CleanedCaption(caption, (), 0.0, ("Too long to be a caption, so it is not cleaned.",))
    text = TrackedText(caption)
    for _ in range(MAX_PASSES):
        before = text.now
        for step in _STEPS:
            step(text)
        if text.now == before:
            break
    else:  # only text made to resist gets here; a half-cleaned one would not be stable
        text.edit([(0, len(text.now), "")], "punctuation")
        text.notes.append("The text keeps changing under the rules, so all of it is left out.")
    if "?" in text.now:
        text.notes.append("A question is kept.")
    notes = tuple(dict.fromkeys(text.notes))
    return CleanedCaption(text.now, text.removed(), score(text.now), notes)


def score(text: str) -> float:
    """min(1, w / 20), w = different words of two or more letters; 2 letters without spaces between (Chinese,
    Japanese, Thai) count as a word. 0 when nothing describes anything."""
    words = {word for word in _WORD.findall(text.lower()) if not word.isdecimal()}
    unspaced = len(_UNSPACED.findall(text))
    return min(1.0, (len(words) + unspaced // 2) / FULL_SCORE_WORDS)


def _repair(text: TrackedText) -> None:
    """Undo mojibake (ftfy), HTML entities, display-font letters and decomposed letters."""
    if text.edit(_mojibake(text.now)):
        text.notes.append("Letters broken by a wrong encoding are repaired.")
    text.edit((*match.span(), unescape(f"&{match[1]};")) for match in _ENTITY.finditer(text.now))
    if text.edit(_normalised(_DISPLAY_LETTERS, text.now, "NFKC")):
        text.notes.append("Letters of a display font are made plain.")
    if not unicodedata.is_normalized("NFC", text.now):
        text.edit(_normalised(_COMPOSING, text.now, "NFC"))


def _mojibake(text: str) -> Iterator[Edit]:
    """Only runs of non-ASCII characters change, so they pair up in order; if not, the text stays as it is."""
    from ftfy import fix_encoding  # like emoji's, its tables take memory that a web process never needs

    fixed = fix_encoding(text)
    if fixed == text:
        return
    old, new = _NON_ASCII.split(text), _NON_ASCII.split(fixed)
    if old[::2] != new[::2]:
        return
    at = 0
    for number, (before, after) in enumerate(zip(old, new, strict=True)):
        if number % 2 and before != after:
            yield at, at + len(before), after
        at += len(before)


def _normalised(pattern: re.Pattern[str], text: str, form: Literal["NFC", "NFKC"]) -> Iterator[Edit]:
    for match in pattern.finditer(text):
        new = unicodedata.normalize(form, match.group())
        if new != match.group():
            yield *match.span(), new


def _drop_invisible(text: TrackedText) -> None:
    text.substitute(_LINE_BREAK, "\n")
    text.substitute(_INVISIBLE, "", "invisible")
    text.collapse(_SPACES, " ")


def _cut_promotion(text: TrackedText) -> None:
    text.cut(_phrase_spans(_lower(text.now), _PROMOTION), "promotion")


def _cut_questions(text: TrackedText) -> None:
    text.cut(_phrase_spans(_lower(text.now), _QUIZ), "question")
    text.cut(_question_spans(_lower(text.now)), "question")


def _phrase_spans(lower: str, pattern: re.Pattern[str]) -> Iterator[Span]:
    """What each phrase spoils of its clause: a call to act all that follows it, another phrase the whole."""
    found = list(pattern.finditer(lower))
    breaks = [match.span() for match in _clause_break().finditer(lower)] if found else []
    openings, closings, done = [end for _, end in breaks], [start for start, _ in breaks], 0
    for phrase in found:
        if phrase.start() < done:
            continue
        before = bisect_right(openings, phrase.start())
        opening = max(openings[before - 1] if before else 0, done)
        start = (_with_fillers if phrase.lastgroup == "call" else _clause_start)(lower, opening, phrase.start())
        after = bisect_left(closings, phrase.end())
        end = closings[after] if after < len(closings) else len(lower)
        yield start, end if lower[opening:start].strip() else _stop_after(lower, end)
        done = end


def _with_fillers(lower: str, opening: int, call: int) -> int:
    filler = _FILLERS.search(lower, max(opening, call - 60), call)
    return filler.start() if filler else call


def _clause_start(lower: str, opening: int, phrase: int) -> int:
    return max(opening, lower.rfind(",", opening, phrase))


def _stop_after(lower: str, end: int) -> int:
    stop = _STOP.match(lower, end)
    return stop.end() if stop else end


def _question_spans(lower: str) -> Iterator[Span]:
    """From the asking word, or the start of the clause that addresses the reader, to the question mark."""
    opening = 0
    for sentence in _sentence_end().finditer(lower):
        start, end = sentence.span()
        asked = _ASKED.search(lower, opening, start) if set("?？") & set(sentence.group()) else None
        if asked and asked.lastgroup == "asking":
            yield asked.start(), end
        elif asked:
            clauses = [match.end() for match in _clause_break().finditer(lower, opening, asked.start())]
            yield _clause_start(lower, clauses[-1] if clauses else opening, asked.start()), end
        opening = end


def _cut_links(text: TrackedText) -> None:
    text.cut((match.span() for match in _LINK.finditer(text.now)), "link")
    text.cut((match.span() for match in _MENTION.finditer(text.now)), "mention")


def _cut_emoji(text: TrackedText) -> None:
    text.edit((*match.span(), "+" if match.group() == "➕" else "-") for match in _SIGN.finditer(text.now))
    text.cut((match.span() for match in _emoji().finditer(text.now)), "emoji")


def _cut_hashtags(text: TrackedText) -> None:
    rows = list(_HASHTAGS.finditer(text.now))
    text.cut([span for row in rows for span in _hashtag_cuts(text.now, row)], "hashtag")


def _hashtag_cuts(text: str, row: re.Match[str]) -> Iterator[Span]:
    """Of hashtags in a row: only the marks of those that are words of a sentence, the others whole."""
    tags = list(_HASHTAG.finditer(text, *row.span()))
    words = _words_in_sentence(text, row, len(tags))
    for tag in tags[:words]:
        marks = [at for at, letter in enumerate(tag.group()) if letter in "#＃_"]
        yield from ((tag.start() + at, tag.start() + at + 1) for at in marks)
    if tags[words:]:
        yield tags[words].start(), row.end()


def _words_in_sentence(text: str, row: re.Match[str], tags: int) -> int:
    """How many tags of a row, from its first, are words: at the end of a line only one the sentence needs."""
    before = text[max(0, row.start() - 40) : row.start()].rstrip(" ")
    joined = _JOINING.search(_lower(before)) is not None
    if _REST_OF_LINE.match(text, row.end()):
        ends_sentence = tags == 1 and before[-1:].isalnum() and text[row.end() : row.end() + 1] == "."
        return 1 if joined or ends_sentence else 0
    return 0 if tags > 2 and "," not in row.group() else tags


def _plain_marks(text: TrackedText) -> None:
    """Magnification and repeated punctuation."""
    text.edit((match.end(1), match.end(), "×") for match in _TIMES_AFTER.finditer(text.now))
    text.edit((match.start(), match.start(1), "×") for match in _TIMES_BEFORE.finditer(text.now))
    text.edit((*match.span(), "?" if "?" in match.group() else "!") for match in _SHOUTS.finditer(text.now))
    text.collapse(_DOTS, "...")
    text.substitute(_SEPARATOR, "", "punctuation")


def _tidy(text: TrackedText) -> None:
    """Close the gaps that the cuts left."""
    text.substitute(_EMPTY_BRACKETS, "")
    text.collapse(_SPACES, " ")
    text.substitute(_BEFORE_STOP, "")
    text.substitute(_WORDLESS_LINE, "", "punctuation")
    text.substitute(_LINE_ENDS, "")
    text.collapse(_LINE_BREAKS, "\n")
    text.substitute(_OUTER_SPACE, "")


_STEPS = (
    _repair,
    _drop_invisible,
    _cut_promotion,
    _cut_questions,
    _cut_links,
    _cut_emoji,
    _cut_hashtags,
    _plain_marks,
    _tidy,
)


def _lower(text: str) -> str:
    """Lower case of the same length: the dotted capital I is the one letter that would grow."""
    return text.replace("İ", "i").lower()


@cache
def _emoji() -> re.Pattern[str]:
    return re.compile(f"(?:{_emoji_character()})+")


@cache
def _clause_break() -> re.Pattern[str]:
    return re.compile(rf"{_SENTENCE_END}|[;|()\[\]•·—–，、،]|:(?!//)|(?<= )-(?= )|{_emoji_character()}")


@cache
def _sentence_end() -> re.Pattern[str]:
    return re.compile(rf"{_SENTENCE_END}|{_emoji_character()}")


@cache
def _emoji_character() -> str:
    """One character of those that make emoji, but for those that are also text.

    The pictographic plane counts as a whole: its other signs are ornaments. The look-ahead makes it fast.
    """
    import emoji

    parts = {part for sequence in emoji.EMOJI_DATA for part in sequence if "\u2000" < part < "\ufe00"}
    return f"(?=[^\x00-\u2000])[\U0001f000-\U0001faff{''.join(sorted(parts - set(_SIGNS_OF_TEXT)))}]"


_SIGNS_OF_TEXT = "™ℹ↔♀♂Ⓜ㊗㊙✖‼⁉\u200d"
_UNSPACED_SCRIPTS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_ENTITY = re.compile(r"&(?:amp;)*(amp|lt|gt|quot|apos|nbsp|#39|#34);")
_NON_ASCII = re.compile(r"([^\x00-\x7f]+)")
_DISPLAY_LETTERS = re.compile("[\U0001d400-\U0001d7ff]+")
_COMPOSING = re.compile(r"[\x00-\x7f]?[^\x00-\x7f]+")
_LINE_BREAK = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_INVISIBLE = re.compile(
    # the two joiners shape letters in Arabic and Indic scripts and stay there
    "(?<![\u0600-\u06ff\u0900-\u0dff])[\u200c\u200d]|[\u200c\u200d](?![\u0600-\u06ff\u0900-\u0dff])"
    "|[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\ue000-\uf8ff"
    "\U000e0000-\U000e0fff\U000f0000-\U0010ffff]+"
)
_SPACES = re.compile(r"[^\S\n]+")
_SENTENCE_END = r"\n|(?<!\bdr)(?<!\bprof)(?<![.!?…])[.!?…]++(?=\s|\Z|[\"'”’)])|[。！？]"
_STOP = re.compile(r"[.!?…。！？]+")
_PROMOTION = re.compile(
    rf"(?<!\w)(?P<call>{'|'.join(phrases.CALLS)})|(?<!\w)(?P<advert>{'|'.join(phrases.ADVERTS)})"
    rf"|(?P<script>{'|'.join(phrases.SCRIPT_ADVERTS)})"
)
_QUIZ = re.compile(rf"(?<!\w)(?P<call>¿?(?:{'|'.join(phrases.QUIZ)}))|(?P<script>{'|'.join(phrases.SCRIPT_QUIZ)})")
_FILLERS = re.compile(rf"(?<!\w)(?:(?:{phrases.FILLERS})[\s,]{{1,3}}){{1,4}}\Z")
_ASKED = re.compile(
    rf"(?<!\w)(?P<asking>¿?(?:{phrases.ASKING}))(?!\w)|(?<!\w)(?P<addressing>{phrases.ADDRESSING})(?!\w)"
    rf"|(?P<script>{phrases.SCRIPT_ASKING})"
)
_LINK = re.compile(
    r"(?:https?://|www\.)[^\s<>\"]+"
    r"|(?<![\w.@-])(?:[a-z0-9-]{1,63}\.){1,6}(?:com|org|net|edu|ly|ee|info|gl|io)\b(?:/[^\s<>\"]*)?"
    r"|(?<![\w.+@-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,6}",
    re.IGNORECASE,
)
_MENTION = re.compile(
    r"(?:(?<!\w)(?:credits?|courtesy|thanks|thank you|via|repost|photo|image|case|h/t|by|from|with|and|to|of)"
    r"[ :]{1,3}){0,4}(?<![\w@])@\w[\w.]{0,29}(?:(?:, ?| ?& ?| and | )@\w[\w.]{0,29})*",
    re.IGNORECASE,
)
_SIGN = re.compile("[➕➖]")
_TAG_END = r"\s#＃!-,./:-@\[-^`{-~、。，．！？：；「」（）…·•|"
_HASHTAG = re.compile(rf"(?<![\w&])[#＃](?!\d+(?:[{_TAG_END}-]|\Z))[^{_TAG_END}]+")
_HASHTAGS = re.compile(rf"{_HASHTAG.pattern}(?:[ ,]{{0,3}}[#＃](?!\d+(?:[{_TAG_END}-]|\Z))[^{_TAG_END}]+)*")
_JOINING = re.compile(rf"(?<![\w-])(?:{phrases.JOINING})\Z")
_REST_OF_LINE = re.compile(r"[ .!…]{0,4}(?=\n|\Z)")
_OBJECTIVES = "2|2.5|4|5|10|16|20|25|40|50|60|63|80|100|160|200|250|400|500|600|630|1000".replace(".", r"\.")
_TIMES_AFTER = re.compile(rf"(?<![\w.,])({_OBJECTIVES}) ?[xX](?!\w| ?\d)")
_TIMES_BEFORE = re.compile(rf"(?<!\d )(?<!\w)[xX] ?({_OBJECTIVES})(?![\w]|[.,]\d| ?[mcµμu]m\b)")
_SHOUTS = re.compile(r"[!?]{2,}")
_DOTS = re.compile(r"\.{4,}|…{2,}")
_SEPARATOR = re.compile(r"([-_=~*•—–])\1{3,}")
_EMPTY_BRACKETS = re.compile(r"\([\s,;:|]*\)|\[[\s,;:|]*\]")
_BEFORE_STOP = re.compile(r"(?<![ ,;:])[ ,;:]++(?=[.,!?](?:\s|\Z))|(?<=[.!?]) ?\.(?=\s|\Z)(?<!\.\.\.)")
_WORDLESS_LINE = re.compile(r"^[^\w\n]+$", re.MULTILINE)
_LINE_ENDS = re.compile(r"^(?:[ ,;:|!?)\]，、،]+|\.(?!\d))|(?<![ ,;|•·—，、،])[ ,;|•·—，、،]+$", re.MULTILINE)
_LINE_BREAKS = re.compile(r"\n+")
_OUTER_SPACE = re.compile(r"\A\s+|(?<!\s)\s+\Z")
_WORD = re.compile(rf"[^\W\d_{_UNSPACED_SCRIPTS}]{{2,}}")
_UNSPACED = re.compile(f"[{_UNSPACED_SCRIPTS}]")
