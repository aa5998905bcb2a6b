"""People and sessions, read."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from app.accounts.policies import Actor
from app.errors import NotFound
from app.tables import LoginAttempt, Review, ReviewKind, Role, User, UserSession

IDLE = timedelta(hours=12)
ABSOLUTE = timedelta(days=7)
ATTEMPT_WINDOW = timedelta(minutes=15)


def token_sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(frozen=True)
class SignedIn:
    actor: Actor
    session_id: int
    seen_at: datetime
    now: datetime


def signed_in(session: Session, token: str) -> SignedIn | None:
    """Who holds this token, unless it is unknown, idle for 12 h, older than 7 days, or its person disabled."""
    now = func.clock_timestamp()
    row = session.execute(
        select(User, UserSession.id, UserSession.seen_at, now)
        .join(UserSession, UserSession.user_id == User.id)
        .where(
            UserSession.token_sha256 == token_sha256(token),
            UserSession.seen_at > now - IDLE,
            UserSession.created_at > now - ABSOLUTE,
            User.disabled_at.is_(None),
        )
    ).one_or_none()
    if row is None:
        return None
    user, session_id, seen_at, at = row
    return SignedIn(actor_of(user), session_id, seen_at, at)


def actor_of(user: User) -> Actor:
    return Actor(user.id, user.name, user.role, user.adjudicator, user.daily_goal)


def user_by_name(session: Session, name: str) -> User | None:
    return session.scalars(select(User).where(User.name == name.strip().lower())).one_or_none()


def user_named(session: Session, name: str) -> User:
    """Raises NotFound."""
    user = user_by_name(session, name)
    if user is None:
        raise NotFound(f"There is no one called {name.strip()[:40]}.", "`ipath user add` adds people.")
    return user


def user_by_id(session: Session, user_id: int) -> User:
    """Raises NotFound."""
    user = session.get(User, user_id)
    if user is None:
        raise NotFound("There is no such person.")
    return user


def lock_admins(session: Session) -> set[int]:
    """The ids of the admins who can sign in, locked: two of them may be about to disable each other."""
    rows = session.execute(
        select(User.id, User.disabled_at).where(User.role == Role.ADMIN).order_by(User.id).with_for_update()
    )
    return {id_ for id_, disabled_at in rows if disabled_at is None}


@dataclass(frozen=True)
class Person:
    """`reviews` are those that stand: without undone ones."""

    user: User
    reviews: int


def people(session: Session) -> list[Person]:
    """Everyone, active ones first, with how much they reviewed."""
    undo = aliased(Review)
    reviews = (
        select(Review.user_id, func.count().label("n"))
        .outerjoin(undo, undo.supersedes == Review.id)
        .where(Review.kind != ReviewKind.UNDO, undo.id.is_(None))
        .group_by(Review.user_id)
        .subquery()
    )
    rows = session.execute(
        select(User, func.coalesce(reviews.c.n, 0))
        .outerjoin(reviews, reviews.c.user_id == User.id)
        .order_by(User.disabled_at.isnot(None), User.name)
    )
    return [Person(*row) for row in rows]


@dataclass(frozen=True)
class Failures:
    count: int
    seconds_since_last: float


def failures(session: Session, name_sha256: str, address: str) -> tuple[Failures, Failures]:
    """Failed sign-ins of the last 15 minutes, for this name and for this address."""
    return _failures(session, LoginAttempt.name_sha256, name_sha256), _failures(session, LoginAttempt.address, address)


def _failures(session: Session, column: InstrumentedAttribute[str], value: str) -> Failures:
    now = func.clock_timestamp()
    count, since = session.execute(
        select(func.count(), func.extract("epoch", now - func.max(LoginAttempt.at))).where(
            column == value, LoginAttempt.at > now - ATTEMPT_WINDOW
        )
    ).one()
    return Failures(count, float(since or 0))
