"""The part of `tritrace eval --vllm` that runs in vLLM's environment: `PYTHON vllm_worker.py FOLDER`.

It imports nothing of this project, because vLLM pins other versions of torch and transformers than training needs.
FOLDER has `job.json` (the arguments of `vllm.LLM`, and the adapter), `requests.jsonl` (tokens, pictures, limits and
grammar of each prompt) and `pictures/`. Prompts are sampled in groups. After each group, a line per response is
appended to `responses.jsonl`, so that finished responses are kept.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

NO_VLLM = 3
"""Exit code: this interpreter has no vLLM."""
_SHARE = 256
"""Prompts per group; vLLM batches them as its memory allows."""


def main(folder: Path) -> int:
    """Sample the requests that have no response yet, and return the exit code."""
    try:
        vllm, lora = import_module("vllm"), import_module("vllm.lora.request")
    except ImportError as error:
        sys.stderr.write(f"{sys.executable}: {error}\n")
        return NO_VLLM
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    engine = vllm.LLM(**job["engine"])
    adapter = job["adapter"] and lora.LoRARequest("tritrace", 1, job["adapter"])
    requests = [json.loads(line) for line in (folder / "requests.jsonl").read_text(encoding="utf-8").splitlines()]
    with (folder / "responses.jsonl").open("a", encoding="utf-8") as responses:
        for share in _shares(requests):
            prompts = [_prompt(request, folder) for request in share]
            params = [_params(request) for request in share]
            outputs = engine.generate(prompts, params, use_tqdm=False, lora_request=adapter or None)
            for request, output in zip(share, outputs, strict=True):
                responses.write(json.dumps(_response(request, output.outputs[0])) + "\n")
            responses.flush()
    return 0


def _shares(requests: Sequence[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    for start in range(0, len(requests), _SHARE):
        yield requests[start : start + _SHARE]


def _prompt(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a prompt as tokens, with one placeholder per picture (vLLM expands it), and the pictures."""
    prompt: dict[str, Any] = {"prompt_token_ids": request["tokens"]}
    if request["pictures"]:
        pillow = import_module("PIL.Image")
        pictures = [pillow.open(folder / "pictures" / name).convert("RGB") for name in request["pictures"]]
        prompt["multi_modal_data"] = {"image": pictures}
    return prompt


def _params(request: dict[str, Any]) -> Any:
    sampling = import_module("vllm.sampling_params")
    grammar = request["grammar"]
    constraint = sampling.StructuredOutputsParams(grammar=grammar) if grammar else None
    return sampling.SamplingParams(**request["sampling"], structured_outputs=constraint)


def _response(request: dict[str, Any], answer: Any) -> dict[str, Any]:
    return {
        "place": request["place"],
        "text": answer.text,
        "num_tokens": len(answer.token_ids),
        "is_truncated": answer.finish_reason == "length",
    }


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
