"""Folders as Instaloader writes them: metadata as JSON (often xz), captions, pictures and carousels.

The JSON wins over the .txt wherever it is there, for the .txt is a template. The folder is not the author, and
no picture is decoded here: whoever decodes it holds its shape against the size that the post declares.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from app.intake.formats import nodes
from app.intake.formats.files import PICTURES, SYSTEM, VIDEOS, holds_picture, is_video, split, unsafe_files
from app.intake.formats.nodes import Node, Unreadable
from app.intake.reasons import Kind, Reason
from app.intake.records import MAX_CAPTION, Ignored, Item, Picture, Record, Refused, plain_text
from app.intake.trees import FileTree

NAME = "Instaloader folder"
PLATFORM = "instagram"
METADATA = (".json", ".json.xz")
TEXT_BYTES = 200_000  # more than the longest caption takes in any writing
CHILD = re.compile(r"_(\d{1,3})$")
OLD_CAPTION = re.compile(r"_old_\d+$")
SIDE_FILES: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (SYSTEM, Kind.SYSTEM_FILE),
    (re.compile(r"_profile_pic\.\w+$"), Kind.PROFILE_PICTURE),
    (re.compile(r"_cover\.\w+$"), Kind.COVER),
    (re.compile(r"_comments\.json(\.xz)?$"), Kind.COMMENTS),
    (re.compile(r"_location\.txt$"), Kind.LOCATION),
    (re.compile(r"(^|/)id$"), Kind.RESUME_STATE),
    (re.compile(r"(^|[/_])iterator(_[^/]*)?\.json(\.xz)?$"), Kind.RESUME_STATE),
    (re.compile(r"(^|/)(resume_info|latest-stamps)[^/]*$"), Kind.RESUME_STATE),
)


@dataclass
class Stem:
    """All files of one folder that share a stem, less carousel numbers. Position 0 is a picture without one."""

    metadata: str | None = None
    text: str | None = None
    old: list[str] = field(default_factory=list)
    pictures: dict[int, str] = field(default_factory=dict)
    videos: dict[int, str] = field(default_factory=dict)

    @property
    def words(self) -> list[str]:
        return [*(name for name in (self.metadata, self.text) if name), *self.old]

    @property
    def files(self) -> list[str]:
        return [*self.words, *self.pictures.values(), *self.videos.values()]

    @property
    def places(self) -> set[int]:
        return set(self.pictures) | set(self.videos)


Stems = dict[str, Stem]


def looks_like(tree: FileTree) -> bool:
    """Whether some JSON in the tree is Instaloader's."""
    for entry in tree.entries:
        if split(entry.name)[1] in METADATA and not side_kind(entry.name):
            try:
                if nodes.is_instaloader(nodes.load(tree, entry.name)):
                    return True
            except Unreadable:
                continue
    return False


def read(tree: FileTree) -> Iterator[Item]:
    """Posts, refusals and ignored files, folder by folder and stem by stem, always in the same order."""
    stems: Stems = {}
    posts = {base for base, extension in (split(entry.name) for entry in tree.entries) if extension in METADATA}
    for entry in tree.entries:
        if kind := side_kind(entry.name):
            yield Ignored(entry.name, kind)
        elif reason := _sort_in(tree, stems, posts, entry.name):
            yield Refused(reason, entry.name, files=(entry.name,), entry=False)
    yield from unsafe_files(tree)
    _adopt_by_address(tree, stems)
    for name in sorted(stems):
        yield from _read_stem(tree, stems[name])


def side_kind(name: str) -> Kind | None:
    """Which side file a name stands for; None for one that may belong to a post."""
    return next((kind for pattern, kind in SIDE_FILES if pattern.search(name)), None)


# --- files by stem ------------------------------------------------------------------------------


def _sort_in(tree: FileTree, stems: Stems, posts: set[str], name: str) -> Reason | None:
    """Puts a file under its stem; or says why it can't stand there: of no kind known, or its place is taken."""
    base, extension = split(name)
    if extension in METADATA:
        return _place(stems, base, "metadata", name)
    if extension == ".txt" and OLD_CAPTION.search(base):
        stems.setdefault(OLD_CAPTION.sub("", base), Stem()).old.append(name)
        return None
    if extension == ".txt":
        return _place(stems, base, "text", name)
    if extension not in PICTURES + VIDEOS and not holds_picture(tree, name):
        return Reason.UNKNOWN_FORMAT
    stem, position = _numbered(base, posts)
    target = stems.setdefault(stem, Stem())
    places = target.videos if is_video(tree, name) else target.pictures
    return None if places.setdefault(position, name) == name else Reason.NAME_CLASH


def _place(stems: Stems, base: str, part: str, name: str) -> Reason | None:
    stem = stems.setdefault(base, Stem())
    if getattr(stem, part):
        return Reason.NAME_CLASH
    setattr(stem, part, name)
    return None


def _numbered(base: str, posts: set[str]) -> tuple[str, int]:
    """A carousel child's stem and position; 0 for a picture that stands alone.

    A shortcode may itself end in an underscore and digits: then there is metadata of just this name.
    """
    match = None if base in posts else CHILD.search(base)
    return (base[: match.start()], int(match[1])) if match else (base, 0)


def _adopt_by_address(tree: FileTree, stems: Stems) -> None:
    """Carousel children named by Instagram's own file names have no stem in common with their post's JSON.

    They are found, in the same folder, by the last part of each child's address; the first child often is the
    one that shares the JSON's name.
    """
    lone = {
        split(file)[0]: (stem.pictures, position)
        for stem in stems.values()
        if stem.metadata is None and not stem.videos
        for position, file in stem.pictures.items()
    }
    if not lone:
        return
    for name, stem in stems.items():
        if stem.metadata and stem.places <= {0}:
            _adopt(tree, name, stem, lone)
    for name in [name for name, stem in stems.items() if not stem.files]:
        del stems[name]


def _adopt(tree: FileTree, name: str, stem: Stem, lone: dict[str, tuple[dict[int, str], int]]) -> None:
    try:
        node = nodes.post_of(nodes.load(tree, stem.metadata or ""))
    except Unreadable:
        return
    folder = name[: len(name) - len(PurePosixPath(name).name)]
    children = nodes.children(node)
    for position, child in enumerate(children or [node], start=1 if children else 0):
        base = folder + nodes.address_stem(child)
        if base == name and 0 in stem.pictures:
            stem.pictures[position] = stem.pictures.pop(0)
        elif base in lone and position not in stem.pictures:
            pictures, place = lone.pop(base)
            stem.pictures[position] = pictures.pop(place)


# --- one post -----------------------------------------------------------------------------------


def _read_stem(tree: FileTree, stem: Stem) -> Iterator[Item]:
    if stem.metadata is None:
        yield from _without_metadata(stem)
        return
    try:
        whole = nodes.load(tree, stem.metadata)
        if kind := nodes.side_kind(whole):
            yield from (Ignored(file, kind) for file in stem.files)
            return
        node = nodes.post_of(whole)
        caption, caption_from = _caption(tree, stem, node)
    except Unreadable as error:
        yield Refused(Reason.METADATA_UNREADABLE, stem.metadata, str(error), files=tuple(stem.files))
        return
    yield from _read_post(stem, node, caption, caption_from, _earlier(tree, stem))


def _without_metadata(stem: Stem) -> Iterator[Item]:
    for position, file in sorted(stem.videos.items()):
        yield Refused(Reason.VIDEO, file, files=(file,), position=position or 1)
    for position, file in sorted(stem.pictures.items()):
        if position not in stem.videos:
            yield Refused(Reason.NO_METADATA, file, files=(file,), position=position or 1)
        else:
            yield Refused(Reason.VIDEO, file, "the picture of a video", files=(file,), entry=False)
    for file in stem.words:
        yield Refused(Reason.NO_METADATA, file, "a caption without a post", files=(file,), entry=False)


def _caption(tree: FileTree, stem: Stem, node: Node) -> tuple[str, str]:
    """The caption and where it stood. Raises Unreadable for a text file that can't be read."""
    if caption := nodes.caption(node):
        return caption, "json"
    if not stem.text:
        return "", "json"
    try:
        return _text(tree, stem.text), "txt"
    except OSError as error:
        raise Unreadable(f"{stem.text} can't be read") from error


def _text(tree: FileTree, name: str) -> str:
    with tree.open(name) as file:
        data = file.read(TEXT_BYTES)
    return plain_text(data.decode("utf-8-sig", "replace").strip())


def _earlier(tree: FileTree, stem: Stem) -> tuple[str, ...]:
    """What the caption was before it was edited, oldest first. One that can't be read is no loss to the post."""
    texts: list[str] = []
    for name in sorted(stem.old):
        with suppress(OSError):
            texts.append(_text(tree, name)[:MAX_CAPTION])
    return tuple(text for text in texts if text)


def _read_post(stem: Stem, node: Node, caption: str, caption_from: str, earlier: tuple[str, ...]) -> Iterator[Item]:
    children = nodes.children(node)
    found = [_picture(stem, node, children, position) for position in sorted(stem.places | _expected(stem, children))]
    pictures = [one for one in found if isinstance(one, Picture)]
    refusals = [one for one in found if isinstance(one, Refused)]
    if problem := _caption_problem(caption):
        reason, detail = problem
        refusals += [Refused(reason, one.file, detail, (one.file,), position=one.position) for one in pictures]
        pictures = []
    if pictures:
        record = _record(node, caption, caption_from, pictures, stem.words)
        yield replace(record, earlier_captions=earlier, is_edited=nodes.is_edited(node) or bool(stem.old) or None)
    else:
        refusals[0] = replace(refusals[0], files=(*stem.words, *refusals[0].files))
    yield from refusals


def _expected(stem: Stem, children: list[Node]) -> set[int]:
    """Positions that the metadata speaks of. Without children in it, what lies on disk counts, if anything does."""
    if children:
        return set(range(1, len(children) + 1))
    return set() if stem.places else {0}


def _picture(stem: Stem, node: Node, children: list[Node], position: int) -> Picture | Refused:
    """The picture at a position of the post; a video's thumbnail goes with its video."""
    file, video = stem.pictures.get(position), stem.videos.get(position)
    files = tuple(name for name in (video, file) if name)
    place = position or 1
    if files and not _belongs(stem, node, children, position):
        detail = "the post has no picture at this place"
        return Refused(Reason.OTHER_POST, files[0], detail, files, position=place)
    child = children[position - 1] if children else node if position == 0 else {}
    if video or nodes.is_video(child):
        return Refused(Reason.VIDEO, (*files, stem.metadata or "")[0], files=files, position=place)
    if file is None:
        return Refused(Reason.NO_IMAGE_FILE, stem.metadata or "", f"picture {place}", position=place)
    width, height = nodes.declared_size(child)
    return Picture(place, file, width, height, alt_text=nodes.alt_text(child))


def _belongs(stem: Stem, node: Node, children: list[Node], position: int) -> bool:
    """Whether the post can have a picture at a position.

    Two posts of one second share a stem: the pictures of the first stay, its JSON is overwritten by the second.
    """
    if children:
        return 1 <= position <= len(children)
    if nodes.is_single(node):
        return position == 0
    if nodes.is_carousel(node):
        return position > 0
    return stem.places == {0} or 0 not in stem.places


def _caption_problem(caption: str) -> tuple[Reason, str] | None:
    if not caption.strip():
        return Reason.NO_CAPTION, ""
    if len(caption) > MAX_CAPTION:
        return Reason.CAPTION_TOO_LONG, f"{len(caption):,} characters"
    return None


def _record(node: Node, caption: str, caption_from: str, pictures: list[Picture], words: list[str]) -> Record:
    shortcode = nodes.shortcode(node) or ""
    account_id, account_name = nodes.owner(node)
    return Record(
        platform=PLATFORM,
        natural_key=shortcode,
        pictures=tuple(pictures),
        caption_raw=caption,
        caption_from=caption_from,
        files=(*words, *(picture.file for picture in pictures)),
        account_id=account_id,
        account_name=account_name,
        shortcode=shortcode,
        media_pk=nodes.media_pk(node),
        taken_at=nodes.taken_at(node),
        permalink=f"https://www.instagram.com/p/{shortcode}/",
    )
