from pathlib import Path

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

from webdancer_cli.training.layout import pad
from webdancer_cli.training.logprobs import Scorer, check_head, token_logprobs
from webdancer_cli.training.models import load_model, load_trainable
from webdancer_cli.training.output_head import HeadLogprobs, Shaping
from webdancer_cli.training.renderer import Tokens

ROWS = [
    Tokens([3, 1, 4, 1, 5], [False, False, True, True, True]),
    Tokens([9, 2, 6], [False, True, False]),
    Tokens([5, 3, 5, 8, 9, 7, 9], [False, False, False, True, False, False, True]),
]


def by_full_logits(model: torch.nn.Module, temperature: float = 1.0) -> torch.Tensor:
    """Row by row, without padding: log_softmax of the model's own logits just before each trainable token."""
    found = []
    for row in ROWS:
        logits_TV = model(torch.tensor([row.ids])).logits[0].float() / temperature
        logprobs_TV = torch.log_softmax(logits_TV, dim=-1)
        found += [logprobs_TV[at - 1, row.ids[at]] for at, trainable in enumerate(row.trainable) if trainable]
    return torch.stack(found)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("chunk_logits", [1, 700, 2**24])
def test_gathered_and_chunked_equals_full_logits(tiny_folder: Path, temperature: float, chunk_logits: int) -> None:
    model = load_model(str(tiny_folder))
    batch = pad(ROWS)
    ours = token_logprobs(model, batch, temperature, chunk_logits)
    torch.testing.assert_close(ours, by_full_logits(model, temperature), rtol=1e-5, atol=1e-6)


def test_gradients_do_not_depend_on_the_chunks(tiny_folder: Path) -> None:
    gradients = []
    for chunk_logits in (1, 2**24):
        model, _ = load_trainable(str(tiny_folder))
        batch = pad(ROWS)
        token_logprobs(model, batch, chunk_logits=chunk_logits).sum().backward()
        gradients.append([part.grad for part in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_adapters_take_part(tiny_folder: Path) -> None:
    model, compute = load_trainable(str(tiny_folder), lora_rank=4)
    with torch.no_grad():
        for name, part in model.named_parameters():
            if "lora_B" in name:
                part.normal_(std=0.1)
    batch = pad(ROWS)
    ours = Scorer(model, compute)(batch)
    torch.testing.assert_close(ours, by_full_logits(model), rtol=1e-5, atol=1e-6)


def test_soft_capped_logits_are_scored_as_the_model_scores_them() -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "head_dim": 16}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    model = Gemma2ForCausalLM(Gemma2Config(vocab_size=50, final_logit_softcapping=0.5, **sizes, **heads)).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(40)
    check_head(model)
    batch = pad(ROWS)
    ours = token_logprobs(model, batch)
    torch.testing.assert_close(ours, by_full_logits(model), rtol=1e-4, atol=1e-5)


def test_a_batch_without_loss_still_has_gradients(tiny_folder: Path) -> None:
    model, compute = load_trainable(str(tiny_folder))
    batch = pad([])
    logprobs = Scorer(model, compute)(batch)
    logprobs.sum().backward()
    assert logprobs.shape == (0,)
    assert all(part.grad is not None and not part.grad.any() for part in model.parameters())


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("shaping", [Shaping(), Shaping(0.5, 2.0, 0.7), Shaping(3.0, None, 1.3)])
def test_the_heads_gradients_are_those_of_all_logits_at_once(shaping: Shaping, with_bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, weight, bias = (
        torch.randn(*shape, generator=generator).requires_grad_() for shape in ((11, 6), (20, 6), (20,))
    )
    targets = torch.randint(20, (11,), generator=generator)
    logits = hidden @ weight.mT * shaping.scale + (bias * shaping.scale if with_bias else 0)
    logits = shaping.cap * torch.tanh(logits / shaping.cap) if shaping.cap else logits
    expected = torch.log_softmax(logits / shaping.temperature, 1).gather(1, targets[:, None])[:, 0]
    ours = HeadLogprobs.apply(hidden, weight, bias if with_bias else None, targets, shaping, 4)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)
    given, above = [hidden, weight, *([bias] if with_bias else [])], torch.linspace(-1, 2, 11)
    for one, other in zip(
        torch.autograd.grad(ours, given, above), torch.autograd.grad(expected, given, above), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
