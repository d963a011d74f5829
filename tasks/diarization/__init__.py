"""Speaker diarization with pyannote.audio's pipelines.

`resolve` and `fetch` (`sources`) find a diarizer by its URI, `diarizer.load_diarizer` loads it:

    embedded                                    small weights that are part of the package
    file:///folder, s3://bucket/key             a copy of a pipeline: config.yaml, segmentation/, embedding/, plda/
    pyannote/speaker-diarization-community-1    from the hub, or its local copy (HF_HUB_OFFLINE)

    diarizer          whole programmes of any length, in `blocks`
    embedded          the packaged pipeline: its `networks` and its `clustering`
    local_pipeline    a pyannote pipeline from a folder
"""

import os
import warnings

# Must be set before pyannote.audio is imported: it sends telemetry otherwise.
os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
# Audio is decoded elsewhere; torchcodec is not needed.
warnings.filterwarnings("ignore", message=r"\s*torchcodec is not installed correctly", category=UserWarning)

from tasks.diarization.sources import EMBEDDED, fetch, resolve  # noqa: E402

__all__ = ["EMBEDDED", "fetch", "resolve"]
