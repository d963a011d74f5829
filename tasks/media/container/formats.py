"""Formats that FFmpeg may open, signatures of media, and of playlists that only refer to media."""

from __future__ import annotations

import re

# Demuxers of files that contain their own audio. Left out: hls, dash, concat, sdp, rtsp, imf, image and text formats,
# lavfi and the capture devices.
FORMATS = (
    "aac", "aax", "ac3", "ac4", "aiff", "amr", "amrnb", "amrwb", "ape", "asf", "asf_o", "au", "avi", "caf",
    "daud", "dsf", "dss", "dts", "dtshd", "dv", "eac3", "flac", "flv", "gxf", "h264", "hevc", "iff", "loas",
    "lxf", "m4v", "matroska", "mlp", "mov", "mp3", "mpc", "mpc8", "mpeg", "mpegts", "mpegvideo", "mxf",
    "nistsphere", "nut", "ogg", "oma", "qcp", "rm", "s337m", "sds", "sox", "spdif", "tak", "truehd", "tta",
    "voc", "vqf", "w64", "wav", "wsd", "wtv", "wv", "xwma",
)  # fmt: skip

# Demuxers of raw codec frames, whose timestamps are counted rather than stored.
RAW_FORMATS = frozenset((
    "aac", "ac3", "amr", "amrnb", "amrwb", "dts", "dtshd", "eac3", "loas", "mlp", "mp3", "s337m", "spdif",
    "truehd",
))  # fmt: skip

# Beginnings of files that refer to other media instead of containing any. Every repetition that another may follow is
# possessive: with ordinary ones, 546 bytes of blanks and comments took an hour (`tests/tasks/test_patterns.py`).
REMOTE_REFERENCE = re.compile(
    rb"""\#EXTM3U | ffconcat\ version | \[playlist\] | \[Reference\] | \[InternetShortcut\] | RTSPtext
    | v=0\r?\no=  # SDP
    | (?:[^<]{0,64}+<[?!][^>]{0,512}+>\s*+){0,8}+  # XML declaration, comments
      <(?:MPD|asx|smil|playlist|SmoothStreamingMedia|CompositionPlaylist|AssetMap|VAST|rss)\b
    | (?:[#;][^\n]*+\n\s*+)*+  # comments
      (?: (?:https?|rtsps?|rtmp[a-z]*|mms[a-z]*|ftps?|sftp|file|concat|concatf|tcp|udp|rtp|srtp?|tls|pipe|subfile|data
          |crypto|async|cache|ipfs|gopher|lavfi|fd|unix) : \S
        | file\s+['"/.\w] )
    """,
    re.VERBOSE | re.IGNORECASE,
)

# Signatures of containers and codecs, with their offset.
SIGNATURES = (
    (0, b"RIFF"), (0, b"RIFX"), (0, b"RF64"), (0, b"BW64"), (0, b"riff"), (0, b"fLaC"), (0, b"OggS"), (0, b"ID3"),
    (0, b"FORM"), (0, b"caff"), (0, b".snd"), (0, b"FLV"), (0, b"#!AMR"), (0, b"MAC "), (0, b"TTA1"), (0, b"wvpk"),
    (0, b"\x1a\x45\xdf\xa3"), (0, b"\x30\x26\xb2\x75"), (0, b"\x06\x0e\x2b\x34"), (0, b"\x00\x00\x01\xba"),
    (0, b"\xff\xfb"), (0, b"\xff\xfa"), (0, b"\xff\xf3"), (0, b"\xff\xf1"), (0, b"\xff\xf9"), (0, b"\x0b\x77"),
    (4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (4, b"wide"),
)  # fmt: skip

MAX_CHANNELS = 64

# FFmpeg's names of speaker positions (libavutil/channel_layout.c).
SPEAKERS = frozenset((
    "FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR", "TC", "TFL", "TFC", "TFR", "TBL",
    "TBC", "TBR", "DL", "DR", "WL", "WR", "SDL", "SDR", "LFE2", "TSL", "TSR", "BFC", "BFL", "BFR",
))  # fmt: skip
