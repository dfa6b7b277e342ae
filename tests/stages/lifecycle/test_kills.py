"""A small version of the kill test; `make kills` is the large one."""

import pytest

from tests.stages.lifecycle.kills import kill_stage


@pytest.mark.slow
def test_a_stage_killed_at_random_moments_ends_as_one_that_nobody_killed(tmp_path):
    outcome = kill_stage("sft", 4, tmp_path, num_steps=6)
    assert (outcome.num_kills, sum(outcome.moments.values())) == (4, 4)
    assert outcome.num_equal == outcome.num_runs >= 1
