"""How often people kept, edited or threw away what the machine proposed, and any of these reviews as a list."""

from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from app.corrections import queries
from app.corrections.forms import CellForm
from app.corrections.rates import CORRECTED, THROWN_AWAY, Outcome, grouped, maker_title
from app.errors import Invalid
from app.prefilter.languages import language_name
from app.web.deps import Admin, SessionDep, parse
from app.web.templating import render

router = APIRouter()


@router.get("/prefilter/corrections", name="corrections")
def corrections(request: Request, session: SessionDep, actor: Admin) -> Response:
    wanted, error = wanted_cell(request)
    return render(request, "corrections/corrections.html", rates_context(session, wanted, error), status=status(error))


@router.get("/prefilter/corrections/list", name="corrections_list")
def corrections_list(request: Request, session: SessionDep, actor: Admin) -> Response:
    wanted, error = wanted_cell(request)
    rows, following = queries.listed(session, wanted.cell(), wanted.before)
    context = {
        **shared(session, wanted, error),
        "rows": rows,
        "next_url": f"?{wanted.query(before=following)}" if following else None,
    }
    return render(request, "corrections/list.html", context, status=status(error))


def wanted_cell(request: Request) -> tuple[CellForm, Invalid | None]:
    try:
        return parse(CellForm, request.query_params), None  # type: ignore[arg-type]  # it reads like a form
    except Invalid as error:
        return CellForm(), error


def status(error: Invalid | None) -> int:
    return 422 if error else 200


def shared(session: Session, wanted: CellForm, error: Invalid | None) -> dict[str, Any]:
    return {
        "wanted": wanted,
        "error": error,
        "sources": queries.source_names(session),
        "maker_title": maker_title,
        "language_name": language_name,
    }


def rates_context(session: Session, wanted: CellForm, error: Invalid | None) -> dict[str, Any]:
    """Captions by maker; by source and language, and fields, of one maker or of all."""
    captions, fields = queries.seen(session, "captions"), queries.seen(session, "fields")
    of_maker = [one for one in captions if wanted.maker in ("", one.maker)]
    return {
        **shared(session, wanted, error),
        "makers": grouped(captions, lambda one: one.maker),
        "by_source": grouped(of_maker, lambda one: one.source),
        "by_language": grouped(of_maker, lambda one: one.language),
        "by_field": grouped(
            (one for one in fields if wanted.maker in ("", one.maker)), lambda one: f"{one.field}\t{one.maker}"
        ),
        "distances": queries.distances(session),
        "measured": queries.MEASURED,
        "outcomes": Outcome,
        "thrown_away": [outcome.value for outcome in THROWN_AWAY],
        "corrected": [outcome.value for outcome in CORRECTED],
    }
