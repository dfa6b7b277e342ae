"""Evaluation tasks: each one is a short YAML file that names queries and metrics.

The queries come from the pocket world or from a public set (`data/sources`); nothing is downloaded. The tasks are in
`catalogue/`, in folders named as what they measure. `task.py` defines their format. Users may write their own files.
"""

from eval.tasks.registry import built_in_tasks, find_task
from eval.tasks.task import Measures, Task, TaskError

__all__ = ["Measures", "Task", "TaskError", "built_in_tasks", "find_task"]
