"""The curriculum SFT -> DPO -> GRPO: loading, stages, rewards, manifests, tracking, recipes and the command line.

Importing this package fills in environment variables that are unset; set them yourself to decide otherwise.

* The libraries it trains with send no usage telemetry (huggingface_hub, which transformers and TRL report through, and
  MLflow).
* OpenMP threads sleep while they wait for each other. By default they spin, and beside other busy programs they spin
  through the time slices of the very thread they wait for. OpenMP reads this when torch is imported, so import this
  package before torch.
* What libraries tell each other is not printed: a terminal shows our own lines alone. `TRANSFORMERS_VERBOSITY` and
  `MLFLOW_LOGGING_LEVEL` bring it back.
"""

import logging
import os

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():  # GNU's count would overrule the policy of a user
    os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # "Creating initial MLflow database tables..."
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # a kernel from the hub that it does without, at every import
