"""A checkpoint sampled by vLLM, in a process of its own: `tritrace eval --vllm PYTHON`.

vLLM 0.31, the newest that TRL 1.16 knows, pins older versions of torch and transformers than training needs, so it is
no dependency: PYTHON is an interpreter that has it (a copy of `vllm_worker.py` runs there). Prompts are rendered
and tokenised here, and pictures scaled here, exactly as `HFPolicy` has them; vLLM is told to stop where `HFPolicy`
stops, and nothing of a base's own sampling settings. The adapter goes along as LoRA; an export with `--merge` is an
ordinary model. Never run with vLLM itself: it needs a GPU. Tests hold the process by a stand-in, and its arguments by
vLLM's own classes where they are installed.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors import safe_open

from data.images import open_image
from data.rows import RolloutPrompt
from eval.families import turn_end
from eval.models.adapters import WEIGHTS, read_adapter_config
from eval.models.loading import LoadOptions, end_tokens, load_config, load_processor, split_gguf, tokenizer_of
from eval.models.special_tokens import special_tokens
from eval.policies.base import Generation, Keep, keep_nothing, progress
from eval.policies.checkpoint import rendered
from eval.policies.constrained import check_budget
from eval.policies.dialects import structured_outputs
from protocol.errors import UserError
from stages.results import vllm_worker
from stages.rollouts.vllm import ScaledPictures

_GUIDANCE = {"structured_outputs_config": {"backend": "guidance"}}
"""vLLM's "guidance" is llguidance, as here; its own choice would first try to rewrite a grammar for another library."""
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Greatest ranks that vLLM 0.31 can be told."""
_VISION = ("visual", "vision")
"""Parts of the names of weights that look at pictures: vLLM adapts the language model alone."""
_SECONDS_BETWEEN_LOOKS = 0.5


class VLLMError(UserError):
    """The checkpoint cannot be given to vLLM, or its process failed; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VLLMSettings:
    """Which checkpoint is sampled, and how."""

    python: str
    """An interpreter that has vLLM."""
    model: str
    """Folder or hub name of a base model or a merged one."""
    adapter: Path | None = None
    """Folder of a LoRA adapter on it."""
    dtype: str = "auto"
    max_new_tokens: int
    """Limit of a response."""
    seed: int = 0


class VLLMPolicy:
    """Samples greedily with vLLM; a process is started for each call, and what it has answered is kept as it comes."""

    def __init__(self, settings: VLLMSettings, options: LoadOptions, *, label: str = "sampling") -> None:
        """Load the processor; no weights are read here.

        Raises:
            ModelError: the model or the adapter's configuration cannot be read.
            VLLMError: vLLM cannot serve the adapter.
        """
        if split_gguf(settings.model)[1]:
            raise VLLMError(f"--vllm: {settings.model} is a GGUF file; give the model that it was made of")
        self.settings = settings
        self.options = options
        self.picture_ground = options.picture_ground
        self.constrained = False
        self.label = label
        self.processor = load_processor(settings.model, options)
        published = load_processor(settings.model, replace(options, min_pixels=None, max_pixels=None))
        self._scaled = ScaledPictures(self.processor, published)
        self._rank = adapter_rank(settings.adapter) if settings.adapter else None

    def respond(
        self,
        prompts: Sequence[RolloutPrompt],
        images_root: Path,
        *,
        done: Mapping[int, Generation] | None = None,
        keep: Keep = keep_nothing,
    ) -> list[Generation]:
        """Sample a response to every prompt that has none yet; `eval.policies.base.Policy` says what the arguments are.

        Raises:
            ImageError: a prompt's image cannot be read.
            BudgetError: constrained, and some prompt's plan needs more tokens than there may be.
            VLLMError: the process failed; what it had answered before is kept.
        """
        found = dict(done or {})
        places = [place for place in range(len(prompts)) if place not in found]
        if self.constrained:
            plans = [prompt.plan for prompt in prompts]
            check_budget(plans, tokenizer_of(self.processor), self.settings.max_new_tokens)
        if not places:
            return [found[place] for place in range(len(prompts))]
        with TemporaryDirectory() as name, progress(len(prompts), len(found), self.label) as advance:
            folder = Path(name)
            self._write_job(folder, {place: prompts[place] for place in places}, images_root)
            for place, generation in self._answers(folder):
                found[place] = generation
                keep(place, generation)
                advance(1)
        if missing := [prompts[place].id for place in places if place not in found]:
            raise VLLMError(f"vLLM ended well and left {len(missing)} prompts without a response, such as {missing[0]}")
        return [found[place] for place in range(len(prompts))]

    def _write_job(self, folder: Path, prompts: Mapping[int, RolloutPrompt], images_root: Path) -> None:
        (folder / "pictures").mkdir()
        num_pictures = longest = 0
        with (folder / "requests.jsonl").open("w", encoding="utf-8") as file:
            for place, prompt in prompts.items():
                request, length = self._request(place, prompt, images_root, folder)
                num_pictures, longest = max(num_pictures, len(prompt.images)), max(longest, length)
                file.write(json.dumps(request) + "\n")
        adapter = self.settings.adapter
        job = {
            "engine": self._engine(longest + self.settings.max_new_tokens, num_pictures),
            "adapter": str(adapter.resolve()) if adapter else None,
        }
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")

    def _request(
        self, place: int, prompt: RolloutPrompt, images_root: Path, folder: Path
    ) -> tuple[dict[str, Any], int]:
        """Return what is asked, and its length in tokens with pictures expanded."""
        pictures = [open_image(source, images_root, self.picture_ground) for source in prompt.images]
        (text,) = rendered([prompt], [pictures], self.processor, special_tokens(self.processor))
        tokenizer = tokenizer_of(self.processor)
        tokens: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        (shown,) = self._scaled.of([pictures or None]) or (None,)
        names = [f"{place}-{number}.png" for number in range(len(pictures))]
        for name, picture in zip(names, shown or (), strict=True):
            picture.save(folder / "pictures" / name)
        length = len(tokens)
        if pictures:
            inputs = self.processor(text=[text], images=[pictures], add_special_tokens=False)
            length = len(inputs["input_ids"][0])
        sampling = {
            "temperature": 0.0,
            "max_tokens": self.settings.max_new_tokens,
            "seed": self.settings.seed,
            "stop_token_ids": self._ends(),
        }
        grammar = structured_outputs(prompt.plan)["grammar"] if self.constrained else None
        return {
            "place": place, "tokens": tokens, "pictures": names, "sampling": sampling, "grammar": grammar
        }, length  # fmt: skip

    def _ends(self) -> list[int]:
        """Return the tokens at which generation stops: vLLM is told to read none from the model's files."""
        config = load_config(self.settings.model, self.options)
        ends = {*end_tokens(self.settings.model, tokenizer_of(self.processor), config), turn_end(self.processor)}
        return sorted(end for end in ends if end is not None)

    def _engine(self, max_model_len: int, num_pictures: int) -> dict[str, Any]:
        """Return the arguments of `vllm.LLM`."""
        lora = {"enable_lora": True, "max_lora_rank": self._rank} if self._rank else {}
        return {
            "model": self.settings.model,
            "revision": self.options.revision,
            "dtype": self.settings.dtype,
            "trust_remote_code": self.options.trust_remote_code,
            "load_format": "auto" if self.options.allow_pickle else "safetensors",
            "seed": self.settings.seed,
            "max_model_len": max_model_len,
            "limit_mm_per_prompt": {"image": num_pictures},
            "generation_config": "vllm",  # else the base's own temperature and penalties would apply
            **(_GUIDANCE if self.constrained else {}),
            **lora,
        }

    def _answers(self, folder: Path) -> Iterator[tuple[int, Generation]]:
        """Run the process and yield what it answers, as it comes; its own output is passed on."""
        # Python looks for modules beside the script first: beside the original is this very module, named as vLLM is.
        worker = shutil.copyfile(vllm_worker.__file__, folder / "worker.py")
        command = [self.settings.python, str(worker), str(folder)]
        answers = folder / "responses.jsonl"
        answers.touch()
        try:
            # What a user asks to be run, without a shell.
            process = subprocess.Popen(command)  # noqa: S603
        except OSError as error:
            raise VLLMError(f"--vllm {self.settings.python}: cannot be started: {error.strerror or error}") from None
        try:
            with answers.open(encoding="utf-8") as file:
                while process.poll() is None:
                    yield from _complete(file)
                    time.sleep(_SECONDS_BETWEEN_LOOKS)
                yield from _complete(file)
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait()
        if process.returncode == vllm_worker.NO_VLLM:
            raise VLLMError(f"--vllm {self.settings.python}: has no vLLM; name an interpreter that has it")
        if process.returncode:
            raise VLLMError(
                f"vLLM ended with exit code {process.returncode}; its output is above. What was answered is kept, and"
                " the same command asks for the rest"
            )


def _complete(file: Any) -> Iterator[tuple[int, Generation]]:
    """Yield the answers of whole lines; the rest of a line that is still being written is read the next time."""
    while True:
        place = file.tell()
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(place)
            return
        answer = json.loads(line)
        yield answer["place"], Generation(answer["text"], answer["num_tokens"], answer["is_truncated"])


def adapter_rank(adapter: Path) -> int:
    """Return the `max_lora_rank` that an adapter needs.

    Raises:
        ModelError: its configuration cannot be read.
        VLLMError: vLLM cannot serve such an adapter.
    """
    config = read_adapter_config(adapter)
    way_out = "`tritrace export --merge` makes a whole model of it; give that with --model"
    with safe_open(adapter / WEIGHTS, framework="numpy") as weights:
        seeing = next((name for name in weights.keys() if any(part in name for part in _VISION)), None)  # noqa: SIM118 - no mapping
    if seeing:
        raise VLLMError(f"{adapter}: adapts the vision tower ({seeing}), which vLLM does not; {way_out}")
    if config.use_dora:
        raise VLLMError(f"{adapter}: is a DoRA adapter, which vLLM does not take; {way_out}")
    ranks = (config.r, *(config.rank_pattern or {}).values())
    rank = next((known for known in _RANKS if max(ranks) <= known), None)
    if rank is None:
        raise VLLMError(f"{adapter}: has rank {max(ranks)}, vLLM takes at most {_RANKS[-1]}; {way_out}")
    return rank
