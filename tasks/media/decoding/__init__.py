"""Packets to mono float32 blocks at one rate: decode, fill gaps, downmix, resample. In this process or isolated."""
