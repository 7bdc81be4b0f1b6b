"""The interest that is served is the last column of what the trained model says, in the same bits in any company."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nearline.core.behaviour import UNKNOWN_KIND, History
from nearline.core.interest import DIM, LATENT
from nearline.models.behaviour_model import BehaviourConfig, BehaviourModel
from nearline.models.interest_model import InterestModel
from nearline.models.newest_interest import NewestInterest
from nearline.models.served_model import ServedModel
from nearline.models.text_model import TextModel
from tiny_models import tiny_encoder

KINDS = [UNKNOWN_KIND, "view", "hide"]
LONGEST = 12


def trained(block: str = "gpt2") -> BehaviourModel:
    torch.manual_seed(3)
    config = BehaviourConfig(text_width=32, kind_count=3, history_length=LONGEST, block=block)
    model = BehaviourModel(config).eval().requires_grad_(False)
    for weight in model.parameters():  # as if it had learnt: nothing is left at zero
        weight += 0.05 * torch.randn_like(weight)
    model.newcomer_trends += 0.3
    return model


def histories(count: int, seed: int = 0) -> list[History]:
    rng = np.random.default_rng(seed)
    return [
        History(
            rng.normal(size=(length, DIM)).astype(np.float32),
            [["view", "hide", "new"][kind] for kind in rng.integers(3, size=length)],
        )
        for length in rng.integers(0, LONGEST + 3, size=count)
    ]


@pytest.mark.parametrize("block", ["gpt2", "llama"])
def test_it_is_the_last_column_of_the_whole_model(block: str) -> None:
    model = trained(block)
    for history in histories(30):
        newest = history.newest(LONGEST)
        kinds = [KINDS.index(kind) if kind in KINDS else 0 for kind in newest.kinds]
        whole = model(
            torch.from_numpy(newest.vectors[None, :, :LATENT]),
            torch.tensor([kinds], dtype=torch.long),
            torch.ones(1, len(newest), dtype=torch.long),
        )[0, -1].numpy()
        served = NewestInterest(model.state_dict(), model.config.as_dict(), KINDS).interests([history])[0]
        np.testing.assert_allclose(served, whole, rtol=1e-4, atol=1e-5)


def test_the_bits_do_not_depend_on_the_company() -> None:
    model = trained()
    newest = NewestInterest(model.state_dict(), model.config.as_dict(), KINDS)
    people = histories(300)
    together = newest.interests(people)
    rng = np.random.default_rng(1)
    for size in (1, 2, 7, 33, 150):
        some = rng.permutation(len(people))[:size]
        np.testing.assert_array_equal(newest.interests([people[place] for place in some]), together[some])


def test_the_served_folder_gives_the_bits_of_the_model_that_was_saved(tmp_path: Path) -> None:
    model = InterestModel(
        TextModel.load(tiny_encoder(tmp_path / "text")), trained(), KINDS, [], np.zeros((0, LATENT), np.float32),
        {"kind_weights": {"view": 1.0, "hide": -3.0}},
    )  # fmt: skip
    model.save(tmp_path / "model")
    served = ServedModel(tmp_path / "model")
    people = histories(20)
    np.testing.assert_array_equal(served.interests(people), model.interests(people))
    np.testing.assert_array_equal(served.query_vectors(["trail boots"]), model.query_vectors(["trail boots"]))
    trends = np.ones((1, DIM - LATENT), np.float32)
    np.testing.assert_array_equal(
        served.item_vectors(["new"], ["bread oven"], trends), model.item_vectors(["new"], ["bread oven"], trends)
    )
    assert served.history_length == LONGEST
    assert served.read_as("ban", -5.0) == model.read_as("ban", -5.0) == "hide"


def test_what_a_person_hides_pushes_away_before_anything_is_learnt() -> None:
    model = BehaviourModel(BehaviourConfig(text_width=32, kind_count=3, history_length=LONGEST))
    model.weigh_kinds([1.0, 1.0, -3.0])
    newest = NewestInterest(model.state_dict(), model.config.as_dict(), KINDS)
    vector = np.random.default_rng(0).normal(size=(1, DIM)).astype(np.float32)
    viewed, hidden = newest.interests([History(vector, [kind]) for kind in ("view", "hide")])
    assert viewed[:LATENT] @ vector[0, :LATENT] > 0 > hidden[:LATENT] @ vector[0, :LATENT]
