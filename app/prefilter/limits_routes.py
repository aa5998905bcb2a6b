"""The smallest and the narrowest picture that goes on: settings of the quality stage."""

from fastapi import APIRouter, Request, Response

from app.errors import Invalid
from app.prefilter import limits
from app.prefilter.forms import LimitsForm
from app.prefilter.routes import back, stage_page
from app.web.deps import Admin, FormDep, SessionDep, parse

router = APIRouter()


@router.post("/prefilter/quality/limits", name="stage_limits")
def change_limits(request: Request, session: SessionDep, actor: Admin, form: FormDep) -> Response:
    try:
        sent = parse(LimitsForm, form)
    except Invalid as error:
        return stage_page(request, session, "quality", None, error, status=422, typed=form)
    changed = limits.set_limits(session, actor, sent.wanted, sent.seen)
    return back(request, "Saved; the stage looks at the undecided again." if changed else "Nothing changed.")
