"""Converts rollout prompts to Inspect's samples, and reads values back from Inspect's samples."""

from pathlib import Path
from typing import Any

from inspect_ai.dataset import Sample as InspectSample
from inspect_ai.model import ChatMessage, ChatMessageSystem, ChatMessageUser, Content, ContentImage, ContentText

from data.pictures.images import portable_uri
from data.pictures.pixels import GROUND
from data.rows import RolloutPrompt
from eval.results.outcomes import quadrant
from protocol.errors import UserError

IMAGES = "images"
PLAN = "plan"


def inspect_sample(prompt: RolloutPrompt, images_root: Path, ground: str = GROUND) -> InspectSample:
    """Return a prompt as a sample that contains its pictures, and the input of its scores as metadata.

    Args:
        prompt: the prompt; its pictures go into its first user message, as in training.
        images_root: its image paths are relative to this folder.
        ground: background colour for transparent pictures.

    Raises:
        ImageError: a picture cannot be read.
        UserError: the prompt has a message that is not by system or user.
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
    """Return the pictures of a conversation, unchanged: `data:` URIs, paths or addresses."""
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
        UserError: it is missing, so the sample does not belong to one of our tasks.
    """
    value = metadata.get(name)
    if not isinstance(value, str):
        raise UserError(f"the sample's metadata has no {name!r}; these scorers are for the tasks tritrace/...")
    return value
