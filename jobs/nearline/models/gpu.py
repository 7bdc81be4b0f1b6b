"""What is done only where there is a GPU: half precision, and how busy it is."""

from __future__ import annotations

import torch


def half_precision(device: torch.device) -> torch.autocast:
    """Matrix products in bfloat16 on a GPU, which has units for them; weights, sums and losses stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def gpu_utilisation(device: torch.device) -> float | None:
    """Share of the last moments in which the GPU was computing, 0 to 1; None where nobody can say."""
    if device.type != "cuda":
        return None
    try:
        return torch.cuda.utilization(device) / 100
    except Exception:  # NVML's library may be missing, old, or refuse; its own errors have no common base
        return None
