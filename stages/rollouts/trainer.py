"""Extends TRL's GRPO trainer for the curriculum. Only this module and `passes/sharing.py` use TRL's internals.

Every rollout is recorded, resuming is exact, sampling may use merged weights or a grammar, and batches may be judged
before training (`stages/rollouts/look_ahead.py`). It overrides four methods of TRL 1.16 without a public hook, and
calls one more. For this reason `pyproject.toml` pins TRL's minor version. `stages/rollouts/passes/sharing.py` overrides
others.

A batch from `look_ahead` replaces the samples of `_generate_single_turn`. TRL still computes everything for the loss
(token masks, log-probabilities of policy and reference, rewards, advantages), for each response with the prompt of its
row: a correction counts as a response to the original prompt.
"""

import logging
import random
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from accelerate.utils import gather_object
from trl.data_utils import prepare_multimodal_messages

from eval.policies.constrained import PlanLogitsProcessor
from stages.arguments.rollouts import RolloutArguments
from stages.inputs.lengths import model_limit
from stages.rollouts.look_ahead import Ahead, LookAhead
from stages.rollouts.passes.picture_counts import telling_picture_counts
from stages.rollouts.passes.sharing import SharingTrainer
from stages.rollouts.record.log import RolloutLog
from stages.rollouts.record.stats import groups_of, has_spread
from stages.rollouts.reflection import JudgedResponse, Reflection, Turn
from stages.rollouts.sampling.generate import processed
from stages.rollouts.sampling.order import GroupSampler, has_images
from stages.rollouts.sampling.vllm import ScaledPictures
from stages.rollouts.sampling.weights import is_exact_when_merged, keeping_weights, merged


def _is_told_in_short(record: logging.LogRecord) -> bool:
    """Filter out TRL's warning about an unscored response: it prints the whole row, and `GuardedReward` reports it."""
    return not record.getMessage().startswith("All reward functions returned None")


logging.getLogger("trl.trainer.grpo_trainer").addFilter(_is_told_in_short)


class RolloutTrainer(SharingTrainer):
    """Records every rollout, samples as the recipe says, and never mixes modalities in a generation batch."""

    def __init__(
        self,
        *,
        rollout_log: RolloutLog,
        choices: RolloutArguments | None = None,
        scaled_pictures: ScaledPictures | None = None,
        **options: Any,
    ) -> None:
        """Build TRL's trainer with the record as its reward function.

        Args:
            rollout_log: judges and records the rollouts.
            choices: options of sampling, and of groups without spread.
            scaled_pictures: scales pictures for vLLM; None passes them unchanged.
            options: arguments of TRL's trainer.

        Raises:
            ValueError: an option needs batches from `look_ahead`, but the model is split over processes.
        """
        self.rollout_log = rollout_log
        self.choices = choices or RolloutArguments()
        self._scaled_pictures = scaled_pictures
        self.shares_prompts = self.choices.share_prompts
        super().__init__(reward_funcs=[rollout_log], **options)
        if self.use_vllm and not self._is_split:
            generation = self.vllm_generation
            model = self.accelerator.unwrap_model(self.model)
            generation.sync_weights = keeping_weights(generation.sync_weights, model)
        # For the time of one batch, because TRL calls `_generate_single_turn` without its rows:
        self._plans: list[str] | None = None
        """Plans that sampling must follow."""
        self._given: list[list[int]] | None = None
        """Tokens that `look_ahead` has sampled already."""
        self._ahead = self._look_ahead() if self.choices.looks_ahead or self._skips_early else None
        if self._ahead is not None and self._is_split:
            raise ValueError("reflect and zero_spread: resample need the whole model on every process")

    @property
    def _is_split(self) -> bool:
        return bool(self.is_deepspeed_enabled or self.is_fsdp_enabled)

    @property
    def _merges_for_scoring(self) -> bool:
        is_float32 = self.accelerator.mixed_precision == "no"  # the weights are tested by `is_exact_when_merged`
        return self.choices.merge_for_sampling and is_float32 and not self._is_split

    @property
    def _skips_early(self) -> bool:
        """Whether groups without spread can be skipped before anything but their rewards is computed."""
        here = self.args.per_device_train_batch_size * self.args.steps_per_generation
        has_whole_groups = here % self.num_generations == 0
        return self.choices.zero_spread == "skip" and has_whole_groups and not (self._is_split or self.use_vllm)

    def _get_train_sampler(self, dataset: Any = None) -> GroupSampler:
        dataset = self.train_dataset if dataset is None else dataset
        return GroupSampler(
            has_images=has_images(dataset),
            group_size=self.num_generations,
            groups_per_batch=self.args.generation_batch_size // self.num_generations,
            num_repeats=self.num_iterations * self.args.steps_per_generation,
            seed=self.args.seed,
            shuffle=bool(self.shuffle_dataset),
        )

    def _generate_single_turn(self, prompt_ids: Any, images: Any, *args: Any, **kwargs: Any) -> Any:
        if self._given is not None:
            return self._given, None
        return self._sampled(self._plans, prompt_ids, images, *args, **kwargs)

    def _sampled(self, plans: list[str] | None, prompt_ids: Any, images: Any, *args: Any, **kwargs: Any) -> Any:
        """Sample as TRL does, with the recipe's choices. Plans, one for each prompt, bind the responses."""
        model = self.accelerator.unwrap_model(self.model)
        with ExitStack() as stack:
            if self.choices.merge_for_sampling and not self.use_vllm and not self._is_split:
                stack.enter_context(merged(model))
            if plans is not None:
                longest = self.max_completion_length
                bound = partial(PlanLogitsProcessor, plans, self._tokenizer, self.eos_token_ids, longest)
                stack.enter_context(processed(model, bound))
            if self.use_vllm and self._scaled_pictures is not None:
                images = self._scaled_pictures.of(images)
            prompt_ids = stack.enter_context(self._sampling_from_prefix(model, prompt_ids))
            return super()._generate_single_turn(prompt_ids, images, *args, **kwargs)

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop("batch_num_images", None)  # equals num_images; TRL does not accept it
        whole = self.accelerator.unwrap_model(model)
        with ExitStack() as stack:
            stack.enter_context(telling_picture_counts(whole, kwargs.get("num_images")))
            if self._merges_for_scoring and not torch.is_grad_enabled() and is_exact_when_merged(whole):
                stack.enter_context(merged(whole, whole.active_adapters))
            return super()._get_per_token_logps_and_entropies(model, *args, **kwargs)

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        if not self.model.training:
            raise RuntimeError("rollouts are sampled in training only; evaluation has its own code (`eval/`)")
        ahead = self._made_ahead(inputs) if self._ahead is not None else None
        if ahead is not None:
            inputs = [each.row for each in ahead.responses]
            self._given, self._left_out = [each.token_ids for each in ahead.responses], self._without_spread(ahead)
        self._plans = [row["plan"] for row in inputs] if self.choices.constrained else None
        batch = super()._generate_and_score_completions(inputs)
        self._plans, self._given, self._left_out = None, None, ()
        numbers = {} if ahead is None else ahead.numbers
        if self.choices.zero_spread != "keep":
            numbers |= {"rollouts/skipped_groups": self._skip_without_spread(batch)}
        self.rollout_log.write(
            self.state.global_step,
            batch["advantages"].tolist(),
            prompt_tokens=batch["prompt_mask"].sum(dim=1).tolist(),
            end_ids=self._end_ids,
            notes=None if ahead is None else [each.note for each in ahead.responses],
            numbers=numbers,
        )
        return batch

    @property
    def _end_ids(self) -> set[int]:
        return {*self.eos_token_ids, self._tokenizer.pad_token_id}

    def _skip_without_spread(self, batch: dict[str, Any]) -> float:
        """Remove groups without spread from the loss, the KL term and the normaliser; return their number."""
        rewards = gather_object(self.rollout_log.pending_rewards)
        is_kept = [float(has_spread(group)) for group in groups_of(rewards, self.num_generations) for _ in group]
        here = self.accelerator.process_index * len(batch["completion_mask"])
        kept = torch.tensor(is_kept[here : here + len(batch["completion_mask"])], device=self.accelerator.device)
        batch["completion_mask"] = (batch["completion_mask"] * kept.unsqueeze(1)).to(batch["completion_mask"].dtype)
        batch["num_items_in_batch"] = self.accelerator.gather(batch["completion_mask"].sum()).sum()
        num_skipped: float = (len(kept) - float(kept.sum())) / self.num_generations
        return num_skipped

    def _look_ahead(self) -> LookAhead:
        choices = self.choices
        reflection = None
        if choices.reflect != "none":
            reflection = Reflection(
                kind=choices.reflect,
                below=choices.reflect_below,
                share=choices.reflect_share,
                sample=self.sample,
                decode=self._decode,
                judge=self._judge,
            )
        return LookAhead(
            group_size=self.num_generations,
            sample=self.sample,
            judge=self._judge,
            spare_rows=self._spare_rows,
            reflection=reflection,
            num_rounds=choices.resample_rounds if choices.zero_spread == "resample" else 0,
        )

    def _made_ahead(self, inputs: Sequence[dict[str, Any]]) -> Ahead:
        assert self._ahead is not None  # noqa: S101 - for the type checker
        key = f"{self.args.seed} {self.state.global_step} {self.accelerator.process_index}"
        return self._ahead.batch(inputs, key)

    def _without_spread(self, ahead: Ahead) -> list[int]:
        """Return the rows of groups that the loss leaves out, so that their log-probabilities need not be computed."""
        if self.choices.zero_spread == "keep":
            return []
        groups = groups_of(range(len(ahead.responses)), self.num_generations)
        rewards = [each.judged.reward for each in ahead.responses]
        return [row for rows in groups if not has_spread([rewards[row] for row in rows]) for row in rows]

    def sample(self, turns: Sequence[Turn]) -> list[list[int] | None]:
        """Return the tokens of the policy's next message; None if the conversation leaves no space for it."""
        talks = [_with_pictures(turn) for turn in turns]
        fits = [self._has_room(turn, talk) for turn, talk in zip(turns, talks, strict=True)]
        found: list[list[int] | None] = [None] * len(turns)
        places = [place for place, is_short in enumerate(fits) if is_short]
        if not places:
            return found
        is_bound = self.choices.constrained and turns[0].is_response
        plans = [turns[place].row["plan"] for place in places] if is_bound else None
        prompt_ids, images, fields = self._tokenize_prompts([talks[place] for place in places])
        sampled, _ = self._sampled(plans, prompt_ids, images, fields, self.num_generations)
        for place, token_ids in zip(places, sampled, strict=True):
            found[place] = token_ids
        return found

    def _has_room(self, turn: Turn, talk: Any) -> bool:
        if len(turn.messages) == len(turn.row["prompt"]):
            return True  # overlong prompts were reported before training
        num_tokens = len(self._tokenize_prompts([talk])[0][0])
        return num_tokens + int(self.max_completion_length) <= model_limit(self.model.config)

    def _decode(self, token_ids: list[int]) -> str:
        text: str = self._tokenizer.decode(token_ids, skip_special_tokens=True)
        return text

    def _judge(self, rows: Sequence[dict[str, Any]], token_ids: Sequence[list[int]]) -> list[JudgedResponse]:
        texts = [self._decode(ids) for ids in token_ids]
        judged = self.rollout_log.judge(rows, texts, token_ids)
        return [
            JudgedResponse(row, text, ids, not ids or ids[-1] not in self._end_ids, each)
            for row, text, ids, each in zip(rows, texts, token_ids, judged, strict=True)
        ]

    def _spare_rows(self, rows: Sequence[dict[str, Any]], count: int, rng: random.Random) -> list[dict[str, Any]]:
        taken = {row["id"] for row in rows}
        has_pictures = has_images(self.train_dataset)
        modality = bool(rows[0].get("images"))
        free = [
            place
            for place, name in enumerate(self.train_dataset["id"])
            if has_pictures[place] == modality and name not in taken
        ]
        return [self.train_dataset[place] for place in rng.sample(free, min(count, len(free)))]


def _with_pictures(turn: Turn) -> Any:
    pictures = turn.row.get("images")
    return prepare_multimodal_messages(turn.messages, images=pictures) if pictures else turn.messages
