"""The import form as it streams in."""

import pytest

from app.config import settings
from app.errors import Invalid, TooLarge
from app.intake import locations, uploads
from app.intake.uploads import FormWriter, Received

BOUNDARY = b"xx"


def part(name: str, value: bytes, file_name: str | None = None) -> bytes:
    about = f'form-data; name="{name}"' + (f'; filename="{file_name}"' if file_name is not None else "")
    return b"--xx\r\nContent-Disposition: " + about.encode() + b"\r\n\r\n" + value + b"\r\n"


def received(*parts: bytes, step: int = 7) -> Received:
    """The form read in small steps, so that every border falls somewhere."""
    writer, body = FormWriter(BOUNDARY), b"".join(parts) + b"--xx--\r\n"
    for start in range(0, len(body), step):
        writer.write(body[start : start + step])
    return writer.finish()


def uploads_left() -> list[str]:
    folder = settings().uploads_path
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_files_go_to_disk_and_fields_stay_in_memory() -> None:
    form = received(part("name", "path_demo_01 é".encode()), part("files", b"a,b\r\n1,2\r\n", "posts.csv"))
    (path, name) = form.files[0]
    assert form.fields["name"] == "path_demo_01 é"
    assert (path.read_bytes(), name) == (b"a,b\r\n1,2\r\n", "posts.csv")
    form.discard()
    assert path.name not in uploads_left()


def test_published_files_have_generated_names_and_keep_the_original_as_a_label() -> None:
    form = received(part("files", b"zip", "../../etc/<b>posts.zip"))
    location = locations.uploaded(form.keep())
    (path,) = locations.paths(location.place)
    assert path.parent == settings().uploads_path
    assert path.read_bytes() == b"zip"
    assert location.origin == "<b>posts.zip"
    assert "posts" not in path.name
    path.unlink()


def test_no_chosen_file_is_no_file() -> None:
    form = received(part("files", b"", ""), part("inbox", b"0/demo"))
    assert (form.files, form.fields["inbox"]) == ([], "0/demo")


def test_more_than_two_files_are_refused_and_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = uploads_left()
    writer = FormWriter(BOUNDARY)
    with pytest.raises(Invalid, match="one zip of pictures"):
        writer.write(b"".join(part("files", b"x", f"{n}.zip") for n in range(3)))
    writer.discard()
    assert uploads_left() == before


def test_an_upload_over_the_limit_is_refused_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "UPLOAD_LIMIT", 1000)
    before = uploads_left()
    writer = FormWriter(BOUNDARY)
    writer.write(part("files", b"x" * 500, "a.zip")[:-2])
    with pytest.raises(TooLarge, match="2 GB"):
        writer.write(b"x" * 600)
    writer.discard()
    assert uploads_left() == before


def test_an_endless_field_is_refused() -> None:
    writer = FormWriter(BOUNDARY)
    with pytest.raises(Invalid, match="too long"):
        writer.write(part("name", b"x" * (uploads.FIELD_LIMIT + 1)))
