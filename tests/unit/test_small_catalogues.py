"""A handful of items, or items that all say the same: what comes later must not lie far away from everything."""

from __future__ import annotations

import pytest
import torch

from nearline.models.behaviour_model import BehaviourConfig, BehaviourModel

WIDTH = 384


def started(texts: torch.Tensor) -> BehaviourModel:
    model = BehaviourModel(BehaviourConfig(text_width=WIDTH, kind_count=2)).requires_grad_(False)
    model.start_from(texts)
    return model


@pytest.fixture
def texts() -> torch.Tensor:
    """As an encoder gives them: around one direction, some dimensions wider than others, and three hardly used."""
    random = torch.Generator().manual_seed(0)
    found = torch.randn(700, 80, generator=random) @ torch.randn(80, WIDTH, generator=random) / 80
    found += 0.05 * torch.randn(700, WIDTH, generator=random) + torch.randn(WIDTH, generator=random)
    found[:, :3] = 1e-9 * torch.randn(700, 3, generator=random)
    return found


@pytest.mark.parametrize("count", [119, 60, 8, 2, 1])
def test_searches_and_later_items_lie_no_further_out_than_known_ones(texts: torch.Tensor, count: int) -> None:
    model = started(texts[:count])
    known, later = model.project(texts[:count]), model.project(texts[500:])
    assert later.norm(dim=1).median() <= known.norm(dim=1).median() * 1.1
    assert (later @ later.T).abs().median() < 0.2
    if count > 2:
        assert (known @ later.T).abs().median() > 0.001
    else:
        assert known.isfinite().all()


def test_texts_that_are_all_alike_say_nothing(texts: torch.Tensor) -> None:
    model = started(texts[:1].repeat(24, 1))
    assert not model.project(texts).any()
    assert model.text_scale.unique().tolist() == [1.0]


def test_an_unused_dimension_that_is_used_later_counts_no_more_than_others(texts: torch.Tensor) -> None:
    model, odd = started(texts), texts[:100].clone()
    odd[:, :3] += 0.1
    assert (model.project(odd) - model.project(texts[:100])).norm(dim=1).max() < 0.1


def test_large_catalogues_have_all_their_axes(texts: torch.Tensor) -> None:
    assert (started(texts).projection.weight.norm(dim=1) > 0).all()
