"""The languages that a caption's language is told among, by ISO 639-1 code."""

UNDETERMINED = "und"  # ISO 639-2: too short, or names of findings that are the same in many languages

LANGUAGES = {
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "de": "German",
    "it": "Italian",
    "pt": "Portuguese",
    "tr": "Turkish",
    "ru": "Russian",
    "ja": "Japanese",
    "zh": "Chinese",
    "ar": "Arabic",
    "ko": "Korean",
}

CODES = (*LANGUAGES, UNDETERMINED)


def language_name(code: str | None) -> str:
    """What pages call a language."""
    return LANGUAGES.get(code or "", "Undetermined")
