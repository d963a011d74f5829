"""From a dataset to a promoted model.

`steps` are what Airflow launches; `finetuning` trains, `evaluation` scores and holds the rule of promotion, `registry`
is MLflow, `report` is what people read. Below them: `families` of models, `data` to train on, `scoring` of texts.
`presets` are whole recipes as YAML.
"""
