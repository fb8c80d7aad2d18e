"""The policy that RL began with, frozen: ``--kl`` holds the one that is trained near it."""

from dataclasses import dataclass

import torch
from peft import PeftModel
from torch import Tensor

from webdancer_cli.options.config import RlOptions
from webdancer_cli.training.attention import attend_by_us
from webdancer_cli.training.layout import Batch
from webdancer_cli.training.logprobs import Scorer, evaluating, unwrap
from webdancer_cli.training.models import decoder_of
from webdancer_cli.training.run import TrainingRun
from webdancer_cli.training.setup import TrainingSetup
from webdancer_cli.training.trainable import open_trainable


@dataclass(frozen=True)
class Reference:
    """Scores tokens as the policy at the beginning of the run would have."""

    scorer: Scorer
    """With LoRA the one that is trained, whose adapters are switched off for a while; else one of its own."""

    @torch.no_grad()
    def logprobs(self, batch: Batch, temperature: float) -> Tensor:
        """As ``Scorer`` gives them. All ranks ask together."""
        model = self.scorer.model
        if isinstance(model, PeftModel):
            with model.disable_adapter():
                adapted: Tensor = self.scorer(batch, temperature)
                return adapted
        with evaluating(model):
            plain: Tensor = self.scorer(batch, temperature)
            return plain


def open_reference(options: RlOptions, setup: TrainingSetup, run: TrainingRun) -> Reference | None:
    """None without ``--kl``. With full fine-tuning it takes as much memory as the weights that are trained."""
    if not options.kl:
        return None
    if options.lora_rank:
        return Reference(run.trainable.scorer)
    frozen = open_trainable(setup.plain, setup.tokenizer, options, setup.world).scorer.requires_grad_(False)
    if run.layout.kind != "padded":
        attend_by_us(decoder_of(unwrap(frozen.model)).config)
    return Reference(frozen)
