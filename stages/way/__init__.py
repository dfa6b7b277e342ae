"""From your data to an adapter: a working folder with data, recipes, and the commands in order.

    FOLDER/README.md     the commands; those that are done are ticked off
    FOLDER/init.json     the options of `tritrace init`, so that they need not be given again
    FOLDER/way.json      the commands; each command reads here which one comes next, and prints it
    FOLDER/source.yaml   the meaning of the columns, if it was guessed
    FOLDER/data/         queries.jsonl and images/, then the rows
    FOLDER/recipes/      recipes of the three stages, fitted to the model and the card
    FOLDER/run/          checkpoints, evaluations and the report

Any of these can be deleted; `tritrace init FOLDER` writes the files and folders up to `recipes/` again.
"""
