"""Replay: frames decoded again with today's decoders and rules, beside the live line and never in its way."""
