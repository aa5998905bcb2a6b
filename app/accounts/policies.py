"""Who someone is and what they may do. Pure predicates; nothing here asks the database."""

from dataclasses import dataclass

from app.tables.account import Role


@dataclass(frozen=True)
class Actor:
    """Who acts. The system (CLI, workers) has no user and may do everything."""

    user_id: int | None
    name: str
    role: Role
    adjudicator: bool = False
    daily_goal: int = 200

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN

    @property
    def reviews(self) -> bool:
        return self.role in (Role.REVIEWER, Role.ADMIN)

    @property
    def adjudicates(self) -> bool:
        return self.adjudicator or self.is_admin

    @property
    def reads_data(self) -> bool:
        """Snapshots, models, evaluations."""
        return self.role in (Role.RESEARCHER, Role.ADMIN)


SYSTEM = Actor(user_id=None, name="System", role=Role.ADMIN)

MIN_PASSWORD = 12
GUESSED_IN_DAYS = 3  # of zxcvbn's scores from 0 to 4: below it, ten thousand guesses a second find it within days
READ = 72  # characters; zxcvbn takes no more


def password_problem(password: str, name: str) -> str | None:
    """Why a password can't be taken, or None. Length counts, composition does not (ASVS 5.0, 6.2).

    How easy it is to guess says zxcvbn (Wheeler, USENIX Security 2016), which knows 30,000 common passwords.
    """
    from zxcvbn import zxcvbn  # its lists take memory that a web process rarely needs

    if len(password) < MIN_PASSWORD:
        return f"Use at least {MIN_PASSWORD} characters; a short sentence is good."
    if len(password) > 256:
        return "Use at most 256 characters."
    if len(password.lower().replace(name.lower(), "")) < MIN_PASSWORD // 2:
        return "Too easy to guess: it is mostly the name."
    guess = zxcvbn(password[:READ], user_inputs=[name])
    if guess["score"] < GUESSED_IN_DAYS:
        return f"Too easy to guess. {guess['feedback']['warning'] or 'Add a word or two.'}"
    return None
