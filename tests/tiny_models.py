"""Tokenizers and random models that are made on the spot, of the architectures that people train."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

TEXT = "Wissen ist Macht. The capital of Arlen is Bost, and 42 ships sail to the harbour each year.\n" * 4
CHATML = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def byte_level(special: list[str], added: list[str], eos: str) -> PreTrainedTokenizerFast:
    """A tiny byte-level BPE with the given control tokens and non-special added tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=False) for text in added])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=eos, pad_token=eos)


Make = Callable[[Path, PreTrainedTokenizerBase], PreTrainedModel]

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
SMALL |= {"num_key_value_heads": 2, "max_position_embeddings": 512}


def save_tiny(folder: Path, tokenizer: PreTrainedTokenizerFast, **options: Any) -> None:
    """A random two-layer Qwen3 with its tokenizer, as a Hugging Face folder."""
    torch.manual_seed(0)
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "tie_word_embeddings": True,
        "eos_token_id": tokenizer.eos_token_id,
    }
    Qwen3ForCausalLM(Qwen3Config(**{**shape, **options})).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def family(name: str, config: str | None = None, **options: Any) -> Make:
    """Models of ``name`` (the stem of its classes in transformers) in the shape of ``SMALL``."""

    def make(folder: Path, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
        kind = getattr(transformers, config or f"{name}Config")
        return saved(getattr(transformers, f"{name}ForCausalLM"), kind, folder, tokenizer, {**SMALL, **options})

    return make


def with_own_names(config: str, model: str, **options: Any) -> Make:
    """A family whose configuration has names of its own."""

    def make(folder: Path, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
        return saved(getattr(transformers, model), getattr(transformers, config), folder, tokenizer, options)

    return make


def saved(
    model_class: Any, config_class: Any, folder: Path, tokenizer: PreTrainedTokenizerBase, options: dict[str, Any]
) -> PreTrainedModel:
    """A random model with weights large enough for its logits to differ, in ``folder`` beside its tokenizer."""
    tokens = {
        "vocab_size": len(tokenizer),
        "bos_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": tokenizer.eos_token_id,
    }
    torch.manual_seed(0)
    model = model_class(config_class(**{**tokens, **options})).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim >= 2:
                size = 0.5 if any(part in name for part in ("embed", "lm_head", "wte")) else 0.25
                weight.copy_(torch.randn(weight.shape, generator=generator) * size)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


_LLAMA3_ROPE = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
_LLAMA3_ROPE |= {"original_max_position_embeddings": 64, "rope_theta": 10000.0}
_LATENT = {"q_lora_rank": 16, "kv_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 12}
_ROUTED = {"num_experts_per_tok": 2, "moe_intermediate_size": 16, "first_k_dense_replace": 1, "n_routed_experts": 4}
_LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
_FACTORS = {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
_LONGROPE = {"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 400, **_FACTORS}

PLAYED: dict[str, Make] = {
    "llama3": family("Llama", rope_parameters=_LLAMA3_ROPE),
    "qwen2": family("Qwen2", tie_word_embeddings=True),
    "qwen3": family("Qwen3", head_dim=16),
    "qwen3-dropout": family("Qwen3", head_dim=16, attention_dropout=0.1),
    "mistral-window": family("Mistral", sliding_window=16, head_dim=8),
    "gemma3": family("Gemma3", config="Gemma3TextConfig", head_dim=8, sliding_window=16),
    "phi3": family("Phi3"),
    "phi3-longrope": family("Phi3", rope_parameters=_LONGROPE, original_max_position_embeddings=400),
    "gpt2": with_own_names("GPT2Config", "GPT2LMHeadModel", n_embd=32, n_layer=2, n_head=4, n_positions=512),
    "opt": with_own_names(
        "OPTConfig", "OPTForCausalLM", hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4,
        word_embed_proj_dim=32, max_position_embeddings=512,
    ),
    "qwen3-moe": family("Qwen3Moe", head_dim=16, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16),
    "mixtral": family("Mixtral", num_local_experts=4, num_experts_per_tok=2),
    "deepseek-v3": family("DeepseekV3", num_key_value_heads=4, n_group=2, topk_group=1, **_LATENT, **_ROUTED),
    "glm4": family("Glm4", head_dim=8),
    "olmo2": family("Olmo2"),
    "granite": family("Granite", logits_scaling=2.0),
    "smollm3": family("SmolLM3", no_rope_layers=[1, 0]),
    "cohere": family("Cohere"),
}  # fmt: skip
"""Plain attention over a row's own past: the engine has to play these."""

MAY_BE_REFUSED: dict[str, Make] = {
    "gemma2": family("Gemma2", head_dim=8, sliding_window=16),
    "gpt-oss": family("GptOss", head_dim=8, num_local_experts=4, num_experts_per_tok=2, sliding_window=16),
    "qwen3.5": family(
        "Qwen3_5", "Qwen3_5TextConfig", head_dim=16, layer_types=["linear_attention", "full_attention"], **_LINEAR
    ),
    "lfm2": family("Lfm2", layer_types=["conv", "full_attention"], block_ff_dim=64),
    "bloom": with_own_names("BloomConfig", "BloomForCausalLM", hidden_size=32, n_layer=2, n_head=4),
    "gptj": with_own_names(
        "GPTJConfig", "GPTJForCausalLM", n_embd=32, n_layer=2, n_head=4, n_positions=512, rotary_dim=4
    ),
    "stablelm": family("StableLm"),
    "llama4": family(
        "Llama4", "Llama4TextConfig", head_dim=8, attention_chunk_size=100, intermediate_size_mlp=64,
        num_local_experts=2,
    ),
    "qwen2-moe-window": family(
        "Qwen2Moe", num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16, shared_expert_intermediate_size=16,
        use_sliding_window=True, sliding_window=100,
    ),
    "doge": family("Doge", keep_window_size=100),
    "mamba": with_own_names("MambaConfig", "MambaForCausalLM", hidden_size=32, num_hidden_layers=2, state_size=8),
}  # fmt: skip
"""Caps and sinks in attention, recurrent or convolutional layers, biases by distance, attention of their own, or what
no row shorter than a chunk or a window shows: the engine has to play these rightly, or say no."""

ARCHITECTURES = PLAYED | MAY_BE_REFUSED
