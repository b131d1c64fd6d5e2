"""Crops -> embeddings: inference only, without torch.

- ``crops``          decoding and the one preprocessing
- ``onnx``           a model loaded, checked and run, on ``providers`` (CPU or GPU)
- ``releases``       versions of the extractor with where they come from
- ``encoded_crops``  pictures kept encoded, decoded when asked for
"""
