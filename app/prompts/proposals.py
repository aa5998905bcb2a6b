"""Whether a model's caption may be offered in place of the one it was made from. Nothing here asks the database."""

from dataclasses import dataclass

from app.prefilter import faithfulness
from app.prefilter.caption_diff import word_diff
from app.prompts.answers import CAPTION_LIMIT, visible

LONGER = 1.2  # times the original; a model that writes more explains
KEPT = 0.2  # of the original; what keeps less says something else, as a caption that gives orders may want

RULES = {
    "support": "too few of its words are in the original",
    "longer": f"longer than {LONGER:g} times the original",
    "unseen": f"the model saw only the first {CAPTION_LIMIT:,} characters",
    "kept": f"less than {KEPT:.0%} of the original is kept",
}


@dataclass(frozen=True)
class Proposal:
    """A model's caption. `unsupported` are [start, end] of its sentences that the original does not say.

    Where it rewrote too much, by the rules that it `struck`, it is not offered.
    """

    text: str
    support: float
    unsupported: list[list[int]]
    struck: list[str]

    @property
    def rewrote(self) -> bool:
        return bool(self.struck)


def judged(original: str, caption: str, min_support: float) -> Proposal:
    """The caption of an answer against what the model was given. An empty one stands for no proposal."""
    text = visible(caption.replace("\r\n", "\n").replace("\r", "\n")).strip()
    if not text or text == original.strip():
        return Proposal(original if text else "", 1.0, [], [])
    found = faithfulness.check(original, text)
    rules = {
        "support": found.support < min_support,
        "longer": len(text) > LONGER * len(original),
        "unseen": len(original) > CAPTION_LIMIT,  # the model got only its beginning
        "kept": _kept(original, text) < KEPT,
    }
    struck = [name for name, is_broken in rules.items() if is_broken]
    return Proposal(text, round(found.support, 4), [list(span) for span in found.unsupported], struck)


def _kept(original: str, text: str) -> float:
    """The share of the original's characters that stand in the text too, word by word."""
    same = sum(len(piece.text) for piece in word_diff(original, text) if piece.op == "same")
    return same / len(original) if original else 1.0
