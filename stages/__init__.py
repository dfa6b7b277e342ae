"""The curriculum SFT -> DPO -> GRPO: loading, stages, rewards, manifests, tracking, recipes and the command line.

Importing this package sets environment variables that are unset. Values that you set yourself are kept.

* The libraries it trains with send no usage telemetry (huggingface_hub, which transformers and TRL report through, and
  MLflow).
* OpenMP threads sleep while they wait for each other. By default they spin, and beside other busy programs they spin
  through the time slices of the very thread they wait for. OpenMP reads this when torch is imported, so import this
  package before torch.
* Log messages of libraries are hidden, so that a terminal shows only our own lines. `TRANSFORMERS_VERBOSITY` and
  `MLFLOW_LOGGING_LEVEL` show them.
"""

import logging
import os

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():  # GNU's count would override the user's policy
    os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # "Creating initial MLflow database tables..."
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # at every import: a missing kernel that is optional
