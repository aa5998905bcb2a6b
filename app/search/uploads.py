"""Reads the picture that someone searches by."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from app.errors import Invalid
from app.intake.uploads import admit
from app.tables import Role

PICTURE_BYTES = 20_000_000


@dataclass(frozen=True)
class SentPicture:
    """The form's fields, and the picture's bytes as they came."""

    fields: FormData
    data: bytes


async def read_picture(request: Request) -> SentPicture:
    """The sent form. Raises NotSignedIn, Forbidden, Invalid; the app's limit on the body comes before."""
    await run_in_threadpool(admit, request, Role.REVIEWER, Role.ADMIN)
    form = await request.form(max_files=1, max_fields=200, max_part_size=64 * 1024)
    sent = form.get("file")
    data = await sent.read() if isinstance(sent, UploadFile) else b""
    await form.close()
    if not data:
        raise Invalid("Choose a picture: JPEG, PNG or WebP.")
    return SentPicture(form, data)


PictureDep = Annotated[SentPicture, Depends(read_picture)]
