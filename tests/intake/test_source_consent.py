"""Recording what a source's owner agreed to, from the page of its import."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import jobs
from app.tables import Consent, Event, Source, WorkQueue
from tests.factories import make_import
from tests.web_client import SignIn


def test_consent_is_changed_recorded_and_shown(session: Session, sign_in: SignIn) -> None:
    run = make_import(session)
    run.job_id = jobs.submit(session, "import", WorkQueue.CPU, {"import": run.id}).id
    session.flush()
    elm = sign_in("elm")
    sent = {"consent": "ids_only", "consent_note": "Letter of 3 May 2026", "licence": "CC BY 4.0"}
    assert elm.post(f"/imports/{run.id}/source", data=sent).status_code == 303
    source = session.get_one(Source, run.source_id)
    session.refresh(source)
    assert (source.consent, source.licence) == (Consent.IDS_ONLY, "CC BY 4.0")
    details = session.scalars(select(Event.details).where(Event.act == "source.consent_changed")).one()
    assert details == {"from": "agreed", "to": "ids_only"}
    assert elm.post(f"/imports/{run.id}/source", data={"consent": "whatever"}).status_code == 422
