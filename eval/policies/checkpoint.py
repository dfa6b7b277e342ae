"""A checkpoint as a policy: a base model with or without an adapter, sampled with transformers.

This module only samples. Prompts are rendered by the same function as in TRL's training, so that a checkpoint sees the
same text as in training. Special tokens in the words of a prompt are escaped.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList
from trl.data_utils import prepare_multimodal_messages

from data.pictures.images import open_image
from data.rows import RolloutPrompt
from eval.models.adapters import load_adapter
from eval.models.loading import load_model
from eval.models.options import DEFAULT_OPTIONS, LoadOptions, resolve_dtype
from eval.models.processors import end_ids_of, load_processor, tokenizer_of
from eval.models.reading import ModelError
from eval.models.special_tokens import escape_messages, special_tokens
from eval.policies.base import Generation, Keep, Policy, keep_nothing, progress
from eval.policies.constrained import PlanLogitsProcessor, check_budget

__all__ = ["Generation", "HFPolicy", "Policy"]


class HFPolicy:
    """Samples a checkpoint in batches with transformers; greedy by default."""

    def __init__(
        self,
        model_path: str | Path,
        adapter_path: str | Path | None = None,
        *,
        load_in_4bit: bool = False,
        dtype: str = "auto",
        batch_size: int = 32,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
        constrained: bool = False,
        label: str = "sampling",
        options: LoadOptions = DEFAULT_OPTIONS,
    ) -> None:
        """Load the checkpoint.

        Args:
            model_path: folder or hub name of the base model.
            adapter_path: folder of a LoRA adapter, or None for the base itself.
            load_in_4bit: quantise the base. The adapter is then not merged: merging would round it to 4 bits.
            dtype: a torch dtype's name, or "auto" (`eval.models.options.resolve_dtype`).
            batch_size: prompts in a batch.
            max_new_tokens: token limit of a response.
            temperature: 0 is greedy; otherwise plain sampling, without top-k or top-p.
            seed: seed of the sampling; the same seed, prompts and batch size give the same responses.
            constrained: constrain decoding to the grammar of each prompt's plan, so that every response is valid.
            label: label of the progress; "" shows no progress.
            options: options for loading the base and its processor; use those of the training.

        Raises:
            ModelError: the model or the adapter cannot be loaded.
        """
        self.processor = load_processor(str(model_path), options)
        self.model = _load_policy_model(
            str(model_path), adapter_path, dtype=dtype, load_in_4bit=load_in_4bit, options=options
        )
        self.picture_ground = options.picture_ground
        self.special_tokens = special_tokens(self.processor)
        self.batch_size = batch_size
        self.seed = seed
        self.constrained = constrained
        self.label = label
        self.model.generation_config = _generation_config(self.model, self.processor, max_new_tokens, temperature)

    def respond(
        self,
        prompts: Sequence[RolloutPrompt],
        images_root: Path,
        *,
        done: Mapping[int, Generation] | None = None,
        keep: Keep = keep_nothing,
    ) -> list[Generation]:
        """Sample a response to every prompt.

        Batches are formed from all prompts, and each batch has its own seed. So finished responses do not affect the
        others.

        Args:
            prompts: the prompts.
            images_root: the folder of the prompts' file; image paths are relative to it.
            done: index of a prompt -> finished generation.
            keep: called with each index and generation when its batch is finished.

        Returns:
            One generation for each prompt, in the order of the prompts.

        Raises:
            ImageError: a prompt's image cannot be read.
            BudgetError: decoding is constrained, and a plan needs more tokens than the limit.
            ModelError: the GPU is out of memory; generations that were finished before were given to `keep`.
        """
        if self.constrained:
            max_new_tokens = self.model.generation_config.max_new_tokens
            check_budget([prompt.plan for prompt in prompts], tokenizer_of(self.processor), max_new_tokens)
        found = dict(done or {})
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            stack.enter_context(torch.random.fork_rng())
            advance = stack.enter_context(progress(len(prompts), len(found), self.label))
            for batch in _batches(prompts, self.batch_size):
                missing = [place for place in batch if place not in found]
                if not missing:
                    continue
                # The index of the first prompt makes the seeds of batches differ. PyTorch uses 32 bits of a seed.
                torch.manual_seed(Random(f"{self.seed} {batch[0]}").getrandbits(32))
                generated = self._within_memory([prompts[i] for i in batch], images_root)
                generations = dict(zip(batch, generated, strict=True))
                for place in missing:
                    found[place] = generations[place]
                    keep(place, generations[place])
                advance(len(missing))
        return [found[place] for place in range(len(prompts))]

    def _within_memory(self, prompts: Sequence[RolloutPrompt], images_root: Path) -> list[Generation]:
        try:
            return self._generate(prompts, images_root)
        except torch.OutOfMemoryError as error:
            reason = (str(error).strip() or "out of memory").splitlines()[0]
            fewer = (
                f"sample {len(prompts) // 2} together: --batch-size, or eval_batch_size in the recipe of a curriculum"
                if len(prompts) > 1
                else "allow fewer tokens (--max-new-tokens), load it in 4 bits, or take a larger card"
            )
            raise ModelError(
                f"out of memory while sampling {len(prompts)} prompts together ({reason}); {fewer}"
            ) from error

    def _generate(self, prompts: Sequence[RolloutPrompt], images_root: Path) -> list[Generation]:
        inputs = self._encode(prompts, images_root).to(self.model.device)
        processors = LogitsProcessorList()
        if self.constrained:
            plans = [prompt.plan for prompt in prompts]
            config = self.model.generation_config
            tokenizer = tokenizer_of(self.processor)
            processors.append(PlanLogitsProcessor(plans, tokenizer, config.eos_token_id, config.max_new_tokens))
        output_ids = self.model.generate(**inputs, logits_processor=processors)
        return [self._decode(row) for row in output_ids[:, inputs["input_ids"].shape[1] :].tolist()]

    def _encode(self, prompts: Sequence[RolloutPrompt], images_root: Path) -> Any:
        images = [
            [open_image(source, images_root, self.picture_ground) for source in prompt.images] for prompt in prompts
        ]
        options = {
            "padding": True,
            "padding_side": "left",
            "return_tensors": "pt",
            "add_special_tokens": False,
        }
        if any(images):
            options["images"] = images
        return self.processor(text=rendered(prompts, images, self.processor, self.special_tokens), **options)

    def _decode(self, token_ids: list[int]) -> Generation:
        end_ids = self.model.generation_config.eos_token_id
        end = next((i for i, token_id in enumerate(token_ids) if token_id in end_ids), None)
        kept = token_ids if end is None else token_ids[: end + 1]
        text: str = tokenizer_of(self.processor).decode(kept, skip_special_tokens=True)
        return Generation(text, num_tokens=len(kept), is_truncated=end is None)


def rendered(
    prompts: Sequence[RolloutPrompt], images: Sequence[Sequence[Any]], processor: Any, markup: tuple[str, ...]
) -> list[str]:
    """Return prompts rendered by the chat template, with a placeholder for each picture, up to the response.

    Args:
        prompts: the prompts.
        images: the decoded pictures of each prompt.
        processor: the processor of the model.
        markup: the model's special tokens, which are escaped in the prompts.
    """
    conversations: list[Any] = [list(escape_messages(prompt.prompt, markup)) for prompt in prompts]
    if processor is not tokenizer_of(processor):
        conversations = [
            prepare_multimodal_messages(conversation, images=list(pictures))
            for conversation, pictures in zip(conversations, images, strict=True)
        ]
    texts: list[str] = processor.apply_chat_template(conversations, tokenize=False, add_generation_prompt=True)
    return texts


def _load_policy_model(
    model_path: str, adapter_path: str | Path | None, *, dtype: str, load_in_4bit: bool, options: LoadOptions
) -> Any:
    model = load_model(model_path, dtype=resolve_dtype(dtype), load_in_4bit=load_in_4bit, options=options)
    if adapter_path is not None:
        model = load_adapter(model, Path(adapter_path))
        if not load_in_4bit:
            # The adapter is float32, and so is each layer's sum, which is rounded once. The model is never cast as a
            # whole, because this would round its buffers too: rotary frequencies in bfloat16 change the model.
            model = model.merge_and_unload()
    if not load_in_4bit:
        model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    return model.eval()


def _generation_config(model: Any, processor: Any, max_new_tokens: int, temperature: float) -> GenerationConfig:
    tokenizer = tokenizer_of(processor)
    end_ids = end_ids_of(model, processor)
    # Every sampling option is set, because models come with their own (top-k, top-p), which would apply silently.
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {}
    return GenerationConfig(
        max_new_tokens=max_new_tokens,
        eos_token_id=end_ids,
        pad_token_id=tokenizer.pad_token_id,
        **({"do_sample": False} | sampling),
    )


def _batches(prompts: Sequence[RolloutPrompt], batch_size: int) -> list[list[int]]:
    """Return the indices of prompts in batches of similar length and of one modality."""

    def has_images(index: int) -> bool:
        return bool(prompts[index].images)

    def length(index: int) -> int:
        return sum(len(message["content"]) for message in prompts[index].prompt)

    order = sorted(range(len(prompts)), key=lambda index: (has_images(index), length(index)))
    batches: list[list[int]] = []
    for _, group in groupby(order, key=has_images):
        indices = list(group)
        batches += [indices[start : start + batch_size] for start in range(0, len(indices), batch_size)]
    return batches
