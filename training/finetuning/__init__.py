"""Fine-tuning, from the outside in: `steps.train` -> `run` -> `session` -> `loop`.

`run` is the step's view: it opens the MLflow run, launches the processes and publishes the result. `session` is what
every process does: load model and data, and run the loop over them. `loop` trains step by step. The other modules
serve these.
"""
