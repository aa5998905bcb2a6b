"""Pictures made to hurt, each made when asked for, with the reason it is refused for; None for one that is taken."""

import io
import struct
import zlib
from collections.abc import Callable

from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

from app.intake.reasons import Reason


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def plain(mode: str = "RGB", size: tuple[int, int] = (200, 120)) -> Image.Image:
    return Image.radial_gradient("L").resize(size).convert(mode)


def jpeg(**options: object) -> bytes:
    return saved(plain(), "JPEG", **options)


def moving(kind: str) -> bytes:
    frames = [Image.new("RGB", (100, 100), colour) for colour in ("red", "blue", "green")]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_that_claims(width: int, height: int, depth: int = 8, colour: int = 2, data: bytes = b"\x00") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = png_chunk(b"IHDR", head) + png_chunk(b"IDAT", zlib.compress(data)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def webp_that_claims(width: int, height: int) -> bytes:
    body = (
        b"WEBPVP8L" + struct.pack("<I", 12) + b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(7)
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_that_claims(width: int, height: int) -> bytes:
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def png_with(**texts: bytes) -> bytes:
    info = PngImagePlugin.PngInfo()
    for name, body in texts.items():
        info.add(name.encode(), body)
    return saved(plain(), "PNG", pnginfo=info)


def deep_png() -> bytes:
    row = b"\x00" + struct.pack(">HHH", 60_000, 30_000, 100) * 100
    return png_that_claims(100, 100, depth=16, data=row * 100)


def with_exif(kind: str = "JPEG", orientation: int = 1) -> bytes:
    """Names of a patient and of a place wherever a format has room for them."""
    exif = Image.Exif()
    exif[0x010E] = "PATIENT DOE"
    exif[0x0112] = orientation
    exif.get_ifd(0x8825)[2] = tuple(TiffImagePlugin.IFDRational(n) for n in (48, 8, 30))
    more = {"comment": b"PATIENT DOE"} if kind == "JPEG" else {}
    return saved(plain(), kind, exif=exif, xmp=b"<x>PATIENT DOE</x>", **more)


def with_profile(mode: str, kind: str, profile: bytes | None = None) -> bytes:
    space = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    return saved(plain(mode), kind, icc_profile=profile or space)


def scan_bomb(scans: int, side: int = 400) -> bytes:
    """A progressive JPEG with one of its scans repeated: a small file that takes long to decode."""
    data = saved(Image.new("RGB", (side, side), "white"), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    return data[:start] + data[start:-2] * scans + data[-2:]


def phone() -> bytes:
    """A JPEG with a second picture behind it, as phones write for previews and gain maps."""
    return saved(plain(), "MPO", save_all=True, append_images=[plain()])


def wide_profile() -> bytes:
    """sRGB with a gamma of 1 and another name: whoever ignores it shows other colours."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile = bytearray(bytes(profile).replace("sRGB".encode("utf-16-be"), "wide".encode("utf-16-be")))
    at = profile.index(b"para", 200)
    profile[at + 12 : at + 16] = (0x10000).to_bytes(4, "big")
    return bytes(profile)


WEB_PAGE = b"<!doctype html><title>Login</title><script>alert(1)</script>"
MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(100)

PICTURES: dict[str, tuple[Callable[[], bytes], Reason | None]] = {
    "empty": (lambda: b"", Reason.NOT_AN_IMAGE),
    "text": (lambda: b"no picture at all", Reason.NOT_AN_IMAGE),
    "web page": (lambda: WEB_PAGE, Reason.NOT_AN_IMAGE),
    "SVG": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', Reason.NOT_AN_IMAGE),
    "GIF": (lambda: saved(plain("P"), "GIF"), Reason.NOT_AN_IMAGE),
    "moving GIF": (lambda: moving("GIF"), Reason.NOT_AN_IMAGE),
    "BMP": (lambda: saved(plain(), "BMP"), Reason.NOT_AN_IMAGE),
    "TIFF": (lambda: saved(plain(), "TIFF"), Reason.NOT_AN_IMAGE),
    "icon": (lambda: saved(plain(), "ICO"), Reason.NOT_AN_IMAGE),
    "PDF": (lambda: saved(plain(), "PDF"), Reason.NOT_AN_IMAGE),
    "PostScript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", Reason.NOT_AN_IMAGE),
    "video": (lambda: MP4, Reason.VIDEO),
    "WebM": (lambda: b"\x1aE\xdf\xa3" + bytes(100), Reason.VIDEO),
    "HEIC": (lambda: b"\x00\x00\x00\x18ftypheic" + bytes(100), Reason.NOT_AN_IMAGE),
    "zip": (lambda: b"PK\x03\x04" + bytes(100), Reason.NOT_AN_IMAGE),
    "zeros": (lambda: bytes(1000), Reason.NOT_AN_IMAGE),
    "two bytes of a JPEG": (lambda: b"\xff\xd8", Reason.NOT_AN_IMAGE),
    "PNG signature alone": (lambda: b"\x89PNG\r\n\x1a\n", Reason.NOT_AN_IMAGE),
    "cut JPEG": (lambda: jpeg()[:-300], Reason.IMAGE_UNREADABLE),
    "JPEG head alone": (lambda: jpeg()[:650], Reason.IMAGE_UNREADABLE),
    "cut PNG": (lambda: saved(plain(), "PNG")[:-40], Reason.IMAGE_UNREADABLE),
    "cut WebP": (lambda: saved(plain(), "WEBP")[:-100], Reason.IMAGE_UNREADABLE),
    "PNG with too few rows": (lambda: png_that_claims(200, 200), Reason.IMAGE_UNREADABLE),
    "PNG with a text of 100 MB": (
        lambda: png_with(zTXt=b"k\x00\x00" + zlib.compress(bytes(100_000_000))),
        Reason.IMAGE_UNREADABLE,
    ),
    "JPEG of 20,000 scans": (lambda: scan_bomb(20_000, 1000), Reason.IMAGE_UNREADABLE),
    "JPEG with one of many scans behind it": (lambda: jpeg() + scan_bomb(20_000), None),
    "moving WebP": (lambda: moving("WEBP"), Reason.ANIMATION),
    "moving PNG": (lambda: moving("PNG"), Reason.ANIMATION),
    "PNG of 50,000 × 50,000": (lambda: png_that_claims(50_000, 50_000), Reason.IMAGE_TOO_LARGE),
    "PNG just over the limit": (lambda: png_that_claims(7_100, 7_100), Reason.IMAGE_TOO_LARGE),
    "JPEG of 65,000 × 65,000": (lambda: jpeg_that_claims(65_000, 65_000), Reason.IMAGE_TOO_LARGE),
    "WebP of 16,383 × 16,383": (lambda: webp_that_claims(16_383, 16_383), Reason.IMAGE_TOO_LARGE),
    "30 pixels high": (lambda: saved(plain(size=(300, 30)), "JPEG"), Reason.TOO_SMALL),
    "one pixel": (lambda: saved(plain(size=(1, 1)), "PNG"), Reason.TOO_SMALL),
    "63 pixels wide": (lambda: saved(plain(size=(63, 900)), "WEBP"), Reason.TOO_SMALL),
    "64 pixels wide": (lambda: saved(plain(size=(64, 64)), "PNG"), None),
    "JPEG": (jpeg, None),
    "progressive JPEG": (lambda: jpeg(progressive=True), None),
    "JPEG of one scan too many": (lambda: scan_bomb(3), None),
    "grey JPEG": (lambda: saved(plain("L"), "JPEG"), None),
    "CMYK JPEG": (lambda: saved(plain("CMYK"), "JPEG"), None),
    "JPEG of a phone": (phone, None),
    "JPEG with broken EXIF": (lambda: jpeg(exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x05\xff\xff"), None),
    "JPEG with no EXIF at all in it": (lambda: jpeg(exif=b"Exif\x00\x00garbage garbage"), None),
    "JPEG with GPS": (with_exif, None),
    "JPEG with a broken profile": (lambda: with_profile("RGB", "JPEG", b"no profile" * 20), None),
    "JPEG with a wide profile": (lambda: with_profile("RGB", "JPEG", wide_profile()), None),
    "JPEG with a profile of another kind": (lambda: with_profile("L", "JPEG"), None),
    "JPEG and zip": (lambda: jpeg() + b"PK\x03\x04" + bytes(50), None),
    "JPEG and web page": (lambda: jpeg(comment=WEB_PAGE) + WEB_PAGE, None),
    "JPEG with a long comment": (lambda: jpeg(comment=b"x" * 60_000), None),
    "PNG": (lambda: saved(plain(), "PNG"), None),
    "PNG with texts": (lambda: png_with(tEXt=b"Comment\x00PATIENT DOE"), None),
    "PNG with alpha": (lambda: saved(plain("RGBA"), "PNG"), None),
    "PNG with alpha and a profile": (lambda: with_profile("RGBA", "PNG"), None),
    "grey PNG with alpha": (lambda: saved(plain("LA"), "PNG"), None),
    "PNG with a palette": (lambda: saved(plain("P"), "PNG"), None),
    "PNG with a palette and alpha": (lambda: saved(plain("P"), "PNG", transparency=bytes(range(200))), None),
    "PNG with a transparent colour": (lambda: saved(plain(), "PNG", transparency=(1, 2, 3)), None),
    "16-bit PNG": (lambda: saved(plain("L").convert("I;16"), "PNG"), None),
    "16-bit PNG with a transparent grey": (lambda: saved(Image.new("I;16", (99, 99)), "PNG", transparency=65535), None),
    "16-bit colour PNG": (deep_png, None),
    "1-bit PNG": (lambda: saved(plain("1"), "PNG"), None),
    "WebP": (lambda: saved(plain(), "WEBP"), None),
    "WebP with alpha": (lambda: saved(plain("RGBA"), "WEBP"), None),
    "WebP with GPS": (lambda: with_exif("WEBP"), None),
    "JPEG named WebP": (jpeg, None),
    "JPEG named HEIC": (jpeg, None),
    "WebP named PNG": (lambda: saved(plain(), "WEBP"), None),
}
OTHER_NAMES = {"JPEG named WebP": ".webp", "JPEG named HEIC": ".heic", "WebP named PNG": ".png"}  # than .jpg
