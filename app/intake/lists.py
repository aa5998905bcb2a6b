"""The list on an import's page: its entries, or its files, of one outcome."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from app.intake import queries
from app.intake.reports import Line, entry_line, file_line, of_table
from app.tables import EntryOutcome, FileOutcome, Import

LINES = 50


class Show(StrEnum):
    """What can be listed; what begins with `files-` are files, all else entries."""

    TAKEN = "taken"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    FILES_USED = "files-used"
    FILES_IGNORED = "files-ignored"
    FILES_REFUSED = "files-refused"

    @property
    def outcome(self) -> EntryOutcome | FileOutcome:
        part = self.value.removeprefix("files-")
        return EntryOutcome(part) if part == self.value else FileOutcome(part)

    @property
    def heading(self) -> str:
        kind = "entries" if isinstance(self.outcome, EntryOutcome) else "files"
        return f"{self.outcome.value.capitalize()} {kind}"


class Choice(BaseModel):
    """What a request asks for: `reason` narrows the list (for ignored files, it is a kind).

    A list goes on behind the number of an entry, or behind the hash of a file's name.
    """

    show: Show = Show.REFUSED
    reason: str = ""
    after: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    behind: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = ""


@dataclass(frozen=True)
class Listed:
    """Lines of a list, what it can be narrowed to (why → how many), and the query of what follows; empty for none."""

    show: Show
    lines: list[Line]
    reasons: Mapping[str, int]
    reason: str
    following: dict[str, str]


def listed(session: Session, run: Import, counts: queries.Counts, files: queries.FileCounts, choice: Choice) -> Listed:
    """What `choice` asks for; a reason that the list does not hold narrows nothing."""
    known = {
        Show.REFUSED: counts.reasons,
        Show.FILES_IGNORED: files.ignored,
        Show.FILES_REFUSED: files.reasons,
    }
    reasons = known.get(choice.show, {})
    reason = choice.reason if choice.reason in reasons else ""
    lines, last = _lines(session, run, choice, reason)
    following = {"show": choice.show.value, "reason": reason, **last} if last else {}
    return Listed(choice.show, lines, reasons, reason, following)


def _lines(session: Session, run: Import, choice: Choice, reason: str) -> tuple[list[Line], dict[str, str]]:
    """A page of lines, and behind what the next one begins; nothing on the last page."""
    in_table, outcome = of_table(run), choice.show.outcome
    if isinstance(outcome, EntryOutcome):
        entries = queries.entries(session, run.id, outcome, reason, choice.after, LINES + 1)
        last = {"after": str(entries[LINES - 1].ordinal)} if len(entries) > LINES else {}
        return [entry_line(entry, in_table) for entry in entries[:LINES]], last
    files = queries.files(session, run.id, outcome, reason, choice.behind, LINES + 1)
    last = {"behind": files[LINES - 1].name_sha256} if len(files) > LINES else {}
    return [file_line(file, in_table) for file in files[:LINES]], last
