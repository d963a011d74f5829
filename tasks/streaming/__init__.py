"""Live captions: audio blocks in, captions out, by workers that are connected by Kafka topics.

    live.audio → prepare → live.prepared → features → live.features → diarize → live.voices → recognise → live.words
    live.words → captions → captions.partial, captions.final, WebVTT segments, the transcript at the end

All topics are keyed by session. A component is a deterministic state machine over its input topic: equal messages give
equal outputs. After a crash or a rebalance a worker restores the session's last snapshot, replays the messages after it
and sends the same outputs again; consumers skip sequence numbers that they have seen. So delivery is at least once, and
the content of a (session, sequence) never differs.
"""
