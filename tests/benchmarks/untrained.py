"""A model of the real shape with random weights: as fast as a trained one, and there in a moment."""

from __future__ import annotations

import numpy as np
import torch

from nearline.core.behaviour import UNKNOWN_KIND
from nearline.core.interest import LATENT
from nearline.models.behaviour_model import BehaviourConfig, BehaviourModel
from nearline.models.interest_model import InterestModel
from nearline.models.text_model import TextModel, text_model_folder
from nearline.settings import Settings

KINDS = [UNKNOWN_KIND, "click", "search", "view"]


def untrained_model(settings: Settings, seed: int = 7) -> InterestModel:
    """The default text model, and a behaviour model that has learnt nothing."""
    torch.manual_seed(seed)
    text = TextModel.load(text_model_folder(settings.text_model))
    behaviour = BehaviourModel(BehaviourConfig(text_width=text.width, kind_count=len(KINDS)))
    return InterestModel(text, behaviour, KINDS, [], np.zeros((0, LATENT), np.float32), {})
