# All images: `docker buildx bake --file images/docker-bake.hcl --load` in the repository's root. Only releases have
# attestations: Docker's own image store cannot keep any.
# Other base images than the official ones: BASE=… CUDA_BASE=… docker buildx bake …

variable "REGISTRY" {
  default = "docker.io/airscript"
}

variable "VERSION" {
  default = "0.1.0"
}

variable "REVISION" {
  default = "unknown"
}

variable "BASE" {
  default = "docker.io/library/python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b"
}

# CTranslate2 needs CUDA 12's cuBLAS and cuDNN.
variable "CUDA_BASE" {
  default = "docker.io/nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04@sha256:ac55d124da4882b497f732d8dfd9a702d5447a5f29d08d56da6f64f0a1eb34bc"
}

group "default" {
  targets = ["airflow", "worker-cpu", "worker-gpu", "mlflow"]
}

# What docker-compose.yaml uses.
group "compose" {
  targets = ["airflow", "worker-cpu", "mlflow"]
}

target "image" {
  context   = "."
  platforms = ["linux/amd64"]
  args = {
    BASE     = BASE
    VERSION  = VERSION
    REVISION = REVISION
  }
}

target "airflow" {
  inherits   = ["image"]
  dockerfile = "images/airflow/Dockerfile"
  tags       = ["${REGISTRY}/airflow:${VERSION}"]
}

target "worker-cpu" {
  inherits   = ["image"]
  dockerfile = "images/worker/Dockerfile"
  args       = { TORCH_BACKEND = "cpu" }
  tags       = ["${REGISTRY}/worker-cpu:${VERSION}"]
}

target "worker-gpu" {
  inherits   = ["image"]
  dockerfile = "images/worker/Dockerfile"
  # The default build of torch on the index, which includes CUDA 13.
  args = {
    BASE          = CUDA_BASE
    TORCH_BACKEND = ""
  }
  tags = ["${REGISTRY}/worker-gpu:${VERSION}"]
}

target "mlflow" {
  inherits   = ["image"]
  dockerfile = "images/mlflow/Dockerfile"
  tags       = ["${REGISTRY}/mlflow:${VERSION}"]
}
