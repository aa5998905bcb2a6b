"""What some worker does every hour: removes what a crash left and what is long over, and fills the audit sample."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from sqlalchemy import delete, func, literal, select

from app.accounts.queries import ABSOLUTE, ATTEMPT_WINDOW, IDLE
from app.advisory import TIDY
from app.config import settings
from app.db import transaction
from app.prefilter import audit, due, evidence
from app.storage import blobs
from app.tables import LoginAttempt, UserSession

EVERY = timedelta(hours=1)
LEFT_OVER = timedelta(days=1)


def tidy() -> int:
    """Removes what no row will ever name. Returns how many files went; 0 while another worker tidies."""
    with transaction() as session:
        if not session.scalar(select(func.pg_try_advisory_xact_lock(literal(TIDY)))):
            return 0
        now = func.clock_timestamp()
        over = (UserSession.seen_at < now - IDLE) | (UserSession.created_at < now - ABSOLUTE)
        session.execute(delete(UserSession).where(over))
        session.execute(delete(LoginAttempt).where(LoginAttempt.at < now - ATTEMPT_WINDOW))
        if evidence.audit_settings(session).share and audit.draws(session):
            due.submit_audit(session)
        left = list(_left_over())
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)


def _left_over() -> Iterator[Path]:
    """Temporary files (a dot before the name) that are a day old: whoever wrote them is gone."""
    folders = [settings().uploads_path, settings().home_path / "thumbs"]
    if blobs().is_local:
        folders.append(Path(blobs().root))
    before = time.time() - LEFT_OVER.total_seconds()
    for folder in folders:
        for path in folder.rglob(".*"):
            if path.is_file() and path.stat().st_mtime < before:
                yield path
