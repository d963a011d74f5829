"""Write a gzip file to MLflow and read it back: a client may decompress it on the way from S3 because of its name."""

import gzip
from pathlib import Path
from tempfile import mkdtemp

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

client, file = MlflowClient(), Path(mkdtemp()) / "spelling.json.gz"
file.write_bytes(gzip.compress(b"{}"))
run = client.create_run(client.create_experiment("round trip")).info
client.log_artifact(run.run_id, str(file))
back = download_artifacts(run_id=run.run_id, artifact_path=file.name, dst_path=mkdtemp())
print(Path(back).read_bytes() == file.read_bytes())
