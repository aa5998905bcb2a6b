"""The import pages, through the app, on the test's own session."""

import csv
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app import presence
from app.accounts.policies import SYSTEM
from app.config import settings
from app.curation import moves
from app.intake import actions, locations, taking
from app.intake.actions import NewSource
from app.intake.ledger import Batch, Copy, Names, arrivals_of
from app.intake.reasons import Kind, Reason
from app.intake.records import Ignored, Item, Picture, Record, Refused
from app.storage import blobs
from app.tables import Candidate, Consent, Event, Import, Job, JobState, Source, SourceKind
from tests.factories import make_picture
from tests.intake.importing import add_post
from tests.web_client import SignIn


@pytest.fixture
def admin(sign_in: SignIn) -> TestClient:
    return sign_in("elm")


@pytest.fixture
def inbox() -> Iterator[Path]:
    """An inbox with one folder: a table and its picture."""
    folder = settings().import_roots[0] / "demo"
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "images" / "a.jpg").write_bytes(make_picture(1))
    text = "image,caption,author\nimages/a.jpg,<b>Glands</b> in a row,birch\nimages/none.jpg,x,birch\n"
    (folder / "captions.csv").write_text(text)
    yield folder
    shutil.rmtree(folder.parent)


def started(session: Session, place: str = "/demo") -> Import:
    source = actions.add_source(session, SYSTEM, NewSource("path_demo_01"))
    location = locations.Location({"kind": "path", "path": place}, "<i>demo</i>/")
    return actions.start_import(session, SYSTEM, location, source)


def finished(session: Session) -> Import:
    """An import of two pictures, three refusals and an ignored file, as its job leaves it."""
    run = started(session)
    record = Record(
        platform="instagram",
        natural_key="Cpage00001",
        pictures=tuple(Picture(n, f"{n}.jpg") for n in (1, 2)),
        caption_raw="=SUM(1) <script>alert(1)</script>",
        caption_from="json",
        files=("post.json", "1.jpg", "2.jpg"),
        shortcode="Cpage00001",
    )
    items: list[Item] = [
        record,
        Refused(Reason.VIDEO, "<img src=x>.mp4", files=("<img src=x>.mp4",)),
        Refused(Reason.VIDEO, "b.mp4", files=("b.mp4",)),
        Refused(Reason.NO_CAPTION, "c.jpg", files=("c.jpg",), row=7),
        Ignored("id", Kind.RESUME_STATE),
    ]
    arrivals = arrivals_of(items, 1, Names({}))
    for number, arrival in enumerate(arrivals[:2]):
        data = make_picture(8800 + number)
        sha256 = blobs().put(data)
        arrival.copy = Copy(sha256, sha256, 300, 280, len(data))
    batch = Batch(run, run.job_id, None, Names({}), items, arrivals)
    taking.take(session, batch)
    run.format = "Instaloader folder"
    end(session, run, JobState.SUCCEEDED)
    return run


def end(session: Session, run: Import, state: JobState, error: str = "") -> None:
    job = session.get(Job, run.job_id)
    assert job
    job.state, job.error = state, error
    session.flush()


def page(client: TestClient, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    return answer.text


PAGES = ("/imports", "/imports/new", "/imports/{id}", "/imports/{id}/report.csv")
ACTS = ("/imports", "/imports/{id}/retry", "/imports/{id}/stop", "/imports/{id}/take-back")


@pytest.mark.parametrize("name", ["alder", "hazel", "fir"])
def test_only_admins_see_or_change_imports(session: Session, sign_in: SignIn, name: str) -> None:
    run, client = finished(session), sign_in(name)
    assert [client.get(path.format(id=run.id)).status_code for path in PAGES] == [403] * len(PAGES)
    assert [client.post(path.format(id=run.id)).status_code for path in ACTS] == [403] * len(ACTS)


def test_a_stranger_is_asked_to_sign_in_and_sends_no_file(session: Session, sign_in: SignIn) -> None:
    client = sign_in("")
    assert client.get("/imports").status_code == 303
    answer = client.post("/imports", files={"files": ("a.zip", b"x")})
    assert answer.status_code == 401
    assert not list(settings().uploads_path.glob("*a.zip*"))


def test_an_empty_list_says_what_to_do_next(admin: TestClient) -> None:
    assert "No posts yet" in page(admin, "/imports")


def test_the_list_shows_each_import_and_pages_to_older_ones(
    session: Session, admin: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.intake.routes.LIST_LENGTH", 2)
    runs = [started(session, f"/demo/{n}") for n in range(3)]
    text = page(admin, "/imports")
    assert f"/imports/{runs[2].id}" in text
    assert f"/imports/{runs[0].id}" not in text
    older = re.search(r'href="(/imports\?before=\d+)"', text)
    assert older
    assert f"/imports/{runs[0].id}" in page(admin, older[1])


def test_the_report_shows_both_sums_and_every_reason(session: Session, admin: TestClient) -> None:
    text = page(admin, f"/imports/{finished(session).id}")
    assert "5 entries in 7 files, read" in text
    assert "2 images of 1 post<" in text
    assert "All reasons, 3" in text
    assert "Video, not an image, 2" in text
    assert "Ignored: resume state" in text


def test_names_from_files_are_shown_and_never_run(session: Session, admin: TestClient) -> None:
    text = page(admin, f"/imports/{finished(session).id}")
    assert "&lt;img src=x&gt;.mp4" in text
    assert "&lt;i&gt;demo&lt;/i&gt;/" in text
    assert "<img src=x>" not in text
    assert "<i>demo" not in text


def test_refused_entries_filter_by_reason_and_say_what_to_do(session: Session, admin: TestClient) -> None:
    run = finished(session)
    text = page(admin, f"/imports/{run.id}?reason=no+caption")
    assert "add a .txt beside it" in text
    assert "row 7" in text
    assert "b.mp4" not in text


def test_refused_entries_page_on(session: Session, admin: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.intake.lists.LINES", 2)
    run = finished(session)
    text = page(admin, f"/imports/{run.id}")
    following = re.search(r'href="(/imports/\d+\?[^"]+)" rel="next"', text)
    assert following
    assert "c.jpg" in page(admin, following[1].replace("&amp;", "&"))


def test_the_csv_report_holds_no_formula(session: Session, admin: TestClient) -> None:
    answer = admin.get(f"/imports/{finished(session).id}/report.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [row["what"] for row in rows].count("entry") == 5
    assert [row["what"] for row in rows].count("file") == 7
    assert rows[0]["caption"] == "'=SUM(1) <script>alert(1)</script>"


def test_a_running_import_polls_and_can_be_stopped(session: Session, admin: TestClient) -> None:
    run = started(session)
    text = page(admin, f"/imports/{run.id}")
    assert 'hx-trigger="every 2s"' in text
    assert 'http-equiv="refresh"' in text
    part = admin.get(f"/imports/{run.id}", headers={"HX-Request": "true"}).text
    assert part.lstrip().startswith('<div id="import"')
    assert admin.post(f"/imports/{run.id}/stop").status_code == 303
    text = page(admin, f"/imports/{run.id}")
    assert "every 2s" not in text
    assert "was stopped" in text
    assert admin.post(f"/imports/{run.id}/stop").status_code == 409


def test_a_failed_import_says_why_and_goes_on(session: Session, admin: TestClient) -> None:
    run = started(session)
    end(session, run, JobState.FAILED, "demo is empty. Choose the folder that holds the posts.")
    assert "Choose the folder that holds the posts." in page(admin, f"/imports/{run.id}")
    assert admin.post(f"/imports/{run.id}/retry").headers["location"] == f"/imports/{run.id}"
    assert "every 2s" in page(admin, f"/imports/{run.id}")


def test_refused_ones_are_tried_again_as_an_import_of_their_own(session: Session, admin: TestClient) -> None:
    run = finished(session)
    answer = admin.post(f"/imports/{run.id}/retry")
    made = session.scalars(select(Import).order_by(Import.id.desc()).limit(1)).one()
    assert (made.retry_of, made.options) == (run.id, {"only_refused_of": run.id})
    assert answer.headers["location"] == f"/imports/{made.id}"


def test_taking_back_needs_the_number_typed(session: Session, admin: TestClient) -> None:
    run = finished(session)
    wrong = admin.post(f"/imports/{run.id}/take-back", data={"confirm": "5"})
    assert wrong.status_code == 422
    assert "Type 2, the number of candidates that go." in wrong.text
    assert admin.post(f"/imports/{run.id}/take-back", data={"confirm": "2"}).status_code == 303
    text = page(admin, f"/imports/{run.id}")
    assert "Taken back" in text
    assert admin.post(f"/imports/{run.id}/take-back", data={"confirm": "2"}).status_code == 409
    assert len(session.scalars(select(Event).where(Event.act == "import.taken_back")).all()) == 1


def test_the_form_lists_the_inbox_and_looks_into_it(inbox: Path, admin: TestClient) -> None:
    text = page(admin, "/imports/new")
    assert '<option value="0/demo">demo/</option>' in text
    part = admin.get("/imports/new?inbox=0/demo", headers={"HX-Request": "true"}).text
    assert "CSV or TSV with pictures" in part
    assert "&lt;b&gt;Glands&lt;/b&gt; in a row" in part
    assert "<form" not in part


@pytest.mark.parametrize("key", ["0/../demo", "9/demo", "0/", "/etc", "0/.hidden", "demo"])
def test_no_request_names_a_path(inbox: Path, session: Session, admin: TestClient, key: str) -> None:
    (inbox.parent / ".hidden").mkdir(exist_ok=True)
    answer = admin.post("/imports", data={"inbox": key, "name": "x"})
    assert answer.status_code == 422
    assert "not in the inbox" in answer.text
    assert session.scalars(select(Import)).all() == []
    assert session.scalars(select(Source)).all() == []


def test_links_in_the_inbox_are_not_offered(inbox: Path, admin: TestClient) -> None:
    (inbox.parent / "outside").symlink_to("/etc")
    assert "outside" not in page(admin, "/imports/new")


def test_an_inbox_folder_is_imported_with_its_new_source(inbox: Path, session: Session, admin: TestClient) -> None:
    sent = {"inbox": "0/demo", "name": "Demo set", "kind": "files", "consent": "agreed", "licence": "CC BY 4.0"}
    answer = admin.post("/imports", data=sent)
    run = session.scalars(select(Import)).one()
    source = session.get(Source, run.source_id)
    job = session.get(Job, run.job_id)
    assert answer.headers["location"] == f"/imports/{run.id}"
    assert (run.origin, run.location["name"]) == ("demo/", "demo")
    assert source
    assert (source.name, source.consent, source.licence) == ("Demo set", "agreed", "CC BY 4.0")
    assert job
    assert (job.kind, job.arguments, job.requested_by) == ("import", {"import": run.id}, run.made_by)
    acts = session.scalars(select(Event.act).where(Event.user_id == run.made_by)).all()
    assert acts.count("import.started") == 1


def test_an_upload_is_kept_under_a_generated_name(session: Session, admin: TestClient) -> None:
    files = [("files", ("../posts.csv", b"image,caption\n")), ("files", ("pictures.zip", b"PK"))]
    answer = admin.post("/imports", data={"name": "Uploaded"}, files=files)
    assert answer.status_code == 303, answer.text
    run = session.scalars(select(Import)).one()
    assert run.origin == "posts.csv + pictures.zip"
    assert [path.read_bytes() for path in locations.paths(run.location)] == [b"image,caption\n", b"PK"]
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in run.location["names"])


def test_a_form_that_lacks_something_keeps_no_file_and_says_what(session: Session, admin: TestClient) -> None:
    before = set(settings().uploads_path.glob("*")) if settings().uploads_path.exists() else set()
    answer = admin.post("/imports", data={"name": " "}, files=[("files", ("a.zip", b"PK"))])
    assert answer.status_code == 422
    assert "Give the source a name." in answer.text
    assert set(settings().uploads_path.glob("*")) == before
    assert session.scalars(select(Import)).all() == []
    assert "Choose a file" in admin.post("/imports", data={"name": "x"}).text


def test_a_source_that_is_there_is_chosen_by_its_id(inbox: Path, session: Session, admin: TestClient) -> None:
    source = actions.add_source(session, SYSTEM, NewSource("path_demo_02"))
    admin.post("/imports", data={"inbox": "0/demo", "source": str(source.id)})
    assert session.scalars(select(Import)).one().source_id == source.id
    assert admin.post("/imports", data={"inbox": "0/demo", "source": "999999"}).status_code == 404


def test_nobody_serves_the_queue_is_said(session: Session, admin: TestClient) -> None:
    run = started(session)
    assert "No worker serves" in page(admin, f"/imports/{run.id}")
    assert presence.served_queues(session) == set()


HUGE = 2**63


@pytest.mark.parametrize("rest", ["", "/report.csv"])
@pytest.mark.parametrize("number", [HUGE, 10**30, 0, -1])
def test_an_id_that_no_import_can_have_is_not_found(admin: TestClient, number: int, rest: str) -> None:
    assert "There is no such page" in page(admin, f"/imports/{number}{rest}", 404)


@pytest.mark.parametrize("act", ["source", "retry", "stop", "take-back"])
def test_an_act_on_an_id_that_no_import_can_have_is_not_found(admin: TestClient, act: str) -> None:
    assert admin.post(f"/imports/{HUGE}/{act}").status_code == 404


@pytest.mark.parametrize("query", ["before={huge}", "before=x"])
def test_a_place_in_the_list_that_can_t_be_is_refused(admin: TestClient, query: str) -> None:
    page(admin, f"/imports?{query.format(huge=HUGE)}", 422)


@pytest.mark.parametrize("query", ["after={huge}", "after=x", "behind=x", "behind=%00", "show=all"])
def test_a_place_in_a_report_that_can_t_be_is_refused(session: Session, admin: TestClient, query: str) -> None:
    page(admin, f"/imports/{finished(session).id}?{query.format(huge=HUGE)}", 422)


@pytest.mark.parametrize("reason", ["%00", "whatever", "%F0%9F%92%A5"])
@pytest.mark.parametrize("show", ["refused", "taken", "files-ignored", "files-refused"])
def test_a_reason_that_nothing_has_narrows_nothing(session: Session, admin: TestClient, show: str, reason: str) -> None:
    path = f"/imports/{finished(session).id}?show={show}"
    assert page(admin, f"{path}&reason={reason}") == page(admin, path)


@pytest.mark.parametrize(
    ("query", "listed", "left_out"),
    [
        ("show=taken", ["Taken entries", "1.jpg", "2.jpg"], ["b.mp4"]),
        ("show=refused", ["Refused entries", "b.mp4", "c.jpg"], ["1.jpg"]),
        ("show=files-used", ["Used files", "post.json", "1.jpg"], ["b.mp4"]),
        ("show=files-ignored", ["Ignored files", '<bdi hx-ignore="">id</bdi>', "resume state"], ["b.mp4"]),
        ("show=files-refused", ["Refused files", "b.mp4", "c.jpg", "Video, not an image"], ["1.jpg"]),
        ("show=files-refused&reason=video", ["b.mp4"], ["c.jpg"]),
    ],
)
def test_each_sum_opens_to_what_it_counts(
    session: Session, admin: TestClient, query: str, listed: list[str], left_out: list[str]
) -> None:
    text = page(admin, f"/imports/{finished(session).id}?{query}")
    text = text.replace("<bdi hx-ignore>", '<bdi hx-ignore="">')
    assert [one for one in listed if one not in text] == []
    assert [one for one in left_out if one in text] == []


def test_the_sums_link_to_their_lists_and_nothing_to_an_empty_one(session: Session, admin: TestClient) -> None:
    run = finished(session)
    text = page(admin, f"/imports/{run.id}")
    links = set(re.findall(rf'href="/imports/{run.id}\?([^"]+)"', text))
    assert links == {
        "show=taken#taken",
        "show=refused#refused",
        "show=files-used#files-used",
        "show=files-ignored&amp;reason=resume%20state#files-ignored",
        "show=files-refused&amp;reason=no%20caption#files-refused",
        "show=files-refused&amp;reason=video#files-refused",
    }


def test_a_list_of_files_pages_on_by_name(session: Session, admin: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.intake.lists.LINES", 2)
    run = finished(session)
    path, seen = f"/imports/{run.id}?show=files-refused", []
    while path:
        text = page(admin, path)
        seen += re.findall(r'class="mono"><bdi hx-ignore>([^<]*)</bdi>', text)
        following = re.search(r'href="(/imports/\d+\?[^"]+)" rel="next"', text)
        path = following[1].replace("&amp;", "&") if following else ""
    assert seen == ["&lt;img src=x&gt;.mp4", "b.mp4", "c.jpg"]


def test_the_csv_report_lists_refused_and_ignored_files_with_why(session: Session, admin: TestClient) -> None:
    answer = admin.get(f"/imports/{finished(session).id}/report.csv")
    rows = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")))
    why = {row["file"]: (row["outcome"], row["why"]) for row in rows if row["what"] == "file"}
    assert why["id"] == ("ignored", "resume state")
    assert why["b.mp4"] == ("refused", "Video, not an image")
    assert why["1.jpg"] == ("used", "")


def test_an_import_of_a_table_says_what_to_do_in_the_table(session: Session, admin: TestClient) -> None:
    run = finished(session)
    run.format = "CSV or TSV with pictures"
    session.flush()
    text = page(admin, f"/imports/{run.id}?reason=no+caption")
    assert "Fill the caption cell" in text
    assert ".txt" not in text


def test_an_import_that_was_taken_back_still_says_what_it_brought(session: Session, admin: TestClient) -> None:
    run = finished(session)
    admin.post(f"/imports/{run.id}/take-back", data={"confirm": "2"})
    assert "Imported 2, of them 2 taken back." in page(admin, f"/imports/{run.id}")


@pytest.mark.parametrize("typed", ["5", "", "two", "2.0", "9" * 400, "\u0662"])
def test_a_wrong_number_is_told_the_right_one(session: Session, admin: TestClient, typed: str) -> None:
    answer = admin.post(f"/imports/{finished(session).id}/take-back", data={"confirm": typed})
    assert answer.status_code == 422
    assert "This is another number. Type 2, the number of candidates that go." in answer.text


def test_one_candidate_is_taken_back_in_the_singular(session: Session, admin: TestClient) -> None:
    run = finished(session)
    made = session.scalars(select(Candidate).where(Candidate.import_id == run.id)).all()
    moves.withdraw(session, [made[0].id])
    text = page(admin, f"/imports/{run.id}")
    assert "Take back 1 candidate<" in text
    assert "1 candidate that nobody decided or holds leaves the queue" in text
    answer = admin.post(f"/imports/{run.id}/take-back", data={"confirm": "1"})
    assert answer.status_code == 303
    assert f"1 candidate of import {run.id} is taken back." in page(admin, f"/imports/{run.id}")


def test_a_source_that_is_there_shows_what_stands_instead_of_the_fields_of_a_new_one(
    session: Session, admin: TestClient
) -> None:
    new = NewSource("path_demo_02", SourceKind.ACCOUNT, Consent.AGREED, "Letter of 3 May", "CC BY 4.0")
    source = actions.add_source(session, SYSTEM, new)
    part = admin.get(f"/imports/new?source={source.id}", headers={"HX-Request": "true"}).text
    assert "path_demo_02" in part
    assert "account, owner agreed" in part
    assert "Letter of 3 May" in part
    assert 'name="consent"' not in part
    again = admin.get("/imports/new?source=&name=Mine", headers={"HX-Request": "true"}).text
    assert 'value="Mine"' in again


def test_what_is_sent_of_a_new_source_changes_nothing_of_one_that_is_there(
    inbox: Path, session: Session, admin: TestClient
) -> None:
    source = actions.add_source(session, SYSTEM, NewSource("path_demo_02", SourceKind.ACCOUNT, Consent.NOT_ASKED))
    sent = {"inbox": "0/demo", "source": str(source.id), "name": "x", "kind": "hashtag", "consent": "agreed"}
    assert admin.post("/imports", data=sent).status_code == 303
    assert (source.name, source.kind, source.consent) == ("path_demo_02", "account", "not_asked")
    assert session.scalars(select(Source)).all() == [source]


def test_a_new_source_is_a_set_of_files_unless_said_otherwise(inbox: Path, session: Session, admin: TestClient) -> None:
    assert '<option value="files" selected>' in page(admin, "/imports/new")
    admin.post("/imports", data={"inbox": "0/demo", "name": "x"})
    assert session.scalars(select(Source.kind)).one() == SourceKind.FILES


def test_a_table_that_is_not_utf_8_is_read_once_an_admin_confirms_its_encoding(
    session: Session, admin: TestClient
) -> None:
    run = started(session)
    run.options = {"western": False}
    end(session, run, JobState.FAILED, "posts.csv is not written in UTF-8.")
    text = page(admin, f"/imports/{run.id}")
    assert "Read it as Windows’ Western encoding" in text
    assert admin.post(f"/imports/{run.id}/retry", data={"western": "true"}).status_code == 303
    session.refresh(run)
    assert run.options == {"western": True}


def test_only_an_import_that_met_another_encoding_offers_to_read_it(session: Session, admin: TestClient) -> None:
    run = started(session)
    end(session, run, JobState.FAILED, "demo is empty.")
    assert "Western" not in page(admin, f"/imports/{run.id}")


def test_the_first_entries_are_entries_and_not_the_files_beside_them(inbox: Path, admin: TestClient) -> None:
    for name in ("notes.docx", "more.zip", "lonely.jpg"):
        (inbox / name).write_bytes(b"x")
    add_post(inbox / "posts", 1, "A post beside a table.")
    part = admin.get("/imports/new?inbox=0/demo", headers={"HX-Request": "true"}).text
    assert "A post beside a table." in part
    assert "notes.docx" not in part
    assert "Not read with it: <bdi hx-ignore>captions.csv, more.zip</bdi>" in part


def test_the_look_at_a_table_says_why_a_row_will_be_refused(inbox: Path, admin: TestClient) -> None:
    (inbox / "images" / "v.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42")
    (inbox / "images" / "web.jpg").write_bytes(b"<!doctype html>")
    rows = ("images/v.mp4,Video", "images/a.jpg,", "images/none.jpg,Lost", "images/web.jpg,Page")
    (inbox / "captions.csv").write_text("\n".join(("image,caption", *rows)))
    part = admin.get("/imports/new?inbox=0/demo", headers={"HX-Request": "true"}).text
    assert re.findall("Will be refused: ([^<]+)", part) == [
        "Video, not an image",
        "The caption is empty",
        "The picture that the row names is not there",
        "The file is no JPEG, PNG or WebP, whatever its name says",
    ]
