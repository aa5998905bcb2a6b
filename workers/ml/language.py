"""Which language a short text is in, by py3langid: naive Bayes over byte n-grams, its model in the package."""

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any

from py3langid.langid import MODEL_FILE, LanguageIdentifier

UNDETERMINED = "und"
SURE = 0.5  # "Adenocarcinoma of colon, H&E" is Italian at 0.3: Latin terms alone tell no language
WORD = re.compile(r"[^\W\d_]{2,}")
FEW_WORDS = 3  # "Schwannoma" is German at 0.86


def identify(text: str, languages: Collection[str]) -> tuple[str, float]:
    """The most likely of `languages` (ISO 639-1) and its probability, 0 to 1; "und" where that says little.

    Fewer than three words in ASCII letters count as undetermined, as does a probability below one half.
    """
    if text.isascii() and len(WORD.findall(text)) < FEW_WORDS:
        return UNDETERMINED, 0.0
    code, probability = _identifier(frozenset(languages)).classify(text)
    return str(code), float(probability)


@lru_cache(maxsize=2)
def _identifier(languages: frozenset[str]) -> Any:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True, min_confidence=SURE)
    identifier.set_languages(sorted(languages))
    return identifier
