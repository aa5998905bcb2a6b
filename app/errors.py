"""Errors of the domain. Each carries its HTTP status and says what happened and what to do next."""


class AppError(Exception):
    """What a person is told: title, what happened (`message`) and what to do (`what_next`)."""

    status = 500
    title = "Something broke on our side"

    def __init__(self, message: str, what_next: str = "", *, title: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.what_next = what_next
        if title:
            self.title = title


class NotSignedIn(AppError):
    status = 401
    title = "Sign in first"


class Forbidden(AppError):
    status = 403
    title = "Not yours to do"


class NotFound(AppError):
    status = 404
    title = "Not here"


class Conflict(AppError):
    status = 409
    title = "That is not possible now"


class Stale(Conflict):
    """What the caller saw has changed since; nothing was written."""

    title = "It changed while you worked"


class TooLarge(AppError):
    status = 413
    title = "Too large"


class Invalid(AppError):
    """Input that can't be taken. `fields` maps a form field's name to its sentence."""

    status = 422
    title = "Some of this can't be taken"

    def __init__(self, message: str, what_next: str = "", *, fields: dict[str, str] | None = None) -> None:
        super().__init__(message, what_next)
        self.fields = fields or {}


class TooMany(AppError):
    status = 429
    title = "Wait a little"


class Unavailable(AppError):
    status = 503
    title = "Not available now"
