"""CSV and TSV tables as people's programs write them: text stays text, and each row is taken or says why not."""

import csv
import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.intake.formats import FormatUnknown, detect, table
from app.intake.formats.shortcode import to_pk
from app.intake.reasons import Kind, Reason
from app.intake.records import Ignored, Item, Record, Refused, plain_text
from app.intake.trees import FileList, FolderTree, ZipTree
from tests.intake.accounting import assert_accounted
from tests.intake.hostile_archives import zipped
from tests.intake.hostile_captions import BLANK, CAPTIONS, TOO_LONG

PICTURES = ("a.jpg", "b.jpg", "c.jpg")


class Table:
    """A folder with pictures and one table, and what the reader says of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in PICTURES:
            (root / name).write_bytes(b"\xff\xd8")

    def rows(self, *rows: tuple[str, ...], delimiter: str = ",", encoding: str = "utf-8") -> "Table":
        buffer = io.StringIO()
        csv.writer(buffer, delimiter=delimiter).writerows(rows)
        return self.text(buffer.getvalue(), encoding)

    def text(self, text: str, encoding: str = "utf-8") -> "Table":
        (self.root / "posts.csv").write_bytes(text.encode(encoding, "surrogatepass"))
        return self

    def read(self) -> list[Item]:
        tree = FolderTree(self.root)
        items = list(table.read(tree))
        assert_accounted(items, tree)
        assert items == list(table.read(tree))
        return items

    def records(self) -> list[Record]:
        return [item for item in self.read() if isinstance(item, Record)]

    def refused(self) -> list[tuple[Reason, int | None]]:
        return [(item.reason, item.row) for item in self.read() if isinstance(item, Refused) and item.entry]


@pytest.fixture
def posts(tmp_path: Path) -> Table:
    return Table(tmp_path)


def captions(records: list[Record]) -> list[str]:
    return [record.caption_raw for record in records]


def test_a_row_is_a_post_with_its_picture(posts: Table) -> None:
    header = ("image", "caption", "post_id", "author", "url", "date")
    url = "https://www.instagram.com/p/C4abcDEF123/"
    (record,) = posts.rows(header, ("a.jpg", "Naevus.", "17", "@path_demo_01", url, "2024-03-01")).records()
    assert (record.platform, record.shortcode, record.account_name) == ("instagram", "C4abcDEF123", "path_demo_01")
    assert record.taken_at == datetime(2024, 3, 1, tzinfo=UTC)
    assert record.permalink == url
    assert record.media_pk == to_pk("C4abcDEF123")


@pytest.mark.parametrize(
    "header", [("image", "caption"), ("File Name", "TEXT"), (" filepath ", "title"), ("img", "corrected_text")]
)
def test_columns_are_found_under_the_names_that_people_use(posts: Table, header: tuple[str, ...]) -> None:
    assert captions(posts.rows(header, ("a.jpg", "Naevus.")).records()) == ["Naevus."]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_delimiters_and_encodings(posts: Table, delimiter: str, encoding: str) -> None:
    text = "Prüfung, größer; mit Strich\tund mehr"
    assert captions(
        posts.rows(("image", "caption"), ("a.jpg", text), delimiter=delimiter, encoding=encoding).records()
    ) == [text]


@pytest.mark.parametrize(
    "caption", ["NA", "None", "null", "nan", "001", "1E5", "TRUE", "=1+1", "@SUM(A1)", "-5", "l1\nl2", '"q"']
)
def test_captions_stay_exactly_as_written(posts: Table, caption: str) -> None:
    assert captions(posts.rows(("image", "caption"), ("a.jpg", caption)).records()) == [caption]


@pytest.mark.parametrize("name", CAPTIONS)
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_a_hostile_caption_comes_out_as_it_was_written(posts: Table, name: str, delimiter: str) -> None:
    rows = (("image", "caption"), ("a.jpg", CAPTIONS[name]), ("b.jpg", "Next."))
    assert captions(posts.rows(*rows, delimiter=delimiter).records()) == [plain_text(CAPTIONS[name]), "Next."]


@pytest.mark.parametrize("name", TOO_LONG)
def test_a_caption_longer_than_any_is_refused(posts: Table, name: str) -> None:
    posts.rows(("image", "caption"), ("a.jpg", TOO_LONG[name]), ("b.jpg", "Next."))
    assert posts.refused() == [(Reason.CAPTION_TOO_LONG, 2)]


@pytest.mark.parametrize("caption", BLANK)
def test_a_blank_caption_is_none(posts: Table, caption: str) -> None:
    assert posts.rows(("image", "caption"), ("a.jpg", caption)).refused() == [(Reason.NO_CAPTION, 2)]


@given(st.lists(st.text(st.characters(exclude_categories=[]), max_size=60), min_size=1, max_size=3))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_makes_the_round_trip(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    texts = [f"{number} {word}" for number, word in enumerate(words)]
    rows = [(picture, text) for picture, text in zip(PICTURES, texts, strict=False)]
    posts = Table(tmp_path_factory.mktemp("table")).rows(("image", "caption"), *rows)
    assert captions(posts.records()) == [plain_text(text) for text in texts]


def test_one_lone_surrogate_does_not_change_how_the_rest_is_read(posts: Table) -> None:
    rows = (("image", "caption"), ("a.jpg", "Prüfung \ud83d"), ("b.jpg", "x" * 70_000), ("c.jpg", "Größe"))
    assert captions(posts.rows(*rows).records()) == ["Prüfung \ufffd", "Größe"]


def test_windows_writing_is_seen_wherever_it_begins(posts: Table) -> None:
    rows = (("image", "caption"), *((("a.jpg", f"{n} plain")) for n in range(9_000)), ("b.jpg", "Prüfung – größer"))
    assert captions(posts.rows(*rows, encoding="cp1252").records())[-1] == "Prüfung – größer"


def test_one_wrong_byte_in_utf_8_is_one_wrong_character(posts: Table) -> None:
    data = "image,caption\na.jpg,Prüfung größer\nb.jpg,cut X\n".encode().replace(b"X", b"\xc3")
    (posts.root / "posts.csv").write_bytes(data)
    assert captions(posts.records()) == ["Prüfung größer", "cut \ufffd"]


REFUSED: list[tuple[tuple[str, ...], Reason]] = [
    (("a.jpg", "x"), Reason.WRONG_FIELDS),
    (("a.jpg", "x", "1", "more"), Reason.WRONG_FIELDS),
    (("", "x", "1"), Reason.NO_IMAGE_FILE),
    (("lost.jpg", "x", "1"), Reason.NO_IMAGE_FILE),
    (("a.jpg", "  ", "1"), Reason.NO_CAPTION),
    (("a.jpg", "x" * 20_001, "1"), Reason.CAPTION_TOO_LONG),
    (("a.jpg", "x", "1.78E+16"), Reason.MANGLED_ID),
    (("a.jpg", "x", "1,78E+16"), Reason.MANGLED_ID),
    (("a.jpg", "x", "9" * 300), Reason.METADATA_UNREADABLE),
    (("posts.csv", "x", "1"), Reason.NO_IMAGE_FILE),
    (("\x00", "x", "1"), Reason.NO_IMAGE_FILE),
    (("/" * 500_000, "x", "1"), Reason.NO_IMAGE_FILE),
    (("../a.jpg", "x", "1"), Reason.UNSAFE_PATH),
]


@pytest.mark.parametrize(("row", "reason"), REFUSED)
def test_a_bad_row_refuses_only_itself(posts: Table, row: tuple[str, ...], reason: Reason) -> None:
    posts.rows(("image", "caption", "post_id"), ("b.jpg", "Good.", "7"), row, ("c.jpg", "Good too.", "8"))
    assert posts.refused() == [(reason, 3)]
    assert captions(posts.records()) == ["Good.", "Good too."]


def test_several_captions_of_a_picture_are_several_entries(posts: Table) -> None:
    posts.rows(("image", "caption"), ("a.jpg", "One."), ("a.jpg", "Two."), ("a.jpg", "One."))
    records = posts.records()
    assert [(r.caption_raw, r.pictures[0].caption_ordinal) for r in records] == [("One.", 1), ("Two.", 2)]
    assert posts.refused() == [(Reason.AMBIGUOUS_KEY, 4)]


def test_rows_of_one_post_are_its_pictures_in_their_order(posts: Table) -> None:
    posts.rows(("image", "caption", "post_id"), ("b.jpg", "x", "7"), ("a.jpg", "x", "7"), ("c.jpg", "x", "8"))
    found = [(record.natural_key, record.pictures[0].position) for record in posts.records()]
    assert found == [("7", 1), ("7", 2), ("8", 1)]


def test_a_stated_position_is_the_position(posts: Table) -> None:
    header = ("image", "caption", "post_id", "position")
    posts.rows(header, ("a.jpg", "x", "7", "3"), ("b.jpg", "x", "7", "1"), ("c.jpg", "x", "7", "?"))
    assert [record.pictures[0].position for record in posts.records()] == [3, 1, 2]


def test_a_table_that_counts_from_zero_is_read_from_one(posts: Table) -> None:
    posts.rows(("image", "caption", "post_id", "image_index"), ("a.jpg", "x", "7", "0"), ("b.jpg", "x", "7", "1"))
    assert [record.pictures[0].position for record in posts.records()] == [1, 2]


def test_two_pictures_for_one_place_are_told(posts: Table) -> None:
    posts.rows(("image", "caption", "post_id", "position"), ("a.jpg", "x", "7", "1"), ("b.jpg", "x", "7", "1"))
    assert posts.refused() == [(Reason.AMBIGUOUS_KEY, 3)]


def test_several_tables_of_the_same_pictures_are_read_as_one(posts: Table) -> None:
    posts.rows(("image", "caption"), ("a.jpg", "One."))
    (posts.root / "val.csv").write_bytes(b"image,caption\na.jpg,Two.\na.jpg,One.\nb.jpg,Three.\n")
    records = posts.records()
    assert [(r.caption_raw, r.pictures[0].caption_ordinal) for r in records] == [
        ("One.", 1),
        ("Two.", 2),
        ("Three.", 1),
    ]
    assert posts.refused() == [(Reason.AMBIGUOUS_KEY, 3)]


@pytest.mark.parametrize(
    ("header", "cell", "shortcode"),
    [
        ("shortcode", "C4abcDEF123", "C4abcDEF123"),
        ("shortcode", "3322088349830176183", "C4abcDEF123"),
        ("url", "instagram.com/path_demo_01/reel/C4abcDEF123/?x=1", "C4abcDEF123"),
        ("url", "https://www.instagram.com/p/C4abcDEF123", "C4abcDEF123"),
        ("url", "https://notinstagram.com/p/C4abcDEF123", None),
        ("url", "https://evil.example/?instagram.com/p/C4abcDEF123", None),
        ("post_id", "C4abcDEF123", None),
        ("shortcode", "1E5", None),
    ],
)
def test_a_post_of_instagram_is_known_by_its_shortcode(
    posts: Table, header: str, cell: str, shortcode: str | None
) -> None:
    (record,) = posts.rows(("image", "caption", header), ("a.jpg", "x", cell)).records()
    assert record.shortcode == shortcode
    assert record.platform == ("instagram" if shortcode else "table")
    assert record.media_pk == ("3322088349830176183" if shortcode else None)


def test_a_long_path_of_another_machine_makes_no_long_key(posts: Table) -> None:
    (record,) = posts.rows(("image", "caption"), ("x/" * 5_000 + "a.jpg", "x")).records()
    assert len(record.natural_key) == 255


def test_a_table_and_a_zip_of_its_pictures(tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(b"image,caption\nimages/a.jpg,Naevus.\nimages/b.jpg,Lost.\n")
    packed = ZipTree(zipped(tmp_path / "x.zip", ("data/images/a.jpg", b"x"), ("__MACOSX/._a.jpg", b"x")))
    tree = FileList(tmp_path / "upload", packed)
    items = list(detect(tree).read(tree))
    assert [item.files for item in items if isinstance(item, Record)] == [("upload", "data/images/a.jpg")]
    assert [item.reason for item in items if isinstance(item, Refused)] == [Reason.NO_IMAGE_FILE]
    assert [item.kind for item in items if isinstance(item, Ignored)] == [Kind.SYSTEM_FILE]


@pytest.mark.parametrize("name", ["./a.jpg", ".\\a.jpg", "/data/somewhere/a.jpg", "C:\\data\\a.jpg", "images/a.jpg"])
def test_folders_before_a_picture_s_name_do_no_harm_where_the_name_is_the_only_one(posts: Table, name: str) -> None:
    (record,) = posts.rows(("image", "caption"), (name, "x")).records()
    assert record.pictures[0].file == "a.jpg"


def test_a_name_that_fits_two_pictures_fits_none(posts: Table) -> None:
    for folder in ("one", "two"):
        (posts.root / folder).mkdir()
        (posts.root / folder / "same.jpg").write_bytes(b"x")
    assert posts.rows(("image", "caption"), ("/data/same.jpg", "x")).refused() == [(Reason.NO_IMAGE_FILE, 2)]


def test_names_are_compared_in_one_form_of_unicode(posts: Table) -> None:
    (posts.root / "Pr\u00fcfung.jpg").write_bytes(b"x")
    assert len(posts.rows(("image", "caption"), ("Pru\u0308fung.jpg", "x")).records()) == 1


def test_pictures_that_no_row_names_are_refused_and_system_files_ignored(posts: Table) -> None:
    (posts.root / ".DS_Store").write_bytes(b"x")
    (posts.root / "link.jpg").symlink_to("a.jpg")
    items = posts.rows(("image", "caption"), ("a.jpg", "x")).read()
    left = {item.file: item.reason for item in items if isinstance(item, Refused)}
    assert left == {"b.jpg": Reason.NO_METADATA, "c.jpg": Reason.NO_METADATA, "link.jpg": Reason.UNSAFE_PATH}
    assert [item.kind for item in items if isinstance(item, Ignored)] == [Kind.SYSTEM_FILE]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (("image", "words"), r"No column for the caption; the header has: image, words"),
        (("number", "caption"), r"No column for the image"),
        (("image", "caption", "Caption "), r"names caption twice"),
    ],
)
def test_a_header_that_will_not_do_is_told(posts: Table, header: tuple[str, ...], says: str) -> None:
    posts.rows(header, ("a.jpg",) * len(header))
    with pytest.raises(FormatUnknown, match=says):
        detect(FolderTree(posts.root))


@pytest.mark.parametrize(
    ("broken", "taken", "lines"),
    [
        ('b.jpg,"open\nc.jpg,swallowed\n', ["Good."], "lines 3 to 4"),
        ('b.jpg,"open\nb.jpg,"closed"\nc.jpg,Too.\n', ["Good.", "Too."], "lines 3 to 4"),
        ('b.jpg,"said "x" again"\nc.jpg,Too.\n', ["Good.", "Too."], "lines 3 to 3"),
    ],
)
def test_a_quote_left_open_merges_no_captions(posts: Table, broken: str, taken: list[str], lines: str) -> None:
    posts.text("image,caption\na.jpg,Good.\n" + broken)
    assert captions(posts.records()) == taken
    assert posts.refused() == [(Reason.WRONG_FIELDS, 3)]
    assert next(lines in item.detail for item in posts.read() if isinstance(item, Refused))


def test_a_quote_left_open_before_a_million_characters_ends_there(posts: Table) -> None:
    posts.text('image,caption\na.jpg,"open\n' + "x,y\n" * 260_000 + "b.jpg,Good.\n")
    assert captions(posts.records()) == ["Good."]


def test_a_table_without_rows_is_accounted_for(posts: Table) -> None:
    assert posts.text("image,caption\n").records() == []


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1709288430", datetime.fromtimestamp(1709288430, UTC)),
        ("1709288430000", datetime.fromtimestamp(1709288430, UTC)),
        ("2024-03-01T10:20:30+02:00", datetime(2024, 3, 1, 8, 20, 30, tzinfo=UTC)),
        ("yesterday", None),
        ("", None),
        ("2024", None),
        ("99999999999999999999", None),
        ("9" * 5_000, None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-14:00", None),
    ],
)
def test_times_are_read_or_left_unknown(posts: Table, text: str, moment: datetime | None) -> None:
    (record,) = posts.rows(("image", "caption", "date"), ("a.jpg", "x", text)).records()
    assert record.taken_at == moment


@pytest.mark.parametrize("url", ["javascript:alert(1)", "file:///etc/passwd", "http://[", "//x", "data:text/html,x"])
def test_only_web_addresses_become_links(posts: Table, url: str) -> None:
    (record,) = posts.rows(("image", "caption", "url"), ("a.jpg", "x", url)).records()
    assert record.permalink is None


VIDEO = b"\x00\x00\x00\x18ftypmp42"


def test_a_row_that_names_a_video_is_refused_as_one(posts: Table) -> None:
    for name, data in (("named.mp4", VIDEO), ("picture.mp4", b"\xff\xd8\xff"), ("left.mov", VIDEO)):
        (posts.root / name).write_bytes(data)
    items = posts.rows(("image", "caption"), ("named.mp4", "x"), ("picture.mp4", "y"), ("a.jpg", "z")).read()
    videos = [(item.file, item.entry) for item in items if isinstance(item, Refused) and item.reason is Reason.VIDEO]
    assert videos == [("named.mp4", True), ("left.mov", False)]


def test_a_table_counts_as_used_where_any_row_of_it_is_taken(posts: Table) -> None:
    items = posts.rows(("image", "caption"), ("lost.jpg", "x"), ("a.jpg", "y")).read()
    (record,) = (item for item in items if isinstance(item, Record))
    assert record.files == ("posts.csv", "a.jpg")


def test_a_table_of_bad_rows_alone_is_refused_as_they_are(posts: Table) -> None:
    items = posts.rows(("image", "caption"), ("lost.jpg", "x")).read()
    assert [item.reason for item in items if item.file == "posts.csv" and isinstance(item, Refused)] == [
        Reason.NO_IMAGE_FILE
    ]


def test_a_table_of_other_columns_beside_it_is_refused_for_them(posts: Table) -> None:
    (posts.root / "other.csv").write_bytes(b"x,y\n1,2\n")
    items = posts.rows(("image", "caption"), ("a.jpg", "y")).read()
    assert next(item for item in items if isinstance(item, Refused) and item.file == "other.csv").reason is (
        Reason.COLUMNS_UNKNOWN
    )
