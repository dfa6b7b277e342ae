"""A stand-in for a teacher: it knows the reference response to every query, and corrupts some of its replies.

The query alone decides the corruption: most replies are right at once, some only after diagnostics, and some never. So
the result of a whole run is known beforehand.
"""

import hashlib
import json
from enum import StrEnum
from random import Random

from data.corruptions import Example
from data.pairs.negatives import drawn
from data.pictures.images import data_uri, read_image
from data.synthesis import reference_response
from tests.endpoints.server import says


class Habit(StrEnum):
    """The teacher's behaviour for a query."""

    RIGHT = "right at once"
    REPAIRED = "right when told what is wrong"
    STUBBORN = "never right"


class TeacherModel:
    """A function from a request to a reply."""

    def __init__(self, queries, root, planner, *, repaired=0.2, stubborn=0.1):
        self.root, self.planner = root, planner
        self.shares = {Habit.STUBBORN: stubborn, Habit.REPAIRED: repaired}
        self.query_by_words = {self._key(query.text, self._pictures(query)): query for query in queries}

    def __call__(self, request):
        messages = request["messages"]
        query = self.query_by_words[self._key(*words_and_pictures(messages[1]))]
        return says(self.text(query, num_told=(len(messages) - 2) // 2))

    def text(self, query, num_told):
        """Return the reply after a number of diagnoses."""
        plan = self.planner(query.text, len(query.images))
        response = reference_response(query, plan)
        habit = self.habit(query)
        if habit is Habit.RIGHT or (habit is Habit.REPAIRED and num_told):
            return response.render()
        spoilt = list(drawn(Example(query, plan, response), 3, Random(query.id)))
        return spoilt[num_told % len(spoilt)][1]

    def habit(self, query):
        """Return the behaviour for this query."""
        place = int(hashlib.sha256(query.id.encode()).hexdigest()[:8], 16) / 16**8
        for habit, share in self.shares.items():
            if place < share:
                return habit
            place -= share
        return Habit.RIGHT

    def _pictures(self, query):
        return [data_uri(read_image(source, self.root)) for source in query.images]

    def _key(self, words, pictures):
        return hashlib.sha256(json.dumps([words, *pictures]).encode()).hexdigest()


def words_and_pictures(message):
    """Return the texts and pictures of a user message."""
    content = message["content"]
    if isinstance(content, str):
        return content, []
    words = next(part["text"] for part in content if part["type"] == "text")
    return words, [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
