"""Whether a model's caption may be offered in place of the one it was made from. Nothing here asks the database."""

from dataclasses import dataclass

from app.prefilter import faithfulness
from app.prefilter.caption_diff import word_diff
from app.prompts.answers import CAPTION_LIMIT, visible

LONGER = 1.2  # times the original; a model that writes more explains
KEPT = 0.2  # of the original; what keeps less says something else, as a caption that gives orders may want


@dataclass(frozen=True)
class Proposal:
    """A model's caption. `unsupported` are [start, end] of its sentences that the original does not say.

    Where it `rewrote` too much, it is not offered.
    """

    text: str
    support: float
    unsupported: list[list[int]]
    rewrote: bool


def judged(original: str, caption: str, min_support: float) -> Proposal:
    """The caption of an answer against what the model was given. An empty one stands for no proposal."""
    text = visible(caption.replace("\r\n", "\n").replace("\r", "\n")).strip()
    if not text or text == original.strip():
        return Proposal(original if text else "", 1.0, [], rewrote=False)
    found = faithfulness.check(original, text)
    too_long = len(text) > LONGER * len(original)
    unseen = len(original) > CAPTION_LIMIT  # the model got only its beginning
    rewrote = found.support < min_support or too_long or unseen or _kept(original, text) < KEPT
    return Proposal(text, round(found.support, 4), [list(span) for span in found.unsupported], rewrote)


def _kept(original: str, text: str) -> float:
    """The share of the original's characters that stand in the text too, word by word."""
    same = sum(len(piece.text) for piece in word_diff(original, text) if piece.op == "same")
    return same / len(original) if original else 1.0
