"""Which layout a model can bear: tried before the first step, on two rows that share a prefix."""

from typing import Any

import torch
from transformers import PreTrainedModel

from webdancer_cli.data.pipeline import Say
from webdancer_cli.errors import UsageError
from webdancer_cli.options.config import TrainingOptions
from webdancer_cli.training.attention import attend_by_us, unknown_layers, window_of
from webdancer_cli.training.dropout import has_dropout
from webdancer_cli.training.layout import Layout, pack, pad
from webdancer_cli.training.logprobs import Scorer, evaluating, unwrap
from webdancer_cli.training.models import MODEL_FAILURES, decoder_of, embedding_rows, max_length
from webdancer_cli.training.renderer import Tokens

SHARED = 24
"""Tokens that the rows of the check have in common; each goes on with as many, or with more than a window is wide."""

WIDEST_TRIED = 512
"""Windows up to this width are left behind by the check's rows. Wider ones are taken from the layers' own calls."""

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1}
"""How far a log-prob may be off on average, in standard deviations of the log-probs."""


def choose_layout(scorer: Scorer, options: TrainingOptions, device: torch.device, say: Say) -> Layout:
    """The layout that ``options`` name; by default a tree where the model gives the same numbers for it, else padded
    rows. Says which, and why. Raises UsageError where another one was asked for than the model can bear.

    Costs a few forward passes over some hundred tokens. All ranks call it together.
    """
    wanted = options.layout
    why_not = "" if wanted == "padded" else _unfit(unwrap(scorer.model)) or _apart(scorer, device)
    if why_not and wanted != "auto":
        raise UsageError(f"--layout {wanted}: {options.model} can be trained on padded rows only: {why_not}")
    if why_not or wanted == "padded":
        say(f"rows are padded, and shared prefixes computed row by row{': ' * bool(why_not)}{why_not}")
        return Layout("padded", options.micro_tokens, device)
    attend_by_us(_decoder(scorer).config)
    shared = "each computed for itself" if wanted == "packed" else "and prefixes that they share are computed once"
    say(f"rows are packed without padding, {shared}")
    return Layout("packed" if wanted == "packed" else "tree", options.micro_tokens, device)


def _decoder(scorer: Scorer) -> Any:
    return decoder_of(unwrap(scorer.model))


def _unfit(bare: PreTrainedModel) -> str:
    """Why packed rows are out of the question, by what the model says of itself; empty if they are not."""
    if has_dropout(bare):
        return "it is trained with dropout"
    strange = unknown_layers(bare.config)
    return f"it has layers of {strange}" if strange else ""


@torch.no_grad()
def _apart(scorer: Scorer, device: torch.device) -> str:
    """What is wrong with packed rows, tried; empty if nothing is."""
    bare = unwrap(scorer.model)
    rows = _rows(bare)
    packed = pack(rows, SHARED // 2, device)
    assert packed.attention is not None and len(packed.attention.spans) == len(rows) + 1
    with evaluating(scorer):
        plain_M = scorer(pad(rows, device))
        try:
            ours_M = scorer(packed)
        except (*MODEL_FAILURES, UsageError) as error:
            return " ".join(str(error).split())[:160]
    gap = float((ours_M - plain_M).abs().mean() / plain_M.std())
    if not gap < TOLERANCE.get(scorer.compute, TOLERANCE[torch.bfloat16]):
        return f"packed, its log-probs are off by {gap:.2g} standard deviations"
    if not packed.attention.windows & {window_of(bare.config)}:
        return f"its layers do not say how wide their window is ({window_of(bare.config)})"
    return ""


def _rows(bare: PreTrainedModel) -> list[Tokens]:
    """Two rows that share a prefix and one that does not, longer than a window of the usual small kind."""
    window = window_of(bare.config) or 0
    longest = min(max_length(bare.config) or WIDEST_TRIED, 2 * SHARED + (window if window <= WIDEST_TRIED else 0))
    generator = torch.Generator().manual_seed(0)
    prefix, *rest = (
        torch.randint(embedding_rows(bare), (length,), generator=generator).tolist()
        for length in (min(SHARED, longest // 2), longest // 2, longest - SHARED, longest // 3)
    )
    rows = [prefix + rest[0], prefix + rest[1], rest[2]]
    return [Tokens(ids, [at > 0 for at in range(len(ids))]) for ids in rows]
