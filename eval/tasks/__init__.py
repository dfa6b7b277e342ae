"""Evaluation tasks: which queries a checkpoint is asked, and which metrics they are about; a short YAML file each.

The queries come from the pocket world or from a public set (`data/sources`); nothing is downloaded here. What a task
states is in `catalogue/`, the form of that in `task.py`; a file of one's own works as well.
"""

from eval.tasks.registry import built_in_tasks, find_task
from eval.tasks.task import Measures, Task, TaskError

__all__ = ["Measures", "Task", "TaskError", "built_in_tasks", "find_task"]
