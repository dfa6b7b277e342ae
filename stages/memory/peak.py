"""The most memory that a stage has used so far, on its GPU and of its host."""

import sys
from dataclasses import dataclass

import torch

GIB = 2**30


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """Bytes at the peak."""

    host: int
    """Resident, of the process since it started."""
    allocated: int | None = None
    """By tensors on the GPU of this process, since `start_counting`; None without a GPU."""
    reserved: int | None = None
    """By PyTorch's allocator there: what other programs cannot have."""

    @property
    def main(self) -> int:
        """Of the device that is trained on."""
        return self.host if self.allocated is None else self.allocated

    def numbers(self) -> dict[str, float]:
        """Return what is tracked, in GiB by name."""
        parts = {"gpu_allocated": self.allocated, "gpu_reserved": self.reserved, "host": self.host}
        return {f"memory/{name}_gib": size / GIB for name, size in parts.items() if size is not None}

    def __str__(self) -> str:
        host = f"{self.host / GIB:.2f} GiB of the host"
        if self.allocated is None or self.reserved is None:
            return host
        return f"{self.allocated / GIB:.2f} GiB of the GPU ({self.reserved / GIB:.2f} reserved), {host}"


def start_counting() -> None:
    """Forget earlier peaks of the GPU: the stages of a curriculum share a process."""
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
