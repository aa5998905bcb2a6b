"""The histology classifiers: train one from reviews, compare it with the one in use, take one into use."""

from fastapi import APIRouter, Request, Response

from app.prefilter import actions, queries, training
from app.web.deps import Admin, RowId, SessionDep
from app.web.flash import flash
from app.web.responses import redirect
from app.web.templating import render

router = APIRouter()


@router.get("/prefilter/classifiers", name="classifiers")
def classifiers(request: Request, session: SessionDep, actor: Admin) -> Response:
    in_use = queries.classifier_in_use(session)
    context = {
        "made": training.classifiers(session),
        "in_use": in_use.id if in_use else None,
        "learnable": training.learnable(session),
        "job": next((job for job in queries.open_jobs(session) if job.kind == "train_from_reviews"), None),
    }
    return render(request, "prefilter/classifiers.html", context, block="live")


@router.post("/prefilter/classifiers", name="classifiers_train")
def train(request: Request, session: SessionDep, actor: Admin) -> Response:
    training.train_from_reviews(session, actor)
    response = redirect(request, request.url_for("classifiers").path)
    flash(request, response, "Training has started; the new classifier is not used until you say so.")
    return response


@router.post("/prefilter/classifiers/none", name="classifiers_stop")
def use_none(request: Request, session: SessionDep, actor: Admin) -> Response:
    actions.use_classifier(session, actor.user_id, None)
    response = redirect(request, request.url_for("prefilter").path)
    flash(request, response, "No classifier is in use now; undecided candidates go through the stage again.")
    return response


@router.get("/prefilter/classifiers/{classifier_id}", name="classifier")
def classifier(request: Request, session: SessionDep, actor: Admin, classifier_id: RowId) -> Response:
    made = training.classifier(session, classifier_id)
    in_use = queries.classifier_in_use(session)
    context = {
        "made": made,
        "metrics": made.classifier.metrics,
        "mistakes": training.mistakes(session, made.classifier),
        "in_use": in_use.id if in_use else None,
        "line": queries.stage_row(session, "domain").threshold,
    }
    return render(request, "prefilter/classifier.html", context)


@router.post("/prefilter/classifiers/{classifier_id}/use", name="classifier_use")
def use(request: Request, session: SessionDep, actor: Admin, classifier_id: RowId) -> Response:
    made = training.classifier(session, classifier_id)
    actions.use_classifier(session, actor.user_id, made.classifier.id)
    response = redirect(request, request.url_for("prefilter").path)
    flash(request, response, f"{made.classifier.name} is in use now; undecided candidates are scored again.")
    return response
