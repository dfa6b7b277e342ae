"""Rollout prompts as Inspect's samples, and what Inspect sampled back as ours."""

from pathlib import Path
from typing import Any

from inspect_ai.dataset import Sample as InspectSample
from inspect_ai.model import ChatMessage, ChatMessageSystem, ChatMessageUser, Content, ContentImage, ContentText

from data.images import portable_uri
from data.pixels import GROUND
from data.rows import RolloutPrompt
from eval.results.outcomes import quadrant
from protocol.errors import UserError

IMAGES = "images"
PLAN = "plan"


def inspect_sample(prompt: RolloutPrompt, images_root: Path, ground: str = GROUND) -> InspectSample:
    """Return a prompt with its pictures inside, and with all that its scores need as metadata.

    Args:
        prompt: the prompt; its pictures come with its first user message, as they do in training.
        images_root: the folder that its image paths are relative to.
        ground: colour that transparent pictures are put on.

    Raises:
        ImageError: a picture cannot be read.
        UserError: the prompt holds a message that is neither the system's nor the user's.
    """
    pictures = [portable_uri(name, images_root, ground) for name in prompt.images]
    return InspectSample(
        id=prompt.id,
        input=_messages(prompt, pictures),
        target=str(prompt.labels.decision or ""),
        metadata={
            "kind": prompt.kind,
            "quadrant": quadrant(prompt.labels),
            "query": prompt.query,
            "labels": prompt.labels.to_json(),
            PLAN: prompt.plan,
            IMAGES: [name if not name.startswith("data:") else "data: URI" for name in prompt.images],
        },
    )


def pictures_of(messages: list[ChatMessage]) -> list[str]:
    """Return the pictures of a conversation as they are given: `data:` URIs, paths or addresses."""
    return [
        part.image
        for message in messages
        if not isinstance(message.content, str)
        for part in message.content
        if isinstance(part, ContentImage)
    ]


def _messages(prompt: RolloutPrompt, pictures: list[str]) -> list[ChatMessage]:
    messages: list[ChatMessage] = []
    for message in prompt.prompt:
        if message["role"] == "system":
            messages.append(ChatMessageSystem(content=message["content"]))
        elif message["role"] == "user":
            parts: list[Content] = [
                *(ContentImage(image=uri) for uri in pictures),
                ContentText(text=message["content"]),
            ]
            messages.append(ChatMessageUser(content=parts if pictures else message["content"]))
            pictures = []
        else:
            raise UserError(f"prompt {prompt.id}: expected messages of system and user, found {message['role']!r}")
    return messages


def metadata_text(metadata: dict[str, Any], name: str) -> str:
    """Return a text of a sample's metadata.

    Raises:
        UserError: it is missing: the sample is not one of our tasks.
    """
    value = metadata.get(name)
    if not isinstance(value, str):
        raise UserError(f"the sample's metadata has no {name!r}; these scorers are for the tasks tritrace/...")
    return value
