"""The curriculum SFT -> DPO -> GRPO: loading, stages, rewards, manifests, tracking, recipes and the command line.

Importing this package switches off the usage telemetry of the libraries it trains with (huggingface_hub, which
transformers and TRL report through, and MLflow). Set the variables yourself to decide otherwise; they are only filled
in where unset.
"""

import os

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
