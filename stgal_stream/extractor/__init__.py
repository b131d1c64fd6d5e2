"""Crops -> embeddings: inference only, without torch.

- ``crops``          decoding and the one preprocessing
- ``onnx``           a model loaded, checked and run, on ``providers`` (CPU or GPU)
- ``signature``      which input is the picture, which output the features
- ``preprocessing``  how a model wants its crops, as it shows or as a preset says
- ``adopted``        what was decided about a model, in a file beside it
- ``model_files``    the graph, and weights in files beside it
- ``releases``       versions of the extractor with where they come from
- ``encoded_crops``  pictures kept encoded, decoded when asked for
"""
