"""Checking data sets: every row in itself and against its plan, images, duplicates, leaks, and what the rows are about.

    tritrace data check DIR --html page.html --fix CLEANED --against xstest=xstest.jsonl

Rows come from anybody, so nothing in them is trusted and nothing is executed: lines, images and paths are bounded, and
an unusable one is a fault with its place, and the rest is still read. `rows` judges one line, in any of several
processes; `index` sees what is only visible across rows; `counts` counts contents; `run` puts them together.
"""
