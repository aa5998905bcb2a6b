"""Our clean copy of a picture: what is taken, what is refused and why, and what is left of the original."""

import io
import subprocess
import sys
from itertools import count, islice

import pytest
from PIL import Image, ImageChops, ImageStat

from app.intake.pictures import CleanPicture, PictureCleaner, PictureRefused, clean
from app.intake.reasons import Reason
from tests.factories import make_picture
from tests.intake.hostile import pictures
from tests.intake.hostile_pictures import (
    PICTURES,
    jpeg,
    phone,
    plain,
    saved,
    scan_bomb,
    wide_profile,
    with_exif,
    with_profile,
)

GPS = 0x8825  # where EXIF keeps the place
REFUSED = {name: reason for name, (_, reason) in PICTURES.items() if reason}
TAKEN = {name: make for name, (make, reason) in PICTURES.items() if not reason}


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def difference(before: bytes, after: bytes) -> ImageStat.Stat:
    """In grey levels of 256: rounding between pixels and frequencies makes some."""
    return ImageStat.Stat(ImageChops.difference(opened(before).convert("RGB"), opened(after).convert("RGB")))


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_still_picture_of_a_usable_size_is_refused_with_its_reason(name: str) -> None:
    with pytest.raises(PictureRefused) as caught:
        clean(PICTURES[name][0]())
    assert caught.value.reason is REFUSED[name]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # of the test's own reading
@pytest.mark.parametrize("name", TAKEN)
def test_every_other_picture_becomes_a_plain_jpeg(name: str) -> None:
    data = TAKEN[name]()
    made = clean(data)
    copy = opened(made.data)
    assert copy.format == "JPEG"
    assert copy.mode in ("RGB", "L")
    assert copy.size == (made.width, made.height) == opened(data).size
    assert len(made.data) < 400_000
    assert clean(data) == made
    for foreign in (b"PK\x03\x04", b"<script>", b"PATIENT DOE", b"Exif", b"ICC_PROFILE", b"http"):
        assert foreign not in made.data


@pytest.mark.parametrize("name", TAKEN)
def test_cleaning_our_own_copy_gives_the_same_pixels_but_for_rounding(name: str) -> None:
    once = clean(TAKEN[name]())
    change = difference(once.data, clean(once.data).data)
    assert max(change.mean) < 0.5
    assert max(highest for _, highest in change.extrema) <= 4


@pytest.mark.parametrize("data", [jpeg(quality=71), phone(), with_exif(), jpeg(progressive=True)])
def test_a_jpeg_that_needs_no_change_keeps_its_own_quantisation(data: bytes) -> None:
    made = clean(data)
    assert opened(made.data).quantization == opened(data).quantization  # type: ignore[attr-defined]
    assert max(difference(data, made.data).mean) < 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_nothing_of_the_metadata_is_left(kind: str) -> None:
    data = with_exif(kind)
    assert b"PATIENT DOE" in data
    assert opened(data).getexif().get_ifd(GPS)
    made = clean(data)
    assert b"PATIENT DOE" not in made.data
    assert b"Exif" not in made.data
    assert not opened(made.data).getexif()
    assert set(opened(made.data).info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_stands_upright(kind: str, orientation: int) -> None:
    """Corner by corner, as the EXIF standard draws the eight ways a camera can be held."""
    marked = Image.new("RGB", (80, 160), "black")
    marked.paste((255, 255, 255), (0, 0, 40, 80))  # what is seen upper left
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # how a camera held so stores it
    stored = marked.transpose(Image.Transpose(back[orientation])) if orientation > 1 else marked
    exif = Image.Exif()
    exif[0x0112] = orientation
    made = clean(saved(stored, kind, exif=exif))
    assert (made.width, made.height) == (80, 160)
    assert opened(made.data).convert("L").getpixel((20, 40)) > 200  # type: ignore[operator]


@pytest.mark.parametrize(("mode", "kind"), [("RGB", "JPEG"), ("RGB", "PNG"), ("RGBA", "PNG"), ("RGB", "WEBP")])
def test_other_colour_spaces_become_srgb(mode: str, kind: str) -> None:
    """The profile is seen in the pixels, and gone from the file."""
    bare = clean(saved(plain(mode), kind))
    made = clean(with_profile(mode, kind, wide_profile()))
    assert b"ICC_PROFILE" not in made.data
    assert max(difference(bare.data, made.data).mean) > 2


def test_what_was_transparent_is_white() -> None:
    picture = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    assert opened(clean(saved(picture, "PNG")).data).getpixel((50, 50)) == (255, 255, 255)


def test_sixteen_bits_become_eight() -> None:
    picture = Image.new("I;16", (100, 100), 257 * 100)
    assert opened(clean(saved(picture, "PNG")).data).getpixel((50, 50)) == 100


def test_children_give_results_in_order_and_refusals_as_values() -> None:
    pictures = [make_picture(1), b"no picture", make_picture(2)]
    with PictureCleaner() as cleaner:
        results = list(cleaner.clean_all(pictures))
        assert [type(result) for result in results] == [CleanPicture, PictureRefused, CleanPicture]
        with pytest.raises(PictureRefused):
            cleaner.clean(b"no picture")
        assert cleaner.clean(pictures[0]) == clean(pictures[0])


def test_a_picture_that_needs_too_much_memory_is_refused_and_the_others_go_on() -> None:
    greedy = saved(Image.new("RGBA", (7000, 7000)), "PNG", compress_level=1)
    with PictureCleaner(processes=1, memory=500_000_000) as cleaner:
        results = list(cleaner.clean_all([greedy, make_picture(1)]))
    assert isinstance(results[0], PictureRefused)
    assert results[0].reason is Reason.IMAGE_UNREADABLE
    assert isinstance(results[1], CleanPicture)


def test_a_picture_that_takes_too_long_is_refused_and_the_others_go_on() -> None:
    slow = saved(plain(size=(3000, 3000)), "PNG")
    with PictureCleaner(processes=1, seconds=0.01) as cleaner:
        (result,) = cleaner.clean_all([slow])
    assert isinstance(result, PictureRefused)
    assert "took more than" in result.detail


def test_a_small_file_that_takes_long_to_decode_kills_its_child_and_the_others_go_on() -> None:
    with PictureCleaner(processes=1, cpu_seconds=1) as cleaner:
        results = list(cleaner.clean_all([scan_bomb(90, 7000), make_picture(1)]))
    assert isinstance(results[0], PictureRefused)
    assert results[0].detail == "decoding took more than 1 s of processor time"
    assert isinstance(results[1], CleanPicture)


def test_the_limit_of_processor_time_is_for_each_picture_and_not_for_all() -> None:
    slow = saved(plain(size=(4000, 4000)), "PNG")
    with PictureCleaner(processes=1, cpu_seconds=1) as cleaner:
        assert all(isinstance(result, CleanPicture) for result in cleaner.clean_all([slow] * 5))


def test_pictures_are_taken_up_only_as_their_results_are_wanted() -> None:
    """So that an import of any size holds a few pictures in memory."""
    given: list[int] = []
    endless = (given.append(number) or jpeg() for number in count())  # type: ignore[func-returns-value]
    with PictureCleaner(processes=1) as cleaner:
        for done, _ in enumerate(islice(cleaner.clean_all(endless), 30), start=1):
            assert len(given) <= done + 2


def test_a_child_that_decodes_loads_nothing_of_the_product_but_this() -> None:
    """It starts anew with what its module imports; each heavy one would cost every child memory and a second."""
    script = "import sys, app.intake.pictures; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "PIL" in loaded
    assert not {"torch", "numpy", "sqlalchemy", "celery", "fastapi", "pydantic", "workers"} & set(loaded)


def test_no_hostile_picture_kills_a_child() -> None:
    given = pictures()
    assert len({picture.file_name for picture in given}) == len(given) >= 25
    with PictureCleaner() as cleaner:
        results = list(cleaner.clean_all(picture.data for picture in given))
    reasons = [result.reason if isinstance(result, PictureRefused) else None for result in results]
    assert reasons == [picture.expected for picture in given]
    details = [result.detail for result in results if isinstance(result, PictureRefused)]
    assert not [detail for detail in details if "stopped" in detail or "took" in detail or "memory" in detail]
