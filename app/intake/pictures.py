"""Our clean copy of a picture: decoded in a child process under limits, upright, sRGB, without metadata."""

import hashlib
import io
import math
import re
import signal
import time
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from types import TracebackType

from pebble import ProcessExpired, ProcessPool
from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from app.intake.reasons import Reason

FORMATS = ["JPEG", "PNG", "WEBP"]
MAX_PIXELS = 50_000_000
MIN_SIDE = 64
MAX_SCANS = 100  # of a JPEG; encoders write some 10, and each costs as much as the whole picture
MEMORY = 1_500_000_000  # address space of a decoding child: 50 Mpx as RGBA twice, and the interpreter
CPU_SECONDS = 20  # for each picture; the largest takes some 5
TIMEOUT = 60.0  # by the clock: a busy machine refuses no good picture
ORIENTATION = 0x0112
MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)  # of a JPEG, with a length behind it
END, SCAN = b"\xd9", b"\xda"
STILLS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis")
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Image.MAX_IMAGE_PIXELS = MAX_PIXELS


class PictureRefused(Exception):
    """A picture that is not taken, with the reason from the closed list."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class CleanPicture:
    """A JPEG without metadata; `sha256` is of `data`, `source_sha256` of the bytes as received."""

    data: bytes
    width: int
    height: int
    sha256: str
    source_sha256: str


def clean(data: bytes) -> CleanPicture:
    """Decodes JPEG, PNG or WebP of at most 50 Mpx and writes it anew. The same input gives the same bytes.

    A JPEG keeps its own quantisation where no pixel has to change; everything else becomes JPEG of quality
    95 without chroma subsampling. Raises PictureRefused.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged metadata is no reason: none of it is kept
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with _open(data) as picture:
                _check(picture)
                written = _write(picture)
        except PictureRefused:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise PictureRefused(Reason.IMAGE_TOO_LARGE) from error
        except UnidentifiedImageError as error:
            raise PictureRefused(Reason.VIDEO if _is_video(data) else Reason.NOT_AN_IMAGE) from error
        except Exception as error:  # decoders raise what they like on broken input
            raise PictureRefused(Reason.IMAGE_UNREADABLE) from error
    jpeg, (width, height) = written
    source = hashlib.sha256(data).hexdigest()
    return CleanPicture(jpeg, width, height, hashlib.sha256(jpeg).hexdigest(), source)


def _open(data: bytes) -> Image.Image:
    """The picture, undecoded. A phone's JPEG with a preview or gain map behind it (MPO) is its first picture."""
    picture = Image.open(io.BytesIO(data), formats=FORMATS)
    if picture.format in ("JPEG", "MPO") and (scans := _scans(data)) > MAX_SCANS:
        raise PictureRefused(Reason.IMAGE_UNREADABLE, f"its pixels are written {scans:,} times")
    return JpegImageFile(io.BytesIO(data)) if picture.format == "MPO" else picture


def _is_video(data: bytes) -> bool:
    """MP4 and QuickTime, or WebM, by their first bytes; stills of phones (HEIC, AVIF) begin like MP4."""
    return data.startswith(b"\x1aE\xdf\xa3") or (data[4:8] == b"ftyp" and data[8:12] not in STILLS)


def _scans(jpeg: bytes) -> int:
    """How often a JPEG goes over its pixels: thousands of scans fit a small file and take minutes to decode."""
    count, at = 0, 2
    while (marker := MARKER.search(jpeg, at)) and marker[1] != END:
        count += marker[1] == SCAN
        at = marker.end() + int.from_bytes(jpeg[marker.end() : marker.end() + 2], "big")
    return count


def _check(picture: Image.Image) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise PictureRefused(Reason.IMAGE_TOO_LARGE, f"{width} × {height} pixels")
    if getattr(picture, "n_frames", 1) > 1:
        raise PictureRefused(Reason.ANIMATION)
    if min(width, height) < MIN_SIDE:
        raise PictureRefused(Reason.TOO_SMALL, f"{width} × {height} pixels")


def _write(picture: Image.Image) -> tuple[bytes, tuple[int, int]]:
    profile = picture.info.get("icc_profile")
    turn = _turn(picture)
    picture.load()
    buffer = io.BytesIO()
    if picture.format == "JPEG" and picture.mode in ("RGB", "L") and turn is None and _is_srgb(profile):
        picture.info.clear()  # Pillow writes comments and other metadata from here
        picture.save(buffer, "JPEG", quality="keep")
        return buffer.getvalue(), picture.size
    upright = picture if turn is None else picture.transpose(turn)
    plain = _to_srgb(_flat(upright), profile)
    plain.info.clear()
    plain.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue(), plain.size


def _turn(picture: Image.Image) -> Image.Transpose | None:
    """What makes the picture upright; None where it is, or its EXIF can't be read."""
    try:
        orientation = picture.getexif().get(ORIENTATION)
    except Exception:  # parsers of EXIF raise what they like on broken input
        return None
    return UPRIGHT.get(orientation) if isinstance(orientation, int) else None


def _is_srgb(profile: bytes | None) -> bool:
    if not profile:
        return True
    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError):
        return True  # a profile nobody can read changes no pixel anywhere
    return "srgb" in name.casefold()


def _flat(picture: Image.Image) -> Image.Image:
    """RGB, grey or CMYK of 8 bits: what was transparent is white, as on the page it was posted to."""
    if picture.mode.startswith("I"):
        picture = picture.convert("I").point(lambda value: value / 257).convert("L")
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        white = Image.new("RGB", rgba.size, "white")
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    return picture if picture.mode in ("RGB", "L", "CMYK") else picture.convert("RGB")


def _to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Through its own colour profile where it has a readable one that fits, else as the numbers stand."""
    if profile and not _is_srgb(profile):
        try:
            given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(picture, given, ImageCms.createProfile("sRGB"), outputMode="RGB")
            return converted or picture
        except (ImageCms.PyCMSError, OSError):
            pass
    return picture.convert("RGB") if picture.mode == "CMYK" else picture


# --- children -----------------------------------------------------------------------------------


def _limit_child(memory: int) -> None:
    import resource
    import sys

    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _clean_or_refuse(data: bytes, cpu_seconds: int) -> CleanPicture | PictureRefused:
    """Refusals as values: an exception's traceback is costly to send between processes."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    until = math.ceil(time.process_time()) + cpu_seconds
    resource.setrlimit(resource.RLIMIT_CPU, (until if most == resource.RLIM_INFINITY else min(until, most), most))
    try:
        return clean(data)
    except PictureRefused as refused:
        return refused


class PictureCleaner:
    """A small pool of child processes that decode untrusted pictures under memory and time limits.

    A picture that kills or hangs its child is refused; the pool lives on.
    """

    def __init__(
        self,
        processes: int = 2,
        memory: int = MEMORY,
        seconds: float = TIMEOUT,
        cpu_seconds: int = CPU_SECONDS,
    ) -> None:
        import multiprocessing

        # spawn: a fork would copy the locks of the worker's other threads as they happen to stand
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPool(max_workers=processes, initializer=_limit_child, initargs=(memory,), context=context)
        self._seconds = seconds
        self._cpu_seconds = cpu_seconds
        self._ahead = 2 * processes

    def __enter__(self) -> "PictureCleaner":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join(timeout=10)

    def clean(self, data: bytes) -> CleanPicture:
        """Like `clean`, in a child. Raises PictureRefused."""
        (result,) = self.clean_all([data])
        if isinstance(result, PictureRefused):
            raise result
        return result

    def clean_all(self, pictures: Iterable[bytes]) -> Iterator[CleanPicture | PictureRefused]:
        """A result for every picture, in order. The children work on several at once; few are held ahead."""
        waiting: deque[Future[CleanPicture | PictureRefused]] = deque()
        for data in pictures:
            args = (data, self._cpu_seconds)
            waiting.append(self._pool.schedule(_clean_or_refuse, args=args, timeout=self._seconds))
            if len(waiting) > self._ahead:
                yield self._result(waiting.popleft())
        while waiting:
            yield self._result(waiting.popleft())

    def _result(self, future: "Future[CleanPicture | PictureRefused]") -> CleanPicture | PictureRefused:
        try:
            return future.result()
        except FutureTimeout:
            return PictureRefused(Reason.IMAGE_UNREADABLE, f"decoding took more than {self._seconds:g} s")
        except ProcessExpired as expired:
            return PictureRefused(Reason.IMAGE_UNREADABLE, self._why_it_died(expired.exitcode))
        except MemoryError:
            return PictureRefused(Reason.IMAGE_UNREADABLE, "decoding needed too much memory")

    def _why_it_died(self, exit_code: int | None) -> str:
        if exit_code == -signal.SIGXCPU:
            return f"decoding took more than {self._cpu_seconds} s of processor time"
        return "its decoder stopped, as it does for want of memory"
