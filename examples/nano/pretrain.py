"""Pretrain nano: a Qwen3-shaped model of about a million weights, on plain text of random fictional worlds.

    python examples/nano/tokenizer.py --out work/nano
    python examples/nano/pretrain.py --out work/nano --minutes 30

The script can be killed and started again: it goes on from its last checkpoint. ``curve.jsonl`` holds the loss on
derived text (what can be known from the context) and the share of derived tokens that the model gets right.
"""

import argparse
import itertools
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from plaintext import DERIVED, documents
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedTokenizerBase, Qwen3Config, Qwen3ForCausalLM

BETAS = (0.9, 0.98)


def build_model(vocabulary: int, options: argparse.Namespace) -> Qwen3ForCausalLM:
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=options.hidden,
        intermediate_size=options.mlp,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        num_key_value_heads=options.kv_heads,
        head_dim=32,
        max_position_embeddings=2048,
        rope_theta=10000.0,
        tie_word_embeddings=True,
        initializer_range=0.02,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
    )
    torch.manual_seed(options.seed)
    model = Qwen3ForCausalLM(config)
    with torch.no_grad():
        _look_back(model)
    return model


LOOK_BACK = (1, 2, 4, 5)
"""How far the heads of the first layer look back at the start: to the word before, and from a value to its relation."""


def _look_back(model: Qwen3ForCausalLM) -> None:
    """Start the heads of the first layer as look-back heads, each at a fixed distance.

    All embeddings share a constant in dimension 0, so a head's query and key can be the same at every position; only
    the fastest rotary frequencies are used, and the query is turned back by the distance, where the product then peaks.
    """
    size = model.config.head_dim
    frequencies = 10000.0 ** (-torch.arange(0, size, 2) / size)
    strength = torch.zeros(size // 2)
    strength[:4] = torch.tensor([1.5, 1.2, 1.0, 0.7])
    model.model.embed_tokens.weight[:, 0] = 0.1
    attention = model.model.layers[0].self_attn
    key = torch.cat([strength, torch.zeros(size // 2)])
    queries = [
        torch.cat([strength * torch.cos(frequencies * back), -strength * torch.sin(frequencies * back)])
        for back in LOOK_BACK[: model.config.num_attention_heads]
    ]
    for weight, vectors in (
        (attention.k_proj.weight, [key] * model.config.num_key_value_heads),
        (attention.q_proj.weight, queries),
    ):
        weight *= 0.1
        weight[:, 0] = torch.cat(vectors)
    attention.q_norm.weight.fill_(2.0)
    attention.k_norm.weight.fill_(2.0)


def encoded(tokenizer: PreTrainedTokenizerBase, seed: int) -> Iterator[tuple[list[int], list[float]]]:
    """Documents as ids with a loss weight per token."""
    for document in documents(seed):
        weight_of_char = [weight for text, weight in document.spans for _ in text]
        made = tokenizer(document.text, add_special_tokens=False, return_offsets_mapping=True)
        yield made["input_ids"], [weight_of_char[end - 1] for _, end in made["offset_mapping"]]


def batches(tokenizer: PreTrainedTokenizerBase, tokens: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Right-padded batches of about ``tokens`` tokens, of documents of like length: ids_BT and weights_BT."""
    stream = encoded(tokenizer, seed)
    while True:
        pool = sorted(itertools.islice(stream, 256), key=lambda item: len(item[0]))
        cuts: list[list[tuple[list[int], list[float]]]] = [[]]
        for item in pool:
            if cuts[-1] and len(item[0]) * (len(cuts[-1]) + 1) > tokens:
                cuts.append([])
            cuts[-1].append(item)
        order = torch.randperm(len(cuts), generator=torch.Generator().manual_seed(len(pool[0][0]) + len(cuts))).tolist()
        for index in order:
            yield _padded(cuts[index])


def _padded(items: list[tuple[list[int], list[float]]]) -> tuple[Tensor, Tensor]:
    longest = max(len(ids) for ids, _ in items)
    ids_BT = torch.zeros(len(items), longest, dtype=torch.long)
    weights_BT = torch.zeros(len(items), longest)
    for row, (ids, weights) in enumerate(items):
        ids_BT[row, : len(ids)] = torch.tensor(ids)
        weights_BT[row, : len(ids)] = torch.tensor(weights)
    return ids_BT, weights_BT


def losses(model: nn.Module, ids_BT: Tensor, weights_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean cross-entropy, and the share of derived tokens predicted right."""
    hidden_BTD = model.model(input_ids=ids_BT).last_hidden_state[:, :-1]
    target_BT, weight_BT = ids_BT[:, 1:], weights_BT[:, 1:]
    taken_BT = weight_BT > 0
    logits_NV = model.lm_head(hidden_BTD[taken_BT])
    target_N, weight_N = target_BT[taken_BT], weight_BT[taken_BT]
    loss_N = nn.functional.cross_entropy(logits_NV, target_N, reduction="none")
    derived_N = weight_N == DERIVED
    right = (logits_NV.detach().argmax(-1) == target_N)[derived_N].float().mean()
    return (loss_N * weight_N).sum() / weight_N.sum(), torch.stack([loss_N.detach()[derived_N].mean(), right])


def optimizers(model: nn.Module, options: argparse.Namespace) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for embeddings and norms."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        torch.optim.Muon(matrices, lr=options.muon_lr, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=options.lr, betas=BETAS, weight_decay=0.0),
    ]


def pace(share: float) -> float:
    """Learning-rate factor over the run: warm-up for 1 %, flat, linear to a twentieth over the last 40 %."""
    if share < 0.01:
        return share / 0.01
    return 1.0 if share < 0.6 else max(0.05, 1 - 0.95 * (share - 0.6) / 0.4)


def train(options: argparse.Namespace) -> None:
    tokenizer = AutoTokenizer.from_pretrained(options.out)
    model = build_model(len(tokenizer), options)
    rates = optimizers(model, options)
    base_rates = [group["lr"] for optimizer in rates for group in optimizer.param_groups]
    state_file = options.out / "state.pt"
    spent, tokens, step = 0.0, 0, 0
    if state_file.exists():
        state = torch.load(state_file)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(rates, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        spent, tokens, step = state["spent"], state["tokens"], state["step"]
    print(
        f"{sum(p.numel() for p in model.parameters()):,} weights, {len(tokenizer)} tokens, from step {step}", flush=True
    )
    begun, saved_at, smooth = time.monotonic() - spent, spent, torch.zeros(2)
    for ids_BT, weights_BT in batches(tokenizer, options.batch_tokens, options.seed + 1_000_003 * step):
        spent = time.monotonic() - begun
        if spent > options.minutes * 60:
            break
        factor = pace(spent / (options.minutes * 60))
        for group, rate in zip((g for o in rates for g in o.param_groups), base_rates, strict=True):
            group["lr"] = rate * factor
        loss, seen = losses(model, ids_BT, weights_BT)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in rates:
            optimizer.step()
            optimizer.zero_grad()
        step, tokens = step + 1, tokens + ids_BT.numel()
        smooth = seen if step == 1 else smooth.lerp(seen, 0.02) if not math.isnan(seen.sum()) else smooth
        if step % 50 == 0:
            line = {"step": step, "tokens": tokens, "seconds": round(spent)}
            line |= {"loss": round(smooth[0].item(), 4), "right": round(smooth[1].item(), 4)}
            with (options.out / "curve.jsonl").open("a") as curve:
                curve.write(json.dumps(line) + "\n")
            print(line, flush=True)
        if spent - saved_at > 120:
            saved_at = spent
            _save_state(state_file, model, rates, spent, tokens, step)
            model.save_pretrained(options.out)
    model.save_pretrained(options.out)


def _save_state(path: Path, model: nn.Module, rates: list, spent: float, tokens: int, step: int) -> None:
    state = {"model": model.state_dict(), "optimizers": [o.state_dict() for o in rates]}
    torch.save(state | {"spent": spent, "tokens": tokens, "step": step}, path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder with the tokenizer; the model goes there too")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--muon-lr", type=float, default=3e-3)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--kv-heads", type=int, default=2)
    parser.add_argument("--mlp", type=int, default=384)
    parser.add_argument("--seed", type=int, default=0)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
