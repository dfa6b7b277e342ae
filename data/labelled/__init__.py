"""Somebody's own labelled queries as the rows of all three stages, without a teacher.

SFT's rows are templates filled with labels and reference answers, or a teacher's; DPO's pairs are those responses and
named faults of them; GRPO and the evaluation get prompts with the labels. The commands are `tritrace data template` and
`tritrace data synthesize --all-stages`.
"""
