"""Search: DICOM's matching keys (PS3.4 C.2.2.2) over an index that bounds what an answer costs.

`study_list.py` keeps a narrow table of all live studies whose key is their place in the list, newest first.
`text_index.py` narrows a search to candidates by trigrams, in that same order; `keys.py` and `match.py` make the exact
conditions, which alone decide; `finder.py` puts them together, and `run.py` makes pages.
"""
