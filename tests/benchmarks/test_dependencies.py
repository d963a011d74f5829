from benchmarks.dependencies import asked_for, brings, needs, size_mb, steps_by_package


def test_a_package_that_the_worker_asks_for_is_imported_by_a_step() -> None:
    steps = steps_by_package(asked_for())
    unused = {package for package, users in steps.items() if not users}
    # torch imports nvidia-ml-py; the workers of live captions, which are no steps, use prometheus-client.
    assert unused == {"nvidia-ml-py", "prometheus-client"}


def test_a_package_brings_what_only_it_needs() -> None:
    packages = ["transformers", "soundfile"]
    assert "cffi" in brings("soundfile", packages)
    assert "numpy" in needs("soundfile")
    assert "numpy" not in brings("soundfile", packages)
    assert size_mb({"soundfile", "cffi"}) > size_mb({"cffi"}) > 0
