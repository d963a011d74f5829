"""Fine-tuning, from the outside in.

`run` is the step's view: one MLflow run, one or more processes, what is published. `session` is what each process does:
model and data brought together. `loop` is the loop over steps in it. The rest is what these use.
"""
