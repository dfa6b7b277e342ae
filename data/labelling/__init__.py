"""Labels for queries that have none, from a judge model: risks from 0 to 10, and only what is clear is kept.

As SafeGRPO's data were relabelled (arXiv 2511.12982): each risk is rated from 0 to 10 with a confidence, and a query is
kept where every rating is clear. The command is `tritrace data label`.
"""
