"""How well refusal detection agrees with labels: labelled responses, published keyword lists, precision and recall.

    python -m eval.refusals                        every file shipped here
    python -m eval.refusals FILE.jsonl             any labelled responses: an object a line with `text` and `label`
    python -m eval.refusals --partial left-out     how partial refusals count: as compliance, as refusal, or not at all

The detector itself is `protocol.stance`.
"""
