"""How many captions are longer than a text tower reads."""

from collections.abc import Iterable
from typing import NamedTuple

from open_clip.tokenizer import SimpleTokenizer

CONTEXT = 77  # tokens, of CLIP's text towers, with the two that mark start and end


class Beyond(NamedTuple):
    """Of `captions`, the `share` that has more tokens than `context`; what is beyond is not read."""

    context: int
    captions: int
    share: float


def beyond_context(captions: Iterable[str], context: int = CONTEXT) -> Beyond:
    """Counted by open_clip's tokenizer for CLIP, as it is before it cuts. Share 0 of no captions."""
    tokenizer = SimpleTokenizer(context_length=context)
    counted = longer = 0
    for caption in captions:
        counted += 1
        longer += len(tokenizer.encode(caption)) + 2 > context
    return Beyond(context, counted, longer / counted if counted else 0.0)
