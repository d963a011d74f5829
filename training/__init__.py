"""From a dataset to a promoted model.

`steps` are what Airflow launches. `finetuning` trains, `evaluation` scores models and holds the promotion rule,
`registry` is MLflow, `report` renders reports and model cards. Below them: `families` of models, training `data`, and
`scoring` of texts. `presets` are complete recipes as YAML.
"""
