"""Wrong or hostile metadata, captions and folders: each refuses only itself, and every file is accounted for."""

import json
import lzma
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.intake.formats import instaloader
from app.intake.reasons import Reason
from app.intake.records import Record, Refused, plain_text
from app.intake.trees import ZipTree
from tests.intake.accounting import entries
from tests.intake.folders import STEM, Folder, children, graph, stamped
from tests.intake.hostile_archives import zipped
from tests.intake.hostile_captions import BLANK, CAPTIONS, TOO_LONG


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"\xfd7zXZ\x00 cut", "Error"),
        (b"{", "JSONDecodeError"),
        (b"[1, 2]", "not a JSON object"),
        (b"{}", "no shortcode"),
        (b'{"node": 7, "instaloader": {"node_type": "Post"}}', "no shortcode"),
        (b'{"shortcode": "C4abcDEF123", "post_shortcode": "C4abcDEF124"}', "no shortcode"),
        (json.dumps(stamped(graph(shortcode=None, id="9" * 5000))).encode(), "no shortcode"),
        (b'{"node": {"id": ' + b"9" * 5000 + b"}}", "ValueError"),
        (lzma.compress(bytes(50_000_000)), "JSONDecodeError"),
        (b" " * 8_000_001, "FileTooLarge"),
        (b"[" * 100_000, "Error"),
    ],
)
def test_metadata_that_can_t_be_read_refuses_its_post_with_all_its_files(
    folder: Folder, data: bytes, detail: str
) -> None:
    (item,) = folder.file(f"{STEM}.json.xz", data).file(f"{STEM}.jpg").file(f"{STEM}.txt", b"x").refused()
    assert (item.reason, len(item.files)) == (Reason.METADATA_UNREADABLE, 3)
    assert detail in item.detail


def test_a_text_file_that_can_t_be_read_refuses_its_post(tmp_path: Path) -> None:
    node = stamped(graph(edge_media_to_caption=None))
    members = [(f"{STEM}.json", json.dumps(node).encode()), (f"{STEM}.jpg", b"x"), (f"{STEM}.txt", b"words " * 900)]
    path = zipped(tmp_path / "x.zip", *members)
    data = bytearray(path.read_bytes())
    at = data.index(f"{STEM}.txt".encode()) + len(STEM) + 6
    data[at : at + 10] = bytes(10)
    path.write_bytes(data)
    (item,) = instaloader.read(ZipTree(path))
    assert isinstance(item, Refused)
    assert (item.reason, len(item.files)) == (Reason.METADATA_UNREADABLE, 3)


@pytest.mark.parametrize("name", CAPTIONS)
def test_a_hostile_caption_comes_out_as_it_stood_in_the_metadata(folder: Folder, name: str) -> None:
    caption = CAPTIONS[name]
    record = folder.meta(stamped(graph(edge_media_to_caption=None, caption=caption))).file(f"{STEM}.jpg").record()
    assert record.caption_raw == plain_text(caption)
    assert len(record.caption_raw) == len(caption)
    record.caption_raw.encode()


@pytest.mark.parametrize("name", CAPTIONS)
def test_a_hostile_caption_comes_out_of_a_text_file(folder: Folder, name: str) -> None:
    words = plain_text(CAPTIONS[name]).strip().lstrip("\ufeff")
    folder.meta(stamped(graph(edge_media_to_caption=None))).file(f"{STEM}.jpg")
    assert folder.file(f"{STEM}.txt", words.encode() + b"\n").record().caption_raw == words.strip()


@pytest.mark.parametrize("name", TOO_LONG)
@pytest.mark.parametrize("place", ["json", "txt"])
def test_a_caption_longer_than_any_is_refused(folder: Folder, name: str, place: str) -> None:
    in_json = TOO_LONG[name] if place == "json" else ""
    folder.meta(stamped(graph(edge_media_to_caption=None, caption=in_json))).file(f"{STEM}.jpg")
    folder.file(f"{STEM}.txt", TOO_LONG[name].encode())
    assert [item.reason for item in folder.refused()] == [Reason.CAPTION_TOO_LONG]


@pytest.mark.parametrize("caption", BLANK)
def test_a_blank_caption_is_none(folder: Folder, caption: str) -> None:
    folder.meta(stamped(graph(edge_media_to_caption=None, caption=caption))).file(f"{STEM}.jpg")
    assert [item.reason for item in folder.refused()] == [Reason.NO_CAPTION]


@pytest.mark.parametrize("value", ["a\x00b", "\ud83d", "9" * 500, True, -5, 1.5, [7], {"id": 7}, None, ""])
def test_a_number_of_an_account_is_a_number_or_unknown(folder: Folder, value: object) -> None:
    record = folder.meta(stamped(graph(owner={"id": value, "username": "a\x00b\ud83d"}))).file(f"{STEM}.jpg").record()
    assert (record.account_id, record.account_name) == (None, "a\ufffdb\ufffd")


@pytest.mark.parametrize("value", ["1709288430", True, None, -1e30, 1e300, 10**300, float("nan"), float("inf"), 0])
def test_a_time_that_is_none_is_unknown(folder: Folder, value: object) -> None:
    record = folder.meta(stamped(graph(taken_at_timestamp=value))).file(f"{STEM}.jpg").record()
    assert record.taken_at is None


NAMES = (
    *(f"{STEM}{end}" for end in (".json.xz", ".json", ".txt", ".jpg", ".webp", "_1.jpg", "_2.mp4", "_2.jpg", "_2.mov")),
    *(f"{STEM}{end}" for end in ("_old_01.txt", "_comments.json")),
    *("id", "b/x.jpg", "b/x.json", "b/x.docx", "a_3.webp", "0_n.jpg"),
)
PARTS = st.sampled_from(NAMES)
NODE = st.sampled_from(
    [
        stamped(graph()),
        stamped(graph(**children(2))),
        stamped(graph(is_video=True)),
        graph(),
        {},
        stamped({}, "Profile"),
    ]
)


@given(st.dictionaries(PARTS, NODE, max_size=10))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_lies_in_a_folder_every_file_is_accounted_for_once(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, dict[str, Any]]
) -> None:
    folder = Folder(tmp_path_factory.mktemp("posts"))
    for name, node in files.items():
        folder.meta(node, name) if ".json" in name else folder.file(name)
    folder.read()


FIELDS = """node instaloader node_type shortcode code id pk owner user username caption text edges dimensions
display_url width height is_video media_type __typename taken_at date iphone_struct original_width carousel_media
edge_media_to_caption edge_sidecar_to_children"""
KEYS = st.sampled_from(FIELDS.split())
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("C4abcDEF123"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=6),
    max_leaves=30,
)


@given(VALUES, st.booleans())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_metadata_holds_it_is_read_or_refused_as_storable_text(
    tmp_path_factory: pytest.TempPathFactory, value: Any, in_place: bool
) -> None:
    folder = Folder(tmp_path_factory.mktemp("posts"))
    node = graph() | value if in_place and isinstance(value, dict) else value
    folder.file(f"{STEM}.json", json.dumps(stamped(node)).encode()).file(f"{STEM}.jpg").file(f"{STEM}_1.jpg")
    for record in folder.records():
        for text in (record.caption_raw, record.account_name, record.account_id, record.shortcode, record.media_pk):
            assert "\x00" not in (text or "")
            (text or "").encode()
        assert len(record.media_pk or "") <= 20


def test_metadata_cut_short_anywhere_is_unreadable(folder: Folder) -> None:
    """Instaloader writes xz without a checksum, so nothing but the JSON itself tells."""
    whole = lzma.compress(json.dumps(stamped(graph())).encode(), check=lzma.CHECK_NONE)
    folder.file(f"{STEM}.jpg")
    for length in {*range(0, len(whole) // 2, 7), len(whole) // 2, len(whole) - 60}:
        (item,) = folder.file(f"{STEM}.json.xz", whole[:length]).refused()
        assert (item.reason, len(item.files)) == (Reason.METADATA_UNREADABLE, 2)


POSTS = st.lists(
    st.fixed_dictionaries(
        {
            "places": st.integers(0, 4),  # 0: a single picture
            "there": st.sets(st.integers(0, 4)),
            "videos": st.sets(st.integers(0, 4), max_size=2),
            "caption": st.sampled_from(["Naevus.", "", "x" * 20_001]),
            "cut": st.booleans(),
        }
    ),
    max_size=6,
)
LONE = st.lists(st.sampled_from([".jpg", "_1.jpg", "_2.png", ".mp4", ".txt", "_comments.json", ".zip"]), unique=True)


@given(POSTS, LONE)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_place_of_every_post_is_one_entry(
    tmp_path_factory: pytest.TempPathFactory, posts: list[dict[str, Any]], lone: list[str]
) -> None:
    folder = Folder(tmp_path_factory.mktemp("posts"))
    expected = taken = 0
    for number, post in enumerate(posts):
        places = range(1, post["places"] + 1) if post["places"] else range(1)
        write_post(folder, number, post, places)
        usable = not post["cut"] and post["caption"] == "Naevus."
        taken += len(set(places) & post["there"] - post["videos"]) if usable else 0
        expected += 1 if post["cut"] else len(places)
    for end in lone:
        folder.file(f"lone/{STEM}{end}")
    expected += len({end[:2] for end in lone if end in (".jpg", ".mp4")} and {0}) + len(
        {"_1.jpg", "_2.png"} & set(lone)
    )
    items = folder.read()
    assert entries(items) == expected
    assert sum(len(item.pictures) for item in items if isinstance(item, Record)) == taken


def write_post(folder: Folder, number: int, post: dict[str, Any], places: range) -> None:
    stem = f"{number}/{STEM}"
    node = graph(shortcode=f"C4abcDEF12{number}", caption=post["caption"], edge_media_to_caption=None)
    if post["places"]:
        node |= children(post["places"])
    whole = json.dumps(stamped(node)).encode()
    folder.file(f"{stem}.json", whole[:90] if post["cut"] else whole)
    for place in places:
        end = f"_{place}" if place else ""
        if place in post["there"]:
            folder.file(f"{stem}{end}.jpg")
        if place in post["videos"]:
            folder.file(f"{stem}{end}.mp4", b"ftyp")
