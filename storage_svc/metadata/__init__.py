"""Metadata of whole series without reading their objects again.

What is asked for of a header, the DICOM JSON model and the encoded bytes, is kept compressed for many instances at a
time (`segment.py`, `segment_rows.py`). It is written after the instances were acknowledged (`builder.py`), and what a
request needs earlier is made for it alone (`series_plan.py`, `retrieve.py`). A segment names the content of each of its
instances, so it is never out of date: what was replaced is not taken from it, what came back is there at once.
"""
