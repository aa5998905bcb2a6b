"""Which languages are reviewed: a setting of the language stage."""

from fastapi import APIRouter, Request, Response

from app.errors import Invalid
from app.prefilter import actions
from app.prefilter.forms import LanguagesForm
from app.prefilter.routes import back, stage_page
from app.web.deps import Admin, FormDep, SessionDep, parse

router = APIRouter()


@router.post("/prefilter/language/reviewed", name="stage_languages")
def change_reviewed(request: Request, session: SessionDep, actor: Admin, form: FormDep) -> Response:
    try:
        changed = actions.set_reviewed_languages(session, actor, parse(LanguagesForm, form).reviewed)
    except Invalid as error:
        return stage_page(request, session, "language", None, error, status=422)
    return back(request, "Saved; candidates move." if changed else "Nothing changed.")
