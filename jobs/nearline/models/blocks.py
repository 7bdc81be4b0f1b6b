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


def last_state(model: torch.nn.Module, words: torch.Tensor) -> torch.Tensor:
    """Hidden state of the last place, (n, LATENT), of ``words`` (n, t, LATENT) without padding.

    For GPT-2 what the last block would say of all other places is not computed: nothing reads it.
    """
    if not isinstance(model, GPT2Model):
        found: torch.Tensor = model(inputs_embeds=words).last_hidden_state[:, -1]
        return found
    hidden = model.drop(words + model.wpe.weight[: words.shape[1]])
    for block in model.h[:-1]:
        hidden = block(hidden)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
    last = model.h[-1]
    normed = last.ln_1(hidden)
    weight, bias = last.attn.c_attn.weight, last.attn.c_attn.bias  # (LATENT, 3 LATENT): query, key, value
    width = words.shape[2]
    query = torch.addmm(bias[:width], normed[:, -1], weight[:, :width])
    both = normed @ weight[:, width:] + bias[width:]

    def heads(rows: torch.Tensor) -> torch.Tensor:
        return rows.view(len(words), -1, last.attn.num_heads, last.attn.head_dim).transpose(1, 2)

    read = torch.nn.functional.scaled_dot_product_attention(
        heads(query), heads(both[..., :width]), heads(both[..., width:])
    )
    newest = hidden[:, -1] + last.attn.c_proj(read.transpose(1, 2).reshape(len(words), width))
    newest = newest + last.mlp(last.ln_2(newest))
    state: torch.Tensor = model.ln_f(newest)
    return state
