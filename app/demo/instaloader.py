"""Posts written to disk as Instaloader 4.16 leaves them: names, side files and shapes of metadata."""

import base64
import json
import lzma
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from app.demo.pictures import Picture

Node = dict[str, Any]
Shape = Literal["graph", "polaris"]  # what the site's two programming interfaces answer

EPOCH_MS = 1_314_220_021_721  # the zero of media ids
NOT_FOUND_PAGE = b"<!DOCTYPE html>\n<html><head><title>Page not found</title></head><body></body></html>\n"
MP4_START = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom\x00\x00\x10\x08mdat" + bytes(4096)


@dataclass(frozen=True)
class Post:
    """One post as its author made it, and what is odd about the copy on disk."""

    owner: str
    taken_at: datetime
    text: str
    pictures: tuple[Picture, ...]
    video: bool = False
    spoiled: Literal["truncated", "html"] | None = None
    lost: bool = False  # another post of the same second came first, and its pictures stayed
    comments: tuple[str, ...] = ()
    place: str = ""
    earlier_text: str = ""
    suffix: str = ".jpg"

    @property
    def stem(self) -> str:
        return f"{self.taken_at:%Y-%m-%d_%H-%M-%S}_UTC"

    @property
    def media_pk(self) -> int:
        """Milliseconds since the site's epoch, then 23 bits that tell posts of one instant apart."""
        elapsed = int(self.taken_at.timestamp() * 1000) - EPOCH_MS
        return (elapsed << 23) | (zlib.crc32(f"{self.owner} {self.text}".encode()) & 0x7FFFFF)

    @property
    def shortcode(self) -> str:
        """The media id in URL-safe base64 without the leading zeros."""
        return base64.urlsafe_b64encode(self.media_pk.to_bytes(9)).decode().lstrip("A")


def account_id(name: str) -> str:
    """A made-up numeric id, always the same for the same account."""
    return str(50_000_000_000 + zlib.crc32(name.encode()))


def write_post(
    folder: Path, post: Post, shape: Shape = "graph", owner_known: bool = True, compressed: bool = True
) -> list[tuple[Path, Picture]]:
    """Write a post's files into a folder; the picture files that are whole, with what they show."""
    written = [] if post.lost else list(_write_pictures(folder, post))
    if post.video:
        (folder / f"{post.stem}.mp4").write_bytes(MP4_START)
    node = _polaris_node(post) if shape == "polaris" else _graph_node(post, owner_known)
    _write_structure(folder / f"{post.stem}.json", node, "Post", compressed)
    _write_texts(folder, post)
    return written


def write_profile(folder: Path, name: str, title: str, biography: str, since: datetime, picture: Picture) -> None:
    """The side files of an account's folder: its id, profile and profile picture."""
    (folder / "id").write_text(f"{account_id(name)}\n")
    (folder / f"{since:%Y-%m-%d_%H-%M-%S}_UTC_profile_pic.jpg").write_bytes(picture.data)
    node: Node = {
        "id": account_id(name),
        "username": name,
        "full_name": title,
        "biography": biography,
        "is_private": False,
        "is_verified": False,
        "edge_followed_by": {"count": 4210},
        "edge_follow": {"count": 180},
    }
    _write_structure(folder / f"{name}_{account_id(name)}.json", node, "Profile", compressed=True)


def write_hashtag(folder: Path, name: str) -> None:
    """The side file of a hashtag's folder."""
    node = {"id": account_id(name), "name": name.removeprefix("#"), "edge_hashtag_to_media": {"count": 912}}
    _write_structure(folder / f"{name}.json", node, "Hashtag", compressed=True)


def write_resume_state(folder: Path, name: str) -> None:
    """What an interrupted download leaves behind."""
    node = {"query_hash": None, "context_username": None, "total_index": 40, "first_node": {"owner": name}}
    _write_structure(folder / "iterator_r4uQ2mKx.json", node, "FrozenNodeIterator", compressed=True)


def _write_pictures(folder: Path, post: Post) -> Iterator[tuple[Path, Picture]]:
    for number, picture in enumerate(post.pictures, start=1):
        name = f"{post.stem}_{number}" if len(post.pictures) > 1 else post.stem
        path = folder / f"{name}{post.suffix}"
        path.write_bytes(_as_received(picture.data, post.spoiled))
        os.utime(path, (post.taken_at.timestamp(),) * 2)
        if not (post.spoiled or post.video):
            yield path, picture


def _as_received(data: bytes, spoiled: str | None) -> bytes:
    if spoiled == "html":
        return NOT_FOUND_PAGE
    return data[: len(data) * 2 // 5] if spoiled == "truncated" else data


def _write_texts(folder: Path, post: Post) -> None:
    text = post.text.strip()
    if text:
        (folder / f"{post.stem}.txt").write_text(f"{text}\n", encoding="utf-8")
    if post.earlier_text:
        (folder / f"{post.stem}_old_01.txt").write_text(f"{post.earlier_text}\n", encoding="utf-8")
    if post.place:
        (folder / f"{post.stem}_location.txt").write_text(f"{post.place}\n", encoding="utf-8")
    if post.comments:
        comments = [_comment(post, number, said) for number, said in enumerate(post.comments, start=1)]
        (folder / f"{post.stem}_comments.json").write_text(json.dumps(comments, indent=4))


def _write_structure(path: Path, node: Node, node_type: str, compressed: bool) -> None:
    structure = {"node": node, "instaloader": {"version": "4.16", "node_type": node_type}}
    if compressed:
        with lzma.open(path.with_name(f"{path.name}.xz"), "wt", check=lzma.CHECK_NONE) as file:
            json.dump(structure, file, separators=(",", ":"))
    else:
        path.write_text(json.dumps(structure, indent=4, sort_keys=True))


def _comment(post: Post, number: int, said: str) -> Node:
    name = f"path_demo_reader_{number}"
    return {
        "id": str(post.media_pk + number),
        "created_at": int(post.taken_at.timestamp()) + 3600 * number,
        "text": said,
        "owner": {"id": account_id(name), "username": name, "is_verified": False},
        "likes_count": number - 1,
        "answers": [],
    }


def _graph_node(post: Post, owner_known: bool) -> Node:
    """Metadata as the older interface words it; in a hashtag's folder the author is a number only."""
    owner = {"id": account_id(post.owner)}
    if owner_known:
        owner["username"] = post.owner
    text = post.text.strip()
    node: Node = {
        "__typename": _typename(post),
        "id": str(post.media_pk),
        "shortcode": post.shortcode,
        **_measures(post, post.pictures[0], 0),
        "is_video": post.video,
        "owner": owner,
        "edge_media_to_caption": {"edges": [{"node": {"text": text}}] if text else []},
        "edge_media_to_comment": {"count": len(post.comments)},
        "edge_media_preview_like": {"count": post.media_pk % 900},
        "edge_media_to_tagged_user": {"edges": []},
        "accessibility_caption": None,
        "comments_disabled": False,
        "taken_at_timestamp": int(post.taken_at.timestamp()),
        "location": None,
    }
    if len(post.pictures) > 1:
        node["edge_sidecar_to_children"] = _children(post)
    return node


def _polaris_node(post: Post) -> Node:
    """Metadata as the newer interface words it, wrapped the way Instaloader wraps it."""
    pk, taken_at = str(post.media_pk), int(post.taken_at.timestamp())
    text = post.text.strip()
    first = post.pictures[0]
    raw: Node = {
        "pk": pk,
        "id": f"{pk}_{account_id(post.owner)}",
        "code": post.shortcode,
        "taken_at": taken_at,
        "media_type": {"GraphImage": 1, "GraphVideo": 2, "GraphSidecar": 8}[_typename(post)],
        "user": {"pk": account_id(post.owner), "username": post.owner},
        "caption": {"text": text} if text else None,
        "original_width": first.width,
        "original_height": first.height,
    }
    node: Node = {
        "__typename": _typename(post),
        "id": pk,
        "shortcode": post.shortcode,
        "is_video": post.video,
        "date": taken_at,
        "caption": text or None,
        "title": None,
        "edge_media_preview_like": {"count": -1},
        "accessibility_caption": None,
        "comments": len(post.comments),
        "display_url": _measures(post, first, 0)["display_url"],
        "iphone_struct": raw,
        "owner": {"id": account_id(post.owner), "username": post.owner},
    }
    if len(post.pictures) > 1:
        node["edge_sidecar_to_children"] = _children(post)
    return node


def _children(post: Post) -> Node:
    nodes = [
        {
            "__typename": "GraphImage",
            "id": str(post.media_pk + number),
            **_measures(post, picture, number),
            "is_video": False,
            "accessibility_caption": None,
        }
        for number, picture in enumerate(post.pictures, start=1)
    ]
    return {"edges": [{"node": node} for node in nodes]}


def _measures(post: Post, picture: Picture, number: int) -> Node:
    return {
        "dimensions": {"height": picture.height, "width": picture.width},
        "display_url": f"https://cdn.example.org/v/{post.media_pk + number}_n.jpg?expired=1",
    }


def _typename(post: Post) -> str:
    if post.video:
        return "GraphVideo"
    return "GraphSidecar" if len(post.pictures) > 1 else "GraphImage"
