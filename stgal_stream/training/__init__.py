"""Training an extractor: torch lives here (the ``train`` extra).

- ``network``, ``from_onnx``, ``export``, ``quantised``  a ResNet-50 from and to ONNX
- ``batches``, ``loader``                                pseudo-pairs and hard negatives as batches
- ``losses``, ``trainer``, ``peers``                     the loop, on one process or several

Law: a run that is stopped and resumed ends with the weights of one that was not, and several
processes take the steps of one.
"""
