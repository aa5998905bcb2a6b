"""Our launcher for tests of two processes without a GPU: `device_ids`, which only GPUs have, are left out."""

import sys
from typing import Any

import torch

Wrapped = torch.nn.parallel.DistributedDataParallel


class OnCpu(Wrapped):
    def __init__(self, module: Any, device_ids: Any = None, **named: Any) -> None:
        super().__init__(module, **named)


if __name__ == "__main__":
    torch.nn.parallel.DistributedDataParallel = OnCpu  # type: ignore[misc]
    from workers.ml.trainer import main

    main(sys.argv[1:])
