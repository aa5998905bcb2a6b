"""What someone types to get to a candidate."""

import re

CANDIDATE = re.compile(r"c-?(\d{1,12})|(\d{1,12})", re.IGNORECASE)
POST_URL = re.compile(r"https?://(?:www\.)?instagram\.com/(?:[\w.]+/)?(?:p|reel|tv)/([\w-]+)", re.IGNORECASE)
SHORTCODE = re.compile(r"[\w-]{1,64}")


def jump_target(typed: str) -> int | str | None:
    """A candidate's number, a post's shortcode (also out of its address), or None for anything else."""
    typed = typed.strip()
    if found := CANDIDATE.fullmatch(typed):
        return int(found[1] or found[2])
    if found := POST_URL.match(typed):
        return found[1]
    return typed if SHORTCODE.fullmatch(typed) else None


def web_link(url: str | None) -> str | None:
    """A post's address if it is one that a browser should follow: posts come from files of strangers."""
    return url if url and url.startswith(("https://", "http://")) and url.isprintable() else None
