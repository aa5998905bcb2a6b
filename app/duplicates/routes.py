"""Duplicate groups: lists by kind, one group side by side, and what an admin says of them."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session

from app.accounts.policies import Actor
from app.duplicates import actions, queries
from app.duplicates.forms import EditForm, KeepForm, ListForm, MergeForm, SplitForm
from app.errors import Invalid, NotFound
from app.web.deps import Admin, FormDep, RowId, RowNumber, SessionDep, parse
from app.web.flash import flash
from app.web.responses import redirect
from app.web.templating import render

router = APIRouter()

PAGE = 10  # groups
TILES, ALL_TILES = 12, 100  # of one group: in a list, and on its own page


@router.get("/duplicates", name="duplicates")
def duplicates(request: Request, session: SessionDep, actor: Admin, wanted: Annotated[ListForm, Query()]) -> Response:
    found = queries.listed(session, wanted.kind, wanted.before, PAGE + 1)
    shown = found[:PAGE]
    context = {
        "groups": shown,
        "wanted": wanted,
        "counts": queries.counts(session),
        "next_url": f"?{wanted.query(before=shown[-1].id)}" if len(found) > PAGE else None,
        "last": queries.last_edit(session, actor.user_id),
        "most": TILES,
    }
    return render(request, "duplicates/duplicates.html", context)


@router.get("/duplicates/of/{candidate_id}", name="duplicates_of")
def duplicates_of(request: Request, session: SessionDep, actor: Admin, candidate_id: RowId) -> Response:
    group_id = queries.group_of(session, candidate_id)
    if group_id is None:
        raise NotFound(f"C-{candidate_id} has no copies.")
    return redirect(request, request.url_for("duplicate_group", group_id=group_id).path)


@router.get("/duplicates/{group_id}", name="duplicate_group")
def duplicate_group(
    request: Request,
    session: SessionDep,
    actor: Admin,
    group_id: RowId,
    beside: Annotated[RowNumber, Query(alias="with")] = None,
) -> Response:
    return group_page(request, session, actor, group_id, beside)


def group_page(
    request: Request,
    session: Session,
    actor: Actor,
    group_id: int,
    beside: int | None = None,
    *,
    error: Invalid | None = None,
    typed: str = "",
    status: int = 200,
) -> Response:
    """One group; its best copy beside another, the least like it where none is named."""
    group = queries.group(session, group_id)
    others = [copy for copy in group.copies if copy is not group.best]
    farthest = max(others, key=lambda copy: 256 if copy.bits is None else copy.bits)
    context = {
        "group": group,
        "other": next((copy for copy in others if copy.member.candidate_id == beside), farthest),
        "others": others[:ALL_TILES],
        "wanted": None,
        "last": queries.last_edit(session, actor.user_id),
        "most": ALL_TILES,
        "errors": error.fields if error else {},
        "typed": typed,
    }
    return render(request, "duplicates/group.html", context, status=status)


@router.post("/duplicates/undo", name="duplicate_undo")
def undo(request: Request, session: SessionDep, actor: Admin, form: FormDep) -> Response:
    actions.undo(session, actor)
    return back(request, session, parse(ListForm, form), None, "Your last edit is taken back.")


@router.post("/duplicates/{group_id}/right", name="duplicate_right")
def right(request: Request, session: SessionDep, actor: Admin, form: FormDep, group_id: RowId) -> Response:
    sent = parse(EditForm, form)
    actions.confirm(session, actor, group_id, sent.version)
    return back(request, session, sent, group_id, f"G-{group_id} is right: its copies are one picture.")


@router.post("/duplicates/{group_id}/split", name="duplicate_split")
def split(request: Request, session: SessionDep, actor: Admin, form: FormDep, group_id: RowId) -> Response:
    sent = parse(SplitForm, form)
    try:
        gone = actions.split(session, actor, group_id, sent.version, sent.apart)
    except Invalid as error:
        return group_page(request, session, actor, group_id, error=error, status=error.status)
    named = ", ".join(f"C-{candidate_id}" for candidate_id in gone[:5]) + (" and others" if len(gone) > 5 else "")
    text = f"G-{group_id} is split: {named} {'is' if len(gone) == 1 else 'are'} no copy of the rest."
    return back(request, session, sent, group_id, text)


@router.post("/duplicates/{group_id}/keep", name="duplicate_keep")
def keep(request: Request, session: SessionDep, actor: Admin, form: FormDep, group_id: RowId) -> Response:
    sent = parse(KeepForm, form)
    actions.keep(session, actor, group_id, sent.version, sent.candidate)
    return back(request, session, sent, group_id, f"C-{sent.candidate} is the copy that is kept now.")


@router.post("/duplicates/{group_id}/merge", name="duplicate_merge")
def merge(request: Request, session: SessionDep, actor: Admin, form: FormDep, group_id: RowId) -> Response:
    try:
        sent = parse(MergeForm, form)
        other = sent.other
        actions.merge(session, actor, group_id, sent.version, other.number, other_is_group=other.is_group)
    except Invalid as error:
        typed = str(form.get("other", ""))[:40]
        return group_page(request, session, actor, group_id, error=error, typed=typed, status=error.status)
    named = f"{'G' if other.is_group else 'C'}-{other.number}"
    return back(request, session, sent, group_id, f"{named} is joined to G-{group_id}.")


def back(request: Request, session: Session, sent: EditForm | ListForm, group_id: int | None, text: str) -> Response:
    """To the list that the edit came from; else to the group, or to all groups when it is one no more."""
    url = request.url_for("duplicates").path
    if sent.kind:
        url += f"?{ListForm(kind=sent.kind, before=sent.before).query()}"
    elif group_id is not None and queries.groups(session, [group_id]):
        url = request.url_for("duplicate_group", group_id=group_id).path
    response = redirect(request, url)
    flash(request, response, text)
    return response
