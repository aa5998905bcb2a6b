"""Searching by an uploaded picture, and reviewing what a search or a filter lists. The results are the list's page."""

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from app.accounts.policies import Actor
from app.candidates.forms import By, ListForm
from app.errors import Conflict
from app.prefilter.queries import encoder_in_use
from app.search import actions, pages, queries
from app.search.uploads import PictureDep
from app.tables import Encoder
from app.web.deps import FormDep, Reviewer, SessionDep, parse
from app.web.flash import flash
from app.web.responses import redirect

router = APIRouter()


def list_url(request: Request, wanted: ListForm, **changes: object) -> str:
    return f"{request.url_for('candidates').path}?{wanted.query(before=None, after=0, **changes)}"


def require_encoder(session: Session) -> Encoder:
    encoder = encoder_in_use(session)
    if encoder is None:
        raise Conflict("No picture is embedded yet, so there is nothing to compare with.", "Search by words.")
    return encoder


@router.post("/search/picture", name="search_picture")
def by_picture(request: Request, sent: PictureDep, session: SessionDep, actor: Reviewer) -> Response:
    wanted = parse(ListForm, sent.fields)
    row = actions.want_picture(session, actor, require_encoder(session), sent.data)
    return redirect(request, list_url(request, wanted, by=By.IMAGE, like=None, picture=row.sha256))


@router.post("/search/again", name="search_again")
def again(request: Request, session: SessionDep, actor: Reviewer, form: FormDep) -> Response:
    wanted = parse(ListForm, form)
    sha256 = wanted.picture if wanted.by is By.IMAGE else actions.key_of(wanted.q)
    actions.ask_again(session, actor, require_encoder(session), sha256)
    return redirect(request, list_url(request, wanted))


@router.post("/search/review", name="search_review")
def review_these(request: Request, session: SessionDep, actor: Reviewer, form: FormDep) -> Response:
    """The first 200 of a list that this person may still be handed, in its order, as their own queue."""
    wanted = parse(ListForm, form)
    ids = to_review(session, actor, wanted)
    if not ids:
        response = redirect(request, list_url(request, wanted))
        flash(request, response, "None of these waits for a review of yours.", "warn")
        return response
    queue = actions.save_list(session, actor, ids)
    return redirect(request, f"{request.url_for('review').path}?queue={queue.id}")


def to_review(session: Session, actor: Actor, wanted: ListForm) -> list[int]:
    if wanted.searches:
        return list(pages.ranking(session, actor, wanted, to_review=True).ids)
    return queries.newest(session, queries.searchable(actor, wanted.filter(), to_review=True))
