"""The practice set: written once, whole, in the layout of a snapshot's shards."""

import json
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from webdataset.shardlists import expand_urls

from app.training.architectures import config_of, parameters
from app.training.command import practice_data
from app.training.settings import BY_NAME, PRACTICE_ARCHITECTURE, PRACTICE_RECIPE
from workers import practice
from workers.ml import drawn


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(practice, "PRACTICE_TRAIN_PAIRS", 32)
    monkeypatch.setattr(practice, "PRACTICE_VAL_PAIRS", 6)


@pytest.mark.usefixtures("few")
def test_it_is_laid_out_as_the_trainer_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "practice"
    practice.ensure(folder)
    sizes = json.loads((folder / "sizes.json").read_text())
    assert sizes == {f"train-{number:06d}.tar": 4 for number in range(8)} | {"val-000000.tar": 6}
    keys = []
    for name in sizes:
        with tarfile.open(folder / name) as tar:
            names = tar.getnames()
        assert [one.partition(".")[2] for one in names] == ["jpg", "json", "txt"] * sizes[name]
        keys += [one.partition(".")[0] for one in names[::3]]
    assert keys == [f"{number:012d}" for number in range(38)]


@pytest.mark.usefixtures("few")
def test_a_caption_belongs_to_its_picture(tmp_path: Path) -> None:
    practice.ensure(tmp_path / "practice")
    with tarfile.open(tmp_path / "practice" / "train-000001.tar") as tar:
        files = {name: file.read() for name in tar.getnames() if (file := tar.extractfile(name))}
    pair = drawn.pair(5, practice.SEED, practice.SIDE)
    assert files["000000000005.jpg"] == pair.jpeg
    assert files["000000000005.txt"].decode() == pair.caption
    assert json.loads(files["000000000005.json"])["shape"] == pair.truth.shape


@pytest.mark.usefixtures("few")
def test_two_workers_that_ask_at_once_get_one_set(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(practice.ensure, [tmp_path / "practice"] * 2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["practice", "practice.lock"]


@pytest.mark.usefixtures("few")
def test_what_is_there_is_not_written_again(tmp_path: Path) -> None:
    practice.ensure(tmp_path / "practice")
    before = (tmp_path / "practice" / "sizes.json").stat().st_mtime_ns
    practice.ensure(tmp_path / "practice")
    assert (tmp_path / "practice" / "sizes.json").stat().st_mtime_ns == before


@pytest.mark.usefixtures("few")
def test_a_set_that_was_cut_short_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(Exception):
        pass

    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(practice, "add_file", kill)
        with pytest.raises(Killed):
            practice.ensure(tmp_path / "practice")
    assert not (tmp_path / "practice").exists()
    practice.ensure(tmp_path / "practice")
    assert (tmp_path / "practice" / "val-000000.tar").exists()


@pytest.mark.usefixtures("own_home")
def test_the_trainer_is_told_the_very_shards_that_are_written() -> None:
    data = practice_data()
    practice.ensure(Path(data.train).parent)
    shards = [Path(url) for pattern in (data.train, data.val) for url in expand_urls(pattern)]
    sizes = json.loads((shards[0].parent / "sizes.json").read_text())
    assert [sizes[shard.name] for shard in shards] == [*data.sizes, data.val_pairs]
    assert all(shard.is_file() for shard in shards)


def test_its_network_is_small_enough_for_a_processor() -> None:
    config = config_of(PRACTICE_ARCHITECTURE)
    assert config
    assert 1e6 < (parameters(config) or 0) < 4e6
    assert config["vision_cfg"]["image_size"] <= practice.SIDE
    assert BY_NAME[PRACTICE_RECIPE].settings.batch_size < practice.PRACTICE_TRAIN_PAIRS
