"""Texts in the alphabet of GSM, made up by hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from heliograph_channel_smpp.alphabets import fits_gsm

EVERY_GSM = "".join(chr(code) for code in range(0x2100) if fits_gsm(chr(code)))
GSM_TEXTS = st.text(st.sampled_from(EVERY_GSM), min_size=1, max_size=800)
