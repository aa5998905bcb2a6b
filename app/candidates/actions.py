"""Keeping and dropping views of the candidate list. They are a person's own notes, so the log says nothing of them."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.accounts.policies import Actor
from app.candidates import queries
from app.errors import Conflict, NotFound
from app.tables import SavedView, User

MOST_VIEWS = 20


def save_view(session: Session, actor: Actor, name: str, query: str) -> SavedView:
    """Keeps what a list's query shows under a name. Raises Conflict for a name that they have, or one view too many."""
    # one at a time, or two clicks could both find room
    session.execute(select(User.id).where(User.id == actor.user_id).with_for_update(key_share=True))
    names = [view.name for view in queries.saved_views(session, actor)]
    if name in names:
        raise Conflict(
            f"You already have a view called “{name}”.", "Choose another name, or open that view and delete it."
        )
    if len(names) >= MOST_VIEWS:
        raise Conflict(f"You have {MOST_VIEWS} views, the most there can be.", "Open one and delete it first.")
    view = SavedView(user_id=actor.user_id, name=name, query=query)
    session.add(view)
    session.flush()
    return view


def delete_view(session: Session, actor: Actor, view_id: int) -> str:
    """Deletes a view of their own and returns its name. Raises NotFound, also for one of somebody else."""
    own = (SavedView.id == view_id) & (SavedView.user_id == actor.user_id)
    name: str | None = session.scalar(delete(SavedView).where(own).returning(SavedView.name))
    if name is None:
        raise NotFound("There is no such view of yours.", "It may be deleted already.")
    return name
