"""Who speaks when: pyannote.audio's pipelines, with weights of ours that need no download or with mirrored ones.

`resolve` and `fetch` find a diarizer by its URI, `load_diarizer` gives one that tells a programme's speakers apart.

    embedded                                    small weights that come with the package
    file:///folder, s3://bucket/key             a mirrored pipeline: config.yaml, segmentation/, embedding/, plda/
    pyannote/speaker-diarization-community-1    the hub's, or its local copy (HF_HUB_OFFLINE)
"""

import os
import warnings

# Before pyannote.audio is first imported: it reports its use otherwise.
os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
# Audio is decoded by ours; torchcodec is not needed.
warnings.filterwarnings("ignore", message=r"\s*torchcodec is not installed correctly", category=UserWarning)

from tasks.diarization.finding import EMBEDDED, fetch, resolve  # noqa: E402

__all__ = ["EMBEDDED", "fetch", "resolve"]
