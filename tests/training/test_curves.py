"""Curves are read as they grow, exactly, and the best epoch is told from the validations."""

import json
from pathlib import Path

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from workers.ml.curves import Curves, best_epoch, is_out_of_patience, read_results


def log(writer: SummaryWriter, step: int, loss: float) -> None:
    values = {"samples_per_second": 31.5, "scale": 14.25, "lr": 1e-5 / 3, "contrastive_loss": 9.0, "loss": loss}
    for name, value in values.items():
        writer.add_scalar(f"train/{name}", value, step)
    writer.flush()


def test_each_read_gives_the_steps_since_the_last_with_their_exact_values(tmp_path: Path) -> None:
    curves = Curves(tmp_path)
    assert curves.read() == []
    with SummaryWriter(str(tmp_path)) as writer:
        log(writer, 0, 2.123456789)
        (first,) = curves.read()
        assert curves.read() == []
        log(writer, 1, 1.5)
        log(writer, 2, float("nan"))
        second, third = curves.read()
    assert (first.step, first.loss) == (0, float(np.float32(2.123456789)))
    assert first.learning_rate == float(np.float32(1e-5 / 3))
    assert (first.logit_scale, first.pairs_per_second) == (14.25, 31.5)
    assert (second.step, second.loss, second.is_finite) == (1, 1.5, True)
    assert not third.is_finite


def test_a_record_that_is_half_written_is_read_once_it_is_whole(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path / "made")) as writer:
        log(writer, 0, 1.0)
        log(writer, 1, 2.0)
    (made,) = (tmp_path / "made").iterdir()
    whole = made.read_bytes()
    growing = tmp_path / made.name
    growing.write_bytes(whole[:-20])
    curves = Curves(tmp_path)
    assert [step.step for step in curves.read()] == [0]
    with growing.open("ab") as file:
        file.write(whole[-20:])
    assert [step.step for step in curves.read()] == [1]


def test_steps_of_a_repeated_epoch_come_again_after_the_older_ones(tmp_path: Path) -> None:
    for name, loss in (("1", 1.0), ("2", 3.0)):
        with SummaryWriter(str(tmp_path), filename_suffix=name) as writer:
            log(writer, 4, loss)
        made = next(path for path in tmp_path.glob("events.out*") if path.name.endswith(name))
        made.rename(tmp_path / f"events.{name}")
    assert [step.loss for step in Curves(tmp_path).read()] == [1.0, 3.0]


def test_the_last_line_of_an_epoch_counts_and_broken_lines_do_not(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    assert read_results(path) == {}
    lines = [
        json.dumps({"epoch": 1, "clip_val_loss": 3.0}),
        json.dumps({"epoch": 2, "clip_val_loss": 2.0}),
        "{broken",
        "[1]",
        json.dumps({"epoch": 2, "clip_val_loss": float("nan"), "image_to_text_R@10": 0.5}),
        '{"epoch": 3, "clip_val_l',
    ]
    path.write_text("\n".join(lines))
    assert read_results(path) == {
        1: {"epoch": 1, "clip_val_loss": 3.0},
        2: {"epoch": 2, "image_to_text_R@10": 0.5},
    }


def figures(recall: float, loss: float) -> dict[str, float]:
    return {"image_to_text_R@10": recall, "text_to_image_R@10": recall, "clip_val_loss": loss}


def test_the_best_epoch_is_by_recall_then_loss_or_by_loss_alone_and_the_earliest_of_equals() -> None:
    results = {1: figures(0.5, 2.0), 2: figures(0.7, 2.2), 3: figures(0.7, 2.1), 4: figures(0.7, 2.1)}
    assert best_epoch(results, "recall") == 3
    assert best_epoch(results, "loss") == 1
    assert best_epoch({}, "recall") is None
    assert best_epoch({1: {}, 2: figures(0.0, 9.0)}, "recall") == 2


def test_patience_ends_so_many_epochs_after_the_best_and_never_with_none() -> None:
    results = {1: figures(0.5, 2.0), 2: figures(0.4, 2.0), 3: figures(0.4, 2.0)}
    assert is_out_of_patience(results, "recall", 2)
    assert not is_out_of_patience(results, "recall", 3)
    assert not is_out_of_patience(results, "recall", 0)
    assert not is_out_of_patience({}, "recall", 1)
