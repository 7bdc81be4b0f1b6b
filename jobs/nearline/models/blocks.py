"""The transformer of the behaviour model: GPT-2's blocks or Llama's, of the same width and depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import GPT2Config, GPT2Model, LlamaConfig, LlamaModel

from nearline.core.interest import LATENT

if TYPE_CHECKING:
    from nearline.models.behaviour_model import BehaviourConfig


def transformer(config: BehaviourConfig) -> torch.nn.Module:
    """Blocks that read ``inputs_embeds`` (n, 1 + t, LATENT) from left to right; ``last_hidden_state`` is the same size.

    Their own word embedding has one word and is not used: words come as vectors.
    """
    if config.block == "llama":
        return LlamaModel(  # type: ignore[no-any-return]
            LlamaConfig(
                vocab_size=1,
                hidden_size=LATENT,
                # A gate has a third matrix: with 8/3 of the width it weighs what GPT-2's 4 times the width do.
                intermediate_size=8 * LATENT // 3,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                max_position_embeddings=config.history_length + 1,
                attention_dropout=config.dropout,
                bos_token_id=0,
                eos_token_id=0,
                use_cache=False,
            )
        )
    return GPT2Model(  # type: ignore[no-any-return]
        GPT2Config(
            vocab_size=1,
            n_positions=config.history_length + 1,
            n_embd=LATENT,
            n_layer=config.layers,
            n_head=config.heads,
            resid_pdrop=config.dropout,
            embd_pdrop=config.dropout,
            attn_pdrop=config.dropout,
            activation_function="gelu_pytorch_tanh",  # GPT-2's own, as one operation and not six
            bos_token_id=0,
            eos_token_id=0,
            use_cache=False,
        )
    )
