"""One training shared by several processes: which one this is, and what all of them must agree on.

TorchDistributor starts them and sets their environment. In a process by itself nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed

T = TypeVar("T")

LONGEST_WAIT = timedelta(hours=12)
"""The first process alone reads the catalogue, which takes hours where it is large; the others wait."""


@contextmanager
def process_group() -> Iterator[None]:
    """Join the other processes of this training for as long as the block lasts, each with a GPU of its own if any."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl"
    distributed.init_process_group(backend, timeout=LONGEST_WAIT)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def process_count() -> int:
    """How many processes share the training."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def process_rank() -> int:
    """Which of them this is, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_first() -> bool:
    """Whether this is the process that reads texts, chooses, reports and saves."""
    return process_rank() == 0


def wait_for_all() -> None:
    """Return when every process has come here."""
    if process_count() > 1:
        distributed.all_reduce(torch.zeros(1))


def of_first(make: Callable[[], T]) -> T:
    """What ``make`` gives in the first process; the others do not call it, and get the same."""
    if process_count() == 1:
        return make()
    found: list[T | None] = [make() if is_first() else None]
    distributed.broadcast_object_list(found, src=0, device=torch.device("cpu"))
    return found[0]  # type: ignore[return-value]


def add_up(tensors: list[torch.Tensor]) -> None:
    """Replace each tensor by its sum over all processes, in one message."""
    if process_count() == 1:
        return
    together = torch.cat([tensor.reshape(-1) for tensor in tensors])
    distributed.all_reduce(together)
    for tensor, total in zip(tensors, torch.split(together, [tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(total.view_as(tensor))
