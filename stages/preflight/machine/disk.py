"""Checks the disk space for a stage's checkpoints, adapter and rollouts."""

import shutil
from pathlib import Path
from typing import Any

from stages.preflight.findings import Finding, Section

GIB = 2**30
OVERHEAD = 64 * 2**20
"""Bytes of tokenizer, logs, rollouts and manifests."""


def disk_section(output: Path, adapter_bytes: int, optimiser_bytes: int, config: Any) -> Section:
    """Compare the free space with the files of a stage.

    Args:
        output: the stage's folder; it need not exist yet.
        adapter_bytes: size of the adapter's weights.
        optimiser_bytes: size of the optimiser's state.
        config: TRL's options; they state the number of kept checkpoints.
    """
    folder = next(path for path in (output.resolve(), *output.resolve().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    # The trainer writes a checkpoint before it deletes the oldest one. Each has a copy of the reference adapter.
    num_checkpoints = (config.save_total_limit or 1) + 1
    needed = num_checkpoints * (2 * adapter_bytes + optimiser_bytes) + adapter_bytes + OVERHEAD
    found = f"{needed / GIB:.2f} GiB needed for {num_checkpoints} checkpoints and the adapter, {free / GIB:.1f} free"
    if needed > free:
        return Section("disk", (Finding("fails", str(folder), found, "free some, or lower save_total_limit"),))
    if 2 * needed > free:
        return Section("disk", (Finding("warning", str(folder), found, "little is left over"),))
    return Section("disk", (Finding("ok", str(folder), found),))
