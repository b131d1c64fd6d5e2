"""A camera's side: publishes detections with crops to Kafka.

    python examples/publish_detections.py localhost:9092

Replace ``crops`` by your detector. The key is the camera, so that its detections stay in order.
"""

from __future__ import annotations

import base64
import io
import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
from kafka import KafkaProducer
from PIL import Image


def crops(n: int) -> Iterator[tuple[str, bytes]]:
    """Track ids and JPEG crops; noise stands in for people."""
    rng = np.random.default_rng(1)
    for number in range(n):
        picture = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (96, 48, 3), dtype=np.uint8)).save(picture, "JPEG")
        yield f"track-{number // 5}", picture.getvalue()


producer = KafkaProducer(bootstrap_servers=sys.argv[1].split(","), linger_ms=20)
n_sent = 0
for track, crop in crops(50):
    n_sent += 1
    detection = {
        "id": f"door-{time.time_ns()}",
        "timestamp": datetime.now(UTC).isoformat(),
        "sensorId": "door",
        "object": {"id": track, "type": "person", "confidence": 0.9},
        "crop": {"mediaType": "image/jpeg", "data": base64.b64encode(crop).decode()},
    }
    producer.send("detections", key=b"door", value=json.dumps(detection).encode())
producer.flush()
print(f"{n_sent} detections sent to {sys.argv[1]}")
