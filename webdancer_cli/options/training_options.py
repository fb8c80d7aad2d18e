"""What the commands that train can be told."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from webdancer_cli.options.episode_options import EpisodeOptions
from webdancer_cli.options.option_checks import Options, same_file
from webdancer_cli.options.shared_options import (
    NANO,
    CallOptions,
    EncryptedOptions,
    Fraction,
    JudgeOptions,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

ServerPlace = Annotated[
    str,
    Meta(
        pattern=r"^(cpu|\d+(\+\d+)*)$",
        description="name the GPU of each server: 0,1 are two servers, 0+1 is one on two GPUs, cpu needs none",
    ),
]


@dataclass(kw_only=True)
class TrainingOptions(Options):
    """What ``sft`` and ``rl`` share."""

    data: str = "-"
    """File of JSON lines, or "-" for stdin (rank 0 reads, and broadcasts)."""
    out: str = "checkpoint"
    """Folder for the Hugging Face checkpoint and ``metrics.jsonl``."""
    model: str = NANO
    """"nano", a checkpoint folder, or a hub name."""
    lr: PositiveFloat | None = None
    """Peak learning rate; by default 1e-5, and 2e-4 with LoRA."""
    weight_decay: NonNegativeFloat = 0.0
    """AdamW weight decay, on matrices only."""
    max_grad_norm: PositiveFloat = 1.0
    """Clip the global gradient norm to this."""
    lora_rank: NonNegativeInt = 0
    """Rank of LoRA adapters on all linear layers; 0 trains all weights."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Weights and arithmetic: "float32", "bfloat16", or "auto" (float32 on the CPU for small models and
    for processors without bfloat16 instructions, else bfloat16)."""
    checkpointing: Literal["auto", "none", "light", "selective", "full"] = "auto"
    """Activations that are computed again in the backward pass: "none", "full" (each layer keeps its input alone),
    "selective" (and what attention gave), "light" (and what all matrix products gave), "auto" (light from 50 million
    parameters on, full from half a billion on)."""
    replicas: PositiveInt = 1
    """Groups of ranks that hold all weights between them, e.g. one for each node (HSDP); 1 shards over all ranks."""
    cpu_offload: bool = False
    """Keep weights, gradients and optimiser in the CPU's memory; a GPU sees a layer at a time."""
    micro_tokens: PositiveInt = 16384
    """Tokens that go through the model at once; only memory and speed depend on it."""
    layout: Literal["auto", "tree", "packed", "padded"] = "auto"
    """How rows go through the model: "packed" without padding; as a "tree" in which a prefix that rows share is
    computed once; or "padded". "auto" is "tree" where the model gives the same numbers for it, else "padded"."""
    max_length: PositiveInt | None = None
    """Longest sequence in tokens; a longer trajectory is left out and counted. By default, what the model has."""
    save_every: NonNegativeInt = 0
    """Also save a checkpoint every so many steps, as ``out/step-N``, from which ``resume`` goes on; 0 saves at the end
    only."""
    keep: PositiveInt = 2
    """Checkpoints from which ``resume`` can go on, the last ones; older ones are left with their weights alone."""
    resume: bool = False
    """Go on exactly from the last checkpoint in ``out``, on any number of ranks; without one, from the start."""
    async_save: bool = False
    """Write the state that ``resume`` needs while the training goes on, from a copy of it in memory."""
    track: Literal["none", "wandb", "tensorboard", "trackio"] = "none"
    """Also send the numbers of ``metrics.jsonl`` to a tracker; tensorboard's files go into ``out``."""
    seed: int = 0
    """Seed of the data order and of everything sampled."""
    limit: PositiveInt | None = None
    """Use the first so many records only."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lr is None:
            self.lr = self.default_lr

    def output_folders(self) -> list[str]:
        return [self.out]

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        yield from same_file(self.data, self.out, self.tape if isinstance(self, CallOptions) else None)

    @property
    def default_lr(self) -> float:
        return 2e-4 if self.lora_rank else 1e-5

    @property
    def peak_lr(self) -> float:
        """``lr``, which is never None once the options are made."""
        return self.default_lr if self.lr is None else self.lr


@dataclass(kw_only=True)
class SftOptions(TrainingOptions):
    """Supervised fine-tuning on kept trajectories (paper, equation 2)."""

    epochs: PositiveFloat = 3.0
    """Passes over the data; ignored when ``steps`` is given."""
    steps: PositiveInt | None = None
    """Optimizer steps."""
    minutes: PositiveFloat | None = None
    """End after this much time, with a checkpoint, if the steps have not ended before; the learning rate falls by
    whichever will be over first."""
    batch_size: PositiveInt = 16
    """Trajectories per optimizer step, over all ranks."""
    warmup: Fraction = 0.05
    """Share of the steps in which the learning rate rises linearly; it then falls by a cosine to a tenth."""
    train_on: Literal["all", "last", "answers"] = "all"
    """What bears loss: "all" turns of the policy, its "last" one, or its "answers" alone (their tags, and the end of
    that turn)."""
    overlong: Literal["drop", "truncate"] = "drop"
    """What becomes of a trajectory longer than ``max_length``: "drop" leaves it out, "truncate" cuts it after the last
    turn of the policy that fits. Both are counted."""
    show_masks: NonNegativeInt = 0
    """Show so many examples on stderr, what bears loss in them marked, and train nothing."""
    eval_data: str | None = None
    """File of trajectories that are not trained on: their loss goes into ``metrics.jsonl`` as ``held_out_loss``."""
    eval_every: NonNegativeInt = 0
    """Find the loss of ``eval_data`` every so many steps; 0 finds it at the end only."""
    keep_best: bool = False
    """The result is the checkpoint with the lowest held-out loss, not the last one; wants ``eval_data``."""
    dry_run: bool = False
    """Print how much memory each rank would need, about; read no data and write nothing."""

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        if self.keep_best and self.eval_data is None:
            yield "--keep-best: which trajectories tell the best? Name them by --eval-data"


@dataclass(kw_only=True)
class RlOptions(TrainingOptions, EpisodeOptions, JudgeOptions, CallOptions, EncryptedOptions):
    """DAPO on questions (paper, section 3.4; DAPO, arXiv 2503.14476)."""

    lr: PositiveFloat | None = None
    """Constant learning rate after ``warmup_steps``; by default 1e-6 (DAPO), and 2e-5 with LoRA."""
    warmup_steps: NonNegativeInt = 0
    """Steps of linear warm-up."""
    steps: PositiveInt = 100
    """Optimizer steps (one batch of questions each)."""
    questions: PositiveInt = 16
    """Questions with a learnable group per step, over all ranks."""
    group: Annotated[int, Meta(ge=2, description="give at least 2: a group compares its rollouts")] = 16
    """Rollouts per question (paper: 16)."""
    max_rounds: PositiveInt = 4
    """Dynamic sampling: rounds of fresh questions per step at most, until ``questions`` groups have both outcomes."""
    dynamic_sampling: Literal["on", "off"] = "on"
    """Leave out the groups whose answers are all right, or all wrong, and play fresh questions in their place (DAPO);
    "off" plays one round, and the loss is the mean over all of its groups (GRPO)."""
    rest: NonNegativeInt = 0
    """A question whose rollouts were all right, or all wrong, is left out of the next so many passes over the
    questions; 0 plays all of them in every pass."""
    curriculum: str | None = None
    """File of attempts at these questions, several each, from ``eval --runs`` or ``sample -n``: a pass begins with the
    questions that there is most to learn from, whose pass rate is near one half."""
    minibatches: PositiveInt = 1
    """Optimizer updates per batch of rollouts; with 1 the first ratio is exactly 1."""
    max_staleness: Annotated[int, Meta(ge=0, le=1, description="give 0 or 1")] = 0
    """1 plays the next batch while this one is trained on, with weights that are one step older; its tokens are
    weighted by a truncated importance ratio."""
    step_seconds: PositiveFloat = 7200.0
    """Longest time for the rollouts of one step; then those under way are ended and left out. What does not even end by
    that is told, and ends the run."""
    temperature: PositiveFloat = 1.0
    """Sampling temperature of the rollouts (paper: 1.0; top_p is 1.0, anything else would falsify the ratios)."""
    engine: Literal["inprocess", "vllm"] = "inprocess"
    """Who draws the rollouts: "inprocess", a copy of the model beside the trainer's, or "vllm", servers of vLLM: those
    of ``vllm_url``, or those that ``vllm_gpus`` starts."""
    vllm_url: list[str] = field(default_factory=list)
    """vLLM servers of ``model`` that take new weights, e.g. http://127.0.0.1:8000; they share the episodes."""
    vllm_gpus: list[ServerPlace] = field(default_factory=list)
    """Start one vLLM server for each of these, and stop it at the end: "4,5" are two servers with a GPU each, "4+5" is
    one that has both; "cpu" needs none."""
    vllm_sleep: Literal["auto", "on", "off"] = "auto"
    """Whether vLLM servers give back their GPUs' memory while the trainer works: "auto" where ``vllm_gpus`` names one
    that is trained on."""
    weight_transfer: Literal["files", "nccl"] = "files"
    """How vLLM servers get all weights: through ``sync_folder``, or over NCCL, which has not been tested on
    GPUs."""
    sync_folder: str | None = None
    """Folder through which vLLM servers get new weights, under the same path for all; by default it is in ``out``."""
    canary_gap: PositiveFloat | None = None
    """After every change of weights each copy of the model that plays scores a fixed text, and so does the trainer.
    When their log-probs are further apart than this on average, in nats, the run ends; by default 0.2 in bfloat16, 0.01
    in float32."""
    clip_low: PositiveFloat = 0.2
    """DAPO's epsilon_low."""
    clip_high: PositiveFloat = 0.28
    """DAPO's epsilon_high."""
    loss_mean: Literal["tokens", "episodes"] = "tokens"
    """What the loss is the mean of: the tokens of the batch (DAPO), or its episodes, each the mean of its own tokens
    (GRPO)."""
    kl: NonNegativeFloat = 0.0
    """Weight of the divergence from the policy that the run began with, per token (k3); DAPO has none."""
    reward: str | None = None
    """A reward of your own in place of 0.1 format + 0.9 answer, as "module:function" or "file.py:function": it is given
    the trajectory and whether it is well-formed, and returns a number, or None to leave the episode out."""
    max_unjudged: Fraction = 0.05
    """Stop when a larger share of the episodes of the last five steps has no verdict, or was ended by machinery."""
    overlong_tokens: NonNegativeInt = 0
    """Length of the soft punishment zone (DAPO's L_cache) before ``overlong_at``; 0 switches it off."""
    overlong_at: PositiveInt | None = None
    """Tokens at which the punishment is full (DAPO's L_max); ``max_context_tokens`` if not given."""
    overlong_counts: Literal["episode", "own"] = "episode"
    """Which tokens: "episode", all that fill the context, or "own", those that the policy wrote."""
    minutes: PositiveFloat | None = None
    """Stop after this much time, with a checkpoint."""
    eval_data: str | None = None
    """File of questions that are not trained on: the policy plays each once, and ``held_out.jsonl`` tells how well."""
    eval_every: NonNegativeInt = 0
    """Play those of ``eval_data`` before the first step and after every so many; 0 plays them at the end only."""
    keep_best: bool = False
    """The result is the checkpoint with the highest reward on ``eval_data``, not the last one."""

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        if self.keep_best and not (self.eval_data and self.eval_every):
            yield "--keep-best: which is the best? Name questions by --eval-data, and when to play them by --eval-every"
        limit, flag = (
            (self.overlong_at, "--overlong-at")
            if self.overlong_at
            else (self.max_context_tokens, "--max-context-tokens")
        )
        if self.overlong_tokens >= limit:
            yield f"--overlong-tokens {self.overlong_tokens}: must be less than {flag} ({limit})"
        if self.overlong_at and not self.overlong_tokens:
            yield f"--overlong-at {self.overlong_at}: nothing is punished without a zone: add --overlong-tokens"
        counts_unseen = self.overlong_counts == "episode" and self.context != "append"
        if self.overlong_tokens and not self.overlong_at and counts_unseen:
            yield (
                f"--overlong-tokens {self.overlong_tokens}: counts all that an episode holds, of which --context "
                f"{self.context} shows the policy a part: say by --overlong-at how long one may become"
            )
        yield from self._vllm_contradictions()

    def _vllm_contradictions(self) -> Iterator[str]:
        named = [flag for flag, value in (("--vllm-url", self.vllm_url), ("--vllm-gpus", self.vllm_gpus)) if value]
        if self.engine != "vllm":
            yield from (f"{flag}: names vLLM servers; add --engine vllm" for flag in named)
            if self.vllm_sleep == "on":
                yield "--vllm-sleep on: is about vLLM servers; add --engine vllm"
            if self.weight_transfer == "nccl":
                yield "--weight-transfer nccl: is about vLLM servers; add --engine vllm"
        elif len(named) != 1:
            yield (
                "--engine vllm: name either servers that stand already, by --vllm-url, or where to start some, by "
                "--vllm-gpus (0,1 or cpu)"
            )
        elif self.temperature != 1:
            yield (
                f"--temperature {self.temperature}: vLLM tells the log-probs of the model itself, which are those of "
                "the draw at temperature 1 alone; leave it out, or use --engine inprocess"
            )
        elif self.weight_transfer == "nccl" and self.lora_rank:
            yield "--weight-transfer nccl: is for all weights: adapters go through files; leave one of them out"
        elif self.weight_transfer == "nccl" and "cpu" in self.vllm_gpus:
            yield "--weight-transfer nccl: goes from GPU to GPU; a server on the CPU takes --weight-transfer files"
        elif self.weight_transfer == "nccl" and self.sync_folder:
            yield "--sync-folder: no files are written with --weight-transfer nccl; leave one of them out"
        elif self.weight_transfer == "nccl" and self.vllm_sleep == "on":
            yield "--weight-transfer nccl: needs servers that stay awake, on GPUs of their own; leave --vllm-sleep out"
        elif self.vllm_sleep == "on" and "cpu" in self.vllm_gpus:
            yield "--vllm-sleep on: a server on the CPU cannot sleep: vLLM has that for GPUs alone"
        elif self.vllm_sleep == "on" and self.max_staleness:
            yield "--vllm-sleep on: with --max-staleness 1 servers play while the trainer works; leave one of them out"

    @property
    def default_lr(self) -> float:
        return 2e-5 if self.lora_rank else 1e-6
