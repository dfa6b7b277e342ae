"""Measures the peak memory of a stage so far, on its GPU and on its host."""

import sys
from dataclasses import dataclass

import torch

GIB = 2**30


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """Peak memory in bytes."""

    host: int
    """Resident memory of the process since it started."""
    allocated: int | None = None
    """Memory of tensors on the GPU since `start_counting`; None without a GPU."""
    reserved: int | None = None
    """Memory held by PyTorch's allocator on the GPU; other programs cannot use it."""

    @property
    def main(self) -> int:
        """Peak of the training device."""
        return self.host if self.allocated is None else self.allocated

    def numbers(self) -> dict[str, float]:
        """Return the tracked numbers in GiB, by name."""
        parts = {"gpu_allocated": self.allocated, "gpu_reserved": self.reserved, "host": self.host}
        return {f"memory/{name}_gib": size / GIB for name, size in parts.items() if size is not None}

    def __str__(self) -> str:
        host = f"{self.host / GIB:.2f} GiB of the host"
        if self.allocated is None or self.reserved is None:
            return host
        return f"{self.allocated / GIB:.2f} GiB of the GPU ({self.reserved / GIB:.2f} reserved), {host}"


def start_counting() -> None:
    """Reset the GPU's peak, because the stages of a curriculum share a process."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> PeakMemory:
    """Return the peaks so far."""
    host = _host_peak()
    if not torch.cuda.is_available():
        return PeakMemory(host)
    return PeakMemory(host, int(torch.cuda.max_memory_allocated()), int(torch.cuda.max_memory_reserved()))


def _host_peak() -> int:
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
