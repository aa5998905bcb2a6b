"""How far a proposed caption says only what the original says. Words are compared, nothing is understood.

Each sentence of the proposal is linked to the words of the original it came from. It is supported when every word
that claims something, every number and every stain, organ or diagnosis is in the original, under the same negation,
as sure, and with the same side, sign or figure beside it. Order, case, inflection, spelling and the closed list of
abbreviations (`faithfulness_words`) make no difference. A word that the original lacks is never let pass, so a fair
paraphrase in new words is marked as well.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, takewhile

from app.prefilter import faithfulness_words as words

Span = tuple[int, int]

LONGEST_SEGMENT = 200  # words; cost grows with its square
MOST_PLACES = 50  # of one word; a text that repeats itself more often is no caption


@dataclass(frozen=True)
class Sentence:
    """A sentence of the proposal: its place there, the share of its words (0 to 1) that the original has, and where."""

    start: int
    end: int
    support: float
    supported: bool
    links: tuple[Span, ...]


@dataclass(frozen=True)
class Faithfulness:
    """`support` is the share of the proposal's words that come from the original, 0 to 1; 1 where it claims nothing."""

    support: float
    sentences: tuple[Sentence, ...]

    @property
    def unsupported(self) -> tuple[Span, ...]:
        return tuple((sentence.start, sentence.end) for sentence in self.sentences if not sentence.supported)


def check(original: str, proposal: str) -> Faithfulness:
    """Compare a proposal with the text it was made from. Spans are of code points."""
    known = _Original(_read(original))
    sentences, found, of = [], 0, 0
    for _, group in groupby(_read(proposal), key=lambda token: token.sentence):
        tokens = list(group)
        said = [token for token in tokens if token.claims]
        pairs = [(token, known.matching(token.word)) for token in said]
        matched = sum(bool(same) for _, same in pairs)
        found, of = found + matched, of + len(said)
        sentences.append(
            Sentence(
                *_extent(proposal, tokens),
                matched / len(said) if said else 1.0,
                all(same for _, same in pairs) and known.says(tokens),
                _links(same for _, same in pairs if same),
            )
        )
    return Faithfulness(found / of if of else 1.0, tuple(sentences))


@dataclass
class _Token:
    """A word as it is compared, where it stands, and what the words around it make of it."""

    start: int
    end: int
    word: str
    claims: bool
    sentence: int = 0
    clause: int = 0
    segment: int = 0
    number: int = 0
    negated: bool = False
    hedged: bool = False


@dataclass
class _Original:
    tokens: list[_Token]
    by_word: dict[str, list[_Token]] = field(init=False)
    by_segment: dict[int, set[str]] = field(init=False)
    by_shape: dict[tuple[str, int], list[str]] = field(init=False)
    by_letter: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.by_word, self.by_segment = defaultdict(list), defaultdict(set)
        self.by_shape, self.by_letter = defaultdict(list), {}
        for token in self.tokens:
            if token.claims and len(self.by_word[token.word]) < MOST_PLACES:
                self.by_word[token.word].append(token)
                self.by_segment[token.segment].add(token.word)
        for word in self.by_word:
            self.by_shape[word[:1], len(word)].append(word)
            if _UNSPACED.fullmatch(word):
                self.by_letter |= dict.fromkeys(word, word)

    def matching(self, word: str) -> list[_Token]:
        """Where the original has this word, or one that differs in a letter as a typing error does."""
        if word in self.by_word:
            return self.by_word[word]
        if _UNSPACED.fullmatch(word):  # two that came to stand together when what was between them went
            return self.by_word[self.by_letter[word[0]]] if set(word) <= self.by_letter.keys() else []
        shapes = [(word[:1], len(word) + more) for more in (-1, 0, 1)]
        near = [other for shape in shapes for other in self.by_shape.get(shape, ()) if _one_letter_off(word, other)]
        return self.by_word[near[0]] if near else []

    def says(self, tokens: list[_Token]) -> bool:
        """Whether what is negated, unsure, positive or on one side here is so in the original."""
        for _, group in groupby((token for token in tokens if token.claims), key=lambda token: token.segment):
            segment = list(group)
            said = {token.word for token in segment}
            for token in segment:
                there = self._nearest(self.matching(token.word), said)
                if not (_same_sense(token, there) and self._same_side(token, said)):
                    return False
        return True

    def _nearest(self, places: list[_Token], said: set[str]) -> list[_Token]:
        """Those of the places whose surroundings share the most words with what is said."""
        shared = [len(self.by_segment[place.segment] & said) for place in places]
        return [place for place, count in zip(places, shared, strict=True) if count == max(shared)]

    def _same_side(self, token: _Token, said: set[str]) -> bool:
        """Where the original has a rival (left and right, two figures), the word must stand with one it stood with."""
        rivals = _rivals(token.word, self.by_word)
        beside = said - {token.word} - rivals
        if not rivals or not beside:
            return True
        places = [self.by_segment[place.segment] - {token.word} for place in self.matching(token.word)]
        return any(not place or place & beside for place in places)


def _same_sense(token: _Token, there: list[_Token]) -> bool:
    """Whether some place says it alike: negated or not, and no less sure."""
    return any(place.negated == token.negated and (token.hedged or not place.hedged) for place in there)


def _rivals(word: str, known: Iterable[str]) -> set[str]:
    if _FIGURE.fullmatch(word):
        return {other for other in known if other != word and _FIGURE.fullmatch(other)}
    group: set[str] = next((group for group in _RIVALS if word in group), set())
    return (group - {word}) & set(known)


def _links(places: Iterable[list[_Token]]) -> tuple[Span, ...]:
    """Spans of the original, words in a row as one; of several places the one that follows the last is taken."""
    chosen: list[_Token] = []
    for same in places:
        follows = chosen[-1].number if chosen else 0
        chosen.append(min(same, key=lambda place: (place.number < follows, abs(place.number - follows))))
    spans: list[Span] = []
    last = -2
    for place in sorted(chosen, key=lambda place: place.number):
        if spans and place.number <= last + 1:
            spans[-1] = (spans[-1][0], max(place.end, spans[-1][1]))
        else:
            spans.append((place.start, place.end))
        last = place.number
    return tuple(spans)


def _extent(text: str, tokens: list[_Token]) -> Span:
    """From the first word to the last, with the mark that ends the sentence."""
    end = max(token.end for token in tokens)
    closing = _CLOSING.match(text, end)
    return tokens[0].start, closing.end() if closing else end


# --- reading ------------------------------------------------------------------------------------


def _read(text: str) -> list[_Token]:
    tokens = list(_tokens(text))
    for number, token in enumerate(tokens):
        token.number = number
    for _, clause in groupby(tokens, key=lambda token: token.clause):
        _mark(list(clause), text)
    return tokens


def _tokens(text: str) -> Iterator[_Token]:
    sentence = clause = segment = 0
    before, heads = "", False
    for number, match in enumerate(_TOKEN.finditer(text), start=1):
        kind, raw = match.lastgroup, match.group()
        segment += number % LONGEST_SEGMENT == 0
        if raw == ":" and _is_heading(before, text, match.start()):
            heads = True
            yield _Token(*match.span(), "for", False, sentence, clause, segment)
        elif heads and _LISTED.match(text, match.start()):
            segment += 1
        elif kind == "stop":
            heads = False
            sentence, clause, segment = sentence + 1, clause + 1, segment + 1
        elif kind == "clause":
            clause, segment = clause + 1, segment + 1
        elif kind == "comma":
            segment += 1
        elif kind == "sign":
            if _takes_sign(before):
                yield _Token(*match.span(), *_SIGN[raw == "+"], sentence, clause, segment)
        elif kind == "unspaced":
            for pair, (start, end) in enumerate(_pairs(match), start=1):
                segment += pair % LONGEST_SEGMENT == 0
                yield _Token(start, end, text[start:end], True, sentence, clause, segment)
        elif kind:
            word = _folded(raw)
            if word in words.CLAUSE_WORDS:
                clause, segment = clause + 1, segment + 1
            elif word in words.SEGMENT_WORDS:
                segment += 1
            for part, claims in _compared(kind, raw, word, before):
                yield _Token(*match.span(), part, claims, sentence, clause, segment)
        before = raw if kind not in ("stop", "clause", "comma") else ""


def _is_heading(word: str, text: str, at: int) -> bool:
    """Negative: CD3, CD5, or a list of lines below: a sign or a negation alone on its line, up to the colon."""
    folded = _folded(word)
    if folded not in words.SIGNS and folded not in words.NEGATIONS:
        return False
    return text[text.rfind("\n", 0, at) + 1 : at].strip(" \t-–•*·") == word


def _compared(kind: str, raw: str, word: str, before: str) -> Iterator[tuple[str, bool]]:
    """A token's words as they are compared, and whether each claims something."""
    if kind == "power":
        yield _DIGITS.sub("", word) + "×", True
    elif kind == "code":
        letters, digits = _LETTERS_DIGITS.fullmatch(word.replace("-", "")).groups()  # type: ignore[union-attr]
        yield from ((letters + digits, True),) if len(letters) <= 4 else ((_stem(letters), True), (digits, True))
    elif kind == "figure":
        yield word.replace(" ", "").replace(",", "."), True
    elif word in words.ABBREVIATIONS and (word not in words.ONLY_IN_CAPITALS or raw.isupper()):
        yield from ((_stem(part), part not in words.NEUTRAL) for part in words.ABBREVIATIONS[word].split())
    elif word in words.NUMBERS:
        yield words.NUMBERS[word], True
    elif word == "i" and _folded(before) in words.GRADED:
        yield "1", True
    elif word in ("f", "m") and (before.isdecimal() or _folded(before) in ("yo", "y/o", "old", "yr")):
        yield _stem("female" if word == "f" else "male"), True
    elif word in words.SIGNS:
        yield words.SIGNS[word], words.SIGNS[word] == "positive"
    else:
        yield _stem(words.SYNONYMS.get(word, word)), word not in _CLAIMS_NOTHING


def _mark(clause: list[_Token], text: str) -> None:
    """Negation, certainty and signs: what each such word of a clause says of the others."""
    plain = [_folded(text[token.start : token.end]) for token in clause]
    for at, word in enumerate(plain):
        if word in words.NEGATIONS or word.endswith("n't"):
            behind = at and word == "not" and plain[at - 1] in words.AUXILIARIES
            _negate(clause[:at] if behind else _scope(clause, plain, at))
        elif word in words.NEGATIONS_AFTER:
            _negate(token for token in clause[:at] if token.segment == clause[at].segment)
        if word in words.HEDGES:
            for token in clause[at:]:
                token.hedged = True
    if clause and text[clause[-1].end : clause[-1].end + 2].strip().startswith(("?", "？")):
        for token in clause:
            token.hedged = token.hedged or token.segment == clause[-1].segment
    _sign(clause, text)


def _negate(tokens: Iterable[_Token]) -> None:
    for token in tokens:
        token.negated = True


def _scope(clause: list[_Token], plain: list[str], at: int) -> list[_Token]:
    """From a negation on: to the comma, or through a list that ends in *or*."""
    rest = clause[at + 1 :]
    if plain[at + 1 : at + 2] == [":"]:
        return rest
    joined = [number for number, word in enumerate(plain[at + 1 :]) if word in words.ALTERNATIVES]
    return [token for number, token in enumerate(rest) if token.segment <= _last_segment(rest, joined, clause[at])]


def _last_segment(rest: list[_Token], joined: list[int], negation: _Token) -> int:
    return rest[joined[-1]].segment if joined else negation.segment


def _sign(clause: list[_Token], text: str) -> None:
    """A negative result negates the markers before the word, or what is behind "negative for" or "negative" alone."""
    first = 0
    for at, token in enumerate(clause):
        if token.word == "negative":
            beside = [other for other in clause if other.segment == token.segment]
            before = [one for one in clause[first:at] if one in beside or _takes_sign(text[one.start : one.end])]
            after = list(takewhile(lambda other: other.word not in _RESULTS, clause[at + 1 :]))
            forward = after and after[0].word in _FOR
            _negate(after if forward else before or (one for one in after if one in beside))
        if token.word in _RESULTS:
            first = at + 1


def _pairs(match: re.Match[str]) -> Iterator[Span]:
    """Overlapping pairs of a run without spaces, where no word ends; a single letter is itself."""
    start, end = match.span()
    if end - start == 1:
        yield start, end
    yield from ((at, at + 2) for at in range(start, end - 1))


def _takes_sign(before: str) -> bool:
    """CD20+, ER-: a sign right behind letters in capitals or with a figure."""
    return len(before) > 1 and (before.isupper() or any(letter.isdecimal() for letter in before))


def _folded(text: str) -> str:
    """Lower case without accents; British spelling as American."""
    decomposed = unicodedata.normalize("NFKD", text.replace("ı", "i")).casefold()
    return _ACCENTS.sub("", decomposed).replace("’", "'").strip(".'")


def _stem(word: str) -> str:
    """The word without the ending that inflection changes: nuclei and nucleus, mitotic and mitosis."""
    word = _BRITISH.sub(lambda match: _AMERICAN[match.group()], word)
    return next((word[: match.start()] for pattern in _ENDINGS if (match := pattern.search(word))), word)


def _one_letter_off(one: str, other: str) -> bool:
    """One letter more, less or other, or two in turn; in long words that begin alike and hold no figure."""
    if min(len(one), len(other)) < 6 or one[0] != other[0] or abs(len(one) - len(other)) > 1:
        return False
    if not (one.isalpha() and other.isalpha()):
        return False
    front = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), -1)
    if front < 0:
        return True
    tails = ((front + 1, front + 1), (front, front + 1), (front + 1, front))
    turned = one[front : front + 2] == other[front : front + 2][::-1] and one[front + 2 :] == other[front + 2 :]
    return turned or any(one[left:] == other[right:] for left, right in tails)


_UNSPACED_LETTERS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u30a0-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_UNSPACED = re.compile(f"[{_UNSPACED_LETTERS}]+")
_TOKEN = re.compile(
    r"(?P<stop>[.!?…]+(?=\s|\Z|[\"'”’)])|[。！？\n])|(?P<clause>[;()\[\]；（）]|:(?=\s))|(?P<comma>[,，、:：|•·/])"
    r"|(?P<word>h\s?[&+]\s?e(?!\w)|h/e(?!\w)|w/o(?!\w)|y/o(?!\w)|y\.o\b|没有|未见|[无無未没不]|阴性|陰性|なし|ない|ません)"
    r"|(?P<power>[x×]\s?\d{1,4}(?!\w|\.\d)|\d{1,4}\s?(?:×|x(?!\w)))"
    r"|(?P<code>[^\W\d_]+-?\d[^\W_]*)|(?P<figure>\d+(?:[.,]\d+)*(?:\s?%)?)"
    r"|(?P<sign>\+|[-−–](?=[\s,;.)/]|\Z))"
    f"|(?P<unspaced>[{_UNSPACED_LETTERS}]+)"
    r"|(?P<term>(?:(?![\u3040-\u30ff\u3400-\u9fff])[^\W\d_]|[\u0300-\u036f])+(?:['’]t(?!\w))?)",
    re.IGNORECASE,
)
_LISTED = re.compile(r"(?<=:)[^\S\n]*\n|\n\s*[-–•*·]\s")
_CLOSING = re.compile(r"[\s)\]\"'”’%+]{0,3}[.!?…。！？]+")
_ACCENTS = re.compile("[\u0300-\u036f]")
_DIGITS = re.compile(r"[^\d]")
_LETTERS_DIGITS = re.compile(r"([^\W\d_]+)(.*)")
_FIGURE = re.compile(r"\d+(?:\.\d+)*%?")
_AMERICAN = {"ae": "e", "oe": "e", "our": "or", "isation": "ization", "ising": "izing", "ised": "ized"}
_BRITISH = re.compile("ae|oe|our$|isation|ising$|ised$")
_ENDINGS = (
    re.compile(r"(?<=\w{4})(?:ically|ations?|ated|ating|izing|ized?|izations?)$"),
    re.compile(r"(?<=\w{4})(?:tic|sis|ses|ings?|ied|ies|ed|ly|ia|ous|ae|as|os|es|us|um|is)$"),
    re.compile(r"(?<=\w{3})(?:es|s|us|um|i|a|e|o|y)$"),
    re.compile(r"(?<=[а-я]{4})[аеёийоуыьэюя]{1,3}$"),
    re.compile(r"(?<=[가-힣]{2})(?:은|는|이|가|을|를|의|에|에서|로|으로|와|과)$"),
)
_RIVALS = [{_stem(word) for word in group} for group in words.RIVALS]
_SIGN = {True: ("positive", True), False: ("negative", False)}
_RESULTS = {"positive", "negative"}
_FOR = {"for", "para", "pour", "per", "fur"}
_CLAIMS_NOTHING = words.NEUTRAL | words.NEGATIONS | words.NEGATIONS_AFTER
