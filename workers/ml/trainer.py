"""open_clip_train's own main, with what it lacks around its epochs.

`python -m workers.ml.trainer [--config FILE] [--best-by recall|loss] [--patience N] FLAGS`, where FLAGS are
open_clip_train's (3.3.0) and must name `--logs`, `--name` and `--resume latest`. It never trains by itself. Around
each epoch it

- seeds everything by seed, epoch and rank, and the order of pairs too (webdataset's own shuffle is seeded by process
  id and time), so that a run that is resumed at an epoch's border goes on as if it had never stopped;
- keeps the best epoch so far: a hard link `best.pt` to `epoch_latest.pt`, which is never written in place;
- ends when an epoch left weights that are no numbers, before they are saved, and when its patience is over.

One process at a time works in a run's folder; a second one ends at once.
"""

import argparse
import ctypes
import fcntl
import json
import logging
import os
import platform
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from webdataset.filters import _shuffle
from webdataset.utils import PipelineStage

from workers.ml.curves import (
    BEST,
    CHECKPOINTS,
    IN_USE,
    NOT_FINITE,
    RESULTS,
    STARTED,
    best_epoch,
    is_out_of_patience,
    read_results,
)
from workers.ml.gpus import uuid_of

LATEST, LOCK = "epoch_latest.pt", "lock"
PR_SET_PDEATHSIG = 1


def main(argv: Sequence[str]) -> None:
    """Trains as `argv` says. Ends with a message on the error output where it can't go on."""
    own, flags = _parsed(argv)
    from open_clip_train.params import parse_args

    given = parse_args(flags)
    _die_with_launcher()
    with _alone(Path(given.logs) / given.name):
        _train(own, flags, Path(given.logs) / given.name, given.epochs)


def _train(own: argparse.Namespace, flags: list[str], folder: Path, epochs: int) -> None:
    import open_clip
    from open_clip_train import main as trainer

    if own.config:
        open_clip.add_model_config(own.config)
    if _is_first():
        (folder / STARTED).unlink(missing_ok=True)
    resumed = readable_latest(folder / CHECKPOINTS) if _is_first() else ""
    trainer.tensorboard.SummaryWriter = partial(trainer.tensorboard.SummaryWriter, flush_secs=1)
    trainer.create_model_and_transforms = partial(_created, trainer.create_model_and_transforms, folder)
    trainer.get_data = partial(_repeatable, trainer.get_data, folder, resumed)
    trainer.train_one_epoch = partial(_around, trainer.train_one_epoch, own)
    try:
        is_refused = trainer.main(flags) is not None
    finally:
        logging.disable(logging.INFO)  # torch writes its compiler's statistics when a process ends
    if _is_first() and not is_refused:
        _saved(folder, own.best_by, epochs)


def _parsed(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--config", help="a model's config, which FLAGS then name by its stem")
    parser.add_argument("--best-by", choices=("recall", "loss"), default="recall")
    parser.add_argument("--patience", type=int, default=0, help="epochs without a better one; 0 is endless")
    return parser.parse_known_args(argv)


def _is_first() -> bool:
    """Whether this is the process that logs and saves."""
    return os.environ.get("RANK", "0") == "0"


def _die_with_launcher() -> None:
    """torchrun starts its processes in sessions of their own, so the kernel is asked to end them with it."""
    if "LOCAL_RANK" in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """A lock on the folder that ends with this process; loading processes, which are forked, don't inherit it."""
    if not _is_first():
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.exit(IN_USE)
        yield


# --- checkpoints --------------------------------------------------------------------------------


def readable_latest(checkpoints: Path) -> str:
    """Sees to it that `epoch_latest.pt` can be read: else `best.pt` takes its place, else the run starts anew.

    What can't be read is deleted. Returns what was wrong, for people; nothing where all was well.
    """
    latest, best = checkpoints / LATEST, checkpoints / BEST
    if not latest.exists() or _is_readable(latest):
        return ""
    latest.unlink()
    if _is_readable(best):
        _link(best, latest)
        said = "The last checkpoint could not be read; it goes on from the best epoch."
    else:
        best.unlink(missing_ok=True)
        said = "No checkpoint could be read; it starts again."
    print(said, file=sys.stderr, flush=True)  # noqa: T201  # the log's
    return said


def _is_readable(path: Path) -> bool:
    """Whether a checkpoint is whole. It is read without running any code of it."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        return bool({"epoch", "state_dict", "optimizer"} <= found.keys())
    except Exception:  # torch raises anything on a broken file
        return False


def _saved(folder: Path, best_by: str, epoch: int) -> None:
    """After `epoch` epochs are done and saved: first to the disk for certain, then told."""
    if (latest := folder / CHECKPOINTS / LATEST).exists():
        _sync(latest)
    keep_best(folder / CHECKPOINTS, best_by, epoch)
    _sync(folder / CHECKPOINTS)
    _say(folder, {"saved": epoch})


def keep_best(checkpoints: Path, best_by: str, epoch: int) -> None:
    """Links `best.pt` to the last checkpoint, of `epoch`, where no epoch up to it was better."""
    results = _results(checkpoints, epoch)
    if results and best_epoch(results, best_by) == epoch and (checkpoints / LATEST).exists():
        _link(checkpoints / LATEST, checkpoints / BEST)


def _results(checkpoints: Path, epoch: int) -> dict[int, dict[str, float]]:
    """The validations up to `epoch`: a later one was of weights that were not saved."""
    found = read_results(checkpoints / RESULTS)
    return {number: figures for number, figures in found.items() if number <= epoch}


def _sync(path: Path) -> None:
    """A file or folder as it is now outlives a power cut; open_clip_train leaves its checkpoints to the system."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _link(source: Path, name: Path) -> None:
    temporary = name.with_name(f".{name.name}")
    temporary.unlink(missing_ok=True)
    temporary.hardlink_to(source)
    temporary.replace(name)
    temporary.unlink(missing_ok=True)  # renaming a link onto the same file does nothing


# --- around open_clip_train's functions -----------------------------------------------------------


def _created(create: Callable[..., Any], folder: Path, *given: Any, **named: Any) -> Any:
    """The model. Where SigLIP starts from a base without a bias, scale and bias start as SigLIP's own do.

    open_clip gives such a base the bias 0 and keeps its scale, near 100: each pair would start all but certain
    (Zhai et al. 2023, §3.1: scale log 10, bias -10).
    """
    model, train, val = create(*given, **named)
    if "init_logit_bias" in named and model.logit_bias.item() == 0:
        with torch.no_grad():
            model.logit_scale.fill_(named["init_logit_scale"])
            model.logit_bias.fill_(named["init_logit_bias"])
    if _is_first():
        _say(folder, {"parameters": sum(one.numel() for one in model.parameters())})
    return model, train, val


def _repeatable(get_data: Callable[..., Any], folder: Path, resumed: str, args: Any, *given: Any, **named: Any) -> Any:
    """The data, with the order of pairs in an epoch that seed, epoch and process alone decide."""
    data = get_data(args, *given, **named)
    loader = data["train"].dataloader
    stages = loader.pipeline[0].dataset.pipeline
    at = next(number for number, stage in enumerate(stages) if getattr(stage, "f", None) is _shuffle)
    stages[at] = EpochShuffle(stages[at].kw, args.seed, args.rank, data["train"].shared_epoch)
    if _is_first():
        about = {
            "epoch": named["epoch"],
            "epochs": args.epochs,
            "steps_per_epoch": loader.num_batches // args.accum_freq,
            "device": args.device,
            "device_name": _device_name(args.device),
            "gpu": uuid_of(args.device),
            "processes": args.world_size,
            "resumed": resumed,
            "versions": {name: version(name) for name in ("open_clip_torch", "torch", "webdataset")}
            | {"python": platform.python_version()},
        }
        _say(folder, about)
    return data


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device.startswith("cuda") else f"CPU, {torch.get_num_threads()} threads"


def _say(folder: Path, more: dict[str, Any]) -> None:
    """Adds to what the run's folder tells of the trainer that works in it."""
    path = folder / STARTED
    known = json.loads(path.read_bytes()) if path.exists() else {}
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps(known | more))
    temporary.replace(path)


class EpochShuffle(PipelineStage):  # type: ignore[misc]  # webdataset has no types
    """webdataset's shuffle, seeded by epoch, process and pass; so are the random crops of the process it runs in.

    An epoch is of whole batches: where the pairs of a process are fewer, it passes over them again.
    """

    def __init__(self, sizes: dict[str, int], seed: int, rank: int, epoch: Any) -> None:
        self.sizes, self.seed, self.rank, self.epoch = sizes, seed, rank, epoch
        self.passes: Counter[int] = Counter()  # of each epoch

    def run(self, samples: Iterator[Any]) -> Iterator[Any]:
        loading = torch.utils.data.get_worker_info()
        process = self.rank * 1_000 + (loading.id + 1 if loading else 0)
        epoch = self.epoch.get_value()
        seed = seed_everything(self.seed, epoch, process, self.passes[epoch])
        self.passes[epoch] += 1
        return iter(_shuffle(samples, rng=random.Random(seed), **self.sizes))  # noqa: S311


def seed_everything(*given: int) -> int:
    """Seeds torch, NumPy and Python from all that is given, which nothing else that is given shares; the number."""
    number = int(np.random.SeedSequence(given).generate_state(1)[0])
    torch.manual_seed(number)
    np.random.seed(number)
    random.seed(number)
    return number


def _around(train: Callable[..., None], own: argparse.Namespace, *given: Any, **named: Any) -> None:
    """One epoch of open_clip_train; its number, from 0, is also how many are done."""
    model, _, _, epoch, *_, args = given
    if _is_over(own, args, epoch):
        sys.exit(0)
    seed_everything(args.seed, epoch, args.rank)
    train(*given, **named)
    if writer := named["tb_writer"]:
        writer.flush()
    if not all(bool(torch.isfinite(one).all()) for one in model.parameters()):
        sys.exit(f"{NOT_FINITE} {epoch + 1}.")


def _is_over(own: argparse.Namespace, args: Any, epoch: int) -> bool:
    """Sees to what was just saved; whether the patience for a better epoch is over."""
    from open_clip_train.distributed import broadcast_object

    over = False
    if _is_first():
        _saved(Path(args.checkpoint_path).parent, own.best_by, epoch)
        over = is_out_of_patience(_results(Path(args.checkpoint_path), epoch), own.best_by, own.patience)
    return bool(broadcast_object(args, over)) if args.distributed else over


if __name__ == "__main__":
    main(sys.argv[1:])
