"""Snapshots: the list, making one, one snapshot's page, and its files."""

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session
from starlette.responses import FileResponse

from app import presence
from app.archive import Archive
from app.errors import Conflict, Invalid, NotFound
from app.snapshots import actions, building, freezing, queries
from app.snapshots.formats.manifest import MANIFEST
from app.snapshots.formats.snippets import snippets
from app.snapshots.forms import Pairs, SnapshotForm
from app.snapshots.splits import usual_sizes
from app.tables import Snapshot
from app.web.deps import Admin, DataReader, FormDep, RowId, RowNumber, SessionDep, parse
from app.web.downloads import tar_response
from app.web.responses import redirect
from app.web.templating import render

router = APIRouter()


@router.get("/snapshots", name="snapshots")
def snapshots(
    request: Request,
    session: SessionDep,
    actor: DataReader,
    before: RowNumber = None,
    val: Pairs | None = None,
    test: Pairs | None = None,
) -> Response:
    """The list and, for admins, the form; with wanted sizes, also how the pairs would be split."""
    wanted = (val, test) if val is not None and test is not None and actor.is_admin else None
    return list_page(request, session, before, wanted)


def list_page(
    request: Request,
    session: Session,
    before: int | None = None,
    wanted: tuple[int, int] | None = None,
    error: Invalid | None = None,
    status: int = 200,
) -> Response:
    found = queries.newest(session, before, queries.PAGE + 1)
    job, ready = queries.open_job(session), queries.ready(session)
    val, test = wanted or usual_sizes(ready.pairs)
    context = {
        "snapshots": [queries.as_row(snapshot) | {"row": snapshot} for snapshot in found[: queries.PAGE]],
        "older": found[queries.PAGE - 1].number if len(found) > queries.PAGE else None,
        "job": job,
        "failed": None if job else queries.failed_job(session),
        "unserved": job.queue.value if job and job.queue.value not in presence.served_queues(session) else "",
        "ready": ready,
        "val": val,
        "test": test,
        "plan": freezing.plan(session, *wanted) if wanted and ready.pairs else None,
        "error": error,
    }
    return render(request, "snapshots/list.html", context, block="plan" if wanted else "live", status=status)


@router.post("/snapshots", name="snapshot_make")
def make(request: Request, session: SessionDep, actor: Admin, form: FormDep) -> Response:
    try:
        sent = parse(SnapshotForm, form)
        actions.make_snapshot(session, actor, sent.val, sent.test, sent.note)
    except Invalid as error:
        return list_page(request, session, error=error, status=422)
    return redirect(request, request.url_for("snapshots").path)


@router.get("/snapshots/{number}", name="snapshot")
def snapshot(request: Request, session: SessionDep, actor: DataReader, number: RowId) -> Response:
    found = queries.numbered(session, number)
    info = building.info_of(session, found)
    context = {
        "snapshot": found,
        "row": queries.as_row(found),
        "info": info,
        "snippets": snippets(info) if info.splits else {},
        "size": sum(entry["size"] for entry in found.files.values()),
        "difference": queries.difference(session, found),
        "look": queries.look_inside(session, found),
        "maker": queries.maker(session, found),
        "withdrawn": queries.withdrawn_since(session, found),
        "reaching": queries.reaching(found),
    }
    return render(request, "snapshots/snapshot.html", context)


@router.get("/snapshots/{number}/archive", name="snapshot_archive")
def archive(request: Request, session: SessionDep, actor: DataReader, number: RowId) -> Response:
    """The whole snapshot as one tar. A broken download goes on by Range; the bytes never change."""
    found = ready(session, number)
    name = queries.name(found)
    tar = Archive(building.folder_of(number), name, found.files)
    response = tar_response(request, tar, name, f'"tar-{found.files[MANIFEST]["sha256"]}"')
    if response.status_code < 400:
        actions.note_download(session, actor, number, "archive" if response.status_code == 200 else "archive, a part")
    return response


@router.get("/snapshots/{number}/files/{name:path}", name="snapshot_file")
def file(request: Request, session: SessionDep, actor: DataReader, number: RowId, name: str) -> Response:
    """One file of a snapshot, by a name that its list holds; nothing else is a file."""
    found = ready(session, number)
    entry = found.files.get(name)
    if entry is None:
        raise NotFound(f"v{number:04d} has no such file.")
    actions.note_download(session, actor, number, f"{name}, a part" if "range" in request.headers else name)
    headers = {"ETag": f'"{entry["sha256"]}"', "Cache-Control": "private, no-cache"}
    path = building.folder_of(number) / name
    return FileResponse(path, headers=headers, filename=path.name, media_type="application/octet-stream")


def ready(session: Session, number: int) -> Snapshot:
    """A snapshot whose files are written. Raises NotFound or Conflict."""
    found = queries.numbered(session, number)
    if found.built_at is None:
        raise Conflict(f"v{number:04d} is still being written.", "Its page shows how far it is.")
    return found
