"""What fits a card, from a model's configuration alone: settings of each stage, their memory and time, and recipes.

    tritrace fit qwen3-vl-4b --card 16
    tritrace fit Qwen/Qwen3-VL-4B-Instruct --card 16 --budget 12h --write my-recipes

`model.py` finds the configuration, `choice.py` searches, `roofline.py` tells the time, `recipe_text.py` writes recipes.
Memory is the estimate of `stages/memory/estimate.py`, which is compared with the real graph (`tracing.py`).
"""
