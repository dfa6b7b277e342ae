"""Judges: they score the safety and helpfulness of an answer and the rigor of its trace.

There are three judges: rules over labels (`rules`), a language model behind an OpenAI-compatible endpoint (`llm`), and
a guard model from a local folder (`guard`). The scales follow the published evaluation (SaFeR-ToolKit): safety -3..3,
helpfulness 0..3, rigor 0..3. The README in this folder says what each judge can and cannot know.
"""

from eval.judges.judgement import Item, Judge, Judgement
from eval.judges.rules import RuleJudge

__all__ = ["Item", "Judge", "Judgement", "RuleJudge"]
