"""Features: kept on disk, taken up after a kill, the same in every process and batch, and nothing left out silently."""

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workers.evaluating import features as module
from workers.evaluating.features import Features, Picture, cache_name, features, preprocessing, versions
from workers.ml import encoder as encoders
from workers.ml.encoder import Encoder, EncoderSpec, load_encoder
from workers.ml.vectors import l2_normalised

TINY = Path(__file__).parents[1] / "tiny_clip.json"


@pytest.fixture(scope="module")
def tiny() -> Encoder:
    return load_encoder(EncoderSpec("open_clip", str(TINY), None, seed=7))


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 8)


def jpeg(seed: int, size: tuple[int, int] = (120, 90)) -> bytes:
    values = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(values).resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=92)
    return out.getvalue()


class Shelf:
    """Pictures by id, and which were read."""

    def __init__(self, n: int) -> None:
        self.files = {f"class/{number:03}.jpg": jpeg(number) for number in range(n)}
        self.read: list[str] = []

    def __call__(self) -> list[Picture]:
        return [(id_, self.reader(id_)) for id_ in self.files]

    def reader(self, id_: str) -> Callable[[], bytes]:
        def read() -> bytes:
            self.read.append(id_)
            return self.files[id_]

        return read


def same(one: Features, other: Features) -> bool:
    return one.ids == other.ids and bool(np.array_equal(one.vectors, other.vectors))


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (l2_normalised(one) * l2_normalised(other)).sum(axis=1)


def test_a_row_is_what_the_network_gives_for_the_picture(tiny: Encoder) -> None:
    found = features(tiny, Shelf(20)(), cache=None)
    assert found.vectors.shape == (20, 32)
    assert found.vectors.dtype == np.float32
    assert (found.made, found.skipped) == (20, [])
    np.testing.assert_allclose(
        l2_normalised(found.vectors), tiny.embed_images(list(Shelf(20).files.values())), atol=1e-5
    )
    assert np.ptp(np.linalg.norm(found.vectors, axis=1)) > 1e-3, "lengths are kept: some protocols use them"


def test_a_second_task_reads_no_picture(tiny: Encoder, tmp_path: Path, small_chunks: None) -> None:
    shelf = Shelf(20)
    first = features(tiny, shelf(), cache=tmp_path)
    assert len(shelf.read) == 20
    again = features(tiny, shelf(), cache=tmp_path)
    assert len(shelf.read) == 20
    assert again.made == 0
    assert same(first, again)


def test_a_part_of_a_set_and_another_order_come_from_the_same_cache(tiny: Encoder, tmp_path: Path) -> None:
    shelf = Shelf(12)
    whole = features(tiny, shelf(), cache=tmp_path)
    part = features(tiny, shelf()[8:3:-1], cache=tmp_path)
    assert part.made == 0
    assert part.ids == whole.ids[8:3:-1]
    np.testing.assert_array_equal(part.vectors, whole.vectors[8:3:-1])


def test_what_cant_be_read_is_named_and_tried_again(tiny: Encoder, tmp_path: Path) -> None:
    shelf = Shelf(6)
    good, shelf.files["class/002.jpg"] = shelf.files["class/002.jpg"], b"no picture"
    shelf.files["class/004.jpg"] = shelf.files["class/004.jpg"][:200]

    def gone() -> bytes:
        raise FileNotFoundError("away")

    found = features(tiny, [*shelf(), ("gone.jpg", gone)], cache=tmp_path)
    assert found.ids == [f"class/{number:03}.jpg" for number in (0, 1, 3, 5)]
    assert found.vectors.shape == (4, 32)
    assert [id_ for id_, _ in found.skipped] == ["class/002.jpg", "class/004.jpg", "gone.jpg"]
    assert found.skipped[0][1].startswith("it can't be read")
    assert found.skipped[2][1] == "the file is not there"
    shelf.files["class/002.jpg"] = good
    mended = features(tiny, shelf(), cache=tmp_path)
    assert (mended.made, len(mended.ids)) == (1, 5)


def test_nothing_but_unreadable_pictures_gives_no_rows(tiny: Encoder, tmp_path: Path) -> None:
    found = features(tiny, [("a", lambda: b"")], cache=tmp_path)
    assert (found.ids, found.vectors.shape, len(found.skipped)) == ([], (0, 32), 1)
    assert features(tiny, [], cache=tmp_path).vectors.shape == (0, 32)


def test_pictures_out_of_an_array_are_taken_as_they_are(tiny: Encoder) -> None:
    values = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    found = features(tiny, [("images.npy#0", lambda: Image.fromarray(values))], cache=None)
    exact = tiny.image_tower(tiny.transform(Image.fromarray(values))[None]).detach().numpy()
    np.testing.assert_allclose(found.vectors, exact, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_the_batch_size_does_not_move_a_row(tiny: Encoder, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    as_it_is = features(tiny, Shelf(70)(), cache=None)
    monkeypatch.setattr(encoders, "CPU_BATCH", batch)
    other = features(tiny, Shelf(70)(), cache=None)
    assert cosines(as_it_is.vectors, other.vectors).min() >= 0.9999


IN_ANOTHER = """
import sys, json, time
from pathlib import Path
from tests.evaluation.test_features import Shelf, TINY
from workers.evaluating import features as module
from workers.ml.encoder import EncoderSpec, load_encoder
n, pause, cache = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
module.CHUNK = 8
shelf = Shelf(n)
def slow(read):
    def reads():
        time.sleep(pause)
        return read()
    return reads
network = load_encoder(EncoderSpec("open_clip", str(TINY), None, seed=7))
made = module.features(network, [(id_, slow(read)) for id_, read in shelf()], cache=Path(cache) if cache else None)
print(json.dumps([module.cache_name(network, "", "set"), made.vectors.tolist()]))
"""


def another(n: int, pause: float, cache: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", IN_ANOTHER, str(n), str(pause), cache]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])


def test_another_process_makes_the_same_rows_under_the_same_name(tiny: Encoder) -> None:
    out, _ = another(20, 0, "").communicate(timeout=240)
    name, rows = json.loads(out)
    assert cosines(np.array(rows, dtype=np.float32), features(tiny, Shelf(20)(), cache=None).vectors).min() >= 0.9999
    assert name == cache_name(tiny, "", "set")


def test_a_killed_worker_loses_only_the_chunk_at_hand(tiny: Encoder, tmp_path: Path, small_chunks: None) -> None:
    process = another(200, 0.05, str(tmp_path))
    deadline = time.monotonic() + 240
    while len(list(tmp_path.glob("*.npz"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    kept = len(list(tmp_path.glob("*.npz")))
    assert 2 <= kept < 25
    shelf = Shelf(200)
    found = features(tiny, shelf(), cache=tmp_path)
    assert found.made == len(shelf.read) == 200 - 8 * kept
    np.testing.assert_allclose(found.vectors, features(tiny, shelf(), cache=None).vectors, atol=1e-4)


def test_a_cancelled_task_keeps_what_it_made(tiny: Encoder, tmp_path: Path, small_chunks: None) -> None:
    told: list[tuple[int, int]] = []

    def stop_at_ten(done: int, of: int) -> None:
        told.append((done, of))
        if done > 10:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        features(tiny, Shelf(30)(), cache=tmp_path, progress=stop_at_ten)
    assert told == [(0, 30), (8, 30), (16, 30)]
    assert features(tiny, Shelf(30)(), cache=tmp_path).made == 14


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"\x80" * 900])
def test_a_damaged_chunk_is_made_again(
    tiny: Encoder, tmp_path: Path, small_chunks: None, damage: Callable[[bytes], bytes]
) -> None:
    first = features(tiny, Shelf(16)(), cache=tmp_path)
    path = sorted(tmp_path.glob("*.npz"))[0]
    path.write_bytes(damage(path.read_bytes()))
    again = features(tiny, Shelf(16)(), cache=tmp_path)
    assert again.made == 8
    np.testing.assert_allclose(again.vectors, first.vectors, atol=1e-4)
    assert features(tiny, Shelf(16)(), cache=tmp_path).made == 0


def test_a_chunk_with_code_or_of_another_model_is_never_used(tiny: Encoder, tmp_path: Path) -> None:
    np.savez(tmp_path / "code.npz", ids=np.array([{"a": 1}], dtype=object), vectors=np.zeros((1, 32), np.float32))
    np.savez(tmp_path / "other.npz", ids=np.array(["class/000.jpg"]), vectors=np.zeros((1, 16), np.float32))
    np.savez(tmp_path / "nan.npz", ids=np.array(["class/001.jpg"]), vectors=np.full((1, 32), np.nan, np.float32))
    assert features(tiny, Shelf(3)(), cache=tmp_path).made == 3


def test_two_pictures_of_one_id_are_refused(tiny: Encoder) -> None:
    with pytest.raises(ValueError, match="same id"):
        features(tiny, [*Shelf(1)(), *Shelf(1)()], cache=None)


def test_whatever_changes_a_row_changes_the_name_of_the_cache(tiny: Encoder) -> None:
    name = cache_name(tiny, "checksum", "set")
    assert name == cache_name(tiny, "checksum", "set")
    others = [
        cache_name(tiny, "another", "set"),
        cache_name(tiny, "checksum", "another"),
        cache_name(replace(tiny, transform=lambda picture: picture), "checksum", "set"),
        cache_name(replace(tiny, image_size=96), "checksum", "set"),
        cache_name(replace(tiny, name="tiny_clip/random-8"), "checksum", "set"),
        cache_name(replace(tiny, quick_gelu=True), "checksum", "set"),
    ]
    assert len({name, *others}) == 7


def test_the_preprocessing_is_told_in_full_and_without_addresses(tiny: Encoder) -> None:
    told = preprocessing(tiny)
    assert "Resize(size=64, interpolation=bicubic" in told.transform
    assert "0x" not in told.transform
    assert told.precision == ("fp32" if told.device == "cpu" else "bf16")
    assert preprocessing(replace(tiny, full_precision=True)).precision == "fp32"
    assert versions()["torch"]
