"""Trains tokenizers for the families: byte-level like most, or like Gemma's, with a beginning token."""

import json
from collections.abc import Mapping
from collections.abc import Sequence as Several

from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.normalizers import Replace
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.trainers import BpeTrainer
from transformers import GemmaTokenizer, PreTrainedTokenizerFast

VOCABULARY_SIZE = 600
GEMMA_TURNS = ("<start_of_turn>", "<end_of_turn>")
GEMMA_PICTURES = {
    "boi_token": "<start_of_image>",
    "eoi_token": "<end_of_image>",
    "image_token": "<image_soft_token>",
}


def byte_level(
    texts: Several[str], *, special: Several[str], names: Mapping[str, str], pad: str, eos: str
) -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer that pads on the right, like published ones.

    Args:
        texts: the training texts.
        special: its special tokens.
        names: attributes that a processor needs, with their tokens.
        pad: the padding token.
        eos: the token that ends a response.
    """
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        # Qwen's marks of thinking are not special tokens, and stay in decoded text.
        special_tokens=[AddedToken(token, special="think>" not in token) for token in special],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        eos_token=eos,
        padding_side="right",
        clean_up_tokenization_spaces=False,
        extra_special_tokens=dict(names),
    )


def gemma(texts: Several[str]) -> GemmaTokenizer:
    """Return a tokenizer of Gemma's class: bytes as a fallback, blanks as "▁", and <bos> before every text."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", *GEMMA_TURNS, *GEMMA_PICTURES.values()]
    trained = Tokenizer(BPE(unk_token="<unk>"))  # noqa: S106
    trained.normalizer = Replace(" ", "▁")
    # As in the published vocabulary, a token never has both a line break and a word.
    trained.pre_tokenizer = Sequence([Split("\n", "isolated"), Split(" ", "merged_with_previous")])
    words = [*special, *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = BpeTrainer(vocab_size=len(words) + 600, special_tokens=words, show_progress=False)
    trained.train_from_iterator(texts, trainer)
    model = json.loads(trained.to_str())["model"]
    tokenizer = GemmaTokenizer(
        vocab=model["vocab"],
        merges=[tuple(pair) for pair in model["merges"]],
        padding_side="right",
        extra_special_tokens=GEMMA_PICTURES,
    )
    tokenizer.add_bos_token = True
    tokenizer.add_special_tokens({"additional_special_tokens": list(GEMMA_TURNS)})
    return tokenizer
