"""A training shared by two real processes gives what one gives alone, and both agree to the bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import tiny_models
import train_together

TESTS = Path(train_together.__file__).resolve().parent


def together(encoder: Path, out: Path) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """Residuals and facts of each of two processes."""
    subprocess.run(
        [
            *[sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"],
            *[str(TESTS / "train_together.py"), str(encoder), str(out)],
        ],
        env=os.environ | {"PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent / 'jobs'}", "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=300,
    )
    return [left_by(out, rank) for rank in range(2)]


def left_by(out: Path, rank: int) -> tuple[np.ndarray, dict[str, Any]]:
    return np.load(out / f"residuals-{rank}.npy"), json.loads((out / f"facts-{rank}.json").read_text())


def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    encoder = tiny_models.tiny_encoder(tmp_path / "encoder")
    for name in ("alone", "together"):
        (tmp_path / name).mkdir()
    train_together.train(encoder, tmp_path / "alone")
    alone, facts = left_by(tmp_path / "alone", 0)
    (first, first_facts), (second, second_facts) = together(encoder, tmp_path / "together")
    assert (facts["processes"], first_facts["processes"]) == (1, 2)
    assert np.array_equal(first, second)
    assert first_facts == second_facts
    assert np.abs(alone).max() > 0.01  # something was learnt
    np.testing.assert_allclose(first, alone, atol=1e-4)
    np.testing.assert_allclose(first_facts["figures"], facts["figures"], atol=1e-3)
    for name in ("fading", "transition_weight", "trained_until"):
        assert first_facts["notes"][name] == facts["notes"][name]
