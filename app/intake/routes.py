"""The import pages: the list, a new import, one import while it runs and its report."""

from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from app import jobs, presence
from app.accounts.policies import Actor
from app.errors import AppError, Conflict, Invalid
from app.intake import actions, locations, queries, reports
from app.intake.forms import CONSENTS, KINDS, Retry, SourceConsent, StartImport, TakeBack
from app.intake.lists import Choice, listed
from app.intake.previews import preview
from app.intake.reasons import sentence_for
from app.intake.uploads import Received, UploadDep
from app.tables import Import, Source
from app.web.deps import Admin, FormDep, RowId, RowNumber, SessionDep, parse
from app.web.flash import flash
from app.web.responses import redirect
from app.web.templating import render

router = APIRouter()

LIST_LENGTH = 20


@router.get("/imports", name="imports")
def imports(request: Request, session: SessionDep, actor: Admin, before: RowNumber = None) -> Response:
    found = queries.imports(session, before, LIST_LENGTH + 1)
    shown = found[:LIST_LENGTH]
    older = f"{request.url_for('imports').path}?before={shown[-1].run.id}" if len(found) > LIST_LENGTH else None
    return render(request, "intake/imports.html", {"imports": shown, "older": older})


@router.get("/imports/new", name="import_new")
def import_new(request: Request, session: SessionDep, actor: Admin) -> Response:
    return new_page(request, session, dict(request.query_params))


def new_page(
    request: Request,
    session: Session,
    values: dict[str, Any],
    error: Invalid | None = None,
    status: int = 200,
) -> Response:
    """The form with what was filled in, and what the chosen inbox entry looks like.

    htmx asks for one part of it: what the source chosen means, or the look at the inbox entry.
    """
    sources = queries.sources(session)
    context = {
        "values": values,
        "error": error,
        "errors": error.fields if error else {},
        "inbox": locations.inbox(),
        "sources": sources,
        "chosen": next((source for source in sources if str(source.id) == values.get("source")), None),
        "kinds": KINDS,
        "consents": CONSENTS,
        "preview": preview(str(values.get("inbox", ""))),
    }
    block = "source_fields" if "source" in values else "preview"
    return render(request, "intake/import_new.html", context, block=block, status=status)


@router.post("/imports", name="import_start")
def import_start(request: Request, upload: UploadDep, session: SessionDep, actor: Admin) -> Response:
    try:
        with session.begin_nested():
            run = start(session, actor, upload)
    except AppError as error:
        upload.discard()
        if not isinstance(error, Invalid):
            raise
        return new_page(request, session, dict(upload.fields), error, status=422)
    response = redirect(request, page_url(request, run))
    flash(request, response, f"Import {run.id} has started.")
    return response


def start(session: Session, actor: Actor, upload: Received) -> Import:
    """What the form asks for: an import of the uploaded files, or of the chosen entry of the inbox."""
    form = parse(StartImport, upload.fields)
    source = chosen_source(session, actor, form)
    wants_inbox = form.inbox and not upload.files
    location = locations.in_inbox(form.inbox) if wants_inbox else locations.uploaded(upload.keep())
    return actions.start_import(session, actor, location, source)


def chosen_source(session: Session, actor: Actor, form: StartImport) -> Source:
    if form.source:
        return queries.source_by_id(session, int(form.source))
    return actions.add_source(session, actor, form.new_source())


def page_url(request: Request, run: Import) -> str:
    return request.url_for("import_page", import_id=run.id).path


@router.get("/imports/{import_id}", name="import_page")
def import_page(
    request: Request, session: SessionDep, actor: Admin, import_id: RowId, choice: Annotated[Choice, Query()]
) -> Response:
    return report_page(request, session, queries.import_by_id(session, import_id), choice)


def report_page(
    request: Request,
    session: Session,
    shown: queries.Shown,
    choice: Choice | None = None,
    error: Invalid | None = None,
    status: int = 200,
) -> Response:
    """The page of an import; while it runs, htmx asks for its body alone every 2 s."""
    run, files = shown.run, queries.file_counts(session, shown.run.id)
    found = None if shown.is_open else listed(session, run, shown.counts, files, choice or Choice())
    context = {
        "shown": shown,
        "taken": queries.taken(session, run.id),
        "taken_back": queries.taken_back(session, run.id) if run.taken_back_at else 0,
        "files": files,
        "served": shown.job.queue.value in presence.served_queues(session),
        "list": found,
        "next": f"{page_url(request, run)}?{urlencode(found.following)}#{found.show}"
        if found and found.following
        else None,
        "nothing_new": None if shown.is_open else queries.nothing_new(session, shown),
        "take_back": None if shown.is_open else queries.can_take_back(session, run.id),
        "error": error,
        "consents": [(consent.value, label) for consent, label in CONSENTS.items()],
        "sentence": partial(sentence_for, in_table=reports.of_table(run)),
    }
    return render(request, "intake/import.html", context, block="body", status=status)


@router.post("/imports/{import_id}/source", name="import_source")
def change_source(request: Request, session: SessionDep, actor: Admin, form: FormDep, import_id: RowId) -> Response:
    shown = queries.import_by_id(session, import_id)
    try:
        sent = parse(SourceConsent, form)
        actions.change_consent(session, actor, shown.source, sent.consent, sent.consent_note, sent.licence)
    except Invalid as error:
        return report_page(request, session, shown, error=error, status=422)
    return back(request, shown.run, f"Recorded for {shown.source.name}; the next snapshot goes by it.")


@router.get("/imports/{import_id}/report.csv", name="import_report_csv")
def import_report_csv(request: Request, session: SessionDep, actor: Admin, import_id: RowId) -> Response:
    shown = queries.import_by_id(session, import_id)
    run = shown.run
    lines = reports.lines(run, queries.report_entries(session, run.id), queries.report_files(session, run.id))
    file = reports.as_csv(lines)
    headers = {"Content-Disposition": f'attachment; filename="import-{run.id}.csv"'}
    return StreamingResponse(reports.chunks(file), media_type="text/csv; charset=utf-8", headers=headers)


@router.post("/imports/{import_id}/retry", name="import_retry")
def import_retry(request: Request, session: SessionDep, actor: Admin, form: FormDep, import_id: RowId) -> Response:
    run = actions.try_again(session, actor, queries.import_by_id(session, import_id), parse(Retry, form).western)
    return back(request, run, f"Import {run.id} runs.")


@router.post("/imports/{import_id}/stop", name="import_stop")
def import_stop(request: Request, session: SessionDep, actor: Admin, import_id: RowId) -> Response:
    shown = queries.import_by_id(session, import_id)
    if not jobs.request_cancel(session, shown.job.id, actor.user_id):
        raise Conflict(f"Import {import_id} is over already.", "Load the page again.")
    return back(request, shown.run, f"Import {import_id} stops. What is taken stays.")


@router.post("/imports/{import_id}/take-back", name="import_take_back")
def import_take_back(request: Request, session: SessionDep, actor: Admin, form: FormDep, import_id: RowId) -> Response:
    shown = queries.import_by_id(session, import_id)
    try:
        result = actions.take_back(session, actor, shown, parse(TakeBack, form).confirm)
    except Invalid as error:
        return report_page(request, session, shown, error=error, status=422)
    went = "1 candidate" if result.go == 1 else f"{result.go:,} candidates"
    text = f"{went} of import {import_id} {'is' if result.go == 1 else 'are'} taken back."
    return back(request, shown.run, f"{text} {result.who_stays}".strip())


def back(request: Request, run: Import, text: str) -> Response:
    response = redirect(request, page_url(request, run))
    flash(request, response, text)
    return response
