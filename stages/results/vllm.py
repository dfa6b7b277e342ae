"""Samples a checkpoint with vLLM in a separate process: `tritrace eval --vllm PYTHON`.

vLLM 0.31, the newest version that TRL 1.16 supports, pins older versions of torch and transformers than training needs.
So it is not a dependency: PYTHON is an interpreter with vLLM, which runs a copy of `vllm_worker.py`. Prompts are
rendered and tokenised here, and pictures are scaled here, exactly as in `HFPolicy`. vLLM gets the same end tokens as
`HFPolicy`, and none of the base's sampling settings. The adapter is passed as LoRA; an export with `--merge` is an
ordinary model. This was never run with vLLM itself, which needs a GPU. Tests use a stand-in for the process, and check
its arguments with vLLM's own classes if they are installed.
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

from data.pictures.images import open_image
from data.rows import RolloutPrompt
from eval.families import turn_end
from eval.models.adapters import WEIGHTS, read_adapter_config
from eval.models.loading import load_config
from eval.models.options import LoadOptions
from eval.models.processors import end_tokens, load_processor, tokenizer_of
from eval.models.reading import split_gguf
from eval.models.special_tokens import special_tokens
from eval.policies.base import Generation, Keep, keep_nothing, progress
from eval.policies.checkpoint import rendered
from eval.policies.constrained import check_budget
from eval.policies.dialects import structured_outputs
from protocol.errors import UserError
from stages.results import vllm_worker
from stages.rollouts.sampling.vllm import ScaledPictures

_GUIDANCE = {"structured_outputs_config": {"backend": "guidance"}}
"""vLLM's "guidance" is llguidance, as in this project; by default vLLM would try to convert a grammar for another
one."""
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The values of `max_lora_rank` in vLLM 0.31."""
_VISION = ("visual", "vision")
"""Parts of the names of vision weights; vLLM supports adapters of the language model only."""
_SECONDS_BETWEEN_LOOKS = 0.5


class VLLMError(UserError):
    """vLLM cannot use the checkpoint, or its process failed; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VLLMSettings:
    """The checkpoint, and the sampling options."""

    python: str
    """An interpreter with vLLM."""
    model: str
    """Folder or hub name of a base model or a merged one."""
    adapter: Path | None = None
    """Folder of a LoRA adapter."""
    dtype: str = "auto"
    max_new_tokens: int
    """Token limit of a response."""
    seed: int = 0


class VLLMPolicy:
    """Samples greedily with vLLM; each call starts a process, and its responses are kept as they arrive."""

    def __init__(self, settings: VLLMSettings, options: LoadOptions, *, label: str = "sampling") -> None:
        """Load the processor; no weights are read here.

        Raises:
            ModelError: the model or the adapter's configuration cannot be read.
            VLLMError: vLLM cannot serve the adapter.
        """
        if split_gguf(settings.model)[1]:
            raise VLLMError(f"--vllm: {settings.model} is a GGUF file; give the original model")
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
        """Sample a response to every prompt that has none yet; the arguments are those of `eval.policies.base.Policy`.

        Raises:
            ImageError: a prompt's image cannot be read.
            BudgetError: decoding is constrained, and a plan needs more tokens than the limit.
            VLLMError: the process failed; its responses so far are kept.
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
            raise VLLMError(f"vLLM succeeded but gave no response to {len(missing)} prompts, such as {missing[0]}")
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
        """Return the request, and its length in tokens with expanded pictures."""
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
        """Return the end tokens; vLLM is told to read none from the model's files."""
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
            "generation_config": "vllm",  # otherwise the base's own temperature and penalties apply
            **(_GUIDANCE if self.constrained else {}),
            **lora,
        }

    def _answers(self, folder: Path) -> Iterator[tuple[int, Generation]]:
        """Run the process and yield its responses as they arrive; its output is passed on."""
        # Python first looks for modules beside the script. Beside the original is this module, named like vLLM.
        worker = shutil.copyfile(vllm_worker.__file__, folder / "worker.py")
        command = [self.settings.python, str(worker), str(folder)]
        answers = folder / "responses.jsonl"
        answers.touch()
        try:
            # The user chose this command; it is run without a shell.
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
            raise VLLMError(f"--vllm {self.settings.python}: has no vLLM; name an interpreter with vLLM")
        if process.returncode:
            raise VLLMError(
                f"vLLM ended with exit code {process.returncode}; its output is above. Responses so far are kept, and"
                " the same command asks for the rest"
            )


def _complete(file: Any) -> Iterator[tuple[int, Generation]]:
    """Yield the responses of complete lines; a line that is still being written is read the next time."""
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
    way_out = "`tritrace export --merge` makes a whole model; give that with --model"
    with safe_open(adapter / WEIGHTS, framework="numpy") as weights:
        seeing = next((name for name in weights.keys() if any(part in name for part in _VISION)), None)  # noqa: SIM118 - no mapping
    if seeing:
        raise VLLMError(f"{adapter}: adapts the vision tower ({seeing}), which vLLM does not; {way_out}")
    if config.use_dora:
        raise VLLMError(f"{adapter}: is a DoRA adapter, which vLLM does not support; {way_out}")
    ranks = (config.r, *(config.rank_pattern or {}).values())
    rank = next((known for known in _RANKS if max(ranks) <= known), None)
    if rank is None:
        raise VLLMError(f"{adapter}: has rank {max(ranks)}, vLLM takes at most {_RANKS[-1]}; {way_out}")
    return rank
