"""The formats that detections come in: a codec a file.

A codec says whether a record is of its format, and finds the objects in it; ``wire.raw_detection``
says what their values mean. Codecs know no configuration and keep no state, so that a record means
the same wherever it lies. To add one: a module with a ``FORMAT``, its name in ``settings.FORMATS``
and a line in ``recognition``.
"""
