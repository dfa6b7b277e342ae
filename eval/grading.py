"""Computes all scores of responses, without torch.

Training and evaluation both use this module, so that rewards are computed from the reported scores.
"""

from collections.abc import Sequence

from eval.judges import Item, Judge
from eval.scores.answer_integrity import answer_integrity
from eval.scores.claims import category, precision, substance
from eval.scores.response import Score, score_all


def score_items(items: Sequence[Item], judge: Judge) -> list[dict[str, Score]]:
    """Return every score of each response by name, including the judge's; all responses are judged together.

    Raises:
        eval.judges.JudgeError: the judge cannot go on.
    """
    judgements = judge.judge_all(items)
    return [
        {
            **score_all(item.verdict, item.labels),
            "category": category(item.verdict, item.labels),
            "substance": substance(item.verdict),
            "precision": precision(item.verdict, item.labels),
            **answer_integrity(item.verdict, item.query),
            **judgement.scores(),
        }
        for item, judgement in zip(items, judgements, strict=True)
    ]
