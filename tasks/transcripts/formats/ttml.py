"""`.ttml`: EBU-TT-D (EBU Tech 3380 v1.0.1), also a valid IMSC 1 text document, for players and distribution.

Each speaker has a colour, and a `ttm:agent` with the name. A cue in another language than most of the programme has an
`xml:lang` of its own. Times count from the start of the media: EBU-TT-D allows
only the time base "media" and has no metadata for a start time code, which belongs to production formats (EBU-TT Part
1, STL).
"""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from tasks.transcripts.colours import Colour
from tasks.transcripts.cues.cutting import Cue
from tasks.transcripts.formats.clock_time import hours_to_milliseconds
from tasks.transcripts.formats.rendition import Rendition
from tasks.transcripts.text import is_right_to_left

_NAMESPACES = {
    "tt": "http://www.w3.org/ns/ttml",
    "ttp": "http://www.w3.org/ns/ttml#parameter",
    "tts": "http://www.w3.org/ns/ttml#styling",
    "ttm": "http://www.w3.org/ns/ttml#metadata",
    "ebuttm": "urn:ebu:tt:metadata",
    "ebutts": "urn:ebu:tt:style",
    "itts": "http://www.w3.org/ns/ttml/profile/imsc1#styling",
}
_STANDARDS = ("urn:ebu:tt:distribution:2018-04", "http://www.w3.org/ns/ttml/profile/imsc1/text")
# BBC guidelines: line height 1.2 times a fifteenth of the picture, black boxes without gaps between lines. The region
# leaves a margin of a tenth of the picture on each side.
_PARAGRAPH_STYLE = {
    "tts:fontFamily": "proportionalSansSerif",
    "tts:fontSize": "100%",
    "tts:lineHeight": "120%",
    "tts:textAlign": "center",
    "tts:wrapOption": "noWrap",
    "ebutts:multiRowAlign": "center",
    "ebutts:linePadding": "0.5c",
    "itts:fillLineGap": "true",
}
_REGION = {
    "tts:origin": "10% 10%",
    "tts:extent": "80% 80%",
    "tts:displayAlign": "after",
    "tts:overflow": "visible",
}


def write(rendition: Rendition) -> bytes:
    transcript = rendition.transcript
    namespaces = {f"xmlns:{prefix}": uri for prefix, uri in _NAMESPACES.items()}
    root = {"ttp:timeBase": "media", "ttp:cellResolution": "32 15", "xml:lang": transcript.language}
    return "".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>\n',
            f"<tt:tt{_attributes(namespaces | root)}>\n",
            _head(rendition),
            _body(rendition),
            "</tt:tt>\n",
        ]
    ).encode()


def _head(rendition: Rendition) -> str:
    direction = is_right_to_left(rendition.transcript.language)
    styles = [{"xml:id": "paragraph"} | _PARAGRAPH_STYLE | ({"tts:direction": "rtl"} if direction else {})]
    styles += [
        {"xml:id": _style(colour), "tts:color": colour.rgb, "tts:backgroundColor": "#000000"} for colour in Colour
    ]
    lines = [
        "<tt:head>",
        "<tt:metadata>",
        "<ebuttm:documentMetadata>",
        *(f"<ebuttm:conformsToStandard>{uri}</ebuttm:conformsToStandard>" for uri in _STANDARDS),
        "</ebuttm:documentMetadata>",
        *(
            f"<ttm:agent{_attributes({'xml:id': _agent(speaker), 'type': 'person'})}>"
            f'<ttm:name type="full">{escape(name)}</ttm:name></ttm:agent>'
            for speaker, name in rendition.speaker_names.items()
        ),
        "</tt:metadata>",
        "<tt:styling>",
        *(f"<tt:style{_attributes(style)}/>" for style in styles),
        "</tt:styling>",
        "<tt:layout>",
        f"<tt:region{_attributes({'xml:id': 'bottom'} | _REGION)}/>",
        "</tt:layout>",
        "</tt:head>\n",
    ]
    return "\n".join(lines)


def _body(rendition: Rendition) -> str:
    """Return the body; empty for a programme without cues, since a division must have a paragraph."""
    if not rendition.cues:
        return ""
    cues = [_paragraph(rendition, number, cue) for number, cue in enumerate(rendition.cues, start=1)]
    return "\n".join(["<tt:body>", '<tt:div style="paragraph">', *cues, "</tt:div>", "</tt:body>\n"])


def _paragraph(rendition: Rendition, number: int, cue: Cue) -> str:
    language = rendition.transcript.language_at(cue.start_ms)
    other_language = f' xml:lang="{language}"' if language != rendition.transcript.language else ""
    begin, end = hours_to_milliseconds(cue.start_ms), hours_to_milliseconds(cue.end_ms)
    texts = rendition.coloured_lines(cue)
    spans = [_span(rendition, line.speaker, text) for line, text in zip(cue.lines, texts, strict=True)]
    return (
        f'<tt:p xml:id="cue{number}"{other_language} region="bottom" begin="{begin}" end="{end}">'
        f"{'<tt:br/>'.join(spans)}</tt:p>"
    )


def _span(rendition: Rendition, speaker: str | None, text: str) -> str:
    agent = f' ttm:agent="{_agent(speaker)}"' if speaker is not None else ""
    return f'<tt:span style="{_style(rendition.colour(speaker))}"{agent}>{escape(text)}</tt:span>'


def _style(colour: Colour) -> str:
    return colour.name.lower()


def _agent(speaker: str) -> str:
    return f"speaker_{speaker}"


def _attributes(attributes: dict[str, str]) -> str:
    return "".join(f" {name}={quoteattr(value)}" for name, value in attributes.items())
