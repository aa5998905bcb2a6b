"""Adding people, signing in and out, changing roles and passwords."""

import hashlib
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError, VerifyMismatchError
from sqlalchemy import delete, func, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.accounts import queries
from app.accounts.policies import Actor, password_problem
from app.errors import Conflict, Invalid, TooMany
from app.jobs import record
from app.tables import LoginAttempt, Role, User, UserSession

HASHER = PasswordHasher()
# A hash of nobody's password: unknown names take as long as known ones.
DUMMY_HASH = HASHER.hash(secrets.token_urlsafe(32))

FREE_TRIES_PER_NAME = 5
FREE_TRIES_PER_ADDRESS = 30
LONGEST_PAUSE = 300.0


class Paused(TooMany):
    """Signing in has to wait; `seconds` says how long."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many wrong tries. Try again in {seconds} seconds.")
        self.seconds = seconds


def add_user(session: Session, actor: Actor, name: str, password: str, role: Role, adjudicator: bool = False) -> User:
    """Adds a person. Raises Invalid for a taken name or a weak password."""
    name = name.strip().lower()
    if problem := password_problem(password, name):
        raise Invalid(problem, fields={"password": problem})
    if queries.user_by_name(session, name):
        taken = f"Someone is called {name} already."
        raise Invalid(taken, fields={"name": taken})
    user = User(name=name, role=role, adjudicator=adjudicator, password_hash=HASHER.hash(password))
    try:
        with session.begin_nested():
            session.add(user)
    except IntegrityError as error:
        rule = "Use letters, digits, dot, dash and underscore, at most 40; begin with a letter or digit."
        raise Invalid(rule, fields={"name": rule}) from error
    record(session, "person.added", "person", user.id, user_id=actor.user_id, details={"role": role.value})
    return user


def sign_in(session: Session, name: str, password: str, address: str, user_agent: str) -> str | None:
    """A new session's token, or None when name or password is wrong. Raises Paused while slowed down."""
    name_sha256 = hashlib.sha256(name.strip().lower().encode()).hexdigest()
    _slow_down(session, name_sha256, address)
    user = queries.user_by_name(session, name)
    if not _password_fits(user, password) or user is None or user.disabled_at:
        session.add(LoginAttempt(name_sha256=name_sha256, address=address))
        return None
    if HASHER.check_needs_rehash(user.password_hash):
        user.password_hash = HASHER.hash(password)
    session.execute(delete(LoginAttempt).where(LoginAttempt.name_sha256 == name_sha256))
    token = secrets.token_urlsafe(32)
    session.add(UserSession(user_id=user.id, token_sha256=queries.token_sha256(token), user_agent=user_agent[:200]))
    user.seen_at = func.clock_timestamp()
    record(session, "person.signed_in", "person", user.id, user_id=user.id)
    return token


def _password_fits(user: User | None, password: str) -> bool:
    try:
        return HASHER.verify(user.password_hash if user else DUMMY_HASH, password)
    except (VerifyMismatchError, VerificationError):
        return False


def _slow_down(session: Session, name_sha256: str, address: str) -> None:
    """A growing pause after free tries, never a lock: locking out is itself an attack on a reviewer."""
    by_name, by_address = queries.failures(session, name_sha256, address)
    for failed, free in ((by_name, FREE_TRIES_PER_NAME), (by_address, FREE_TRIES_PER_ADDRESS)):
        if failed.count >= free:
            pause = min(LONGEST_PAUSE, 15.0 * 2 ** (failed.count - free))
            if failed.seconds_since_last < pause:
                raise Paused(int(pause - failed.seconds_since_last) + 1)


def tries_left(session: Session, name: str, address: str) -> int:
    """How many wrong tries are free before the first pause."""
    name_sha256 = hashlib.sha256(name.strip().lower().encode()).hexdigest()
    by_name, _ = queries.failures(session, name_sha256, address)
    return max(0, FREE_TRIES_PER_NAME - by_name.count)


def touch(session: Session, signed_in: queries.SignedIn) -> None:
    """Notes that someone is here, at most once a minute."""
    if (signed_in.now - signed_in.seen_at).total_seconds() < 60:
        return
    now = func.clock_timestamp()
    session.execute(update(UserSession).where(UserSession.id == signed_in.session_id).values(seen_at=now))
    session.execute(update(User).where(User.id == signed_in.actor.user_id).values(seen_at=now))


def sign_out(session: Session, token: str) -> None:
    session.execute(delete(UserSession).where(UserSession.token_sha256 == queries.token_sha256(token)))


def end_sessions(session: Session, user_id: int) -> None:
    session.execute(delete(UserSession).where(UserSession.user_id == user_id))


def sign_out_everywhere(session: Session, actor: Actor, user: User) -> None:
    end_sessions(session, user.id)
    record(session, "person.signed_out", "person", user.id, user_id=actor.user_id)


def set_password(session: Session, actor: Actor, user: User, password: str) -> None:
    """Changes a password and signs the person out everywhere. Raises Invalid for a weak one."""
    if problem := password_problem(password, user.name):
        raise Invalid(problem, fields={"password": problem})
    user.password_hash = HASHER.hash(password)
    end_sessions(session, user.id)
    record(session, "person.password_changed", "person", user.id, user_id=actor.user_id)


def change_own_password(session: Session, actor: Actor, old: str, new: str) -> None:
    """Raises Invalid when the old password is wrong or the new one weak."""
    user = queries.user_by_id(session, actor.user_id or 0)
    if not _password_fits(user, old):
        raise Invalid("The old password is wrong.", fields={"old": "This is not your password now."})
    set_password(session, actor, user, new)


def change_role(session: Session, actor: Actor, user: User, role: Role, adjudicator: bool) -> None:
    """Changes what someone may do, and signs them out. Raises Conflict for the last admin."""
    if user.role is Role.ADMIN and role is not Role.ADMIN:
        _keep_one_admin(session, user)
    details = {"from": user.role.value, "to": role.value, "adjudicator": adjudicator}
    user.role, user.adjudicator = role, adjudicator and role is Role.REVIEWER
    end_sessions(session, user.id)
    record(session, "person.role_changed", "person", user.id, user_id=actor.user_id, details=details)


def disable(session: Session, actor: Actor, user: User) -> None:
    """Ends someone's access at once; their reviews stay. Raises Conflict for the last admin."""
    if user.role is Role.ADMIN:
        _keep_one_admin(session, user)
    user.disabled_at = func.clock_timestamp()
    end_sessions(session, user.id)
    record(session, "person.disabled", "person", user.id, user_id=actor.user_id)


def enable(session: Session, actor: Actor, user: User) -> None:
    user.disabled_at = None
    record(session, "person.enabled", "person", user.id, user_id=actor.user_id)


def set_daily_goal(session: Session, actor: Actor, goal: int) -> None:
    session.execute(update(User).where(User.id == actor.user_id).values(daily_goal=goal))


def _keep_one_admin(session: Session, user: User) -> None:
    if not queries.lock_admins(session) - {user.id}:
        raise Conflict(f"{user.name} is the only admin.", "Make someone else an admin first.")
