"""The models that `tritrace eval`, `chat` and `serve` can use: base, merged model, a stage's adapter, or a server.

A server needs no torch; a checkpoint is loaded at its first question.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from data.pictures.pixels import GROUND, is_colour
from protocol.errors import UserError
from protocol.plans.prompt import Style
from stages.cli.options import CheckpointOptions, ServerOptions
from toolkit.planner import Planner, plan_query
from toolkit.secrets import redacted

if TYPE_CHECKING:
    from eval.policies.base import Policy

ENDPOINT_TOKENS = 1024
"""Default token limit for a server's response; recipes for real models allow 1,024 to 2,048."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to evaluate or to ask."""

    identity: Mapping[str, Any]
    """Identifies the model and its sampling."""
    style: Style
    """The wording of plans in its prompts."""
    load: Callable[[], "Policy"]
    """Returns the policy, the same one at each call."""
    planner: Callable[[], Planner] = lambda: plan_query
    """Returns the planner for questions without a plan; it uses the tools that the model was trained with."""


def checkpoint_of(
    chosen: CheckpointOptions,
    *,
    batch_size: int | None,
    max_new_tokens: int | None,
    picture_ground: str | None = None,
    vllm: str | None = None,
) -> Candidate:
    """Return a checkpoint as a candidate, after a check of its chain; the model is not loaded yet.

    Args:
        chosen: the checkpoint; by default a stage is quantised as in its training.
        batch_size: prompts sampled together; None chooses a size that fits.
        max_new_tokens: token limit of a response; None uses the recipe's.
        picture_ground: background colour for transparent pictures; None uses that of the training.
        vllm: an interpreter with vLLM, for sampling with vLLM; None samples with transformers.

    Raises:
        UserError: not exactly one of model and adapter is given, or a manifest cannot be read or does not match.
        ModelError: there is no such model.
    """
    from stages.provenance.elsewhere import is_elsewhere

    adapter, model = chosen.adapter, chosen.model
    if (adapter is None) == (model is None) and not (adapter and is_elsewhere(adapter)):
        raise UserError("give one of --adapter (a stage's folder), --model (a base or merged model) and --endpoint")
    from stages.fit.evaluation import fitted_batch, response_limit
    from stages.provenance.trust import Permissions
    from stages.results.subjects import subject_of
    from stages.serving.trained import trained_planner

    allowed = Permissions(**chosen.permissions.granted())
    subject = subject_of(model, adapter, quantise=chosen.load_in_4bit, permissions=allowed)
    subject = replace(subject, picture_ground=ground_named(picture_ground))
    limit = max_new_tokens or response_limit(subject.manifest)
    if vllm is not None:
        if batch_size is not None:
            raise UserError("--batch-size: vLLM chooses its batches itself; leave it out with --vllm")
        identity = {**subject.identity(), "max_new_tokens": limit, "engine": "vllm"}
        load_vllm = cache(lambda: subject.load_vllm(vllm, max_new_tokens=limit))
        return Candidate(identity, subject.style, load_vllm, lambda: trained_planner(adapter))
    sampling = {"batch_size": batch_size or fitted_batch(subject, limit), "max_new_tokens": limit}
    load = cache(lambda: subject.load(**sampling))
    return Candidate({**subject.identity(), **sampling}, subject.style, load, lambda: trained_planner(adapter))


def server_of(
    chosen: ServerOptions, *, max_new_tokens: int | None, concurrency: int = 1, picture_ground: str | None = None
) -> Candidate:
    """Return a server's model as a candidate; nothing is sent yet.

    Raises:
        UserError: the model's name or the extra is missing, or a setting is out of bounds.
    """
    url, model = chosen.endpoint, chosen.endpoint_model
    if not url or not model:
        raise UserError("--endpoint needs --endpoint-model, the server's name of the model")
    try:
        from eval.policies.endpoint import EndpointPolicy, EndpointSettings
    except ModuleNotFoundError as error:
        raise UserError(f"--endpoint needs the extra 'judge' ({error.name}): pip install '.[judge]'") from None
    max_new_tokens = max_new_tokens or ENDPOINT_TOKENS
    settings = EndpointSettings(
        url=url,
        model=model,
        server=chosen.endpoint_server,
        max_new_tokens=max_new_tokens,
        concurrency=concurrency,
        timeout_seconds=chosen.endpoint_timeout,
        picture_ground=picture_ground or GROUND,
    )
    policy = EndpointPolicy(settings)
    identity: dict[str, Any] = {
        "endpoint": redacted(url).rpartition("@")[2],
        "endpoint_model": model,
        "max_new_tokens": max_new_tokens,
    }
    if settings.picture_ground != GROUND:
        identity["picture_ground"] = settings.picture_ground
    return Candidate(identity, "full", lambda: policy)


def ground_named(colour: str | None) -> str | None:
    """Return the colour of `--picture-ground`, or None.

    Raises:
        UserError: it is not a colour.
    """
    if colour is not None and not is_colour(colour):
        raise UserError(f"--picture-ground: expected a colour such as white or #808080, found {colour!r}")
    return colour


def style_of(name: str | None) -> Style | None:
    """Return the prompt style of a flag, or None.

    Raises:
        UserError: there is no such style.
    """
    match name:
        case None | "full" | "compact":
            return name
        case _:
            raise UserError(f"--prompt-style: expected full or compact, found {name!r}")
