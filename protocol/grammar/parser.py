"""The strict parser: lark over a plan's grammar. Accepts canonical spellings of valid responses and nothing else."""

from functools import lru_cache

from lark import Lark, UnexpectedInput

from protocol.errors import UserError
from protocol.grammar.grammar import grammar_of
from protocol.keys.literals import without_surrogates
from protocol.plans.plan import Plan
from protocol.response.trace import Response
from protocol.verdict import diagnose


class NotInLanguageError(UserError):
    """The text is not a sentence of the plan's grammar; the message says where it departs and what was expected."""


@lru_cache(maxsize=128)
def _lark(plan: Plan) -> Lark:
    return Lark(grammar_of(plan), parser="lalr", lexer="contextual")


def accepts(text: str, plan: Plan) -> bool:
    """Whether a text is a sentence of the plan's grammar."""
    try:
        _check(text, plan)
    except NotInLanguageError:
        return False
    return True


def parse(text: str, plan: Plan) -> Response:
    """Parse a canonical, valid response.

    Raises:
        NotInLanguageError: the text is anything else; `protocol.verdict.diagnose` reports every fault.
    """
    _check(text, plan)
    return diagnose(text, plan).response


def _check(text: str, plan: Plan) -> None:
    if text != without_surrogates(text):  # lark's regular expressions accept these as any other character
        raise NotInLanguageError(f"not a sentence of plan {plan.fingerprint}: it holds lone surrogates")
    try:
        _lark(plan).parse(text)
    except UnexpectedInput as error:
        place = f"line {error.line}, column {error.column}"
        context = error.get_context(text).rstrip()
        raise NotInLanguageError(f"not a sentence of plan {plan.fingerprint} at {place}:\n{context}") from None
