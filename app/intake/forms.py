"""Forms of the import pages."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, StringConstraints

from app.intake.actions import NewSource
from app.intake.records import plain_text
from app.tables import Consent, SourceKind

KINDS = {SourceKind.ACCOUNT: "Account", SourceKind.HASHTAG: "Hashtag", SourceKind.FILES: "Set of files"}
CONSENTS = {
    Consent.AGREED: "Owner agreed",
    Consent.IDS_ONLY: "Only ids may be released",
    Consent.NOT_ASKED: "Not asked yet",
}

MOST_DIGITS = 19
Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=120), AfterValidator(plain_text)]
Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500), AfterValidator(plain_text)]


class StartImport(BaseModel):
    """What to import and where it comes from; `source` is an id, or empty for a new one."""

    inbox: str = ""
    source: Annotated[str, StringConstraints(pattern=r"^\d{0,18}$")] = ""
    name: Line = ""
    kind: SourceKind = SourceKind.FILES
    consent: Consent = Consent.NOT_ASKED
    consent_note: Note = ""
    licence: Line = ""

    def new_source(self) -> NewSource:
        return NewSource(self.name, self.kind, self.consent, self.consent_note, self.licence)


def number_or_none(text: object) -> int | None:
    """What was typed as a number; anything else is none, and never the right one."""
    typed = str(text).strip()
    return int(typed) if typed.isascii() and typed.isdecimal() and len(typed) < MOST_DIGITS else None


class TakeBack(BaseModel):
    confirm: Annotated[int | None, BeforeValidator(number_or_none)] = None


class Retry(BaseModel):
    """`western` confirms that the tables are in Windows' Western encoding."""

    western: bool = False


class SourceConsent(BaseModel):
    consent: Consent
    consent_note: Note = ""
    licence: Line = ""
