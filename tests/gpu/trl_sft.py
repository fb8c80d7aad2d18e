"""TRL's SFT on the same rows, with the settings that suit it: its own loss over the positions that bear some, bfloat16,
fused AdamW, torch's SDPA (rows of one length need no padding), no checkpointing where that fits.
"""

import importlib.util
import tempfile
from typing import Any

import torch
from measuring import arguments, device, first_that_fits, now, peak_gb, speed
from shapes import (
    LORA_RANK,
    SHAPES,
    Case,
    cases,
    checkpoint,
    micro_tokens,
    operations,
    random_rows,
    rows_of_step,
)

WARM_UP, TIMED = 1, 3
TIMED_SECONDS = 8.0


def main() -> None:
    options, results = arguments()
    if importlib.util.find_spec("trl") is None:
        results.add("all", skipped="trl is not installed here")
        return
    folder = str(checkpoint(options.shape, options.work))
    for case, length in cases(options.cases, options.shape, options.rehearse):
        if results.remaining_seconds <= 0:
            results.add(case.name, skipped="no time left")
            continue
        with results.figures(case.name) as figures:
            measure(figures, folder, options.shape, case, length)


def measure(figures: dict[str, Any], folder: str, shape: str, case: Case, length: int) -> None:
    rows = random_rows(rows_of_step(shape, length), length, SHAPES[shape]["vocab_size"], seed=1)
    loss_tokens = sum(sum(bears[1:]) for _, bears in rows)
    figures.update(row_tokens=length, rows=len(rows), loss_tokens=loss_tokens)
    micro = max(1, min(micro_tokens(shape, case) // length, len(rows)))

    def take(way: str) -> dict[str, Any]:
        return take_steps(folder, case, micro, rows, way == "full")

    if found := first_that_fits(figures, ("none", "full"), take):
        work = operations(shape, case, length, len(rows), loss_tokens)
        figures.update(speed(length * len(rows), work, found.pop("seconds")))
        figures.update(found)


def take_steps(
    folder: str, case: Case, micro: int, rows: list[tuple[list[int], list[bool]]], checkpointing: bool
) -> dict[str, Any]:
    from datasets import Dataset
    from peft import LoraConfig, get_peft_model
    from torch.utils.data import SequentialSampler
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    marks: list[float] = []
    losses: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, arguments: Any, state: Any, control: Any, **_: Any) -> None:
            marks.append(now())
            timed = marks[-1] - marks[min(WARM_UP, len(marks)) - 1]
            control.should_training_stop |= len(marks) > WARM_UP and timed > TIMED_SECONDS

        def on_log(self, arguments: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
            if "loss" in logs:
                losses.append(round(float(logs["loss"]), 4))

    class InOrder(SFTTrainer):  # type: ignore[misc]
        def _get_train_sampler(self, *_: Any) -> SequentialSampler:
            return SequentialSampler(self.train_dataset)

    # As ours: weights that are trained in float32, a frozen base in the arithmetic dtype.
    dtype = torch.bfloat16 if case.weights == "lora" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa").to(device())
    if case.weights == "lora":
        lora = LoraConfig(r=LORA_RANK, lora_alpha=2 * LORA_RANK, target_modules="all-linear", task_type="CAUSAL_LM")
        model = get_peft_model(model, lora)
    steps = WARM_UP + TIMED
    labelled = [
        {"input_ids": ids, "labels": [id if on else -100 for id, on in zip(ids, [False, *bears[1:]], strict=True)]}
        for ids, bears in rows
    ]
    with tempfile.TemporaryDirectory() as out:
        config = SFTConfig(
            output_dir=out, per_device_train_batch_size=micro, gradient_accumulation_steps=len(rows) // micro,
            max_steps=steps, bf16=True, gradient_checkpointing=checkpointing,
            gradient_checkpointing_kwargs={"use_reentrant": False}, max_length=None, packing=False,
            learning_rate=1e-5, lr_scheduler_type="constant", max_grad_norm=1.0, adam_beta2=0.98,
            optim="adamw_torch_fused", report_to="none", save_strategy="no", logging_steps=1, disable_tqdm=True,
            use_cpu=device().type == "cpu", dataloader_pin_memory=False, seed=0,
        )  # fmt: skip
        trainer = InOrder(
            model=model,
            args=config,
            train_dataset=Dataset.from_list(labelled * steps),
            processing_class=AutoTokenizer.from_pretrained(folder),
            callbacks=[Clock()],
        )
        trainer.train()
    seconds = [later - earlier for earlier, later in zip(marks[WARM_UP - 1 :], marks[WARM_UP:], strict=False)]
    found = {"seconds": seconds, "losses": losses, "peak_gb": peak_gb(), "micro_rows": micro}
    trainer.accelerator.free_memory()
    return found


if __name__ == "__main__":
    main()
