"""The review page and home."""

import re
from typing import Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import FormData

from app.accounts.policies import Actor
from app.candidates.queries import sees
from app.curation import actions, leases, queries
from app.curation.forms import DecideForm, DraftForm, OverlapForm, ReleaseForm, TokenForm
from app.curation.pages import review_context
from app.curation.vocabulary import FIELDS
from app.errors import Conflict, Forbidden, Invalid
from app.operations.queries import overview
from app.operations.tallies import candidate_counts
from app.prefilter.caption_diff import word_diff
from app.tables.review import Purpose, ReviewKind
from app.training import queries as training
from app.web.deps import Admin, Anyone, FormDep, Reviewer, RowId, RowNumber, SessionDep, parse
from app.web.flash import flash
from app.web.responses import is_htmx, redirect
from app.web.templating import render

router = APIRouter()

PAGE = "curation/review.html"


@router.get("/", name="home")
def home(request: Request, session: SessionDep, actor: Anyone) -> Response:
    if actor.is_admin:
        context = {"overview": overview(session), "has_runs": training.has_any(session)}
        return render(request, "curation/home_admin.html", context)
    if not actor.reviews:
        return redirect(request, request.url_for("snapshots").path)
    return render(request, "curation/home.html", home_context(session, actor))


def home_context(session: Any, actor: Actor) -> dict[str, Any]:
    waiting = candidate_counts(session)["queued"]
    days = queries.days(session, actor)
    return {
        "wanted": queries.wanted(session, actor),
        "progress": queries.progress(session, actor, waiting),
        "figures": queries.figures(session, actor),
        "days": days,
        "busiest": max(day.accepted + day.other for day in days),
        "history": queries.history(session, actor),
        "draft": queries.newest_draft(session, actor),
    }


@router.get("/adjudicate", name="adjudicate")
def adjudicate(
    request: Request,
    session: SessionDep,
    actor: Reviewer,
    candidate: RowNumber = None,
    edit: bool = False,
    reject: bool = False,
    keys: bool = False,
) -> Response:
    """Like reviewing, on candidates that two people judged differently; both judgements are shown."""
    if not actor.adjudicates:
        raise Forbidden("Only adjudicators settle disagreements.", "Ask an admin to make you one.")
    context = review_context(session, actor, candidate, Purpose.ADJUDICATION)
    return page(request, context, edit=edit, reject=reject, keys=keys)


def purpose_of(form: FormData) -> Purpose:
    return Purpose.ADJUDICATION if form.get("purpose") == Purpose.ADJUDICATION.value else Purpose.MAIN


def queue_of(form: FormData) -> int | None:
    """The list that the sent page reviews."""
    sent = str(form.get("queue", ""))
    return int(sent) if QUEUE.fullmatch(sent) else None


QUEUE = re.compile("[0-9]{1,18}")
PAGES = {Purpose.MAIN: "review", Purpose.ADJUDICATION: "adjudicate"}


def here(request: Request, purpose: Purpose, queue: int | None) -> str:
    """The review page's address, to which a template adds."""
    return f"{request.url_for(PAGES[purpose]).path}?" + (f"queue={queue}&" if queue else "")


@router.post("/review/overlap", name="review_overlap")
def change_overlap(request: Request, session: SessionDep, actor: Admin, form: FormDep) -> Response:
    actions.set_overlap(session, actor, parse(OverlapForm, form).percent / 100)
    response = redirect(request, request.url_for("people").path)
    flash(request, response, "Changed for candidates that are queued from now on.")
    return response


@router.get("/review", name="review")
def review(
    request: Request,
    session: SessionDep,
    actor: Reviewer,
    candidate: RowNumber = None,
    queue: RowNumber = None,
    edit: bool = False,
    reject: bool = False,
    keys: bool = False,
) -> Response:
    context = review_context(session, actor, candidate, queue_id=queue)
    return page(request, context, edit=edit, reject=reject, keys=keys)


def page(request: Request, context: dict[str, Any], status: int = 200, **state: Any) -> Response:
    """The review page; for htmx only its body. `state` opens the text, the reasons or the list of keys."""
    purpose, queue = context["purpose"], context["queue"]
    titles = {Purpose.MAIN: "Your list" if queue else "Main queue", Purpose.ADJUDICATION: "Disagreements"}
    context |= {"here": here(request, purpose, queue), "title": titles[purpose]}
    shape = {
        "edit": False,
        "reject": False,
        "keys": False,
        "errors": {},
        "said": "",
        "typed_note": "",
        "cropped": False,
        "vocabulary": FIELDS,
    }
    return render(request, PAGE, context | shape | state, block="review", status=status)


@router.post("/review/{candidate_id}/decide", name="review_decide")
def decide(request: Request, session: SessionDep, actor: Reviewer, form: FormDep, candidate_id: RowId) -> Response:
    wish = "reject" if form.get("reason") else str(form.get("decision", ""))
    if wish == "undo":
        return undo_last(request, session, actor, form)
    if wish == "skip":
        queries.require(session, candidate_id)
        leases.skip(session, actor, candidate_id)
        return next_candidate(request, session, actor, form, f"Skipped C-{candidate_id}.")
    try:
        sent = parse(DecideForm, form)
        kind = ReviewKind(wish) if wish in ("accept", "reject", "flag") else None
        if kind is None:
            raise Invalid("Choose accept, reject, flag or skip.")
        actions.decide(session, actor, sent.decision(candidate_id, kind))
    except Invalid as error:
        return try_again(request, session, actor, form, candidate_id, error)
    except actions.TakenOver as error:
        return stale(request, session, actor, form, error)
    word = {"accept": "Accepted", "reject": "Rejected", "flag": "Flagged"}[kind.value]
    return next_candidate(request, session, actor, form, f"{word} C-{candidate_id}.")


def next_candidate(request: Request, session: Any, actor: Actor, form: FormData, said: str) -> Response:
    """The next candidate in the same answer; a plain request is sent to its page."""
    purpose = purpose_of(form)
    if not is_htmx(request):
        return redirect(request, here(request, purpose, queue_of(form)).rstrip("?&"))
    return page(request, review_context(session, actor, None, purpose, queue_of(form)), said=said)


def try_again(
    request: Request, session: Any, actor: Actor, form: FormData, candidate_id: int, error: Invalid
) -> Response:
    """The same candidate with what was wrong; reject without a reason opens the reasons."""
    if "caption" in form:
        keep_draft(session, actor, form, candidate_id)
    context = review_context(session, actor, candidate_id, purpose_of(form), queue_of(form))
    wrong = {"edit": "caption" in error.fields, "reject": "reasons" in error.fields}
    typed = {"typed_note": str(form.get("note", "")), "cropped": bool(form.get("crop"))}
    return page(request, context, status=422, errors=error.fields, said=error.message, **typed, **wrong)


def keep_draft(session: Any, actor: Actor, form: FormData, candidate_id: int) -> None:
    """Keeps sent text as a draft on the caption now on offer, if it can be read at all."""
    shown = queries.shown(session, candidate_id)
    try:
        sent = parse(DraftForm, form)
    except Invalid:
        return
    if shown:
        version = shown.candidate.caption_version
        actions.save_draft(session, actor, candidate_id, version, sent.caption, sent.kept())


def stale(request: Request, session: Any, actor: Actor, form: FormData, error: actions.TakenOver) -> Response:
    """Both texts side by side; what the reviewer wrote is kept as a draft, nothing else is written."""
    keep_draft(session, actor, form, error.candidate_id)
    mine = actions.plain_lines(str(form.get("caption", "")))
    seen = sees(session, actor, error.candidate_id)
    theirs = queries.standing(session, error.candidate_id) if seen else queries.Standing("")
    context = {
        "error": error,
        "shown": queries.shown(session, error.candidate_id) if seen else None,
        "mine": mine,
        "theirs": theirs,
        "mine_pieces": [p for p in word_diff(theirs.caption, mine) if p.op != "del"],
        "their_pieces": [p for p in word_diff(mine, theirs.caption) if p.op != "del"],
    }
    return render(request, "curation/stale.html", context, block="stale", status=409)


def undo_last(request: Request, session: Any, actor: Actor, form: FormData) -> Response:
    last = actions.last_reviews(session, actor)
    if not last:
        raise Conflict("You have no decision to take back.")
    return undone(request, session, actor, last[0], parse(TokenForm, form).submission_id, queue_of(form))


@router.post("/review/undo/{review_id}", name="review_undo")
def undo(request: Request, session: SessionDep, actor: Reviewer, form: FormDep, review_id: RowId) -> Response:
    return undone(request, session, actor, review_id, uuid4())


def undone(
    request: Request, session: Any, actor: Actor, review_id: int, submission_id: UUID, queue: int | None = None
) -> Response:
    candidate = actions.undo(session, actor, review_id, submission_id)
    said = f"Took back your decision on C-{candidate.id}; it is yours again."
    if not is_htmx(request):
        response = redirect(request, f"{here(request, Purpose.MAIN, queue)}candidate={candidate.id}")
        flash(request, response, said)
        return response
    context = review_context(session, actor, candidate.id, queue_id=queue)
    return page(request, context, said=said)


@router.get("/review/history", name="review_history")
def history(request: Request, session: SessionDep, actor: Reviewer) -> Response:
    """The list of own last decisions that opens over the review page."""
    return render(request, "curation/_history.html", {"history": queries.history(session, actor)})


@router.post("/review/skipped", name="review_skipped")
def offer_skipped(request: Request, session: SessionDep, actor: Reviewer) -> Response:
    leases.offer_skipped_again(session, actor)
    return redirect(request, request.url_for("review").path)


@router.post("/review/{candidate_id}/draft", name="review_draft")
def draft(request: Request, session: SessionDep, actor: Reviewer, form: FormDep, candidate_id: RowId) -> Response:
    queries.require(session, candidate_id)
    sent = parse(DraftForm, form)
    actions.save_draft(session, actor, candidate_id, sent.caption_version, sent.caption, sent.kept())
    return JSONResponse(lease_end(session, actor, candidate_id))


@router.post("/review/{candidate_id}/renew", name="review_renew")
def renew(request: Request, session: SessionDep, actor: Reviewer, candidate_id: RowId) -> Response:
    return JSONResponse(lease_end(session, actor, candidate_id))


def lease_end(session: Any, actor: Actor, candidate_id: int) -> dict[str, Any]:
    """Renews what this person holds; `seconds` is how long the candidate stays theirs, 0 if it is not.

    `until` is when the last of their leases ends, by the database's clock.
    """
    held = [lease for purpose in PAGES for lease in leases.renew(session, actor, purpose)]
    mine = any(lease.candidate_id == candidate_id for lease in held)
    return {
        "seconds": int(leases.lease_time().total_seconds()) if mine else 0,
        "until": max(lease.until for lease in held).isoformat() if held else "",
    }


@router.post("/review/release", name="review_release", status_code=204)
def release(request: Request, session: SessionDep, actor: Reviewer, form: FormDep) -> Response:
    leases.release(session, actor, parse(ReleaseForm, form).until)
    return Response(status_code=204)
