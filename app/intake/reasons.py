"""Why an entry or file is refused, and which kinds of file are no posts: two closed lists."""

from enum import StrEnum


class Reason(StrEnum):
    """Why something is refused; nothing of it is kept."""

    NO_CAPTION = "no caption"
    NO_IMAGE_FILE = "no image file"
    NO_METADATA = "no metadata for this picture"
    VIDEO = "video"
    ANIMATION = "animation"
    NOT_AN_IMAGE = "not an image"
    IMAGE_UNREADABLE = "image unreadable"
    IMAGE_TOO_LARGE = "image too large"
    TOO_SMALL = "too small"
    CAPTION_TOO_LONG = "caption too long"
    METADATA_UNREADABLE = "metadata unreadable"
    UNKNOWN_FORMAT = "unknown format"
    HTML_EXPORT = "HTML export"
    OTHER_PART = "in another part of the export"
    OTHER_POST = "picture may belong to another post"
    MANGLED_ID = "id mangled by a spreadsheet"
    WRONG_FIELDS = "wrong number of fields"
    COLUMNS_UNKNOWN = "columns not recognised"
    AMBIGUOUS_KEY = "ambiguous key"
    NAME_CLASH = "name clash"
    UNSAFE_PATH = "unsafe path"
    WITHDRAWN = "withdrawn before"


class Kind(StrEnum):
    """Side files that are not posts."""

    PROFILE_PICTURE = "profile picture"
    COVER = "cover"
    COMMENTS = "comments"
    LOCATION = "location"
    PROFILE = "profile"
    HASHTAG = "hashtag"
    RESUME_STATE = "resume state"
    ARCHIVED = "archived"
    DELETED = "deleted"
    STORY = "story"
    REEL = "reel"
    REPOST = "repost"
    INSIGHTS = "insights"
    VIEWED_POSTS = "viewed posts"
    SYSTEM_FILE = "system file"


# Reason → what happened, what to do.
SENTENCES: dict[Reason, tuple[str, str]] = {
    Reason.NO_CAPTION: ("No caption and no text file", "Nothing, or add a .txt beside it."),
    Reason.NO_IMAGE_FILE: ("The picture’s file is not there", "Put the file beside it and import again."),
    Reason.NO_METADATA: ("A picture or text without its post", "Download the post again with its metadata."),
    Reason.VIDEO: ("Video, not an image", "Nothing; videos are outside the data set."),
    Reason.ANIMATION: ("Moving picture", "Nothing; only still pictures are taken."),
    Reason.NOT_AN_IMAGE: (
        "The file is no JPEG, PNG or WebP, whatever its name says",
        "Download the post again; a session may have run out and saved a web page instead.",
    ),
    Reason.IMAGE_UNREADABLE: ("The picture is cut short or broken", "Download the post again."),
    Reason.IMAGE_TOO_LARGE: (
        "The picture has more than 50 million pixels",
        "Make it smaller and import again.",
    ),
    Reason.TOO_SMALL: (
        "The picture’s shorter side is under 64 pixels",
        "Nothing; there is too little to see.",
    ),
    Reason.CAPTION_TOO_LONG: (
        "The caption has more than 20,000 characters",
        "Look at the file; this is not a caption.",
    ),
    Reason.METADATA_UNREADABLE: ("The post’s metadata can’t be read", "Download the post again."),
    Reason.UNKNOWN_FORMAT: (
        "A file of no kind that posts have",
        "Nothing, if it is not a post. A table or zip of other posts is imported by itself.",
    ),
    Reason.HTML_EXPORT: ("An export in HTML", "Ask Instagram for the export in JSON format."),
    Reason.OTHER_PART: ("The picture is in another part of the export", "Import the other parts too."),
    Reason.OTHER_POST: (
        "Its shape or place is not what the post says: two posts of one second share a name",
        "Download with shortcodes in the file names.",
    ),
    Reason.MANGLED_ID: (
        "A spreadsheet turned the id into a number like 1.78E+16",
        "Save the column as text and import again.",
    ),
    Reason.WRONG_FIELDS: (
        "The row has more or fewer fields than the header",
        "Mend the row’s quotes or delimiters.",
    ),
    Reason.COLUMNS_UNKNOWN: (
        "No column for the picture or the caption was found",
        "Name the columns image and caption.",
    ),
    Reason.AMBIGUOUS_KEY: (
        "An earlier row has the same picture and caption, or another picture at this place",
        "Nothing, or correct the row.",
    ),
    Reason.NAME_CLASH: ("Two files claim the same name", "Rename or remove one of them."),
    Reason.UNSAFE_PATH: ("Its name leads out of the folder, or it is a link", "Pack the files again."),
    Reason.WITHDRAWN: ("Its author or picture was withdrawn", "Nothing; what was withdrawn stays out."),
}

# The same for posts that are rows of a table, where it is otherwise.
IN_TABLES: dict[Reason, tuple[str, str]] = {
    Reason.NO_CAPTION: ("The caption is empty", "Fill the caption cell and import again."),
    Reason.NO_IMAGE_FILE: (
        "The picture that the row names is not there",
        "Put the file beside the table, or correct its name in the row, and import again.",
    ),
    Reason.NO_METADATA: ("A picture that no row names", "Nothing, or give it a row and import again."),
    Reason.NOT_AN_IMAGE: (
        "The file is no JPEG, PNG or WebP, whatever its name says",
        "Save it as one of these and import again.",
    ),
    Reason.IMAGE_UNREADABLE: ("The picture is cut short or broken", "Replace the file and import again."),
    Reason.METADATA_UNREADABLE: ("The row’s id is too long", "Shorten the id and import again."),
    Reason.UNKNOWN_FORMAT: (
        "A file that is no picture and no table",
        "Nothing. Posts of another kind are imported by themselves.",
    ),
}


def sentence_for(reason: str | None, in_table: bool = False) -> str:
    """What happened, for people; empty for none."""
    return _words(Reason(reason), in_table)[0] if reason else ""


def advice_for(reason: str | None, in_table: bool = False) -> str:
    """What to do about it, for people; empty for none."""
    return _words(Reason(reason), in_table)[1] if reason else ""


def _words(reason: Reason, in_table: bool) -> tuple[str, str]:
    return (IN_TABLES if in_table else {}).get(reason) or SENTENCES[reason]
