"""Benchmarks are timed by `make bench` only: under a plain `pytest` each function runs once, untimed."""

import pytest


@pytest.fixture
def benchmark(benchmark, pytestconfig):
    benchmark.disabled = benchmark.disabled or not pytestconfig.getoption("benchmark_only")
    return benchmark
