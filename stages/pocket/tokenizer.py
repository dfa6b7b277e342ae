"""The pocket model's tokenizer: byte-level BPE, trained here, so that it needs no download.

The pre-tokenization differs from GPT's: a tool's marker (`[VISUAL-SCAN]:`), a key with its equals sign (` objects=`)
and a tag (`</answer>`) each become one token. So a trace of five calls has about 75 tokens. Since it is byte-level, any
other text can be encoded too, with more tokens.
"""

from collections.abc import Iterable
from importlib.resources import files

from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

_ALTERNATIVES = (
    r" ?\[[A-Z0-9-]+\]:?",  # a tool's marker
    r";? ?[a-z_]+=",  # a key, with the separator before it
    # A tag of a block with the line break after it, but not the one before it: a response begins with a tag, and the
    # tokens of the prompt must not depend on the response.
    r"</?[a-z]+>\n?",
    r" ?\d+(?:\.\d+)?",
    r" ?\p{L}+",
    r"\[?[\"',:;.!?()\]]+",
    r" [\"'.(]+,?",
    r"\s+",
    r".",
)
SPLIT = "|".join(_ALTERNATIVES)
"""A token never spans two of these pieces."""
VOCABULARY_SIZE = 1400
"""Maximum number of tokens; BPE stops earlier when every piece of the texts is one token."""

PAD, END_OF_TURN = "<|endoftext|>", "<|im_end|>"
VISION_TOKENS = {
    "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>",
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
}
"""Names and texts of the tokens that the Qwen2.5-VL processor needs."""
SPECIAL_TOKENS = (PAD, "<|im_start|>", END_OF_TURN, *VISION_TOKENS.values())


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer that knows the texts' words, with Qwen's special tokens and chat template."""
    tokenizer = Tokenizer(BPE())
    to_bytes = ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = Sequence([Split(Regex(SPLIT), "isolated"), to_bytes])
    tokenizer.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[AddedToken(token, special=True) for token in SPECIAL_TOKENS],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END_OF_TURN,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        extra_special_tokens=VISION_TOKENS,
        chat_template=chat_template(),
    )


def chat_template() -> str:
    """Return Qwen2.5-VL's chat template, identical to the published one, so that TRL recognises it."""
    return files("stages.pocket").joinpath("chat_template.jinja").read_text(encoding="utf-8")
