"""Instaloader's folders in all the shapes that people have: what becomes a post, what is refused, what is ignored."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.intake.formats import detect, instaloader
from app.intake.reasons import Kind, Reason
from app.intake.records import Ignored, Record
from app.intake.trees import FolderTree, ZipTree
from tests.factories import make_picture
from tests.intake.folders import AT, CODE, STEM, Folder, children, graph, stamped
from tests.intake.hostile_archives import zipped


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


# --- one picture --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [f"{STEM}.json.xz", f"{STEM}.json"])
def test_a_post_with_one_picture(folder: Folder, name: str) -> None:
    record = folder.meta(stamped(graph()), name).file(f"{STEM}.jpg").file(f"{STEM}.txt", b"the template").record()
    assert (record.shortcode, record.media_pk, record.natural_key) == (CODE, "3312345678901234567", CODE)
    assert (record.account_id, record.account_name) == ("77", "path_demo_01")
    assert (record.caption_raw, record.caption_from) == ("Basal cell carcinoma.", "json")
    assert record.taken_at == datetime.fromtimestamp(AT, UTC)
    assert record.permalink == f"https://www.instagram.com/p/{CODE}/"
    (picture,) = record.pictures
    assert (picture.position, picture.file) == (1, f"{STEM}.jpg")
    assert (picture.declared_width, picture.declared_height) == (1080, 1350)


@pytest.mark.parametrize("extension", [".jfif", ".gif", ""])
def test_a_picture_is_known_by_its_bytes_whatever_its_extension(folder: Folder, extension: str) -> None:
    record = folder.meta(stamped(graph())).file(f"{STEM}{extension}", make_picture(1)).record()
    assert [picture.file for picture in record.pictures] == [f"{STEM}{extension}"]


IPHONE = {
    "code": CODE,
    "pk": 3312345678901234567,
    "iphone_struct": {"caption": {"text": "From the phone."}, "taken_at": AT, "user": {"pk": 77, "username": "p"}},
}

NODES: dict[str, tuple[dict[str, Any], str]] = {
    "graph": (stamped(graph()), "Basal cell carcinoma."),
    "caption as a dict": (stamped(graph(edge_media_to_caption={"edges": []}, caption={"text": "A dict."})), "A dict."),
    "caption as text": (stamped(graph(edge_media_to_caption={"edges": []}, caption="Text.")), "Text."),
    "newest": (stamped(IPHONE), "From the phone."),
    "bare node of version 3": (graph(edge_media_to_caption=None, caption="Old."), "Old."),
    "id with the owner behind it": (stamped(graph(id="3312345678901234567_77")), "Basal cell carcinoma."),
}


@pytest.mark.parametrize("name", NODES)
def test_nodes_of_every_age_are_read(folder: Folder, name: str) -> None:
    node, caption = NODES[name]
    record = folder.meta(node).file(f"{STEM}.jpg").record()
    assert (record.shortcode, record.media_pk, record.caption_raw) == (CODE, "3312345678901234567", caption)
    assert record.taken_at == datetime.fromtimestamp(AT, UTC)


def test_without_a_caption_in_the_metadata_the_text_file_is_the_caption(folder: Folder) -> None:
    folder.meta(stamped(graph(edge_media_to_caption={"edges": []}, caption=None))).file(f"{STEM}.jpg")
    record = folder.file(f"{STEM}.txt", "\ufeffLine one.\r\nLine two.\r\n".encode()).record()
    assert (record.caption_raw, record.caption_from) == ("Line one.\r\nLine two.", "txt")


def test_characters_that_no_database_holds_are_replaced(folder: Folder) -> None:
    folder.meta(stamped(graph(edge_media_to_caption=None, caption="a\x00b\ud83dc 😀"))).file(f"{STEM}.jpg")
    assert folder.record().caption_raw == "a\ufffdb\ufffdc 😀"


@pytest.mark.parametrize("name", ["C4abcDEF123", "3312345678901234567", "path_demo_01_2024", "2024/C4abcDEF123"])
def test_file_names_of_any_pattern(folder: Folder, name: str) -> None:
    assert folder.meta(stamped(graph()), f"{name}.json").file(f"{name}.webp").record().shortcode == CODE


@pytest.mark.parametrize(
    "place", ["#dermpath", "%123", "\uff1asaved", "path_demo_02/\uff1atagged", "-C4abcDEF123", "\u2024a\u2215b\ufe56"]
)
def test_the_folder_is_not_the_author(folder: Folder, place: str) -> None:
    record = folder.meta(stamped(graph()), f"{place}/{STEM}.json.xz").file(f"{place}/{STEM}.jpg").record()
    assert record.account_name == "path_demo_01"


def test_an_owner_without_a_name_keeps_the_number(folder: Folder) -> None:
    record = folder.meta(stamped(graph(owner={"id": "77"}))).file(f"{STEM}.jpg").record()
    assert (record.account_id, record.account_name) == ("77", None)


# --- carousels and videos -----------------------------------------------------------------------


def test_a_carousel_keeps_the_true_positions_and_says_what_is_missing(folder: Folder) -> None:
    folder.meta(stamped(graph(**children(4)))).file(f"{STEM}_2.jpg").file(f"{STEM}_4.webp")
    assert [(picture.position, picture.file) for picture in folder.record().pictures] == [
        (2, f"{STEM}_2.jpg"),
        (4, f"{STEM}_4.webp"),
    ]
    assert [(item.reason, item.position) for item in folder.refused()] == [
        (Reason.NO_IMAGE_FILE, 1),
        (Reason.NO_IMAGE_FILE, 3),
    ]


@pytest.mark.parametrize(
    "node", [graph(__typename="GraphSidecar"), graph(__typename=None, media_type=8), graph(__typename=None)]
)
def test_a_carousel_whose_children_the_metadata_lacks_is_what_lies_on_disk(
    folder: Folder, node: dict[str, Any]
) -> None:
    folder.meta(stamped(node)).file(f"{STEM}_1.jpg").file(f"{STEM}_3.jpg")
    assert [picture.position for picture in folder.record().pictures] == [1, 3]
    assert folder.refused() == []


def test_pictures_under_the_cdn_s_own_names_are_found_by_their_address(folder: Folder) -> None:
    folder.meta(stamped(graph(**children(2)))).file("0_n.jpg").file("1_n.jpg")
    assert [(p.position, p.file) for p in folder.record().pictures] == [(1, "0_n.jpg"), (2, "1_n.jpg")]


def test_the_first_picture_under_the_cdn_s_name_shares_it_with_the_metadata(folder: Folder) -> None:
    for place in ("path_demo_01", "#dermpath"):
        folder.meta(stamped(graph(**children(3))), f"{place}/0_n.json.xz")
        folder.file(f"{place}/0_n.jpg").file(f"{place}/1_n.webp").file(f"{place}/2_n.jpg")
    records = folder.records()
    assert [[picture.position for picture in record.pictures] for record in records] == [[1, 2, 3], [1, 2, 3]]
    assert {picture.file.split("/")[0] for picture in records[0].pictures} == {"#dermpath"}
    assert folder.refused() == []


@pytest.mark.parametrize("code", ["C4abcDEF_12", "C4abcDE__1", "C4abcD_1_23"])
def test_a_shortcode_that_ends_like_a_carousel_s_child(folder: Folder, code: str) -> None:
    folder.meta(stamped(graph(shortcode=code)), f"{code}.json.xz").file(f"{code}.jpg")
    assert [(picture.position, picture.file) for picture in folder.record().pictures] == [(1, f"{code}.jpg")]
    folder.meta(stamped(graph(shortcode=code, **children(2))), f"{code}.json.xz").file(f"{code}_2.jpg")
    assert (folder.root / f"{code}.jpg").rename(folder.root / f"{code}_1.jpg")
    assert [picture.position for picture in folder.record().pictures] == [1, 2]


@pytest.mark.parametrize(
    ("node", "taken", "foreign"),
    [
        (graph(), [1], {f"{STEM}_1.jpg", f"{STEM}_2.jpg"}),
        (graph(**children(1)), [1], {f"{STEM}.jpg", f"{STEM}_2.jpg"}),
        (graph(__typename="XDTGraphSidecar"), [1, 2], {f"{STEM}.jpg"}),
        (graph(__typename=None), [], {f"{STEM}.jpg", f"{STEM}_1.jpg", f"{STEM}_2.jpg"}),
    ],
)
def test_pictures_that_a_post_can_t_have_are_left_by_another_of_the_same_second(
    folder: Folder, node: dict[str, Any], taken: list[int], foreign: set[str]
) -> None:
    folder.meta(stamped(node)).file(f"{STEM}.jpg").file(f"{STEM}_1.jpg").file(f"{STEM}_2.jpg")
    assert [picture.position for record in folder.records() for picture in record.pictures] == taken
    assert {item.file for item in folder.refused()} == foreign
    assert {item.reason for item in folder.refused()} == {Reason.OTHER_POST}


def test_each_child_declares_its_own_size(folder: Folder) -> None:
    node = graph(**children(2))
    node["edge_sidecar_to_children"]["edges"][0]["node"]["dimensions"] = {"width": 640, "height": 480}
    folder.meta(stamped(node)).file(f"{STEM}_1.jpg").file(f"{STEM}_2.jpg")
    sizes = [(picture.declared_width, picture.declared_height) for picture in folder.record().pictures]
    assert sizes == [(640, 480), (None, None)]


@pytest.mark.parametrize("data", [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\x00\x00\x00\x00WEBP"])
def test_a_picture_named_as_a_video_is_a_picture(folder: Folder, data: bytes) -> None:
    record = folder.meta(stamped(graph())).file(f"{STEM}.mp4", data).record()
    assert [picture.file for picture in record.pictures] == [f"{STEM}.mp4"]


@pytest.mark.parametrize("video", [{"is_video": True}, {"__typename": "XDTGraphVideo"}, {"media_type": 2}])
def test_a_video_s_picture_alone_is_no_picture_of_a_post(folder: Folder, video: dict[str, Any]) -> None:
    (item,) = folder.meta(stamped(graph(**video))).file(f"{STEM}.jpg").refused()
    assert (item.reason, item.files) == (Reason.VIDEO, (f"{STEM}.json.xz", f"{STEM}.jpg"))


def test_a_video_without_a_post_is_one_refused_entry(folder: Folder) -> None:
    items = folder.file("lone.mp4", b"ftyp").file("lone.jpg").refused()
    assert [(item.reason, item.file, item.entry) for item in items] == [
        (Reason.VIDEO, "lone.mp4", True),
        (Reason.VIDEO, "lone.jpg", False),
    ]


def test_a_video_with_its_picture_is_one_refused_entry(folder: Folder) -> None:
    folder.meta(stamped(graph(is_video=True))).file(f"{STEM}.mp4").file(f"{STEM}.jpg")
    (item,) = folder.refused()
    assert (item.reason, item.entry) == (Reason.VIDEO, True)


def test_a_video_inside_a_carousel_refuses_only_its_place(folder: Folder) -> None:
    node = graph(**children(2))
    node["edge_sidecar_to_children"]["edges"][1]["node"]["is_video"] = True
    folder.meta(stamped(node)).file(f"{STEM}_1.jpg").file(f"{STEM}_2.jpg").file(f"{STEM}_2.mp4")
    assert [picture.position for picture in folder.record().pictures] == [1]
    assert [(item.reason, item.position) for item in folder.refused()] == [(Reason.VIDEO, 2)]


# --- what is refused, what is ignored ------------------------------------------------------------


@pytest.mark.parametrize(
    ("caption", "reason"),
    [("", Reason.NO_CAPTION), ("  \n", Reason.NO_CAPTION), ("x" * 20_001, Reason.CAPTION_TOO_LONG)],
)
def test_a_post_without_a_usable_caption_refuses_each_picture(folder: Folder, caption: str, reason: Reason) -> None:
    node = graph(**children(2), edge_media_to_caption={"edges": [{"node": {"text": caption}}]})
    folder.meta(stamped(node)).file(f"{STEM}_1.jpg").file(f"{STEM}_2.jpg")
    assert [item.reason for item in folder.refused()] == [reason, reason]


def test_a_post_without_its_picture_is_refused(folder: Folder) -> None:
    assert [item.reason for item in folder.meta(stamped(graph())).refused()] == [Reason.NO_IMAGE_FILE]


def test_a_picture_without_a_post_is_refused(folder: Folder) -> None:
    assert [item.reason for item in folder.file("lone.jpg").refused()] == [Reason.NO_METADATA]


def test_side_files_are_ignored_by_kind(folder: Folder) -> None:
    files = {
        f"{STEM}_comments.json": Kind.COMMENTS,
        f"{STEM}_location.txt": Kind.LOCATION,
        f"{STEM}_profile_pic.jpg": Kind.PROFILE_PICTURE,
        "path_demo_01_profile_pic.jpg": Kind.PROFILE_PICTURE,
        f"{STEM}_cover.jpg": Kind.COVER,
        "id": Kind.RESUME_STATE,
        "iterator_abc.json.xz": Kind.RESUME_STATE,
        ".DS_Store": Kind.SYSTEM_FILE,
        "__MACOSX/._x.jpg": Kind.SYSTEM_FILE,
    }
    for name in files:
        folder.file(name)
    folder.meta(stamped({"username": "p"}, "Profile"), "path_demo_01_77.json.xz")
    folder.meta(stamped({"name": "t"}, "Hashtag"), "#t.json.xz").meta(stamped(graph(), "StoryItem"), "s.json")
    found = {item.file: item.kind for item in folder.read() if isinstance(item, Ignored)}
    assert found == files | {
        "path_demo_01_77.json.xz": Kind.PROFILE,
        "#t.json.xz": Kind.HASHTAG,
        "s.json": Kind.STORY,
    }


def test_an_earlier_caption_is_no_caption(folder: Folder) -> None:
    folder.meta(stamped(graph())).file(f"{STEM}.jpg").file(f"{STEM}_old_01.txt", b"Earlier words.")
    record = folder.record()
    assert record.caption_raw == "Basal cell carcinoma."
    assert f"{STEM}_old_01.txt" in record.files
    assert (record.earlier_captions, record.is_edited) == (("Earlier words.",), True)


def test_the_alt_text_belongs_to_its_picture_and_is_no_caption(folder: Folder) -> None:
    folder.meta(stamped(graph(accessibility_caption="May be an image of \x00 cake"))).file(f"{STEM}.jpg")
    record = folder.record()
    assert record.caption_raw == "Basal cell carcinoma."
    assert [picture.alt_text for picture in record.pictures] == ["May be an image of \ufffd cake"]
    assert record.is_edited is None


def test_nothing_else_of_a_node_is_kept(folder: Folder) -> None:
    assert "never read" not in repr(folder.meta(stamped(graph())).file(f"{STEM}.jpg").record())


# --- detection, and the sums over anything --------------------------------------------------------


def test_folders_of_several_accounts_are_read_as_one(folder: Folder) -> None:
    for number, place in enumerate(("path_demo_01", "path_demo_02", "#dermpath")):
        node = graph(shortcode=f"C4abcDEF12{number}", owner={"id": str(number), "username": f"path_demo_0{number}"})
        folder.meta(stamped(node), f"{place}/{STEM}.json.xz").file(f"{place}/{STEM}.jpg").file(f"{place}/id", b"1")
    assert [record.account_name for record in folder.records()] == ["path_demo_02", "path_demo_00", "path_demo_01"]


def test_an_archive_is_read_as_a_folder_is(folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder.meta(stamped(graph()), f":feed/{STEM}.json.xz").file(f":feed/{STEM}.jpg").file(f":feed/{STEM}_old_01.txt")
    files = sorted((path for path in folder.root.rglob("*") if path.is_file()), key=str)
    members = [(str(path.relative_to(folder.root)), path.read_bytes()) for path in files]
    packed = ZipTree(zipped(tmp_path_factory.mktemp("zip") / "posts.bin", *members))
    assert detect(packed).name == "Instaloader folder"
    assert list(instaloader.read(packed)) == folder.read()


# --- hostile words and values ---------------------------------------------------------------------


@pytest.mark.parametrize("extension", [".heic", ".JPG", ".png", ".jpeg", ".WebP"])
def test_an_extension_says_nothing_of_what_a_picture_is(folder: Folder, extension: str) -> None:
    assert folder.meta(stamped(graph())).file(f"{STEM}{extension}").record().pictures[0].file == STEM + extension


def test_children_of_the_newest_nodes(folder: Folder) -> None:
    parts = [{"media_type": 1, "original_width": 1080, "original_height": 1350}, {"media_type": 2}, "broken"]
    node = {"code": CODE, "media_type": 8, "caption": {"text": "Three."}, "iphone_struct": {"carousel_media": parts}}
    folder.meta(stamped(node)).file(f"{STEM}_1.jpg").file(f"{STEM}_2.jpg").file(f"{STEM}_3.jpg")
    found = [
        (picture.position, picture.declared_width, picture.declared_height) for picture in folder.record().pictures
    ]
    assert found == [(1, 1080, 1350), (3, None, None)]
    assert [(item.reason, item.position) for item in folder.refused()] == [(Reason.VIDEO, 2)]


def test_two_files_for_one_place_are_both_accounted_for(folder: Folder) -> None:
    folder.meta(stamped(graph())).meta(stamped(graph()), f"{STEM}.json").file(f"{STEM}.jpg").file(f"{STEM}.webp")
    assert [picture.file for picture in folder.record().pictures] == [f"{STEM}.jpg"]
    assert [(item.reason, item.file, item.entry) for item in folder.refused()] == [
        (Reason.NAME_CLASH, f"{STEM}.json.xz", False),
        (Reason.NAME_CLASH, f"{STEM}.webp", False),
    ]


def test_the_order_is_by_name_and_not_by_when_files_were_written(tmp_path: Path) -> None:
    stems = [f"2024-03-0{day}_10-20-30_UTC" for day in (3, 1, 2)]
    for number, stem in enumerate(stems):
        node = graph(shortcode=f"C4abcDEF12{number}")
        Folder(tmp_path).meta(stamped(node), f"{stem}.json").file(f"{stem}.jpg")
    assert [record.shortcode for record in Folder(tmp_path).records()] == ["C4abcDEF121", "C4abcDEF122", "C4abcDEF120"]


def test_posts_are_read_one_by_one_as_they_are_wanted(tmp_path: Path) -> None:
    class Watched(FolderTree):
        opened = 0

        def read(self, name: str, limit: int = 1) -> bytes:
            self.opened += 1
            return super().read(name, limit)

    for number in range(10, 60):
        Folder(tmp_path).meta(stamped(graph()), f"{number}.json").file(f"{number}.jpg")
    tree = Watched(tmp_path)
    items = instaloader.read(tree)
    for wanted in range(1, 11):
        assert isinstance(next(items), Record)
        assert tree.opened == wanted
