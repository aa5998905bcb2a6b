"""A download that can be broken off and goes on: the whole of a tar, or the range that was asked for (RFC 9110)."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.archive import Archive, byte_range


def tar_response(request: Request, tar: Archive, name: str, etag: str) -> Response:
    """200 with the whole, 206 with a part, 416 where no byte of the range exists. `etag` stands for the tar's bytes."""
    part = _wanted_part(request.headers, tar.size, etag)
    if part is None:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{tar.size}"})
    start, stop = part
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Length": str(stop - start),
        "Content-Disposition": f'attachment; filename="{name}.tar"',
        "Cache-Control": "private, no-cache",
    }
    is_whole = (start, stop) == (0, tar.size)
    if not is_whole:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{tar.size}"
    return StreamingResponse(tar.read(start, stop), 200 if is_whole else 206, headers, media_type="application/x-tar")


def _wanted_part(headers: Mapping[str, str], size: int, etag: str) -> tuple[int, int] | None:
    """The bytes to send, [start, stop); None when the range asked for does not exist."""
    if "range" not in headers or headers.get("if-range", etag) != etag:
        return 0, size
    try:
        return byte_range(headers["range"], size) or (0, size)
    except ValueError:
        return None
