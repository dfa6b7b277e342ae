"""Claims about the query that its labels contradict."""

from random import Random

from data.corruptions.edits import other_risk, typed_slots, with_role
from data.corruptions.registry import Example, corruption
from protocol.keys.types import List
from protocol.plans.tools import Role


@corruption("evidence", "E501")
def hallucinated_object(example: Example, rng: Random) -> str | None:
    """Claim one more thing than there is."""
    there = example.query.labels.objects or ()
    names = [name for name in ("apple", "knife", "ball", "saw", "cup", "umbrella") if name not in there]
    lists = [slot.key.type for slot in typed_slots(example, List) if slot.key.role is Role.OBJECTS]
    if any(isinstance(each, List) and len(there) >= each.max_items for each in lists):
        return None
    return with_role(example, Role.OBJECTS, (*there, rng.choice(names)))


@corruption("evidence", "E502")
def misread_text(example: Example, rng: Random) -> str | None:
    """Quote something that is not written."""
    texts = example.query.labels.texts or ()
    invented = rng.choice(("", "thank the driver") if texts else ("stay here", "thank the driver"))
    return with_role(example, Role.WRITTEN_TEXT, invented)


@corruption("evidence", "E503")
def wrong_image_tag(example: Example, _: Random) -> str | None:
    """Give the picture the wrong tag. Without a picture the tag has no meaning, and a wrong one teaches nothing."""
    if not example.query.images:
        return None
    return with_role(example, Role.IMAGE_RISK, other_risk(example.query.labels.image_risk))


@corruption("evidence", "E501", is_balancing=True)
def mistaken_object(example: Example, rng: Random) -> str | None:
    """Take one of the things that are there for another."""
    there = example.query.labels.objects or ()
    if not there:
        return None
    place = rng.randrange(len(there))
    names = [name for name in ("hat", "knife", "ball", "saw", "cup", "umbrella", "banana") if name not in there]
    return with_role(example, Role.OBJECTS, (*there[:place], rng.choice(names), *there[place + 1 :]))


@corruption("evidence", "E503", is_balancing=True)
def wrong_text_tag(example: Example, _: Random) -> str | None:
    """Tag the words, throughout, as what they are not."""
    return with_role(example, Role.TEXT_RISK, other_risk(example.query.labels.text_risk))
