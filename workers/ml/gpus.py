"""What a GPU is called by every process that works on it, whatever its number in each."""

import torch


def uuid_of(device: str | torch.device) -> str:
    """The GPU's own number; empty for a CPU, and where the driver does not say it."""
    if torch.device(device).type != "cuda":
        return ""
    return str(getattr(torch.cuda.get_device_properties(device), "uuid", ""))
