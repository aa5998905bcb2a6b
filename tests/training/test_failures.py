"""What people are told of a trainer that ended too early, from the words of torch and the kernel."""

import signal

import pytest

from app.training.settings import TrainingSettings
from workers.ml.curves import Step
from workers.trainer_failures import explain, last_line, not_a_number

RULES = TrainingSettings(batch_size=512)
DUMP = "I1129 17:49:04 torch/_dynamo/utils.py:925] TorchDynamo compilation metrics:\nFunction, Runtimes (s)\n"


def traceback(line: str) -> str:
    return f'Traceback (most recent call last):\n  File "x.py", line 1, in <module>\n    y()\n{line}\n{DUMP}'


@pytest.mark.parametrize(
    "line",
    [
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a capacity of 139 GiB",
        "RuntimeError: [enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried",
        "OSError: [Errno 12] Cannot allocate memory",
    ],
)
def test_out_of_memory_says_what_to_lower_and_offers_it(line: str) -> None:
    found = explain(RULES, traceback(line), 1, 3)
    assert found.said == "Out of memory at batch 512."
    assert found.what_next == "Try batch 256 with 2 steps gathered."
    assert found.offer == {"batch_size": 256, "accumulate": 2}


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("", -signal.SIGKILL),
        (traceback("RuntimeError: DataLoader worker (pid 4711) is killed by signal: Killed. "), 1),
        ("exitcode  : -9 (pid: 4711)", 1),
    ],
)
def test_what_was_killed_probably_lacked_memory_and_a_smaller_batch_is_offered(said: str, code: int) -> None:
    found = explain(RULES, said, code, 0)
    assert found.said == "It was killed, probably because memory ran out, at batch 512."
    assert found.offer == {"batch_size": 256, "accumulate": 2}
    smallest = explain(TrainingSettings(batch_size=2), said, code, 0)
    assert smallest.offer == {}
    assert "checkpoint gradients" in smallest.what_next


def test_a_lost_gpu_is_named_as_such() -> None:
    line = "torch.AcceleratorError: CUDA error: unspecified launch failure"
    found = explain(RULES, traceback(line), 1, 3)
    assert found.said.startswith("The GPU was lost: torch.AcceleratorError")
    assert found.said.endswith("Epoch 3 is kept.")
    assert found.what_next == "Resume when it is back."


def test_another_error_is_told_by_its_own_line_without_torchs_statistics() -> None:
    line = "FileNotFoundError: [Errno 2] No such file or directory: '/s/train-000001.tar'"
    found = explain(RULES, traceback(line), 1, 0)
    assert found.said == f"The trainer failed: {line}. No epoch was finished."
    assert "Dynamo" not in found.said
    assert len(last_line(traceback(f"ValueError: {'x' * 10_000}"))) <= 301


def test_a_trainer_that_just_ended_is_told_by_how() -> None:
    assert explain(RULES, "", -signal.SIGTERM, 2).said.startswith("The trainer was ended by SIGTERM")
    assert explain(RULES, DUMP, 0, 0).said.startswith("The trainer ended with code 0 before its last step.")


def test_a_loss_that_is_no_number_offers_a_tenth_of_the_rate() -> None:
    found = not_a_number(TrainingSettings(learning_rate=5e-5), "step 312", 4)
    assert found.said == "The loss was not a number at step 312. Epoch 4 is kept."
    assert found.offer == {"learning_rate": pytest.approx(5e-6)}
    assert not Step(312, float("inf"), 0, 0, 0).is_finite
