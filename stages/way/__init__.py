"""The way from somebody's data to an adapter: a working folder with data, recipes, and the commands in order.

    FOLDER/README.md     where you are, and what comes next
    FOLDER/init.json     what was asked for, so that nothing is asked twice
    FOLDER/way.json      the commands, by which each one prints the next
    FOLDER/source.yaml   what the columns are, where that was guessed
    FOLDER/data/         queries.jsonl and images/, then the rows
    FOLDER/recipes/      of the three stages, fitted to model and card
    FOLDER/run/          the run

Any of it can be deleted; `tritrace init FOLDER` makes it again.
"""
