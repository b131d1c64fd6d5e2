"""Pure figures, and the data sets that they are taken on.

- ``retrieval``       CMC, mAP and mINP by the standard protocol
- ``stream_quality``  pairs, IDF1 and conflicts of a stream's identities
- ``mapping_file``    a mapping read beside a truth
- ``datasets``, ``clocks``, ``labelled_set``  Market-1501, DukeMTMC-reID, MSMT17
"""
