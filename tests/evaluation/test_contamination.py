"""Pictures that a model has learned from are found: files, copies and views; others of the same kind are not."""

import io
import random
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image

from app.prefilter import pdq
from tests.duplicates.test_shared_views import as_jpeg, texture
from workers.evaluating import contamination
from workers.evaluating.contamination import Copy, Prints, clean, copies
from workers.ml import perceptual
from workers.ml.encoder import Encoder, EncoderSpec, load_encoder
from workers.ml.perceptual import Hash

T = Image.Transpose


@pytest.fixture(scope="module")
def lite0() -> Encoder:
    return load_encoder(EncoderSpec("efficientnet-lite0"))


def prints(encoder: Encoder, pictures: dict[str, bytes]) -> Prints:
    hashes = [perceptual.pdq(jpeg) for jpeg in pictures.values()]
    shas = [{sha256(jpeg).hexdigest()} for jpeg in pictures.values()]
    return Prints(list(pictures), shas, hashes, encoder.embed_images(list(pictures.values())))


def saved_again(picture: Image.Image, quality: int = 40) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


TRAINING = {f"pair-{seed}": as_jpeg(texture(seed)) for seed in range(6)}
ITEMS = {
    "the same file": TRAINING["pair-0"],
    "saved again": saved_again(texture(1)),
    "turned": as_jpeg(texture(2).transpose(T.ROTATE_90)),
    "cut": as_jpeg(texture(3).crop((70, 70, 570, 570))),
    "another": as_jpeg(texture(77)),
}


def test_each_kind_of_copy_is_found_and_its_original_named(lite0: Encoder) -> None:
    found = copies(prints(lite0, ITEMS), prints(lite0, TRAINING), ITEMS.__getitem__, TRAINING.__getitem__)
    assert [(copy.item, copy.training, copy.kind) for copy in found] == [
        ("the same file", "pair-0", "exact"),
        ("saved again", "pair-1", "perceptual"),
        ("turned", "pair-2", "perceptual"),
        ("cut", "pair-3", "semantic"),
    ]
    assert found[1].value <= 31
    assert found[3].value > 0.85
    assert clean(list(ITEMS), found).tolist() == [False, False, False, False, True]


def test_tissue_that_only_looks_alike_is_no_copy() -> None:
    """Vectors as near as they get, of other pictures: looking at these tells."""
    others = {f"other-{seed}": as_jpeg(texture(seed)) for seed in (50, 51)}
    known = {f"pair-{seed}": as_jpeg(texture(seed)) for seed in (60, 61)}
    one = np.ones((2, 4), dtype=np.float32)
    mine, its = (Prints(list(some), [()] * 2, [None] * 2, one) for some in (others, known))
    looked: list[str] = []

    def read(id_: str) -> bytes:
        looked.append(id_)
        return known[id_]

    assert copies(mine, its, others.__getitem__, read) == []
    assert sorted(looked) == ["pair-60", "pair-61"], "each is looked at once"


def test_pictures_below_the_cosine_are_not_looked_at() -> None:
    far = Prints(["a"], [()], [None], np.array([[1, 0]], dtype=np.float32))
    other = Prints(["b"], [()], [None], np.array([[0.5, 0.87]], dtype=np.float32))

    def read(_id: str) -> bytes:
        raise AssertionError("it was looked at")

    assert copies(far, other, read, read) == []


def hashed(numbers: list[int], quality: int = 100) -> Prints:
    hashes = [Hash(number.to_bytes(32), quality, 1.0) for number in numbers]
    return Prints([str(n) for n in range(len(numbers))], [()] * len(numbers), hashes, np.eye(len(numbers), 999, 1))


def test_the_distance_of_hashes_is_the_apps_at_the_nearest_orientation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contamination, "ROWS", 7)
    draw = random.Random(4)
    known = [draw.getrandbits(256) for _ in range(40)]
    asked = []
    for number in range(60):
        view = draw.choice(pdq.views(draw.choice(known)))
        asked.append(view ^ sum(1 << bit for bit in draw.sample(range(256), number)))
    mine, its = hashed(asked), hashed(known)
    its.vectors = -mine.vectors[:40]
    found = {
        copy.item: copy for copy in copies(mine, its, dict[str, bytes]().__getitem__, dict[str, bytes]().__getitem__)
    }
    for number, hash_ in enumerate(asked):
        apart = [pdq.distance(hash_, other)[0] for other in known]
        if min(apart) > 31:
            assert str(number) not in found
        else:
            assert found[str(number)] == Copy(str(number), str(apart.index(min(apart))), "perceptual", min(apart))
    assert 25 < len(found) < 45


def test_a_blank_picture_is_like_no_other() -> None:
    blank, other = hashed([5], quality=20), hashed([5])
    other.vectors = -blank.vectors
    assert copies(blank, other, str.encode, str.encode) == []


def test_a_picture_that_is_gone_is_passed_over_and_nothing_in_gives_nothing() -> None:
    def gone(_id: str) -> bytes:
        raise FileNotFoundError

    one = Prints(["a"], [()], [None], np.ones((1, 4), np.float32))
    empty = Prints([], [], [], np.empty((0, 4), np.float32))
    assert copies(one, one, gone, gone) == []
    assert copies(one, empty, gone, gone) == []
    assert copies(empty, one, gone, gone) == []


def test_progress_counts_all_pictures_and_ends_the_work_when_it_raises(lite0: Encoder) -> None:
    told: list[tuple[int, int]] = []
    mine, its = prints(lite0, ITEMS), prints(lite0, TRAINING)
    copies(mine, its, ITEMS.__getitem__, TRAINING.__getitem__, progress=lambda *said: told.append(said))
    assert told[-1] == (5, 5)

    def stop(done: int, of: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        copies(mine, its, ITEMS.__getitem__, TRAINING.__getitem__, progress=stop)
