"""Reads Instaloader's JSON of a post, from the newest shape of a node to the oldest.

Only named fields are read: the rest of a node holds people's biographies, places and phone numbers.
"""

import json
import lzma
from datetime import datetime
from typing import Any

from app.intake.formats import times
from app.intake.formats.shortcode import SHORTCODE, from_pk, media_number, to_pk
from app.intake.reasons import Kind
from app.intake.records import MAX_CAPTION, plain_text
from app.intake.trees import FileTooLarge, FileTree

LARGEST = 8_000_000  # bytes of JSON; a post has some 50,000
UNPACKING_MEMORY = 200_000_000
NAME_LENGTH = 100
NODE_KINDS = {
    "Profile": Kind.PROFILE,
    "Hashtag": Kind.HASHTAG,
    "StoryItem": Kind.STORY,
    "FrozenNodeIterator": Kind.RESUME_STATE,
}
VIDEO, CAROUSEL = 2, 8  # of `media_type`, where 1 is a picture

Node = dict[str, Any]


class Unreadable(Exception):
    """Metadata that can't be read; the message says what is wrong with it."""


def load(tree: FileTree, name: str) -> Node:
    """A JSON object from a file, unpacked where its content is xz. Raises Unreadable."""
    try:
        data = tree.read(name, LARGEST)
        if data.startswith(b"\xfd7zXZ\x00"):
            data = lzma.LZMADecompressor(memlimit=UNPACKING_MEMORY).decompress(data, LARGEST)
        whole = json.loads(data)
    except (OSError, FileTooLarge, lzma.LZMAError, EOFError, ValueError, RecursionError) as error:
        raise Unreadable(plain_text(f"{type(error).__name__}: {error}"[:120])) from error
    if not isinstance(whole, dict):
        raise Unreadable("not a JSON object")
    return whole


def is_instaloader(whole: Node) -> bool:
    """Whether JSON has Instaloader's stamp, or is an old post without one (and not gallery-dl's of a picture)."""
    return isinstance(whole.get("instaloader"), dict) or (_is_code(whole.get("shortcode")) and not _is_other(whole))


def side_kind(whole: Node) -> Kind | None:
    """What the stamp says that this is, where it is no post."""
    return NODE_KINDS.get(str(_within(whole, "instaloader", "node_type")))


def post_of(whole: Node) -> Node:
    """The node of a post with a shortcode. Raises Unreadable."""
    inner = whole.get("node")
    node = inner if isinstance(inner, dict) else whole
    if shortcode(node) is None or _is_other(node):
        raise Unreadable("no shortcode")
    return node


def shortcode(node: Node) -> str | None:
    for value in (node.get("shortcode"), node.get("code")):
        if _is_code(value):
            return str(value)
    number = _number(node)
    return from_pk(number) if number else None


def media_pk(node: Node) -> str | None:
    return _number(node) or to_pk(shortcode(node) or "")


def caption(node: Node) -> str:
    """The caption as storable text; empty where the node has none."""
    for value in (
        _within(node, "edge_media_to_caption", "edges", 0, "node", "text"),
        _within(node, "caption", "text"),
        node.get("caption"),
        _within(node, "iphone_struct", "caption", "text"),
    ):
        if isinstance(value, str) and value.strip():
            return plain_text(value)
    return ""


def alt_text(node: Node) -> str:
    """What the platform says is to be seen in a picture, as storable text; empty where it says nothing."""
    value = node.get("accessibility_caption")
    return plain_text(value.strip())[:MAX_CAPTION] if isinstance(value, str) else ""


def is_edited(node: Node) -> bool | None:
    """Whether the author changed the caption after posting; None where the node does not say."""
    values = (node.get("caption_is_edited"), _within(node, "iphone_struct", "caption_is_edited"))
    return next((value for value in values if isinstance(value, bool)), None)


def taken_at(node: Node) -> datetime | None:
    values = [node.get(name) for name in ("date", "taken_at_timestamp", "taken_at")]
    values.append(_within(node, "iphone_struct", "taken_at"))
    return next((at for value in values if (at := times.from_epoch(value))), None)


def owner(node: Node) -> tuple[str | None, str | None]:
    """The account's number, which is the key, and its name, a label that changes."""
    owners = (node.get("owner"), node.get("user"), _within(node, "iphone_struct", "user"))
    numbers = [media_number(_within(one, key)) for one in owners for key in ("id", "pk")]
    names = [_within(one, "username") for one in owners]
    number = next((value for value in numbers if value), None)
    name = next((plain_text(value)[:NAME_LENGTH] for value in names if isinstance(value, str) and value), None)
    return number, name


def children(node: Node) -> list[Node]:
    """The pictures of a carousel in their order; none for a single picture, and where an old file lacks them."""
    edges = _within(node, "edge_sidecar_to_children", "edges")
    if isinstance(edges, list):
        return [child if isinstance(child := _within(edge, "node"), dict) else {} for edge in edges]
    for carousel in (node.get("carousel_media"), _within(node, "iphone_struct", "carousel_media")):
        if isinstance(carousel, list):
            return [child if isinstance(child, dict) else {} for child in carousel]
    return []


def is_single(node: Node) -> bool:
    """Whether the node says that it is one picture or video."""
    return _type(node) in ("GraphImage", "GraphVideo") or node.get("media_type") in (1, VIDEO)


def is_carousel(node: Node) -> bool:
    """Whether the node says that it is a carousel."""
    return _type(node) == "GraphSidecar" or node.get("media_type") == CAROUSEL or bool(children(node))


def is_video(node: Node) -> bool:
    return node.get("is_video") is True or _type(node) == "GraphVideo" or node.get("media_type") == VIDEO


def declared_size(node: Node) -> tuple[int | None, int | None]:
    """Width and height that the metadata gives the picture."""
    for width, height in (
        (_within(node, "dimensions", "width"), _within(node, "dimensions", "height")),
        (node.get("original_width"), node.get("original_height")),
    ):
        if isinstance(width, int) and isinstance(height, int) and 0 < width < 1_000_000 and 0 < height < 1_000_000:
            return width, height
    return None, None


def address_stem(node: Node) -> str:
    """The file name in the picture's address, without extension: some people's files are called by it."""
    return str(node.get("display_url") or "").split("?")[0].rsplit("/", 1)[-1].rsplit(".", 1)[0]


def _is_code(value: object) -> bool:
    return isinstance(value, str) and SHORTCODE.fullmatch(value) is not None


def _is_other(node: Node) -> bool:
    return "post_shortcode" in node


def _number(node: Node) -> str | None:
    values = (node.get("id"), node.get("pk"), _within(node, "iphone_struct", "pk"))
    return next((number for value in values if (number := media_number(value))), None)


def _type(node: Node) -> str:
    return str(node.get("__typename")).removeprefix("XDT")


def _within(node: Any, *path: str | int) -> Any:
    """The value at a path of keys and indexes; None where any part is missing."""
    for part in path:
        if isinstance(part, int):
            node = node[part] if isinstance(node, list) and len(node) > part else None
        else:
            node = node.get(part) if isinstance(node, dict) else None
    return node
