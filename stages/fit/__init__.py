"""Finds settings that fit a card, from a model's configuration alone: memory, time and recipes of each stage.

    tritrace fit qwen3-vl-4b --card 16
    tritrace fit Qwen/Qwen3-VL-4B-Instruct --card 16 --budget 12h --write my-recipes

`model.py` finds the configuration, `choice.py` searches, `roofline.py` estimates the time, `recipe_text.py` writes
recipes. `stages/memory/estimate.py` estimates the memory; `stages/memory/tracing.py` compares it with the real graph.
"""
