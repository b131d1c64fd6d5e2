"""What a paper or a demonstration needs and a daemon does not.

- ``simulation``   rendered people, sites, schedules, simulated embeddings
- ``replay``       data sets, schedules and simulated sites as a stream of detections
- ``benchmark``    retrieval, pairs and calibration on a labelled set, with ``fusion``'s scores
- ``reproduction`` the paper's tables, with ``pair_choice``; ``printed`` holds its figures
- ``rerun``        the tracker once more over logged embeddings
- ``pages``        what people look at
"""
