"""What handlers ask for: the session, who is acting, and the form that was sent."""

from typing import Annotated, TypeVar

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from app.accounts import actions, queries
from app.accounts.policies import Actor
from app.config import settings
from app.db import get_session
from app.errors import Forbidden, Invalid, NotSignedIn
from app.tables.account import Role

SessionDep = Annotated[Session, Depends(get_session, scope="function")]

# A number in a path that can be a row's; any other is 404 before it reaches the database.
RowId = Annotated[int, Path(ge=1, le=2**63 - 1)]
# The same in a query: any other is answered with 422.
RowNumber = Annotated[int | None, Query(ge=1, le=2**63 - 1)]

M = TypeVar("M", bound=BaseModel)


def cookie_name() -> str:
    """`__Host-` binds the cookie to this host over TLS; plain http on localhost can't carry it."""
    return "__Host-session" if settings().behind_tls else "session"


class Allow:
    """A dependency that declares which roles a route is for. Raises NotSignedIn or Forbidden."""

    def __init__(self, *roles: Role) -> None:
        self.roles = frozenset(roles)

    def __call__(self, request: Request, session: SessionDep) -> Actor:
        actor = current_actor(request, session)
        if actor is None:
            raise NotSignedIn("You are not signed in, or your session is over.", "Sign in and try again.")
        if actor.role not in self.roles:
            names = " or ".join(sorted(f"{role.value}s" for role in self.roles))
            raise Forbidden(f"This page is for {names}.", "Ask an admin if you need it.")
        return actor


def current_actor(request: Request, session: Session) -> Actor | None:
    """Who sent the request, noted on it for templates; None without a live session."""
    request.state.session = session
    token = request.cookies.get(cookie_name())
    found = queries.signed_in(session, token) if token else None
    request.state.actor = found.actor if found else None
    if found:
        actions.touch(session, found)
    return request.state.actor  # type: ignore[no-any-return]


Anyone = Annotated[Actor, Depends(Allow(*Role))]
Reviewer = Annotated[Actor, Depends(Allow(Role.REVIEWER, Role.ADMIN))]
DataReader = Annotated[Actor, Depends(Allow(Role.RESEARCHER, Role.ADMIN))]
Admin = Annotated[Actor, Depends(Allow(Role.ADMIN))]


async def read_form(request: Request) -> FormData:
    """The sent form; at most 200 fields, no files (the upload route reads its own)."""
    return await request.form(max_files=0, max_fields=200, max_part_size=512 * 1024)


FormDep = Annotated[FormData, Depends(read_form)]


def parse(model: type[M], form: FormData) -> M:
    """The form as `model`. Raises Invalid with one sentence a field; lists are taken where the model wants them."""
    values = {
        name: [_storable(one) for one in form.getlist(name)] if _is_list(model, name) else _storable(value)
        for name, value in form.items()
        if name in model.model_fields
    }
    try:
        return model.model_validate(values)
    except ValidationError as error:
        fields = {str(part["loc"][0]) if part["loc"] else "": _sentence(part) for part in error.errors()}
        raise Invalid(" ".join(dict.fromkeys(fields.values())), fields=fields) from error


def _storable(value: object) -> object:
    """PostgreSQL keeps no NUL, and nobody means to send one."""
    return value.replace("\x00", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


def _is_list(model: type[BaseModel], name: str) -> bool:
    return name in model.model_fields and "list" in str(model.model_fields[name].annotation)


def _sentence(part: object) -> str:
    message = str(part["msg"]).removeprefix("Value error, ")  # type: ignore[index]
    return "Fill this in." if message == "Field required" else message[:1].upper() + message[1:]
